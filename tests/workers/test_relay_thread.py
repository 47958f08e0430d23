"""The thread of a relay: jobs in, posts out, and cancels through to the server.

The server is a stand-in whose answers the test feeds word by word; real ones are asked in test_relay_http.py.
"""

import threading
from collections.abc import AsyncIterator

import pytest

from control.states import Breaker as State
from tests.support.relay_listener import END, NEVER_S, FakeServer, Listener, a_flood, failing, forever, make
from tests.support.supervisor_home import wait_until
from workers.engine import LoadPlan
from workers.engine_thread import BACKLOG_POSTS_MAX, Changed, Fatal, JobRejected, Loaded, Noted
from workers.job_parts import CallPiece, More, TokenLogprob
from workers.relay import PIECE_MAX_CHARS, Aside, Piece
from workers.relay_thread import LOGPROBS_MAX, LOOK_MAX_S, TURN_MAX_S, Pulse, cut

__all__ = ["make"]


def test_there_is_nothing_to_load(make):
    listener = make(NEVER_S)
    listener.thread.load(LoadPlan())
    listener.until("loaded", lambda: listener.of(Loaded))
    assert listener.thread.load_progress == 1.0 and listener.thread.memory.active_bytes == 0


def test_pieces_are_counted_up_and_the_end_is_last(make):
    listener = make()
    key = listener.add(1)
    outs = listener.wait_end(key)
    assert [(out.position, out.ids, out.text) for out in outs] == [(0, [], "one "), (1, [], "two"), (2, [], "")]
    assert [out.end for out in outs] == [None, None, END]
    listener.wait_idle()
    assert listener.server.closed == [key] and listener.thread.steps == 3


def test_an_empty_piece_is_none_and_a_long_one_is_cut_to_fit_a_frame(make):
    long = "".join(chr(ord("a") + number % 26) for number in range(2 * PIECE_MAX_CHARS + 7))

    async def answer() -> AsyncIterator:
        for part in (Piece(""), Piece(long), Piece(""), Piece("z"), END):
            yield part

    listener = make()
    listener.server.answers["x"] = answer
    outs = listener.wait_end(listener.add(1))
    assert [out.position for out in outs] == [0, 1, 2, 3, 4]
    assert "".join(out.text for out in outs) == long + "z"
    assert max(len(out.text) for out in outs) == PIECE_MAX_CHARS


def test_text_is_cut_without_loss():
    assert cut(Piece("")) == cut(Piece("", More())) == [] and cut(Piece("a")) == [Piece("a")]
    assert cut(Piece("😀" * (PIECE_MAX_CHARS + 1))) == [Piece("😀" * PIECE_MAX_CHARS), Piece("😀")]


def test_what_a_piece_says_besides_is_cut_without_loss():
    small = Piece("a", More("b", [CallPiece(0, "c", "f", "{}")], [TokenLogprob(-1, b"a", -1.0)]))
    assert cut(small) == [small]
    long = Piece("t", More("b" * (PIECE_MAX_CHARS + 1), [CallPiece(0, "c", "f", "1" * PIECE_MAX_CHARS + "2"),
                                                         CallPiece(1, "d", "g", "{}")],
                           [TokenLogprob(-1, b"a", -1.0)] * (LOGPROBS_MAX + 1)))
    parts = cut(long)
    assert "".join(part.text for part in parts) == "t"
    mores = [part.more for part in parts if part.more is not None]
    assert "".join(more.thinking for more in mores) == long.more.thinking
    assert [chance for more in mores for chance in more.logprobs] == long.more.logprobs
    calls = [call for more in mores for call in more.calls]
    assert [(call.index, call.id, call.name) for call in calls] == [(0, "c", "f"), (0, "", ""), (1, "d", "g")]
    assert "".join(call.arguments for call in calls if call.index == 0) == "1" * PIECE_MAX_CHARS + "2"
    assert all(part.text or part.more for part in parts)


