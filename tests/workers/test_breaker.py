"""The breaker of a relay: what opens it, what closes it, and that it never stays open for good."""

from hypothesis import given
from hypothesis import strategies as st

from control.states import Breaker as State
from workers.breaker import FAILURES_MAX, WINDOW_S, Breaker

EVERY_S = 5.0


def opened(now: float = 100.0) -> Breaker:
    breaker = Breaker(EVERY_S)
    breaker.on_probe_begun(now)
    breaker.on_probe("refused", now)
    return breaker


def test_it_begins_closed_and_asks_for_a_sign_of_life_at_once():
    breaker = Breaker(EVERY_S)
    assert breaker.state is State.CLOSED and breaker.probe_in_s(100.0) == 0.0


def test_a_probe_that_succeeds_leaves_it_closed_and_the_next_comes_after_the_interval():
    breaker = Breaker(EVERY_S)
    breaker.on_probe_begun(100.0)
    breaker.on_probe("", 101.0)
    assert breaker.state is State.CLOSED
    assert (breaker.probe_in_s(102.0), breaker.probe_in_s(106.0)) == (4.0, 0.0)


def test_one_probe_that_fails_opens_it_and_says_why():
    breaker = opened()
    assert (breaker.state, breaker.why) == (State.OPEN, "refused")


def test_so_many_failures_open_it_and_fewer_do_not():
    breaker = Breaker(EVERY_S)
    for number in range(FAILURES_MAX):
        assert breaker.state is State.CLOSED
        breaker.on_failure(f"failure {number}", 100.0 + number)
    assert (breaker.state, breaker.why) == (State.OPEN, f"failure {FAILURES_MAX - 1}")


def test_failures_of_long_ago_do_not_count():
    breaker = Breaker(EVERY_S)
    for number in range(10 * FAILURES_MAX):
        breaker.on_failure("now and then", 100.0 + number * WINDOW_S / (FAILURES_MAX - 1))
        assert breaker.state is State.CLOSED


def test_after_a_failure_the_server_is_looked_at_at_once():
    breaker = Breaker(EVERY_S)
    breaker.on_probe("", 100.0)
    breaker.on_failure("broke off", 101.0)
    assert breaker.probe_in_s(101.0) == 0.0


def test_open_it_waits_for_the_interval_whatever_fails_meanwhile():
    breaker = opened(100.0)
    breaker.on_failure("one that was on its way", 101.0)
    assert breaker.probe_in_s(101.0) == 4.0 and breaker.why == "refused"


def test_half_open_while_one_probe_is_on_its_way_then_closed():
    breaker = opened(100.0)
    breaker.on_probe_begun(105.0)
    assert breaker.state is State.HALF_OPEN
    breaker.on_probe("", 106.0)
    assert (breaker.state, breaker.why) == (State.CLOSED, "")


def test_half_open_and_failed_again_it_is_open_for_another_interval():
    breaker = opened(100.0)
    breaker.on_probe_begun(105.0)
    breaker.on_probe("still refused", 106.0)
    assert (breaker.state, breaker.why, breaker.probe_in_s(106.0)) == (State.OPEN, "still refused", EVERY_S)


def test_a_recovery_forgets_what_failed_before():
    breaker = Breaker(EVERY_S)
    for _ in range(FAILURES_MAX):
        breaker.on_failure("500", 100.0)
    breaker.on_probe_begun(105.0)
    breaker.on_probe("", 105.0)
    for _ in range(FAILURES_MAX - 1):
        breaker.on_failure("500", 106.0)
    assert breaker.state is State.CLOSED


def test_opened_by_failures_while_a_probe_is_on_its_way_the_probe_does_not_close_it():
    """It asks for less than the requests that failed; the next one, half open, closes it."""
    breaker = Breaker(EVERY_S)
    breaker.on_probe_begun(100.0)
    for _ in range(FAILURES_MAX):
        breaker.on_failure("500", 100.5)
    breaker.on_probe("", 101.0)
    assert breaker.state is State.OPEN and breaker.probe_in_s(101.0) == EVERY_S


events = st.lists(st.tuples(st.sampled_from(["probe fails", "probe", "failure", "nothing"]),
                            st.integers(0, 40)), max_size=60)  # what happens, so many seconds later


@given(events)
def test_whatever_happened_a_server_that_answers_gets_work_again_within_two_intervals(happened):
    breaker, now = Breaker(EVERY_S), 0
    for what, pause_s in happened:
        now += pause_s
        if what.startswith("probe") and not breaker.probe_in_s(now):
            breaker.on_probe_begun(now)
            assert breaker.state is not State.OPEN, "a probe is on its way"
            breaker.on_probe("refused" if what == "probe fails" else "", now)
            assert breaker.state is not State.HALF_OPEN, "it stays half open without a probe on its way"
        elif what == "failure":
            breaker.on_failure("500", now)
        assert 0.0 <= breaker.probe_in_s(now) <= EVERY_S
        assert breaker.state is State.CLOSED or breaker.why
    if breaker.state is not State.CLOSED:
        now += breaker.probe_in_s(now)
        breaker.on_probe_begun(now)
        breaker.on_probe("", now)
    assert breaker.state is State.CLOSED


@given(st.lists(st.floats(0.0, 20.0), min_size=1, max_size=40))
def test_failures_alone_open_it_exactly_when_so_many_lie_in_one_window(pauses):
    breaker, now, times = Breaker(EVERY_S), 100.0, []
    for pause_s in pauses:
        now += pause_s
        times.append(now)
        breaker.on_failure("500", now)
        recent = [each for each in times if each > now - WINDOW_S]
        if len(recent) >= FAILURES_MAX:
            assert breaker.state is State.OPEN
            return
        assert breaker.state is State.CLOSED
