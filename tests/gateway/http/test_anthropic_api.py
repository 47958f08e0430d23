"""Anthropic's dialect over a real socket: what arrives at the gateway, shapes, events, and how errors look."""

import json

import pytest

from gateway import protocol
from gateway.protocol import Message, Submit, Tool
from tests.support.fake_gateway import accepted, done, error, tokens

URL = "/v1/messages"
HI = {"model": "tiny", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
USAGE = {"input_tokens": 5, "output_tokens": 3, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
LOOK = {"name": "look", "description": "Look around.", "input_schema": {"type": "object", "properties": {}}}


def events(response) -> list[dict]:
    """Each event's data; its name is the type in it."""
    assert response.headers["content-type"].startswith("text/event-stream")
    *parts, rest = response.text.split("\n\n")
    assert rest == ""
    found = []
    for part in parts:
        if not part.startswith(":"):
            name, data = part.split("\n")
            found.append(json.loads(data.removeprefix("data: ")))
            assert name == f"event: {found[-1]['type']}"
    return found


def test_a_whole_message(http):
    response = http.post(URL, json=HI)
    assert response.json() == {
        "id": f"msg_{response.headers['x-request-id']}", "type": "message", "role": "assistant", "model": "tiny",
        "content": [{"type": "text", "text": "one two three"}], "stop_reason": "end_turn", "stop_sequence": None,
        "usage": USAGE | {"service_tier": "standard"}}
    assert response.headers["x-warden-model"] == "tiny" and response.headers["x-warden-route"] == "mlx"
    assert response.headers["request-id"] == response.headers["x-request-id"]


def test_a_streamed_message(http):
    start, *blocks, end, stop = events(http.post(f"{URL}?beta=true", json=HI | {"stream": True}))
    assert start["type"] == "message_start" and start["message"]["content"] == []
    assert start["message"]["model"] == "tiny" and start["message"]["stop_reason"] is None
    assert [(each["type"], each["index"]) for each in blocks] == [
        ("content_block_start", 0), *[("content_block_delta", 0)] * 3, ("content_block_stop", 0)]
    assert "".join(each["delta"]["text"] for each in blocks[1:-1]) == "one two three"
    assert end == {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": USAGE}
    assert stop == {"type": "message_stop"}


def test_the_model_is_told_as_it_was_asked_for_and_else_by_its_name(http):
    assert http.post(URL, json=HI | {"model": "small:1b"}).json()["model"] == "small:1b"
    assert http.post(URL, json=HI | {"model": ""}).json()["model"] == "tiny"


def test_parameters_arrive_in_our_names(http, gateway):
    http.post(URL, json=HI | {"temperature": 1, "top_p": 0.9, "top_k": -1, "stop_sequences": ["END", ""],
                              "system": "Be brief.", "tools": [LOOK, {**LOOK, "name": "see", "type": "custom"}],
                              "tool_choice": {"type": "tool", "name": "see", "disable_parallel_tool_use": True},
                              "thinking": {"type": "enabled", "budget_tokens": 1024},
                              "output_config": {"format": {"type": "json_schema", "schema": {"type": "array"}}}})
    submit = gateway.wait_for(Submit)
    assert submit.options == protocol.Options(max_tokens=9, temperature=1.0, top_p=0.9, top_k=0, stop=["END"])
    assert submit.messages == [Message("system", "Be brief."), Message("user", "hi")]
    assert submit.tools == [Tool(name, LOOK["description"], LOOK["input_schema"]) for name in ("look", "see")]
    assert (submit.tool_choice, submit.parallel_tools, submit.think) == ("=see", False, True)
    assert submit.schema == {"type": "array"}


CACHED = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
CODING = {  # as a coding agent asks
    "model": "tiny", "max_tokens": 32000, "stream": True, "temperature": 1, "metadata": {"user_id": "user_1_session_2"},
    "system": [{"type": "text", "text": "You help with code."}, {"type": "text", "text": "Rules.", **CACHED}],
    "tools": [{**LOOK, "name": f"tool{number}", "eager_input_streaming": True, **CACHED} for number in range(40)],
    "thinking": {"type": "adaptive"}, "context_management": {"edits": [{"type": "clear_thinking_20251015"}]},
    "output_config": {"effort": "medium"}, "betas": ["x"],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "<reminder>"}, {"type": "text", "text": "Mend it"}]},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "Look first.", "signature": "abc"},
                                          {"type": "redacted_thinking", "data": "xyz"},
                                          {"type": "text", "text": "I look."},
                                          {"type": "tool_use", "id": "toolu_1", "name": "tool1", "input": {"a": [1]}},
                                          {"type": "tool_use", "id": "toolu_2", "name": "tool2", "input": {}}]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "found", **CACHED}]},
            {"type": "tool_result", "tool_use_id": "toolu_2", "content": "gone", "is_error": True},
            {"type": "text", "text": "Go on."}]}]}


