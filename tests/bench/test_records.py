"""bench/records.py: figures from notes that are made up, against what they are defined to be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.records import DETAILS_MAX, Heard, Spread, median_of, median_round, percentile, ratio, spread_ms, summarise

numbers = st.floats(-1e6, 1e6)


def heard(at_s=0.0, first_s=0.5, end_s=1.0, klass="medium", tokens=4, **more):
    return Heard(klass, at_s, more.pop("sent_s", at_s), first_s, end_s, tokens, **more)


@given(values=st.lists(numbers, min_size=1, max_size=30), q=st.integers(1, 100))
def test_a_percentile_is_the_smallest_measured_value_that_q_percent_do_not_exceed(values, q):
    def share_below(value):
        return sum(one <= value for one in values) * 100

    found = percentile(values, q)
    assert found in values
    assert share_below(found) >= q * len(values)
    assert all(share_below(value) < q * len(values) for value in values if value < found)


def test_of_nothing_there_is_no_percentile_and_no_median():
    assert percentile([], 50) is None
    assert spread_ms([]) == Spread(None, None, None)
    assert median_of([None, None]) is None


def test_spread_of_a_hundred_seconds():
    assert spread_ms(reversed(range(1, 101))) == Spread(50_000, 95_000, 99_000)


def test_latencies_count_from_when_the_request_was_due_not_from_when_it_was_sent():
    summary = summarise([heard(at_s=1.0, sent_s=3.0, first_s=3.5, end_s=4.0)])
    assert summary.all.ttft_ms.p50 == 2500
    assert summary.all.total_ms.p50 == 3000
    assert summary.late_ms.p50 == 2000
    assert summary.wall_s == 3.0


def test_what_did_not_end_well_is_counted_by_its_reason_and_kept_out_of_the_figures():
    notes = [heard(end_s=2.0), heard(first_s=None, end_s=0.1, outcome="refused", detail="503 queue_full", tokens=0),
             heard(end_s=9.0, outcome="error", detail="cut", tokens=3), heard(end_s=9.0, outcome="error", detail="cut")]
    every = summarise(notes).all
    assert (every.n, every.done, every.refused, every.errors) == (4, 1, 1, 2)
    assert every.details == {"503 queue_full": 1, "cut": 2}
    assert every.tokens == 4
    assert every.total_ms.p99 == 2000


def test_an_answer_without_text_has_no_first_text_but_an_end():
    every = summarise([heard(first_s=None, end_s=1.0), heard(first_s=0.25, end_s=1.0)]).all
    assert every.ttft_ms.p99 == 250
    assert every.done == 2


def test_gaps_of_all_answers_are_one_heap():
    assert summarise([heard(gaps_s=(0.25, 0.5)), heard(gaps_s=(0.75,))]).all.between_ms.p50 == 500


def test_classes_stand_in_order_and_their_rates_add_up():
    summary = summarise([heard(klass="low", end_s=2.0), heard(klass="high"), heard(klass="odd"), heard(klass="medium")])
    assert list(summary.classes) == ["high", "medium", "low", "odd"]
    assert summary.all.tokens_per_s == 16 / 2.0 == sum(one.tokens_per_s for one in summary.classes.values())
    assert summary.all.done_per_s == 2.0


def test_frames_instead_of_usage_are_said():
    assert summarise([heard()]).tokens_by == "usage"
    assert summarise([heard(), heard(by_usage=False)]).tokens_by == "frames"
    refused = heard(outcome="refused", by_usage=False)  # a refusal has no tokens to count in any way
    assert summarise([heard(), refused]).tokens_by == "usage"


def test_kinds_of_failure_are_limited_but_none_is_lost():
    notes = [heard(outcome="error", detail=f"kind {number}") for number in range(DETAILS_MAX + 3)]
    details = summarise(notes).all.details
    assert len(details) == DETAILS_MAX + 1
    assert details["others"] == 3


def test_nothing_heard_is_no_error():
    summary = summarise([])
    assert (summary.wall_s, summary.all.n, summary.all.tokens_per_s, summary.classes) == (0.0, 0, None, {})


def test_of_several_rounds_times_are_medians_and_counts_are_sums():
    rounds = [summarise([heard(end_s=end_s), heard(klass="low", outcome="error", detail="cut")])
              for end_s in (1.0, 5.0, 2.0)]
    whole = median_round(rounds)
    assert whole.all.total_ms.p50 == 2000
    assert whole.wall_s == 2.0
    assert whole.all.tokens_per_s == 2.0
    assert (whole.all.n, whole.all.done, whole.all.errors, whole.all.tokens) == (6, 3, 3, 12)
    assert whole.all.details == {"cut": 3}
    assert whole.classes["low"].total_ms == Spread(None, None, None)


def test_a_class_that_came_in_one_round_only_is_there():
    whole = median_round([summarise([heard()]), summarise([heard(), heard(klass="high")])])
    assert whole.classes["high"].n == 1


def test_no_round_has_no_median():
    with pytest.raises(ValueError, match="at least one"):
        median_round([])


def test_a_ratio_is_taken_within_each_round():
    assert ratio([10, 300, 20], [20, 300, 40]) == 0.5
    assert ratio([1, None, 3], [2, 2, 0]) == 0.5
    assert ratio([None], [1]) is None
