"""A submit completed from the configuration, or refused with the field's name."""

from dataclasses import replace

import pytest

from control.routing import Kind, Step
from control.states import Priority
from gateway import protocol
from gateway.callers import AGENT, PERSON, Caller
from gateway.refusal import Refusal
from gateway.requests import JSON_MAX_DEPTH, JSON_MAX_PARTS, make_request, remote_of
from tests.support.gateway_world import make_config, make_model

NOW = 50.0
ANN = Caller("ann", "", PERSON, Priority.HIGH, None, 0)
BOT = Caller("key bot", "bot", AGENT, Priority.HIGH, None, 0)


def make(config=None, by=ANN, **fields):
    submit = protocol.decode_from_client(protocol.encode({"type": "submit", "id": "r", "prompt": "x"} | fields))
    return make_request(submit, b"c1", by, config or make_config("a"), number=7, now=NOW, draw_seed=lambda: 99)


def test_defaults_come_from_the_model_and_the_request_beats_them():
    config = make_config("a")
    model = replace(config.models[0], temperature=0.3, top_k=7, max_tokens=11)
    config = replace(config, models=(model,))
    request = make(config)
    assert (request.sampling.temperature, request.sampling.top_k, request.max_tokens) == (0.3, 7, 11)
    request = make(config, options={"temperature": 0, "max_tokens": 3, "stop": ["x"]})
    assert (request.sampling.temperature, request.sampling.top_k, request.max_tokens) == (0.0, 7, 3)
    assert request.stop == ["x"]


def test_a_seed_is_always_set_and_negative_ones_are_folded():
    assert make().sampling.seed == 99
    assert make(options={"seed": 5}).sampling.seed == 5
    assert 0 <= make(options={"seed": -5}).sampling.seed < 2**63


def test_class_caller_and_deadline():
    request = make(priority="high", caller="somebody else", deadline_s=10)
    assert request.ticket.priority is Priority.HIGH and request.ticket.caller == "ann"
    assert request.ticket.deadline == NOW + 10
    limited = ANN._replace(max_priority=Priority.MEDIUM)
    assert [make(by=limited, priority=asked).ticket.priority.name for asked in protocol.PRIORITIES] == [
        "MEDIUM", "MEDIUM", "LOW"]
    config = make_config("a", queue_deadline_s=20.0)
    assert make(config, deadline_s=9999).ticket.deadline == NOW + 20


@pytest.mark.parametrize("fields, code, word", [
    ({"model": "b"}, "model_not_found", '"b"'),
    ({"messages": [{"role": "user", "content": "x"}]}, "invalid_request", "messages and prompt"),
    ({"prompt": "x" * 2000}, "invalid_request", "2000 characters"),
    ({"hop": 2}, "loop_detected", "2 times"),
    ({"prompt": ""}, "invalid_request", "must not be empty"),
    ({"prompt": "", "suffix": ""}, "invalid_request", "must not be empty"),
])
def test_refusals_name_field_and_limit(fields, code, word):
    with pytest.raises(Refusal) as refused:
        make(make_config("a", body_max_bytes=1024), **fields)
    assert refused.value.code == code and word in refused.value.message
    assert refused.value.code in protocol.ERRORS


def test_nothing_before_a_suffix_is_a_prompt():
    assert make(prompt="", suffix="x").prompt == ""


def test_the_model_is_the_named_one_else_of_the_category_else_the_default():
    config = make_config("a", "b", "c", categories={"coding": "b-alias", "default": "c"})
    assert make(config).model.name == "c"
    assert make(config, category="Coding").model.name == "b"
    assert make(config, category="unheard of").model.name == "c"
    assert make(config, category="coding", model="A:latest").model.name == "a"