def test_what_a_coding_agent_sends_is_understood(http, gateway):
    headers = {"anthropic-version": "2023-06-01", "authorization": "Bearer x",
               "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14"}
    assert http.head("/").status_code == 200
    assert events(http.post(f"{URL}?beta=true", json=CODING, headers=headers))[-1] == {"type": "message_stop"}
    submit = gateway.wait_for(Submit)
    assert len(submit.tools) == len(CODING["tools"]) and submit.think == "medium"
    assert submit.messages == [
        Message("system", "You help with code.\n\nRules."),
        Message("user", "<reminder>\n\nMend it"),
        Message("assistant", "I look.", thinking="Look first.", tool_calls=[
            protocol.ToolCall("tool1", '{"a":[1]}', "toolu_1"), protocol.ToolCall("tool2", "{}", "toolu_2")]),
        Message("tool", "found", tool_call_id="toolu_1", name="tool1"),
        Message("tool", "Error: gone", tool_call_id="toolu_2", name="tool2"),
        Message("user", "Go on.")]


@pytest.mark.parametrize("extra", [
    {"tools": None}, {"tools": []}, {"system": ""}, {"system": []}, {"stop_sequences": None}, {"stream": None},
    {"tool_choice": {}}, {"tool_choice": {"type": "auto"}}, {"tool_choice": {"type": "none"}}, {"thinking": {}},
    {"mcp_servers": []}, {"container": None}, {"output_config": {}}, {"output_format": None}, {"metadata": None},
    {"service_tier": "auto"}, {"who": "knows"}, {"top_k": None}, {"cache_control": {"type": "ephemeral"}},
])
def test_empty_and_unknown_fields_are_accepted(http, extra):
    response = http.post(URL, json=HI | extra)
    assert response.status_code == 200, response.text


@pytest.mark.parametrize(("extra", "field"), [
    ({"mcp_servers": [{"type": "url"}]}, "mcp_servers"), ({"container": "c"}, "container"),
    ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
    ({"tools": [LOOK, {"type": "bash_20250124", "name": "bash"}]}, "tools[1].type"),
    ({"messages": [{"role": "assistant", "content": [{"type": "server_tool_use"}]}]}, "messages[0].content[0].type"),
])
def test_what_is_not_offered_is_501_and_is_not_asked_again(http, gateway, extra, field):
    response = http.post(URL, json=HI | extra)
    found = response.json()["error"]
    assert response.status_code == 501 and response.headers["x-should-retry"] == "false"
    assert found["message"].startswith(f"{field}: ") and found["details"] == {"error_code": "not_offered"}
    assert found["type"] == "api_error" and not gateway.all(Submit)


