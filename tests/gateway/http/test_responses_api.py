"""/v1/responses over a real socket: what reaches the gateway, what is shown again, and what is refused and how."""

import json

import pytest

from gateway import protocol
from gateway.protocol import CallPiece, Message, Options, Submit, Tokenize, Tokens, Tool
from tests.support.fake_gateway import accepted, done, error, tokens

URL = "/v1/responses"
LOOK = {"type": "function", "name": "look", "description": "looks", "parameters": {"type": "object"}, "strict": True}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


def events(response) -> list[dict]:
    assert response.headers["content-type"].startswith("text/event-stream")
    *blocks, last = response.text.split("\n\n")
    assert last == ""
    return [json.loads(block.partition("data: ")[2]) for block in blocks if not block.startswith(":")]


def test_a_whole_response(http, gateway):
    response = http.post(URL, json={"model": "tiny", "input": "hi", "instructions": "be brief", "metadata": {"a": "b"}})
    body = response.json()
    assert response.status_code == 200 and response.headers["x-warden-model"] == "tiny"
    assert (body["object"], body["status"], body["model"], body["store"]) == ("response", "completed", "tiny", False)
    assert (body["instructions"], body["metadata"]) == ("be brief", {"a": "b"})
    assert body["output"][0]["content"][0]["text"] == "one two three"
    assert gateway.wait_for(Submit).messages == [Message("system", "be brief"), Message("user", "hi")]


def test_a_streamed_response_has_no_other_end_than_its_last_event(http):
    found = events(http.post(URL, json={"input": "hi", "stream": True}))
    assert [event["delta"] for event in found if event["type"].endswith("text.delta")] == ["one ", "two ", "three"]
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    assert found[-1]["type"] == "response.completed"


def test_parameters_arrive_in_our_names(http, gateway):
    http.post(URL, json={"input": "hi", "max_output_tokens": 9, "temperature": 0.5, "seed": 3, "tools": [LOOK],
                         "tool_choice": {"type": "function", "name": "look"}, "parallel_tool_calls": False,
                         "text": {"format": {"type": "json_schema", "name": "x", "schema": SCHEMA}},
                         "reasoning": {"effort": "minimal", "summary": "auto"}, "truncation": "auto",
                         "include": ["message.output_text.logprobs"], "top_logprobs": 2, "store": True,
                         "prompt_cache_key": "k", "user": "ann"})
    submit = gateway.wait_for(Submit)
    assert submit.options == Options(max_tokens=9, temperature=0.5, seed=3, stop=[])
    assert submit.tools == [Tool("look", "looks", {"type": "object"}, strict=True)]
    assert (submit.tool_choice, submit.parallel_tools) == (protocol.NAMED + "look", False)
    assert (submit.schema, submit.think, submit.logprobs, submit.truncate) == (SCHEMA, "low", 2, True)


def test_the_allowed_tools_alone_are_sent_and_all_are_shown(http, gateway):
    see = LOOK | {"name": "see"}
    body = http.post(URL, json={"input": "hi", "tools": [LOOK, see], "tool_choice": {
        "type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "see"}]}}).json()
    submit = gateway.wait_for(Submit)
    assert [tool.name for tool in submit.tools] == ["see"] and submit.tool_choice == protocol.REQUIRED
    assert [tool["name"] for tool in body["tools"]] == ["look", "see"]
    assert body["tool_choice"] == {"type": "allowed_tools", "mode": "required",
                                   "tools": [{"type": "function", "name": "see"}]}


def test_what_an_agent_sends_that_knows_more_tools_than_we_do(http, gateway):
    body = http.post(URL, json={
        "model": "tiny", "instructions": "You are an agent.", "store": False, "stream": False,
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "go"}]},
                  {"type": "reasoning", "summary": [], "content": None, "encrypted_content": None}],
        "tools": [LOOK, {"type": "web_search"}, {"type": "custom", "name": "patch", "format": {"type": "grammar"}}],
        "tool_choice": "auto", "parallel_tool_calls": True, "reasoning": {"effort": None, "summary": "auto"},
        "include": ["reasoning.encrypted_content"], "prompt_cache_key": "k", "text": {"verbosity": "low"}}).json()
    assert body["status"] == "completed" and [tool["name"] for tool in body["tools"]] == ["look"]
    assert [tool.name for tool in gateway.wait_for(Submit).tools] == ["look"]


def test_a_choice_that_is_a_word_in_an_object_is_shown_as_the_word(http, gateway):
    body = http.post(URL, json={"input": "hi", "tools": [LOOK], "tool_choice": {"type": "required"}}).json()
    assert body["tool_choice"] == gateway.wait_for(Submit).tool_choice == "required"