@pytest.mark.parametrize("names", [{"model": "tiny"}, {"model": "TINY-alias:latest"}, {"category": "fast"}, {}])
def test_a_reserved_model_is_refused_to_people_whatever_led_to_it(names):
    config = make_config(make_model("tiny", audience="agents"), "a", default_model="tiny", categories={"fast": "tiny"})
    with pytest.raises(Refusal) as refused:
        make(config, **names)
    assert refused.value.code == "model_reserved"
    assert make(config, by=BOT, **names).model.name == "tiny"


def test_a_hint_names_no_model_that_the_caller_may_not_know_of():
    config = make_config(make_model("secretary", audience="agents"), "a")
    for by, expected in ((ANN, False), (BOT, True)):
        with pytest.raises(Refusal) as refused:
            make(config, by, model="secretar")
        assert ("secretary" in refused.value.message) == expected


@pytest.mark.parametrize("fields, work", [
    ({}, (Kind.TASK, False, True, False, 0, False)),
    ({"prompt": "x" * 500}, (Kind.TASK, False, False, False, 0, False)),
    ({"demanding": True, "model": "a"}, (Kind.TASK, False, False, False, 0, True)),
    ({"category": "Fast"}, (Kind.TASK, False, True, False, 0, False)),
    ({"category": "coding"}, (Kind.TASK, False, False, False, 0, True)),
    ({"prompt": None, "tokens": [1]}, (Kind.TASK, False, False, False, 0, False)),
    ({"kind": "chat", "victoria": True, "hop": 1}, (Kind.CHAT, True, True, False, 1, False)),
    ({"prompt": None, "messages": [{"role": "user", "content": "x", "images": ["eA=="]}]},
     (Kind.TASK, False, False, True, 0, False)),
])
def test_what_routing_needs_to_know(fields, work):
    assert make(make_config("a", categories={"coding": "a"}), **fields).work == work


def test_a_plain_call_of_an_agent_is_work_between_agents():
    assert make(by=BOT).work.kind is Kind.AGENT
    assert make(by=BOT, kind="batch").work.kind is Kind.BATCH


def test_a_relay_hears_the_name_over_there_and_one_hop_more_and_a_worker_of_a_model_nothing():
    request = make(session="s", max_steps=3, hop=1, trace="r")
    request.step = Step("mlx", "a", "a", 0)
    assert not request.is_relayed and remote_of(request) is None
    request.step = Step("ollama", "a:1b", "relay-ollama", 0)
    remote = remote_of(request)
    assert (remote.model, remote.hop, remote.request_id, remote.session, remote.max_steps) == ("a:1b", 2, "r", "s", 3)


def test_what_other_servers_are_told_is_unique_though_clients_count_alike():
    submit = protocol.Submit("1", prompt="x")
    traces = {make_request(submit, client, ANN, make_config("a"), number=number, now=NOW, draw_seed=lambda: 99).trace
              for client in (b"c1234567", b"c7654321") for number in (1, 2)}
    assert len(traces) == 4 and "" not in traces


def nested(value, levels):
    for _ in range(levels):
        value = {"a": [value]}
    return value


@pytest.mark.parametrize("schema, word", [
    (nested({}, JSON_MAX_DEPTH), "nested deeper"),
    ({"a": b"bytes"}, "bytes, which is no JSON"),
    ({"a": {b"x": 1}}, "bytes, which is no JSON"),
    ({"a": float("nan")}, "float, which is no JSON"),
    ({"enum": [0] * JSON_MAX_PARTS}, f"more than {JSON_MAX_PARTS} parts"),
])
def test_schemas_are_json_that_whoever_comes_later_can_write_and_walk_through(schema, word):
    """A gateway or an engine that cannot write it again would end, and everybody's answers with it."""
    for field, fields in (("schema", {"schema": schema}), ("tools", {"tools": [{"name": "f", "parameters": schema}]})):
        with pytest.raises(Refusal, match=f"^invalid_request: {field}: .*{word}|^{field}: .*{word}") as refused:
            make(**fields)
        assert refused.value.code == "invalid_request"
    make(schema=nested({"type": "string"}, 20), tools=[{"name": "f", "parameters": nested(1.5, 20)}])