def test_reasoning_and_calls_take_positions_as_text_does(make):
    async def answer() -> AsyncIterator:
        call = CallPiece(0, "c", "f", "{}")
        for part in (Piece("", More(thinking="hm")), Piece("one"), Piece("", More(calls=[call])), END):
            yield part

    listener = make()
    listener.server.answers["x"] = answer
    outs = listener.wait_end(listener.add(1))
    assert [out.position for out in outs] == [0, 1, 2, 3]
    assert [out.more.thinking if out.more else "" for out in outs] == ["hm", "", "", ""]


def test_asides_are_notes_and_take_no_position(make):
    async def answer() -> AsyncIterator:
        for part in (Aside("start", "a goal"), Piece("one"), Aside("step", "y" * 10 * PIECE_MAX_CHARS), END):
            yield part

    listener = make()
    listener.server.answers["x"] = answer
    key = listener.add(1)
    assert [out.position for out in listener.wait_end(key)] == [0, 1]
    assert listener.of(Noted) == [Noted(key, "start", "a goal"), Noted(key, "step", "y" * PIECE_MAX_CHARS)]


def test_jobs_do_not_wait_for_each_other(make):
    listener = make()
    listener.server.answers["long"] = forever
    long = listener.add(1, "long")
    listener.until("its first word", lambda: listener.outputs(long))
    listener.wait_end(listener.add(2))
    assert listener.thread.held >= 1 and listener.server.closed == [(7, 2, 1)]
    listener.thread.remove(long)
    listener.wait_idle()


def test_a_cancel_closes_the_answer_and_nothing_more_is_said(make):
    listener = make()
    listener.server.answers["long"] = forever
    key = listener.add(1, "long")
    listener.until("its first word", lambda: listener.outputs(key))
    listener.thread.remove(key)
    listener.wait_idle()
    assert listener.server.closed == [key]
    assert len(listener.outputs(key)) == 1 and listener.of(JobRejected) == []
    assert listener.thread.breaker is State.CLOSED


def test_cancelled_before_it_began_nobody_is_asked(make):
    server = FakeServer()
    listener = Listener(server, NEVER_S)
    listener.thread.remove(listener.add(1))  # both orders are there before the thread runs
    listener.thread.start()
    listener.wait_end(listener.add(2))
    assert server.asked == [(7, 2, 1)] and listener.outputs((7, 1, 1)) == []


def test_the_cancel_of_a_job_that_is_not_there_does_nothing(make):
    listener = make()
    listener.thread.remove((7, 99, 1))
    listener.wait_end(listener.add(1))
    listener.thread.remove((7, 1, 1))
    listener.wait_end(listener.add(2))


def test_a_job_is_held_from_the_order_on(make):
    listener = make()
    assert listener.thread.held == 0
    listener.server.answers["long"] = forever
    key = listener.add(1, "long")
    assert listener.thread.held == 1, "a moment in which nobody holds it"
    listener.thread.remove(key)
    listener.wait_idle()


@pytest.mark.parametrize("code", ["upstream_failed", "upstream_timeout", "invalid_request", "model_not_found",
                                  "loop_detected"])
def test_a_failure_is_told_by_its_code(make, code):
    listener = make()
    listener.server.answers["bad"] = failing(code)
    key = listener.add(1, "bad")
    rejected = listener.wait_rejected(key)
    assert (rejected.code, rejected.message) == (code, "what the caller wrote: a secret")
    assert [out.text for out in listener.outputs(key)] == ["one "] and listener.outputs(key)[-1].end is None
    listener.wait_idle()


def test_an_answer_without_an_end_is_one_that_broke_off(make):
    async def no_end() -> AsyncIterator:
        yield Piece("one ")

    listener = make()
    listener.server.answers["x"] = no_end
    rejected = listener.wait_rejected(listener.add(1))
    assert rejected.code == "upstream_failed" and "fake broke off" in rejected.message


