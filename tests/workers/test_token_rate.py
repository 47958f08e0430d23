"""`token_rate`: tokens per second as a reader of the table sees them."""

import pytest

from workers.token_rate import SAMPLE_EVERY_S, WINDOW_S, TokenRate


@pytest.mark.parametrize("every_s", [0.01, 0.1, 0.7])
def test_a_steady_worker_reads_as_steady_however_often_it_is_asked(every_s):
    rate = TokenRate()
    assert rate.take(0, 100.0) == 0.0
    turns = int(3 * WINDOW_S / every_s)
    told = [rate.take(round(40 * every_s * turn * 1000), 100.0 + every_s * turn) for turn in range(1, turns)]
    assert told[-1] == pytest.approx(40_000)


def test_soon_after_the_last_token_it_is_nothing_and_before_a_sample_is_old_enough_too():
    rate = TokenRate()
    assert [rate.take(0, 0.0), rate.take(50, SAMPLE_EVERY_S / 2)] == [0.0, 0.0]
    assert rate.take(50, 1.0) == 50.0
    for turn in range(1, 20):
        last = rate.take(50, 1.0 + turn * SAMPLE_EVERY_S)
    assert last == 0.0


def test_a_burst_is_seen_within_a_window():
    rate = TokenRate()
    for turn in range(40):
        rate.take(0, turn * SAMPLE_EVERY_S)
    assert rate.take(100, 10.0) == pytest.approx(100 / WINDOW_S)
