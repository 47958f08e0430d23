"""What a round of one target is worth; tests/integration/test_bench.py shows them running."""

import pytest

from bench.answerers import FACE, GATEWAY, Round, round_of, warm_up
from bench.load import Loaded
from bench.program import BenchFailed
from bench.records import Heard


def test_only_answers_that_ended_well_count():
    done = Heard("medium", 0.0, 0.0, 0.5, 2.0, 64, (0.1,), "done")
    cut = Heard("medium", 0.0, 0.0, 0.5, 4.0, 30, (0.1,), "error", "the stream ended in mid-answer")
    one = round_of(Loaded([done, cut], 0.25), {})
    assert (one.tokens, one.wall_s, one.done, one.failed) == (64, 4.0, 1, 1)
    assert one.tokens_per_s == 16 and one.generator_cpu_s == 0.25
    assert one.details == {"the stream ended in mid-answer": 1}


def test_cpu_is_told_for_each_token():
    one = Round(1000, 1.0, 10, 0, {}, cpu_s={GATEWAY: 0.06, FACE: 0.04, "workers": 5.0})
    assert one.cpu_us(GATEWAY, FACE) == pytest.approx(100.0)
    assert one._replace(cpu_s={}).cpu_us(GATEWAY) is None and one._replace(tokens=0).cpu_us(GATEWAY) is None


def test_who_answers_nothing_is_not_measured():
    asked = []
    warm_up({"one": lambda asks, streams: asked.append((asks, streams)) or Round(1, 1.0, 1, 7, {})}, ["ask"], 3)
    assert asked == [(["ask"], 3)]
    with pytest.raises(BenchFailed, match="two answers nothing: connection: refused"):
        warm_up({"two": lambda asks, streams: Round(0, 1.0, 0, 1, {"connection: refused": 1})}, ["ask"], 3)
