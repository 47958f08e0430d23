"""/v1/chat/completions over a real socket: what is asked of the gateway, shapes, events, what is refused and how."""

import json

import pytest

from gateway import VERSION, protocol
from gateway.http.openai_options import N_MAX
from gateway.protocol import CallPiece, Message, Submit, Tokens, Tool
from tests.support.fake_gateway import accepted, done, error, tokens

URL = "/v1/chat/completions"
HI = [{"role": "user", "content": "hi"}]
USAGE = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8, "prompt_tokens_details": {"cached_tokens": 0},
         "completion_tokens_details": {"reasoning_tokens": 0}}


def events(response) -> list:
    assert response.headers["content-type"].startswith("text/event-stream")
    parts = response.text.split("\n\n")
    assert parts.pop() == ""
    data = [part.removeprefix("data: ") for part in parts if part.startswith("data: ")]
    return [part if part == "[DONE]" else json.loads(part) for part in data]


def test_a_whole_completion(http):
    response = http.post(URL, json={"model": "tiny", "messages": HI})
    body = response.json()
    assert isinstance(body.pop("created"), int) and body.pop("id").startswith("chatcmpl-")
    message = {"role": "assistant", "content": "one two three", "refusal": None}
    assert body.pop("system_fingerprint") == f"mlx-warden-{VERSION}-tiny"
    assert body.pop("service_tier") == "default"
    assert body == {"object": "chat.completion", "model": "tiny", "usage": USAGE, "choices": [
        {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}]}
    assert response.headers["x-warden-model"] == "tiny" and response.headers["x-warden-route"] == "mlx"


def test_a_streamed_completion(http):
    *chunks, last = events(http.post(URL, json={"messages": HI, "stream": True}))
    assert last == "[DONE]"
    assert {(c["id"], c["created"], c["object"], c["model"]) for c in chunks} == {
        (chunks[0]["id"], chunks[0]["created"], "chat.completion.chunk", "tiny")}
    assert [c["choices"][0]["delta"] for c in chunks] == [
        {"role": "assistant", "content": ""}, {"content": "one "}, {"content": "two "}, {"content": "three"}, {}]
    assert [c["choices"][0]["finish_reason"] for c in chunks] == [None, None, None, None, "stop"]
    assert not any("usage" in c for c in chunks)


def test_include_usage_adds_a_chunk_without_choices(http):
    *chunks, usage, last = events(http.post(URL, json={
        "messages": HI, "stream": True, "stream_options": {"include_usage": True}}))
    assert last == "[DONE]" and usage["choices"] == [] and usage["usage"] == USAGE
    assert all(chunk["usage"] is None for chunk in chunks)


def test_parameters_arrive_in_our_names(http, gateway):
    http.post(URL, json={"messages": HI, "max_tokens": 3, "max_completion_tokens": 9, "temperature": 0.5, "top_p": 0.9,
                         "seed": -5, "stop": "END", "presence_penalty": 1, "frequency_penalty": -1, "top_k": -1,
                         "min_p": 0.1, "repetition_penalty": 1.2, "n": 1})
    assert gateway.wait_for(Submit).options == protocol.Options(
        max_tokens=9, temperature=0.5, top_p=0.9, seed=-5, stop=["END"], presence_penalty=1, frequency_penalty=-1,
        top_k=0, min_p=0.1, repeat_penalty=1.2)


