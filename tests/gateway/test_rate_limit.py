"""The sliding window: never more than the limit in any window, who waits as told is let through, memory is bounded."""

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import rate_limit
from gateway.rate_limit import RateLimit

WINDOW_S = 90.0
MICRO_S = 1e-6  # what floats lose
STEPS = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([0.0, 0.1, 1.0, 30.0, 89.0, 90.0, 200.0])),
                 min_size=1, max_size=60)


@given(STEPS, st.integers(1, 5))
def test_never_more_than_the_limit_in_any_window_and_never_less_than_there_is_room_for(steps, limit):
    rates, now = RateLimit(WINDOW_S), 1000.0
    let_through: dict[str, list[float]] = {"a": [], "b": []}
    for caller, pause_s in steps:
        now += pause_s
        counted = [at for at in let_through[caller] if at > now - WINDOW_S]
        allowance = rates.ask(caller, limit, now)
        assert allowance.allowed == (len(counted) < limit)
        assert allowance.limit == limit and allowance.remaining == max(0, limit - len(counted) - allowance.allowed)
        if allowance.allowed:
            let_through[caller].append(now)
    for times in let_through.values():
        assert all(sum(start <= at < start + WINDOW_S for at in times) <= limit for start in times)


@given(STEPS, st.integers(1, 5))
def test_who_is_refused_and_waits_as_long_as_told_is_let_through_and_not_sooner(steps, limit):
    rates, now = RateLimit(WINDOW_S), 1000.0
    for caller, pause_s in steps:
        now += pause_s
        allowance = rates.ask(caller, limit, now)
        if not allowance.allowed:
            assert 0 < allowance.retry_s <= allowance.reset_s <= WINDOW_S
            assert not rates.look(caller, limit, now + allowance.retry_s - MICRO_S).allowed
            now += allowance.retry_s + MICRO_S
            assert rates.ask(caller, limit, now).allowed


def test_only_what_was_let_through_counts():
    rates = RateLimit(WINDOW_S)
    assert rates.ask("a", 1, 0.0).allowed
    for second in range(1, 90):
        assert not rates.ask("a", 1, float(second)).allowed
    assert rates.ask("a", 1, 90.0).allowed


def test_looking_asks_for_nothing():
    rates = RateLimit(WINDOW_S)
    for _ in range(5):
        assert rates.look("a", 2, 0.0) == (True, 2, 2, 0.0, 0.0)
    assert rates.ask("a", 2, 0.0) == (True, 2, 1, WINDOW_S, 0.0)
    assert rates.look("a", 2, 1.0) == (True, 2, 1, WINDOW_S - 1.0, 0.0)
    assert rates.ask("a", 2, 1.0).remaining == 0
    assert rates.look("a", 2, 2.0) == (False, 2, 0, WINDOW_S - 1.0, WINDOW_S - 2.0)


def test_no_limit_counts_nothing():
    rates = RateLimit(WINDOW_S)
    assert all(rates.ask("a", 0, 0.0) is None for _ in range(1000))
    assert rates.look("a", 0, 0.0) is None and rates.callers == 0


def test_a_limit_that_is_lowered_counts_what_was_let_through_before():
    rates = RateLimit(WINDOW_S)
    for second in range(4):
        rates.ask("a", 4, float(second))
    refused = rates.ask("a", 2, 4.0)
    assert not refused.allowed and refused.retry_s == 2.0 + WINDOW_S - 4.0  # the third of them has to go
    assert not rates.ask("a", 2, 4.0 + refused.retry_s - 0.001).allowed
    assert rates.ask("a", 2, 4.0 + refused.retry_s).allowed


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 400), st.sampled_from([0.0, 1.0, 100.0])), max_size=300))
def test_callers_that_made_none_within_the_window_are_forgotten(asked):
    rates, now, last = RateLimit(WINDOW_S), 0.0, {}
    for caller, pause_s in asked:
        now += pause_s
        rates.ask(f"address {caller}", 3, now)
        last[caller] = now
    for _ in range(len(last)):
        now += WINDOW_S + 1
        rates.ask("somebody", 3, now)
    assert rates.callers <= 1


def test_whoever_invents_callers_fills_no_memory_and_gains_nothing_for_those_he_has(monkeypatch):
    monkeypatch.setattr(rate_limit, "CALLERS_MAX", 100)
    rates = RateLimit(WINDOW_S)
    for n in range(1000):
        assert rates.ask(f"user {n}", 1, n / 1000).allowed
        assert rates.ask("busy", 1, n / 1000).allowed == (n == 0)
        assert rates.callers <= 100
