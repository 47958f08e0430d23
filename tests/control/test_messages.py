"""The messages on control.ipc: each survives its round trip, and nothing malformed gets through."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from control import messages as m

FROM_PEER = [
    m.Hello(1, 2, "a", 3, 4, 5, 6), m.Report(1, "a", 2, 3, 4, "why"), m.Quitting(1, "a", 2, 3),
    m.Busy(1, "a", 2, 3, "loading"), m.GatewayHello(1, 2, 3), m.Want(1, "a"),
]
FROM_CONTROL = [
    m.Welcome(1, 2, 3, 4, 5, 6), m.Refused(1, "why"), m.Load(1, 2, 3, 4), m.Quit(1, 2, 3, 4, "why"),
    m.ModelState(1, 2, "a", 3, 4, "why", 1.5),
]


@pytest.mark.parametrize("message", FROM_PEER, ids=lambda x: type(x).__name__)
def test_round_trip_from_peers(message):
    assert m.decode_from_peer(m.encode(message)) == message
    with pytest.raises(msgspec.ValidationError):
        m.decode_from_control(m.encode(message))


@pytest.mark.parametrize("message", FROM_CONTROL, ids=lambda x: type(x).__name__)
def test_round_trip_from_control(message):
    assert m.decode_from_control(m.encode(message)) == message


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_one_of_two_errors(frame):
    for decode in (m.decode_from_peer, m.decode_from_control):
        try:
            assert decode(frame) is not None
        except (msgspec.ValidationError, msgspec.DecodeError):
            pass  # what receivers drop and count


@pytest.mark.parametrize("frame", [["hello", "one", 2, "a", 3, 4], ["hello", 1], ["nobody", 1], {"type": "hello"}, 7])
def test_wrong_types_are_refused(frame):
    with pytest.raises(msgspec.ValidationError):
        m.decode_from_peer(msgspec.msgpack.encode(frame))


@pytest.mark.parametrize("number", [-1, 2**63])
def test_a_number_that_no_word_of_the_table_holds_is_refused(number):
    with pytest.raises(msgspec.ValidationError):
        m.decode_from_peer(m.encode(m.Hello(1, 2, "a", number, 4)))