def test_content_may_be_text_parts_or_null(http, gateway):
    http.post(URL, json={"messages": [
        {"role": "developer", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": None}, {"role": "user", "content": "c", "name": "ann"}]})
    assert gateway.wait_for(Submit).messages == [
        Message("developer", "ab"), Message("assistant", ""), Message("user", "c", name="ann")]


@pytest.mark.parametrize("extra", [
    {"tools": None}, {"tools": []}, {"response_format": {"type": "text"}}, {"response_format": None}, {"n": None},
    {"logprobs": False}, {"logit_bias": {}}, {"stop": None}, {"user": "ann", "store": True}, {"tool_choice": "auto"},
])
def test_empty_and_unknown_fields_are_accepted(http, extra):
    assert http.post(URL, json={"messages": HI} | extra).status_code == 200


@pytest.mark.parametrize(("extra", "param"), [
    ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0].type"),
    ({"audio": {"voice": "alloy"}}, "audio"), ({"modalities": ["text", "audio"]}, "modalities"),
    ({"web_search_options": {"search_context_size": "low"}}, "web_search_options"),
    ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages[0].content[0]"),
    ({"messages": [{"role": "user", "content": [{"type": "file"}]}]}, "messages[0].content[0]"),
    ({"messages": [{"role": "assistant", "tool_calls": [{"type": "custom"}]}]}, "messages[0].tool_calls[0].type"),
])
def test_what_is_not_offered_is_501_and_says_so(http, gateway, extra, param):
    response = http.post(URL, json={"messages": HI} | extra)
    assert response.status_code == 501 and response.headers["x-should-retry"] == "false"
    found = response.json()["error"]
    assert (found["code"], found["param"], found["type"]) == ("not_offered", param, "server_error")
    assert found["message"].startswith(f"{param}: ") and not gateway.all(Submit)


WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL = {"type": "function", "function": {"name": "weather", "description": "now", "parameters": WEATHER,
                                         "strict": True}}
OTHER = {"type": "function", "function": {"name": "time"}}


@pytest.mark.parametrize(("extra", "asked"), [
    ({"tools": [TOOL, OTHER]}, {"tools": [Tool("weather", "now", WEATHER, True), Tool("time")]}),
    ({"tools": [OTHER], "tool_choice": "required"}, {"tools": [Tool("time")], "tool_choice": "required"}),
    ({"tools": [OTHER], "tool_choice": {"type": "function", "function": {"name": "time"}},
      "parallel_tool_calls": False}, {"tools": [Tool("time")], "tool_choice": "=time", "parallel_tools": False}),
    ({"functions": [{"name": "time"}], "function_call": {"name": "time"}},
     {"tools": [Tool("time")], "tool_choice": "=time", "parallel_tools": False}),
    ({"functions": [{"name": "time"}], "function_call": "none"},
     {"tools": [Tool("time")], "tool_choice": "none", "parallel_tools": False}),
    ({"response_format": {"type": "json_object"}}, {"schema": {"type": "object"}}),
    ({"response_format": {"type": "json_schema", "json_schema": {"name": "w", "strict": True, "schema": WEATHER}}},
     {"schema": WEATHER}),
    ({"response_format": {"type": "json_object", "schema": WEATHER}}, {"schema": WEATHER}),
    ({"logprobs": True}, {"logprobs": 0}), ({"logprobs": True, "top_logprobs": 3}, {"logprobs": 3}),
    ({"logit_bias": {"7": -100, "8": 1.5}}, {"logit_bias": {7: -100.0, 8: 1.5}}),
    ({"reasoning_effort": "none"}, {"think": False}), ({"reasoning_effort": "xhigh"}, {"think": "high"}),
    ({"reasoning_effort": "max"}, {"think": "high"}), ({"tool_choice": {"type": "auto"}}, {}),
    ({"tools": [OTHER], "tool_choice": {"type": "required"}}, {"tools": [Tool("time")], "tool_choice": "required"}),
    ({"chat_template_kwargs": {"enable_thinking": False}}, {"think": False}),
    ({"chat_template_kwargs": {"enable_thinking": True}}, {"think": True}),
    ({"chat_template_kwargs": {"thinking": True}, "reasoning_effort": "low"}, {"think": "low"}),
    ({"chat_template_kwargs": {"enable_thinking": False}, "reasoning_effort": "high"}, {"think": False}),
    ({"max_tokens": -1}, {}),
])
def test_what_an_answer_must_be_like_arrives_in_our_names(http, gateway, extra, asked):
    assert http.post(URL, json={"messages": HI} | extra).status_code == 200
    submit = gateway.wait_for(Submit)
    expected = Submit("1", messages=[Message("user", "hi")], **asked)
    for name in ("tools", "tool_choice", "parallel_tools", "schema", "think", "logprobs", "logit_bias"):
        assert getattr(submit, name) == getattr(expected, name), name
    assert submit.options.max_tokens is None


def calling(*calls: CallPiece, text: str = "", thinking: str = ""):
    def script(submit: Submit) -> list:
        return [accepted(submit.id, 1), Tokens(submit.id, 0, [1], text, thinking, list(calls)), done(submit.id)]

    return script


def test_a_call_of_a_tool_ends_with_tool_calls(http, gateway):
    gateway.on[Submit] = calling(CallPiece(0, "call_1", "weather", '{"city":"Rome"}'), thinking="hm")
    choice = http.post(URL, json={"messages": HI, "tools": [TOOL]}).json()["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"] == {
        "role": "assistant", "content": None, "refusal": None, "reasoning_content": "hm", "reasoning": "hm",
        "tool_calls": [{"id": "call_1", "type": "function",
                        "function": {"name": "weather", "arguments": '{"city":"Rome"}'}}]}


def test_who_asks_with_functions_is_answered_so(http, gateway):
    gateway.on[Submit] = calling(CallPiece(0, "call_1", "weather", "{}"))
    asked = {"messages": HI, "functions": [{"name": "weather"}]}
    choice = http.post(URL, json=asked).json()["choices"][0]
    assert choice["finish_reason"] == "function_call" and "tool_calls" not in choice["message"]
    assert choice["message"]["function_call"] == {"name": "weather", "arguments": "{}"}
    *chunks, _ = events(http.post(URL, json=asked | {"stream": True}))
    assert chunks[1]["choices"][0]["delta"] == {"function_call": {"name": "weather", "arguments": "{}"}}
    assert chunks[-1]["choices"][0]["finish_reason"] == "function_call"


def test_a_schema_that_a_worker_refuses_is_named_as_its_caller_wrote_it(http, gateway):
    gateway.on[Submit] = lambda s: [error(s.id, "invalid_request", "schema: at /properties/a: unknown type")]
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"properties": {"a": {"type": "what"}}}}}
    found = http.post(URL, json={"messages": HI, "response_format": wanted}).json()["error"]
    assert found["param"] == "response_format.json_schema.schema"
    assert found["message"] == "response_format.json_schema.schema: at /properties/a: unknown type"


