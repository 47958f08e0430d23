"""The breaker over the thread of a relay: when its server gets no work, when it does again, and what is told of it."""

import asyncio
import threading
from collections.abc import AsyncIterator

from control.states import Breaker as State
from tests.support.relay_listener import END, NEVER_S, failing, make
from workers.breaker import FAILURES_MAX
from workers.engine_thread import Changed
from workers.relay import Piece

__all__ = ["make"]


def test_the_first_sign_of_life_tells_the_models_and_each_change_is_told_once(make):
    listener = make()
    listener.wait_changed("closed")
    assert listener.thread.models == ["a"]
    probed = listener.server.probed
    listener.until("more probes", lambda: listener.server.probed > probed + 3)
    assert listener.of(Changed) == [Changed("closed", "")]
    listener.server.models = ["a", "b"]
    listener.until("the other models", lambda: len(listener.of(Changed)) == 2)
    assert listener.thread.models == ["a", "b"]


def test_a_server_that_goes_and_comes_again_is_told_and_gets_no_job_meanwhile(make):
    listener = make()
    listener.wait_changed("closed")
    listener.server.problem = "nobody is there"
    assert listener.wait_changed("open").problem == "nobody is there (http://fake)"
    rejected = listener.wait_rejected(listener.add(1))
    assert (rejected.code, rejected.message) == ("upstream_failed", "nobody is there")
    assert listener.server.asked == [] and listener.thread.models == ["a"], "what is known of it is kept"
    listener.server.problem = ""
    listener.wait_breaker(State.CLOSED)
    listener.wait_end(listener.add(2))
    assert [post.breaker for post in listener.of(Changed)] == ["closed", "open", "closed"]


def test_answers_in_hand_go_on_while_the_breaker_is_open(make):
    go_on = threading.Event()

    async def held() -> AsyncIterator:
        yield Piece("one ")
        while not go_on.is_set():
            await asyncio.sleep(0.01)
        yield Piece("two")
        yield END

    listener = make()
    listener.server.answers["held"] = held
    key = listener.add(1, "held")
    listener.until("its first word", lambda: listener.outputs(key))
    listener.server.problem = "too busy for a sign of life"
    listener.wait_changed("open")
    go_on.set()
    assert "".join(out.text for out in listener.wait_end(key)) == "one two"
    listener.server.problem = ""
    listener.wait_breaker(State.CLOSED)


def test_many_failures_open_the_breaker_and_the_next_job_is_refused_unasked_in_our_own_words(make):
    listener = make(NEVER_S)
    listener.until("the first probe", lambda: listener.server.probed == 1)
    listener.server.answers["bad"] = failing()
    for number in range(FAILURES_MAX):
        listener.wait_rejected(listener.add(number, "bad"))
    assert listener.thread.breaker is State.OPEN
    told = listener.wait_changed("open")
    rejected = listener.wait_rejected(listener.add(100))
    assert rejected.code == "upstream_failed" and len(listener.server.asked) == FAILURES_MAX
    for text in (rejected.message, told.problem):
        assert f"fake failed {FAILURES_MAX} requests" in text and "secret" not in text


def test_failures_by_the_fault_of_requests_do_not_open_it(make):
    listener = make()
    listener.server.answers["bad"] = failing("invalid_request", is_its_fault=False)
    for number in range(3 * FAILURES_MAX):
        listener.wait_rejected(listener.add(number, "bad"))
    assert listener.thread.breaker is State.CLOSED
    listener.wait_end(listener.add(100))


def test_opened_by_failures_it_closes_again_by_a_probe(make):
    listener = make()
    listener.server.answers["bad"] = failing()
    listener.server.problem = "gone"
    listener.wait_breaker(State.OPEN)
    listener.server.problem = ""
    listener.wait_breaker(State.CLOSED)
    for number in range(FAILURES_MAX):
        listener.wait_rejected(listener.add(number, "bad"))
    listener.wait_breaker(State.CLOSED)
    listener.wait_end(listener.add(100))


def test_after_a_failure_the_server_is_looked_at_without_waiting_for_the_interval(make):
    listener = make(NEVER_S)
    listener.until("the first probe", lambda: listener.server.probed == 1)
    listener.server.answers["bad"] = failing()
    listener.server.problem = "gone"
    listener.add(1, "bad")
    listener.wait_breaker(State.OPEN)
    assert listener.server.probed == 2
