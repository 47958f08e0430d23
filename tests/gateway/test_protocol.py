"""The client protocol: what is written is read back the same, plain MessagePack will do, and bad input names itself."""

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import protocol
from gateway.protocol import ERRORS, Message, Options, Submit

FROM_CLIENT = [
    protocol.Hello(), protocol.Hello(1, True, "warden-k", "secret"), protocol.Cancel("1"), protocol.WhoAmI("1", "k"),
    protocol.ListModels("1"),
    protocol.Show("1", "tiny"), protocol.Stats("1"), protocol.Metrics("1"), protocol.LoadModel("1", "", -1.0),
    Submit("1", prompt="hi"),
    Submit("1", tokens=[0, 2**31 - 1], priority="low", caller="ann", deadline_s=1.5, keep_alive_s=0.0),
    Submit("1", "tiny", prompt="hi", category="coding", kind="chat", victoria=True, session="s", max_steps=3,
           demanding=True, hop=1, key="warden-k"),
    protocol.Route("1", prompt="hi", kind="agent"),
    protocol.Tokenize("1", "tiny", prompt="hi", with_ids=True), protocol.Copy("1", "a", "b"), protocol.Delete("1", "a"),
    protocol.Pull("1", "a", "org/a"),
    Submit("1", inputs=["a", [1, 2]]),
    Submit("1", messages=[Message("assistant", "", tool_calls=[protocol.ToolCall("f", "{}", "call_1")], thinking="hm"),
                          Message("tool", "12", tool_call_id="call_1", name="f")],
           tools=[protocol.Tool("f", "what", {"type": "object"}, True)], tool_choice="=f", parallel_tools=False,
           schema={"type": "object"}, think="high", logprobs=3, logit_bias={5: -1.5}, truncate=True, shift=True),
    Submit("1", prompt="a", suffix="b", template="{{ .Prompt }}", options=Options(num_ctx=1, num_keep=0)),
    protocol.Unload("1", "a"), protocol.Evict("1", "a"), protocol.Pin("1", "a"), protocol.Unpin("1", "a"),
    Submit("1", "tiny", messages=[Message("system", "a"), Message("user", "")], priority="high", options=Options(
        max_tokens=1, temperature=0, top_p=1, top_k=0, min_p=0, repeat_penalty=1.1, repeat_last_n=-1,
        presence_penalty=-1, frequency_penalty=1, seed=-1, stop=["a"])),
    Submit("1", messages=[Message("user", "what is it?", ["aW1hZ2U="])]),
]
OK = {"type": "submit", "id": "1", "prompt": "hi"}


@pytest.mark.parametrize("message", FROM_CLIENT, ids=lambda m: type(m).__name__)
def test_what_clients_say_comes_back_the_same(message):
    assert protocol.decode_from_client(protocol.encode(message)) == message


def test_every_message_is_in_a_round_trip():
    assert {type(message) for message in FROM_CLIENT} == set(protocol.FromClient.__args__)


@pytest.mark.parametrize("message", FROM_CLIENT, ids=lambda m: type(m).__name__)
def test_any_messagepack_library_reads_a_map_with_a_type(message):
    plain = msgpack.unpackb(protocol.encode(message), strict_map_key=False)
    assert plain["type"] == type(message).__struct_config__.tag


def test_any_messagepack_library_can_ask():
    assert protocol.decode_from_client(msgpack.packb(OK)) == Submit("1", prompt="hi")
    with_more = OK | {"made_up": {"later": 1}, "options": {"temperature": 1, "made_up": 2}}
    assert protocol.decode_from_client(msgpack.packb(with_more)).options == Options(temperature=1)


@pytest.mark.parametrize("field", ["id", "type"])
def test_what_must_be_there_is_named(field):
    with pytest.raises(msgspec.ValidationError, match=field):
        protocol.decode_from_client(msgpack.packb({key: value for key, value in OK.items() if key != field}))


def test_nan_is_no_number():
    for field in ({"options": {"temperature": float("nan")}}, {"keep_alive_s": float("nan")}):
        with pytest.raises(msgspec.ValidationError):
            protocol.decode_from_client(msgpack.packb(OK | field))


@given(st.binary(max_size=200))
def test_any_bytes_decode_or_raise_what_receivers_catch(data):
    for decode in (protocol.decode_from_client, protocol.decode_event, protocol.decode_events):
        try:
            decode(data)
        except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError):
            pass


@pytest.mark.parametrize("code", ERRORS)
def test_the_closed_list_is_consistent(code):
    entry = ERRORS[code]
    assert entry.status in (400, 401, 403, 404, 405, 408, 409, 413, 415, 429, 500, 501, 502, 503, 504, 507, 508)
    assert entry.fault in ("caller", "capacity", "server", "upstream")
    assert entry.fault == "caller" or entry.status >= 500 or code == "model_busy"
    assert entry.retryable or entry.status not in (503, 504)
