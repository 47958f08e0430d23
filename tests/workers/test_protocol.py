"""The job protocol: each message survives its round trip, and nothing malformed gets through."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers import protocol as p

END = p.End("stop", 1, 2, 3.0, 4.0)
TO_WORKER = [
    p.Welcome(1, 2, 3), p.Cancel(1, 2, 3, 4, 5),
    p.Job(1, 2, 3, 4, 5, [p.ChatMessage("user", "héllo")], None, None, p.Sampling(0.5, seed=9), 10, ["x"]),
    p.Job(1, 2, 3, 4, 5, None, None, [1, 2], p.Sampling(), 0, []),
    p.Job(1, 2, 3, 4, 5, [p.ChatMessage("user", "what is this?", ["aGk="])], None, None, p.Sampling(), 0, [],
          p.Remote("llava:7b", 1, "req-1", "session", 12)),
]
FROM_WORKER = [
    p.Hello(1, 2, 3, "a", 4, 5, 6, 7, 8, 9), p.Accept(1, 2, 3, 4, 5), p.Refuse(1, 2, 3, 4, 5, "not_ready", "x"),
    p.Step(1, 2, 3, 4, [p.Item(1, 1, 0, [5], "t"), p.Item(2, 1, 7, [], "", END)]),
    p.Fail(1, 2, 3, 4, 5, "internal", "x"), p.Beat(1, 2, 3, "a", 4, [5, 7], 6),
    p.Hello(1, 2, 3, "relay-ollama", 4, 5, 6, 7, 8, 9, ["phi3.5:3.8b", "é"]),
    p.Hello(1, 2, 3, "relay-victoria", 4, 5, 6, 7, 8, 9, []),
    p.Note(1, 2, 3, 4, 5, "step", "reading"),
]


@pytest.mark.parametrize("message", TO_WORKER, ids=lambda x: type(x).__name__)
def test_round_trip_to_workers(message):
    assert p.decode_to_worker(p.encode(message)) == message


@pytest.mark.parametrize("message", FROM_WORKER, ids=lambda x: type(x).__name__)
def test_round_trip_from_workers(message):
    assert p.decode_from_worker(p.encode(message)) == message


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_one_of_two_errors(frame):
    for decode in (p.decode_to_worker, p.decode_from_worker):
        try:
            assert decode(frame) is not None
        except (msgspec.ValidationError, msgspec.DecodeError):
            pass  # what receivers drop and count


def test_an_end_for_no_known_reason_is_refused():
    frame = msgspec.msgpack.encode(["step", 1, 2, 3, 4, [[1, 1, 0, [], "", ["boredom", 1, 2, 3.0, 4.0]]]])
    with pytest.raises(msgspec.ValidationError):
        p.decode_from_worker(frame)


@pytest.mark.parametrize("number", [-1, 2**63])
def test_a_number_that_no_word_of_the_table_holds_is_refused(number):
    with pytest.raises(msgspec.ValidationError):
        p.decode_from_worker(p.encode(p.Hello(1, 2, 3, "a", 4, 5, 6, batch_max=number)))


def test_a_note_of_no_known_kind_is_refused():
    with pytest.raises(msgspec.ValidationError):
        p.decode_from_worker(p.encode(p.Note(1, 2, 3, 4, 5, "chunk", "x")))


def test_what_was_said_before_there_were_relays_is_still_understood():
    job = ["job", 1, 2, 3, 4, 5, [["user", "hi"]], None, None, [0.0], 0, []]
    read = p.decode_to_worker(msgspec.msgpack.encode(job))
    assert read.remote is None and read.messages == [p.ChatMessage("user", "hi")] and read.messages[0].images == []
    hello = p.decode_from_worker(msgspec.msgpack.encode(["hello", 1, 2, 3, "a", 4, 5, 6, 7]))
    assert hello.models is None
