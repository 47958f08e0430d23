"""workers/step_frames.py: one frame for a step; what is too large for one is told in parts, and nothing is lost."""

import pytest

from workers import protocol
from workers.job_parts import CallPiece, More, TokenLogprob
from workers.protocol import FRAME_MAX_BYTES, End, Item, Step
from workers.step_frames import CALL_MAX_BYTES, PART_MAX_BYTES, frames_of, size_of

END = End("stop", 3, 4, 1.0, 2.0)
WIDE = "\U0001f600"


def chance(piece=b" word", tops=20):
    top = [TokenLogprob(2**31 - 1, piece, -1.5) for _ in range(tops)]
    return TokenLogprob(2**31 - 1, piece, -1.5, top)


def check(frames):
    for items in frames:
        size = len(protocol.encode(Step(2, 2**60, 2**60, 2**60, items)))
        assert size < FRAME_MAX_BYTES and size <= sum(map(size_of, items)) + PART_MAX_BYTES


def joined(frames):
    """Of one job: what all its items together say, as the gateway reads them."""
    said = Item(1, 1, 0, [], "", None, More())
    thinking, text, calls, logprobs, vectors, ids, ends = "", "", [], [], [], [], []
    for item in (item for items in frames for item in items):
        assert item.position == len(ids) and not ends
        more = item.more or said.more
        thinking, text = thinking + more.thinking, text + item.text
        calls, logprobs, vectors, ids = calls + more.calls, logprobs + more.logprobs, vectors + more.vectors, (
            ids + item.ids)
        ends += [item.end] if item.end else []
    return thinking, text, calls, logprobs, vectors, ids, ends


def test_a_step_is_one_frame():
    items = [Item(number, 1, 7, [5], "word", None) for number in range(64)]
    assert frames_of(items) == ([items], [])


def test_what_fits_only_apart_comes_in_several_frames_and_in_order():
    items = [Item(number, 1, 0, [5], "x" * (PART_MAX_BYTES // 8), END) for number in range(9)]
    frames, failed = frames_of(items)
    check(frames)
    assert not failed and len(frames) > 2 and [item for some in frames for item in some] == items


@pytest.mark.parametrize("said", [
    {"logprobs": [chance() for _ in range(3000)]},
    {"logprobs": [chance(b"x" * 200) for _ in range(500)]},
    {"thinking": WIDE * 400_000},
    {"calls": [CallPiece(number, "call_1", "f", '{"a": "' + "x" * 300_000 + '"}') for number in range(4)]},
    {"logprobs": [chance()] * 2000, "thinking": WIDE * 200_000, "calls": [CallPiece(0, "c", "f", "{}")]},
    {"vectors": [b"1234" * 1000] * 80},
])
@pytest.mark.parametrize("text", ["", " " * 3000, WIDE * 300_000])
def test_what_one_answer_says_at_once_is_told_in_parts(said, text):
    more = More(**said)
    frames, failed = frames_of([Item(1, 1, 0, [9], text, END, more)])
    check(frames)
    assert not failed
    assert joined(frames) == (more.thinking, text, more.calls, more.logprobs, more.vectors, [9], [END])


def test_a_call_that_no_frame_holds_fails_its_job_alone():
    large = Item(1, 1, 0, [9], "", END, More(calls=[CallPiece(0, "c", "f", "x" * CALL_MAX_BYTES)]))
    other = Item(2, 1, 0, [9], "a", None)
    assert frames_of([large, other]) == ([[other]], [large])
