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
    protocol.Show("1", "tiny"), protocol.Stats("1"), protocol.LoadModel("1", "", -1.0), Submit("1", prompt="hi"),
    Submit("1", tokens=[0, 2**31 - 1], priority="low", caller="ann", deadline_s=1.5, keep_alive_s=0.0),
    Submit("1", "tiny", prompt="hi", category="coding", kind="chat", victoria=True, session="s", max_steps=3,
           demanding=True, hop=1, key="warden-k"),
    protocol.Route("1", prompt="hi", kind="agent"),
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
    plain = msgpack.unpackb(protocol.encode(message))
    assert plain["type"] == type(message).__struct_config__.tag


def test_any_messagepack_library_can_ask():
    assert protocol.decode_from_client(msgpack.packb(OK)) == Submit("1", prompt="hi")
    with_more = OK | {"made_up": {"later": 1}, "options": {"temperature": 1, "made_up": 2}}
    assert protocol.decode_from_client(msgpack.packb(with_more)).options == Options(temperature=1)


@pytest.mark.parametrize(("change", "where"), [
    ({"id": ""}, "$.id"), ({"id": "x" * 129}, "$.id"), ({"id": 5}, "$.id"), ({"model": "x" * 257}, "$.model"),
    ({"messages": []}, "$.messages"), ({"messages": [{"role": "user"}]}, "content"),
    ({"messages": [{"role": "wizard", "content": ""}]}, "$.messages[0].role"), ({"prompt": 1}, "$.prompt"),
    ({"tokens": []}, "$.tokens"), ({"tokens": [-1]}, "$.tokens[0]"), ({"tokens": [2**31]}, "$.tokens[0]"),
    ({"priority": "urgent"}, "$.priority"), ({"deadline_s": 0}, "$.deadline_s"), ({"deadline_s": 1e9}, "$.deadline_s"),
    ({"options": []}, "$.options"), ({"options": {"temperature": -0.1}}, "$.options.temperature"),
    ({"options": {"max_tokens": 0}}, "$.options.max_tokens"), ({"options": {"top_p": 1.1}}, "$.options.top_p"),
    ({"options": {"seed": 2**63}}, "$.options.seed"), ({"options": {"stop": [""]}}, "$.options.stop[0]"),
    ({"options": {"stop": ["a"] * 17}}, "$.options.stop"), ({"options": {"top_k": 1.5}}, "$.options.top_k"),
    ({"type": "sabmit"}, "sabmit"), ({"keep_alive_s": "5m"}, "$.keep_alive_s"), ({"keep_alive_s": 1e16}, "$.keep_al"),
    ({"kind": "chore"}, "$.kind"), ({"hop": -1}, "$.hop"), ({"hop": 1001}, "$.hop"), ({"key": "k" * 257}, "$.key"),
    ({"max_steps": 10_001}, "$.max_steps"), ({"category": "x" * 257}, "$.category"), ({"victoria": "no"}, "$.victoria"),
    ({"messages": [{"role": "user", "content": "", "images": ["x"] * 65}]}, "$.messages[0].images"),
    ({"keep_alive_s": float("-inf")}, "$.keep_alive_s"), ({"type": "evict", "model": ""}, "$.model"),
])
def test_bad_fields_are_refused_by_name(change, where):
    with pytest.raises(msgspec.ValidationError) as caught:
        protocol.decode_from_client(msgpack.packb(OK | change))
    assert where in str(caught.value)


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
