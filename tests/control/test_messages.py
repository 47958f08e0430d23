"""The messages on control.ipc: each survives its round trip, and nothing malformed gets through."""

from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from control import messages as m

FROM_PEER = [
    m.Hello(1, 2, "a", 3, 4, 5, 6), m.Report(1, "a", 2, 3, 4, "why", 5), m.Quitting(1, "a", 2, 3),
    m.Busy(1, "a", 2, 3, "loading"), m.GatewayHello(1, 2, 3), m.Want(1, "a"), m.Fenced(1, 2, "a", 3, 4),
    m.GateBusy(1, 2, "a", 3, 4, 5), m.Idle(1, "a"),
    *(m.Ask(1, 2, verb, "a") for verb in ("load", "unload", "evict", "pin", "unpin")),
]
FROM_CONTROL = [
    m.Welcome(1, 2, 3, 4, 5), m.Refused(1, "why"), m.Load(1, 2, 3, 4, 5, 6, 7, 8, 9), m.Quit(1, 2, 3, 4, "why"),
    m.ModelState(1, 2, "a", 3, 4, "why"), m.Fence(1, 2, "a", 3, 4), m.Told(1, 2, "model_not_found", "why"),
]


def name(message: object) -> str:
    return type(message).__name__


@pytest.mark.parametrize("message", FROM_PEER, ids=name)
def test_round_trip_from_peers(message):
    assert m.decode_from_peer(m.encode(message)) == message
    with pytest.raises(msgspec.ValidationError):
        m.decode_from_control(m.encode(message))


@pytest.mark.parametrize("message", FROM_CONTROL, ids=name)
def test_round_trip_from_control(message):
    assert m.decode_from_control(m.encode(message)) == message
    with pytest.raises(msgspec.ValidationError):
        m.decode_from_peer(m.encode(message))


def test_each_message_is_shown_here():
    assert {type(message) for message in FROM_PEER} == set(get_args(m.FromPeer))
    assert {type(message) for message in FROM_CONTROL} == set(get_args(m.FromControl))
    assert set(get_args(m.ToWorker)) < set(get_args(m.FromControl))


def test_what_is_left_out_of_a_load_is_no_limit():
    load = m.decode_from_control(msgspec.msgpack.encode(["load", 1, 2, 3, 4]))
    assert load == m.Load(1, 2, 3, 4, share_bytes=0, runtime_bytes=0, batch_max=0, context_length=0, row_tokens=0)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_one_of_two_errors(frame):
    for decode in (m.decode_from_peer, m.decode_from_control):
        try:
            assert decode(frame) is not None
        except (msgspec.ValidationError, msgspec.DecodeError):
            pass  # what receivers drop and count


@pytest.mark.parametrize("frame", [["hello", "one", 2, "a", 3, 4], ["hello", 1], ["nobody", 1], {"type": "hello"}, 7,
                                   ["ask", 1, 2, "kill", "a"], ["ask", 1, 2, "evict", "a" * 257],
                                   ["fenced", 1, 2, "a", 3], ["gate_busy", 1, 2, "a", 3, 4, -1]])
def test_wrong_types_are_refused(frame):
    with pytest.raises(msgspec.ValidationError):
        m.decode_from_peer(msgspec.msgpack.encode(frame))


@pytest.mark.parametrize("number", [-1, 2**63])
def test_a_number_that_no_word_of_the_table_holds_is_refused(number):
    with pytest.raises(msgspec.ValidationError):
        m.decode_from_peer(m.encode(m.Hello(1, 2, "a", number, 4)))
