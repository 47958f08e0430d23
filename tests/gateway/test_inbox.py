"""What waits unread in a client is bounded: notes of an agent, which are no part of the answer, go first."""

import pytest

from gateway import inbox as ex
from gateway.inbox import Inbox
from gateway.protocol import CallPiece, Note, TokenLogprob, Tokens
from tests.support.fake_gateway import done

LONG = "x" * 65_000


def rest(inbox: Inbox) -> list[object]:
    found = []
    while (event := inbox.take()) is not None:
        found.append(event)
    return found


@pytest.mark.parametrize("text", [LONG, ""], ids=["long", "empty"])
def test_unread_notes_are_dropped_at_their_limit_and_the_request_goes_on(text: str) -> None:
    inbox = Inbox()
    for _ in range(20_000):
        assert inbox.put(Note("1", "step", text)), "no reason to end the request"
    kept = sum(ex.EVENT_COST_CHARS + len(event.text) for event in inbox.events)
    assert ex.UNREAD_FOR_NOTES - len(LONG) - ex.EVENT_COST_CHARS < kept <= ex.UNREAD_FOR_NOTES
    assert not inbox.ended


def test_notes_leave_room_for_the_answer_and_its_end() -> None:
    inbox = Inbox()
    for _ in range(100):
        inbox.put(Note("1", "step", LONG))
    answer = Tokens("1", 0, [], "a" * (ex.UNREAD_MAX_CHARS // 2 - ex.EVENT_COST_CHARS))
    assert inbox.put(answer) and inbox.put(done("1"))
    assert not inbox.put(Tokens("1", 1, [], LONG * 10)), "of the answer nothing is dropped: its reader is too slow"
    assert [event for event in rest(inbox) if not isinstance(event, Note)] == [answer, done("1")]


def test_a_reader_that_keeps_up_gets_every_note() -> None:
    inbox = Inbox()
    for number in range(100):
        inbox.put(note := Note("1", "step", f"{number}{LONG}"))
        assert inbox.take() == note


def test_a_reader_that_keeps_up_may_get_any_amount():
    inbox = Inbox()
    for n in range(50):
        assert inbox.put(Tokens("1", n, [n], "x" * (ex.UNREAD_MAX_CHARS // 4)))
        assert isinstance(inbox.take(), Tokens)


@pytest.mark.parametrize("part", [{"thinking": LONG}, {"calls": [CallPiece(0, "c", "f", LONG)]}, {
    "logprobs": [TokenLogprob(1, b"a", -1.0)] * 256}], ids=["thinking", "calls", "chances"])
def test_all_that_an_answer_may_say_counts_against_the_limit(part):
    inbox, kept = Inbox(), 0
    while inbox.put(Tokens("1", kept, [kept], "", **part)):
        kept += 1
    assert 0 < kept <= ex.UNREAD_MAX_CHARS // len(LONG)
