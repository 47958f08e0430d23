"""What the gateway says: read back the same alone and in arrays, and by any MessagePack library."""

import msgpack
import msgspec
import pytest

from gateway import protocol
from tests.support.fake_gateway import TIMINGS

RATE = protocol.RateInfo(500, 0, 12.5)
EVENTS = [
    protocol.Welcome(1, 2, 3, "0.1"), protocol.Accepted("1", 2, "tiny", "high", 0),
    protocol.Accepted("1", 2, "tiny", "medium", 3, "high", RATE),
    protocol.Progress("1", 3, "memory", 4.5, 0.5, "waits for room"), protocol.Tokens("1", 0, [1, 2], "ünï 😀"),
    protocol.Started("1", "a", "mlx>ollama", "down", 2, 3.5, 1.5), protocol.Note("1", "step", "looks it up"),
    protocol.Done("1", "length", "tiny", protocol.Usage(1, 2), TIMINGS, "low", "mlx", "", 2),
    protocol.Error("1", "queue_full", "50 wait", 503, 2.5), protocol.Error("1", "rate_limited", "", 429, 12.5, RATE),
    protocol.Result("1", msgspec.Raw(protocol.encode([1]))), protocol.Fetching("1", "fetching", "a", "00", 10, 5),
    protocol.Vectors("1", [b"\0\0\0\0"]),
    protocol.Tokens("1", 0, [1], "", "hm", [protocol.CallPiece(0, "call_1", "f", "{}")],
                    [protocol.TokenLogprob(1, b"a", -0.5, [protocol.TokenLogprob(1, b"a", -0.5)])]),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda e: type(e).__name__)
def test_events_come_back_the_same_alone_and_in_arrays(event):
    assert protocol.decode_event(protocol.encode(event)) == event
    assert protocol.decode_events(protocol.encode([event, event])) == [event, event]


def test_every_event_is_in_a_round_trip():
    assert {type(event) for event in EVENTS} == set(protocol.Event.__args__)
    assert set(protocol.TERMINAL) <= set(protocol.Event.__args__)


@pytest.mark.parametrize("event", EVENTS, ids=lambda e: type(e).__name__)
def test_any_messagepack_library_reads_a_map_with_a_type(event):
    plain = msgpack.unpackb(protocol.encode(event))
    assert plain["type"] == type(event).__struct_config__.tag


def test_what_an_older_gateway_does_not_say_is_not_there():
    """A client of today reads what a gateway of yesterday said."""
    old = {"type": "accepted", "id": "1", "epoch": 2, "model": "tiny", "priority": "high", "position": 0}
    read = protocol.decode_event(msgpack.packb(old))
    assert (read.clamped, read.rate) == ("", None)


def test_an_agents_steps_are_no_end_and_no_answer():
    assert protocol.Note not in protocol.TERMINAL and not hasattr(protocol.Note("1", "step", "x"), "ids")