def test_a_call_is_an_item(http, gateway):
    gateway.on[Submit] = lambda s: [accepted(s.id, 1), Tokens(s.id, 0, [1], "", calls=[
        CallPiece(0, "call_1", "look", '{"at":1}')]), done(s.id)]
    [item] = http.post(URL, json={"input": "hi", "tools": [LOOK]}).json()["output"]
    assert item["type"] == "function_call"
    assert (item["call_id"], item["name"], item["arguments"]) == ("call_1", "look", '{"at":1}')


@pytest.mark.parametrize(("extra", "param"), [
    ({"previous_response_id": "resp_1"}, "previous_response_id"), ({"conversation": {"id": "c"}}, "conversation"),
    ({"prompt": {"id": "p"}}, "prompt"), ({"background": True}, "background"),
    ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
    ({"tool_choice": {"type": "file_search"}}, "tool_choice.type"),
])
def test_what_is_not_offered_is_501_and_says_so(http, gateway, extra, param):
    response = http.post(URL, json={"input": "hi"} | extra)
    found = response.json()["error"]
    assert response.status_code == 501 and response.headers["x-should-retry"] == "false"
    assert (found["code"], found["param"]) == ("not_offered", param) and not gateway.all(Submit)


@pytest.mark.parametrize(("body", "param"), [
    ({}, "input"), ({"input": ""}, "input"), ({"input": 7}, "input"), ({"input": [{"role": "x"}]}, "input[0].role"),
    ({"input": "hi", "max_output_tokens": 0}, "max_output_tokens"), ({"input": "hi", "temperature": -1}, "temperature"),
    ({"input": "hi", "metadata": {"a": 1}}, "metadata[...]"), ({"input": "hi", "top_logprobs": 21}, "top_logprobs"),
    ({"input": "hi", "reasoning": {"effort": "huge"}}, "reasoning.effort"),
    ({"input": "hi", "text": {"format": {"type": "xml"}}}, "text.format.type"),
    ({"input": "hi", "text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format"),
    ({"input": "hi", "tool_choice": "required"}, "tool_choice"), ({"input": "hi", "truncation": "x"}, "truncation"),
])
def test_wrong_values_are_400_and_name_the_field(http, gateway, body, param):
    response = http.post(URL, json=body)
    found = response.json()["error"]
    assert (response.status_code, found["code"], found["param"]) == (400, "invalid_request", param), found
    assert not gateway.all(Submit)


@pytest.mark.parametrize(("said", "shown", "param"), [
    ("messages: the template refuses them", "input: the template refuses them", "input"),
    ("images: not read", "images: not read", "input"),
    ("schema: no such thing", "text.format.schema: no such thing", "text.format.schema"),
    ("Expected `str` - at `$.messages[1].content`", "input[1].content: Expected `str`", "input[1].content"),
])
def test_what_is_found_wrong_further_on_is_named_as_the_caller_knows_it(http, gateway, said, shown, param):
    gateway.on[Submit] = lambda s: [error(s.id, "invalid_request", said)]
    found = http.post(URL, json={"input": "hi"}).json()["error"]
    assert (found["message"], found["param"]) == (shown, param)


def test_an_error_in_mid_stream_is_the_end(http, gateway):
    gateway.on[Submit] = lambda s: [accepted(s.id, 1), tokens(s.id, 0, "a"), error(s.id, "worker_crashed", "it died")]
    *_, failed, last = events(http.post(URL, json={"input": "hi", "stream": True}))
    assert failed["type"] == "response.failed" and failed["response"]["output"][0]["status"] == "incomplete"
    assert (last["type"], last["code"], last["message"]) == ("error", "worker_crashed", "it died")


def test_tokens_are_counted_without_asking_anybody(http, gateway):
    gateway.on[Tokenize] = lambda t: [protocol.Result(t.id, protocol.msgspec.Raw(
        protocol.encode(protocol.CountInfo("tiny", 12, 2048))))]
    response = http.post(f"{URL}/input_tokens", json={"model": "tiny", "input": "hi", "instructions": "x"})
    assert response.json() == {"object": "response.input_tokens", "input_tokens": 12}
    asked = gateway.wait_for(Tokenize)
    assert (asked.model, len(asked.messages)) == ("tiny", 2) and not gateway.all(Submit)


@pytest.mark.parametrize(("method", "path"), [
    ("GET", "/resp_1"), ("DELETE", "/resp_1"), ("POST", "/resp_1/cancel"), ("GET", "/resp_1/input_items"),
    ("POST", "/compact")])
def test_responses_are_not_kept(http, method, path):
    response = http.request(method, URL + path)
    assert response.status_code == 501 and "not kept" in response.json()["error"]["message"]