def test_an_error_of_our_own_fails_its_job_and_no_other(make):
    async def wrong() -> AsyncIterator:
        yield Piece("one ")
        raise ZeroDivisionError("a mistake")

    listener = make()
    listener.server.answers |= {"wrong": wrong, "long": forever}
    long = listener.add(1, "long")
    rejected = listener.wait_rejected(listener.add(2, "wrong"))
    assert (rejected.code, rejected.message) == ("internal", "ZeroDivisionError: a mistake")
    listener.wait_end(listener.add(3))
    assert listener.thread.held >= 1 and not listener.thread.ended and listener.thread.breaker is State.CLOSED
    listener.thread.remove(long)
    listener.wait_idle()


def test_who_does_not_read_makes_the_server_wait_and_loses_nothing(make):
    listener = make(NEVER_S)
    listener.until("word of the first probe", lambda: listener.of(Changed))  # read, so that it takes no room
    listener.server.answers["flood"] = a_flood
    key = listener.add(1, "flood")
    wait_until("a full backlog", lambda: listener.thread.steps > BACKLOG_POSTS_MAX)
    posts = listener.thread.take()
    assert len(posts) <= BACKLOG_POSTS_MAX + 1
    listener.posts += posts
    listener.until("more", lambda: len(listener.outputs(key)) > 3 * BACKLOG_POSTS_MAX)
    assert [out.position for out in listener.outputs(key)] == list(range(len(listener.outputs(key))))
    wait_until("a full backlog again", lambda: listener.thread._posts and len(
        listener.thread._posts) >= BACKLOG_POSTS_MAX)
    listener.thread.remove(key)
    wait_until("the cancel of one that waits", lambda: listener.server.closed == [key])
    listener.wait_idle()


def test_what_ends_the_thread_is_told_and_closes_the_server(make):
    listener = make()
    listener.server.breaks = RuntimeError("a mistake in a probe")
    listener.until("its end", lambda: listener.thread.ended)
    fatal = listener.until("the reason", lambda: listener.of(Fatal))[0]
    assert fatal.reason == "RuntimeError: a mistake in a probe" and "Traceback" in fatal.trace
    assert listener.server.is_closed


def test_a_server_that_cannot_be_opened_ends_the_thread(make):
    server = FakeServer()
    server.breaks = OSError("no sockets left")
    listener = make(server=server)
    listener.until("its end", lambda: listener.of(Fatal))
    assert "no sockets left" in listener.of(Fatal)[0].reason and listener.thread.ended


def test_a_loop_that_hangs_ends_the_thread_and_says_where(make, monkeypatch):
    monkeypatch.setattr("workers.relay_thread.TURN_MAX_S", 0.3)
    go_on = threading.Event()

    async def blocks_the_loop() -> AsyncIterator:
        yield Piece("one ")
        go_on.wait()

    listener = make(NEVER_S)
    listener.server.answers["x"] = blocks_the_loop
    listener.add(1)
    try:
        fatal = listener.until("its end", lambda: listener.of(Fatal))[0]
        assert "has not turned" in fatal.reason and "blocks_the_loop" in fatal.trace and listener.thread.ended
    finally:
        go_on.set()


def test_a_loop_is_given_its_time_from_the_last_turn_on_and_asked_once_only():
    asked = []
    pulse = Pulse(asked.append)
    looks = int(TURN_MAX_S / LOOK_MAX_S)
    assert not any(pulse.is_lost(100.0 + number * LOOK_MAX_S) for number in range(looks + 1))
    asked[0]()
    assert not any(pulse.is_lost(120.0 + number * LOOK_MAX_S) for number in range(looks + 1))
    assert pulse.is_lost(120.0 + (looks + 1) * LOOK_MAX_S) and len(asked) == 2


def test_a_process_that_was_stopped_is_not_taken_for_one_whose_loop_hangs():
    pulse = Pulse(lambda what: None)
    assert not any(pulse.is_lost(now) for now in (100.0, 100.1, 4000.0, 4000.1))
