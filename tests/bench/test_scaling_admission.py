"""bench/scaling_admission.py: a queue that keeps its length while decisions are made."""

import pytest

from bench.scaling_admission import decisions_per_s, spread_of

QUEUED, DECISIONS = 50, 400


def test_every_decision_takes_one_and_a_seed_takes_the_same():
    one = decisions_per_s(QUEUED, DECISIONS, "1")
    assert one.queued == QUEUED and sum(one.taken) == DECISIONS and one.per_s > 0
    assert one.taken == decisions_per_s(QUEUED, DECISIONS, "1").taken
    assert one.taken[0] < one.taken[2], "the mix has most LOW, and the short queue soon holds nothing else"


def test_the_spread_is_the_fastest_over_the_slowest():
    assert spread_of([50.0, 100.0, 80.0]) == pytest.approx(2) and spread_of([7.0]) == 1
