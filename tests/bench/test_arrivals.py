"""bench/arrivals.py: the same seed gives the same schedule, and a schedule is what was asked for."""

from random import Random

import pytest

from bench import arrivals
from bench.arrivals import ScheduleRefused, closed_loop, open_loop, read_mix

MIX = {"high": 1.0, "medium": 2.0, "low": 1.0}


def opened(seed=1, rate=10.0, duration_s=100.0, mix=MIX, chars=50, tokens=8):
    return open_loop(Random(seed), rate, duration_s, mix, chars, tokens)


def test_the_same_seed_gives_the_same_list_and_another_seed_another():
    assert opened(seed=7) == opened(seed=7) != opened(seed=8)
    assert closed_loop(Random(7), 5, MIX, 50, 8) == closed_loop(Random(7), 5, MIX, 50, 8)


def test_arrivals_are_poisson_at_that_rate_within_the_duration():
    asks = opened()
    assert asks[0].at_s == 0.0
    assert all(one.at_s < other.at_s < 100.0 for one, other in zip(asks, asks[1:], strict=False))
    assert 900 < len(asks) < 1100
    gaps = [other.at_s - one.at_s for one, other in zip(asks, asks[1:], strict=False)]
    longer_than_mean = sum(gap > 0.1 for gap in gaps) / len(gaps)
    assert 0.32 < longer_than_mean < 0.42  # 1/e of exponential gaps; half of even ones, none of regular ones


def test_a_closed_loop_has_so_many_requests_and_no_times():
    asks = closed_loop(Random(1), 30, MIX, 50, 8)
    assert len(asks) == 30
    assert {ask.at_s for ask in asks} == {0.0}


def test_classes_come_by_their_weights():
    classes = [ask.klass for ask in opened()]
    assert 0.45 < classes.count("medium") / len(classes) < 0.55
    assert {ask.klass for ask in opened(mix={"low": 3.0, "high": 0.0})} == {"low"}


@pytest.mark.parametrize("chars", [1, 13, 50, 2000])
def test_prompts_have_the_length_that_was_asked(chars):
    assert {len(ask.prompt) for ask in opened(chars=chars, duration_s=2)} == {chars}


def test_prompts_differ_from_their_first_words_on():
    beginnings = {ask.prompt[:13] for ask in opened()}
    assert len(beginnings) > 0.99 * len(opened())


@pytest.mark.parametrize(("wrong", "word"), [
    ({"rate": 0.0}, "rate"), ({"duration_s": -1.0}, "duration"), ({"rate": float("nan")}, "rate"),
    ({"rate": 1e4, "duration_s": 1e4}, "lower the rate"), ({"chars": 0}, "characters"),
    ({"chars": arrivals.PROMPT_MAX_CHARS + 1}, "characters"), ({"tokens": 0}, "tokens"), ({"mix": {}}, "at least one"),
    ({"mix": {"urgent": 1.0}}, "urgent"), ({"mix": {"high": -1.0}}, "weight of high"),
    ({"mix": {"high": float("inf")}}, "weight of high"), ({"mix": {"high": 0.0}}, "at least one"),
])
def test_what_makes_no_schedule_is_refused_by_name(wrong, word):
    with pytest.raises(ScheduleRefused, match=word):
        opened(**wrong)


@pytest.mark.parametrize("requests", [0, -1, arrivals.REQUESTS_MAX + 1])
def test_a_closed_loop_has_an_end(requests):
    with pytest.raises(ScheduleRefused, match="requests"):
        closed_loop(Random(1), requests, MIX, 50, 8)


def test_a_mix_is_read():
    assert read_mix("high=1, low=2.5") == {"high": 1.0, "low": 2.5}


@pytest.mark.parametrize("text", ["", "high", "high=", "high=x", "high=1,", "urgent=1", "high=nan", "high=0"])
def test_what_is_no_mix_is_refused(text):
    with pytest.raises(ScheduleRefused, match="mix"):
        read_mix(text)
