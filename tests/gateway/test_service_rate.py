"""The measured rate and the retry time, on a hand-moved clock."""

import pytest

from gateway.service_rate import (
    CHARGE_MAX_S,
    EVIDENCE_MAX_S,
    GUESS_S,
    RETRY_AFTER_MAX_S,
    RETRY_AFTER_MIN_S,
    SILENCE_MAX_S,
    WINDOW_ENDS,
    ServiceRate,
)


def fed(ends: int, every_s: float, start: float = 0.0) -> tuple[ServiceRate, float]:
    """A rate that saw `ends` ends of jobs that ran all the time; and the moment of the last."""
    rate, now = ServiceRate(), start
    for _ in range(ends):
        now += every_s
        rate.on_finish(now, started=start)
    return rate, now


def test_before_anything_was_measured_it_guesses() -> None:
    rate = ServiceRate()
    assert rate.per_second(1000.0) == 1 / GUESS_S
    assert rate.retry_after_s(0, 0.0, 1000.0) == GUESS_S
    assert rate.retry_after_s(9, 0.0, 1000.0) == 10 * GUESS_S


@pytest.mark.parametrize("every_s", [0.5, 2.0, 20.0])
def test_under_steady_load_it_reads_the_rate_of_the_ends(every_s: float) -> None:
    rate, now = fed(WINDOW_ENDS, every_s)
    assert rate.per_second(now) == pytest.approx(1 / every_s, rel=0.1)


def test_only_the_window_counts() -> None:
    rate, now = fed(WINDOW_ENDS, 8.0)
    for _ in range(WINDOW_ENDS):
        now += 0.5
        rate.on_finish(now, started=0.0)
    assert rate.per_second(now) == pytest.approx(2.0, rel=0.1)


def test_idle_time_between_single_requests_is_charged_to_nobody() -> None:
    rate, now = ServiceRate(), 0.0
    for _ in range(10):
        now += 50.0
        rate.on_finish(now, started=now - 1.0)
    assert rate.per_second(now) == pytest.approx(11 / (10 + GUESS_S))


def test_an_end_whose_start_is_not_known_is_charged_the_time_since_the_last_one() -> None:
    rate = ServiceRate()
    for now in (10.0, 13.0, 16.0):
        rate.on_finish(now)
    assert rate.per_second(16.0) == pytest.approx(4 / (0 + 3 + 3 + GUESS_S))


def test_ends_in_the_same_step_share_one_charge() -> None:
    rate = ServiceRate()
    for _ in range(5):
        rate.on_finish(10.0, started=0.0)
    assert rate.per_second(10.0) == pytest.approx(6 / (10 + GUESS_S))


def test_silence_lowers_the_rate_but_only_so_far() -> None:
    rate, now = fed(60, 0.5)
    rates = [rate.per_second(now + silence_s) for silence_s in (0.0, 10.0, SILENCE_MAX_S, 2 * SILENCE_MAX_S)]
    assert rates[0] > rates[1] > rates[2] == rates[3]
    assert rates[2] == pytest.approx(61 / (30 + SILENCE_MAX_S + GUESS_S))


def test_old_evidence_is_forgotten() -> None:
    rate, now = fed(WINDOW_ENDS, 0.1)
    assert rate.per_second(now + EVIDENCE_MAX_S - 7.0) != 1 / GUESS_S
    assert rate.per_second(now + EVIDENCE_MAX_S + 1.0) == 1 / GUESS_S


def test_one_sleep_of_the_machine_does_not_spoil_the_measure() -> None:
    rate, now = fed(30, 1.0)
    rate.on_finish(now + 8 * 3600.0, started=now)
    assert rate.per_second(now + 8 * 3600.0) == pytest.approx(2 / (CHARGE_MAX_S + GUESS_S))


def test_a_clock_that_stands_or_steps_back_does_no_harm() -> None:
    rate = ServiceRate()
    rate.on_finish(10.0, started=11.0)
    rate.on_finish(9.0, started=8.0)
    assert rate.per_second(8.0) == pytest.approx(3 / GUESS_S)


def test_retry_is_the_queue_divided_by_the_rate_plus_the_load() -> None:
    rate, now = fed(WINDOW_ENDS, 1.0)
    per_second = rate.per_second(now)
    assert rate.retry_after_s(19, 0.0, now) == pytest.approx(20 / per_second)
    assert rate.retry_after_s(19, 7.5, now) == pytest.approx(20 / per_second + 7.5)


@pytest.mark.parametrize(("every_s", "ahead", "load_s", "expected"), [
    (0.001, 0, 0.0, RETRY_AFTER_MIN_S),
    (60.0, 50, 0.0, RETRY_AFTER_MAX_S),
    (0.001, 0, 3600.0, RETRY_AFTER_MAX_S),
])
def test_retry_is_clamped(every_s: float, ahead: int, load_s: float, expected: float) -> None:
    rate, now = fed(WINDOW_ENDS, every_s)
    assert rate.retry_after_s(ahead, load_s, now) == expected