PNG = "data:image/png;base64,aGk="


def with_image(image: object) -> dict:
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": "what is it?"},
                                                      {"type": "image_url", "image_url": image}]}]}


@pytest.mark.parametrize("image", [{"url": PNG}, {"url": PNG, "detail": "low"}, PNG,
                                   {"url": "DATA:image/jpeg;charset=x;base64,aGk="}])
def test_an_image_is_taken_from_its_data_url(http, gateway, image):
    assert http.post(URL, json=with_image(image)).status_code == 200
    assert gateway.wait_for(Submit).messages == [Message("user", "what is it?", ["aGk="])]


@pytest.mark.parametrize("address", ["http://127.0.0.1:11435/x.png", "https://x/cat.png", "file:///etc/passwd", ""])
def test_an_image_by_its_address_is_501_and_never_fetched(http, gateway, address):
    response = http.post(URL, json=with_image({"url": address}))
    found = response.json()["error"]
    assert (response.status_code, found["code"]) == (501, "not_offered") and "data:image" in found["message"]
    assert found["param"] == "messages[0].content[1].image_url" and not gateway.all(Submit)


@pytest.mark.parametrize("image", [None, {"url": "data:,"}, {"url": "data:text/html;base64,aGk="},
                                   {"url": "data:image/png,aGk="}, {"url": "data:image/png;base64,"},
                                   {"url": "data:image/png;base64,aGk"}, {"url": "data:image/png;base64,ü"}])
def test_a_data_url_that_is_no_image_is_400(http, gateway, image):
    response = http.post(URL, json=with_image(image))
    found = response.json()["error"]
    assert (response.status_code, found["param"]) == (400, "messages[0].content[1].image_url"), found
    assert not gateway.all(Submit)


def test_a_category_comes_in_a_header(http, gateway):
    http.post(URL, json={"messages": HI}, headers={"X-Warden-Category": "coding"})
    http.post(URL, json={"messages": HI})
    assert [submit.category for submit in gateway.all(Submit)] == ["coding", ""]


@pytest.mark.parametrize(("code", "kind"), [
    ("unauthorized", "authentication_error"), ("model_reserved", "permission_error"),
    ("model_not_allowed", "permission_error"), ("rate_limited", "rate_limit_error"),
    ("upstream_failed", "server_error"), ("upstream_timeout", "server_error"), ("loop_detected", "server_error")])
def test_errors_of_routing_and_of_keys(http, gateway, code, kind):
    gateway.on[Submit] = lambda s: [error(s.id, code, "so it is")]
    response = http.post(URL, json={"messages": HI})
    found = response.json()["error"]
    assert response.status_code == protocol.ERRORS[code].status
    assert (found["type"], found["code"], found["message"]) == (kind, code, "so it is")


