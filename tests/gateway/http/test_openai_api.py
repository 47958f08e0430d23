"""The OpenAI dialect over a real socket: shapes, events, what is refused and how."""

import json

import pytest

from gateway import protocol
from gateway.protocol import Message, Submit
from tests.support.fake_gateway import accepted, error, model_info, tokens

URL = "/v1/chat/completions"
HI = [{"role": "user", "content": "hi"}]
USAGE = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}


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
        Message("developer", "ab"), Message("assistant", ""), Message("user", "c")]


@pytest.mark.parametrize("extra", [
    {"tools": None}, {"tools": []}, {"response_format": {"type": "text"}}, {"response_format": None}, {"n": None},
    {"logprobs": False}, {"logit_bias": {}}, {"stop": None}, {"user": "ann", "store": True}, {"tool_choice": "auto"},
])
def test_empty_and_unknown_fields_are_accepted(http, extra):
    assert http.post(URL, json={"messages": HI} | extra).status_code == 200


@pytest.mark.parametrize(("extra", "param"), [
    ({"tools": [{"type": "function"}]}, "tools"), ({"functions": [{}]}, "functions"), ({"n": 2}, "n"),
    ({"logprobs": True}, "logprobs"), ({"response_format": {"type": "json_object"}}, "response_format"),
    ({"logit_bias": {"50256": -100}}, "logit_bias"), ({"audio": {"voice": "alloy"}}, "audio"),
    ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages[0].content[0]"),
    ({"messages": [{"role": "assistant", "tool_calls": [{"id": "1"}]}]}, "messages[0].tool_calls"),
])
def test_what_is_not_offered_is_501_and_says_so(http, gateway, extra, param):
    response = http.post(URL, json={"messages": HI} | extra)
    assert response.status_code == 501 and response.headers["x-should-retry"] == "false"
    found = response.json()["error"]
    assert (found["code"], found["param"], found["type"]) == ("not_offered", param, "server_error")
    assert "later" in found["message"] and not gateway.all(Submit)


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
    ({}, None), ({"messages": []}, "messages"), ({"messages": [{"content": "hi"}]}, "messages[0]"),
    ({"messages": HI, "max_tokens": 0}, "max_tokens"), ({"messages": HI, "max_tokens": "9"}, "max_tokens"),
    ({"messages": HI, "temperature": -1}, "temperature"), ({"messages": HI, "stop": [1]}, "stop[0]"),
    ({"messages": HI, "repetition_penalty": 0}, "repetition_penalty"), ({"messages": HI, "model": None}, "model"),
    ({"messages": HI, "stop": [str(n) for n in range(17)]}, "stop"),
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
    gateway.on[Submit] = lambda s: [error(s.id, "invalid_request", "prompt: must not be empty")]
    found = http.post(URL, json={"messages": HI}).json()["error"]
    assert (found["message"], found["param"]) == ("prompt: must not be empty", None)


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


def test_models(http, gateway):
    gateway.models = [model_info("tiny"), model_info("org/other")]
    body = http.get("/v1/models").json()
    assert body == {"object": "list", "data": [
        {"id": name, "object": "model", "created": 0, "owned_by": "mlx-warden"} for name in ("tiny", "org/other")]}
    assert http.get("/v1/models/org/other").json() == body["data"][1]
    response = http.get("/v1/models/nobody")
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "model_not_found"