@pytest.mark.parametrize(("extra", "field"), [
    ({"max_tokens": 0}, "max_tokens"), ({"max_tokens": "9"}, "max_tokens"), ({"temperature": 2.5}, "temperature"),
    ({"top_p": 2}, "top_p"), ({"stop_sequences": "END"}, "stop_sequences"), ({"stop_sequences": ["a"] * 99},
                                                                            "stop_sequences"),
    ({"stop_sequences": ["a" * 999]}, "stop_sequences[0]"), ({"messages": []}, "messages"), ({"model": 3}, "model"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"), ({"stream": "yes"}, "stream"),
    ({"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
    ({"thinking": {"type": "perhaps"}}, "thinking.type"), ({"tools": [{"name": "look"}]}, "tools[0].input_schema"),
    ({"tool_choice": {"type": "any"}}, "tool_choice.type"),
    ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format"),
])
def test_wrong_values_are_400_and_name_their_field(http, gateway, extra, field):
    response = http.post(URL, json=HI | extra)
    found = response.json()["error"]
    assert (response.status_code, found["type"]) == (400, "invalid_request_error")
    assert found["message"].startswith(f"{field}: ") and not gateway.all(Submit), found


@pytest.mark.parametrize("missing", ["max_tokens", "messages"])
def test_what_is_required_is_said(http, missing):
    response = http.post(URL, json={name: value for name, value in HI.items() if name != missing})
    assert response.status_code == 400
    assert response.json()["error"]["message"] == f"{missing}: is required"


@pytest.mark.parametrize(("extra", "theirs"), [
    ({"output_config": {"format": {"type": "json_schema", "schema": {}}}}, "output_config.format.schema"),
    ({"output_format": {"type": "json_schema", "schema": {}}}, "output_format.schema")])
def test_what_a_worker_refuses_has_the_callers_name(http, gateway, extra, theirs):
    gateway.on[Submit] = lambda s: [error(s.id, "invalid_request", "schema: it is odd")]
    assert http.post(URL, json=HI | extra).json()["error"]["message"] == f"{theirs}: it is odd"


@pytest.mark.parametrize(("code", "status", "kind"), [
    ("unauthorized", 401, "authentication_error"), ("model_reserved", 403, "permission_error"),
    ("model_not_found", 404, "not_found_error"), ("rate_limited", 429, "rate_limit_error"),
    ("worker_crashed", 500, "api_error"), ("upstream_failed", 502, "api_error"),
    ("queue_full", 529, "overloaded_error"), ("memory_pressure", 529, "overloaded_error"),
    ("model_unavailable", 529, "overloaded_error"),
    ("queue_deadline", 504, "timeout_error"), ("insufficient_memory", 507, "api_error")])
@pytest.mark.parametrize("stream", [True, False])
def test_errors_have_the_dialects_status_and_type(http, gateway, code, status, kind, stream):
    gateway.on[Submit] = lambda s: [error(s.id, code, "so it is", 7.0)]
    response = http.post(URL, json=HI | {"stream": stream})
    assert response.status_code == status
    assert response.json() == {"type": "error", "request_id": response.headers["request-id"], "error": {
        "type": kind, "message": "so it is", "details": {"error_code": code}}}
    assert (response.headers.get("retry-after") == "7") == (status in (429, 529, 504, 500, 502))


def test_an_error_in_mid_stream_is_the_last_event(http, gateway):
    gateway.on[Submit] = lambda s: [accepted(s.id, 1), tokens(s.id, 0, "one "), error(s.id, "worker_crashed", "broken")]
    response = http.post(URL, json=HI | {"stream": True})
    last = events(response)[-1]
    assert last == {"type": "error", "request_id": response.headers["request-id"], "error": {
        "type": "api_error", "message": "broken", "details": {"error_code": "worker_crashed"}}}
    assert "message_stop" not in response.text


def test_who_waits_gets_pings_before_the_message_begins(http, gateway, monkeypatch):
    monkeypatch.setattr("gateway.http.answering.WAIT_BEFORE_HEADERS_S", 0.05)
    monkeypatch.setattr("gateway.http.answering.SIGN_EVERY_S", 0.05)
    gateway.on[Submit] = gateway.hold
    with http.stream("POST", URL, json=HI | {"stream": True}) as response:
        lines = response.iter_lines()
        assert [next(lines) for _ in range(4)] == [": waiting", "", "event: ping", 'data: {"type":"ping"}']
        submit = gateway.wait_for(Submit)
        gateway.say(submit.id, tokens(submit.id, 0, "one"), done(submit.id, 1))
        assert any(line == "event: message_stop" for line in lines)


def test_both_ways_to_send_a_key_arrive(http, gateway):
    http.post(URL, json=HI, headers={"x-api-key": "k1"})
    http.post(URL, json=HI, headers={"authorization": "Bearer k2"})
    assert [submit.key for submit in gateway.all(Submit)] == ["k1", "k2"]


def test_batches_of_messages_are_not_offered(http):
    response = http.post(f"{URL}/batches", json={})
    assert response.status_code == 501 and response.json()["error"]["details"] == {"error_code": "not_offered"}