@pytest.mark.parametrize(("body", "param"), [
    ({}, "messages"), ({"messages": []}, "messages"), ({"messages": [{"content": "hi"}]}, "messages[0].role"),
    ({"messages": HI, "max_tokens": 0}, "max_tokens"),
    ({"messages": HI, "max_completion_tokens": 0, "max_tokens": 5}, "max_completion_tokens"),
    ({"messages": HI, "max_tokens": "9"}, "max_tokens"),
    ({"messages": HI, "temperature": -1}, "temperature"), ({"messages": HI, "stop": [1]}, "stop[0]"),
    ({"messages": HI, "repetition_penalty": 0}, "repetition_penalty"),
    ({"messages": HI, "stop": [str(n) for n in range(protocol.STOP_MAX + 1)]}, "stop"),
    ({"messages": HI, "n": N_MAX + 1}, "n"), ({"messages": HI, "n": 0}, "n"),
    ({"messages": HI, "logprobs": True, "top_logprobs": protocol.LOGPROBS_MAX + 1}, "top_logprobs"),
    ({"messages": HI, "top_logprobs": 2}, "top_logprobs"), ({"messages": HI, "logprobs": 2}, "logprobs"),
    ({"messages": HI, "logit_bias": {"a": 1}}, "logit_bias"),
    ({"messages": HI, "logit_bias": {"5": 101}}, "logit_bias.5"),
    ({"messages": HI, "reasoning_effort": "much"}, "reasoning_effort"),
    ({"messages": HI, "tool_choice": "required"}, "tool_choice"),
    ({"messages": HI, "tools": [OTHER], "functions": [{"name": "x"}]}, "functions"),
    ({"messages": HI, "functions": [{"name": "x"}], "function_call": {"name": "y"}}, "function_call"),
    ({"messages": HI, "response_format": {"type": "yaml"}}, "response_format.type"),
    ({"messages": HI, "response_format": {"type": "json_schema"}}, "response_format.json_schema.schema"),
    ({"messages": HI, "response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
     "response_format.json_schema.schema"),
])
def test_wrong_values_are_400_and_name_the_field(http, gateway, body, param):
    response = http.post(URL, json=body)
    found = response.json()["error"]
    assert response.status_code == 400 and found["type"] == "invalid_request_error"
    assert (found["code"], found["param"]) == ("invalid_request", param), found
    assert not gateway.all(Submit)


def test_what_the_gateway_finds_wrong_is_named_as_the_caller_knows_it(http, gateway):
    gateway.on[Submit] = lambda s: [error(s.id, "invalid_request", "Expected `str` of length <= 256 - at `$.model`")]
    found = http.post(URL, json={"messages": HI}).json()["error"]
    assert (found["message"], found["param"]) == ("model: Expected `str` of length <= 256", "model")
    gateway.on[Submit] = lambda s: [error(s.id, "invalid_request", "prompt: makes no token")]
    found = http.post(URL, json={"messages": HI}).json()["error"]
    assert (found["message"], found["param"]) == ("messages: makes no token", "messages")
    gateway.on[Submit] = lambda s: [error(s.id, "context_length_exceeded", "the prompt has 9 tokens")]
    found = http.post(URL, json={"messages": HI}).json()["error"]
    assert (found["message"], found["param"]) == ("the prompt has 9 tokens", "messages")


def test_the_field_is_named_in_mid_stream_too(http, gateway):
    gateway.on[Submit] = lambda s: [accepted(s.id, 1), tokens(s.id, 0, "a"), error(s.id, "not_offered", "images: none")]
    found = events(http.post(URL, json={"messages": HI, "stream": True}))[-1]["error"]
    assert (found["message"], found["param"]) == ("images: none", "messages")


def test_errors_before_the_first_token_have_their_status(http, gateway):
    gateway.on[Submit] = lambda s: [error(s.id, "displaced", "a higher class came", 400.0)]
    response = http.post(URL, json={"messages": HI, "stream": True})
    assert response.status_code == 503 and response.headers["retry-after"] == "120"
    assert response.json() == {"error": {"message": "a higher class came", "type": "server_error", "param": None,
                                         "code": "displaced"}}


def test_an_error_in_mid_stream_is_the_last_event_and_not_done(http, gateway):
    gateway.on[Submit] = lambda s: [accepted(s.id, 1), tokens(s.id, 0, "a"), error(s.id, "worker_crashed", "it died")]
    *_, last = events(http.post(URL, json={"messages": HI, "stream": True}))
    assert last == {"error": {"message": "it died", "type": "server_error", "param": None, "code": "worker_crashed"}}
