"""The parts of both wires: what is not said takes no room, what is said comes back the same."""

import msgspec
import pytest

from workers.job_parts import NO_EXTRAS, CallPiece, Extras, More, TokenLogprob, Tool, ToolCall

PARTS = [Tool("f", "what", {"type": "object", "properties": {"a": {"type": "string"}}}, True), ToolCall("f", "{}", "1"),
         CallPiece(1, "c", "f", "{}"), TokenLogprob(3, b"\xe2\x82", -0.5, [TokenLogprob(4, b"a", -1.0)]),
         Extras([Tool("f")], "=f", False, {"type": "object"}, "high", 3, {5: -1.0}, "{{ .Prompt }}", "b", 128, True, 4,
                True),
         More("hm", [CallPiece(0)], [TokenLogprob(1, b"", 0.0)], [b"\0" * 4])]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: type(part).__name__)
def test_a_part_comes_back_the_same(part):
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(part), type=type(part)) == part


def test_a_job_that_asks_for_nothing_more_carries_nothing():
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(NO_EXTRAS)) == {} == msgspec.msgpack.decode(
        msgspec.msgpack.encode(More()))


def test_every_part_has_a_round_trip():
    assert len({type(part) for part in PARTS}) == len(PARTS)
