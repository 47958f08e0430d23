"""The Ollama dialect over a real socket: shapes, streams, options, what is refused and how."""

import json

import pytest

from gateway import protocol
from gateway.protocol import LoadModel, Message, Submit, Unload
from tests.support.fake_gateway import TIMINGS, accepted, done, error, tokens

TIMES = {"total_duration": 10_500_000, "load_duration": 2_000_000, "prompt_eval_count": 5,
         "prompt_eval_duration": 3_000_000, "eval_count": 3, "eval_duration": 4_000_000}
HI = [{"role": "user", "content": "hi"}]


def lines(response) -> list[dict]:
    assert response.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in response.text.splitlines()]


def without_time(line: dict) -> dict:
    assert line["created_at"].endswith("Z") and "T" in line["created_at"]
    return {key: value for key, value in line.items() if key != "created_at"}


def test_chat_streams_by_default(http):
    response = http.post("/api/chat", json={"model": "tiny", "messages": HI})
    assert response.status_code == 200 and response.headers["x-warden-model"] == "tiny"
    *words, last = map(without_time, lines(response))
    assert words == [{"model": "tiny", "message": {"role": "assistant", "content": word}, "done": False}
                     for word in ("one ", "two ", "three")]
    assert last == {"model": "tiny", "message": {"role": "assistant", "content": ""}, "done": True,
                    "done_reason": "stop", **TIMES}


def test_chat_as_a_whole(http):
    response = http.post("/api/chat", json={"model": "tiny", "messages": HI, "stream": False})
    assert response.headers["content-type"] == "application/json"
    assert without_time(response.json()) == {
        "model": "tiny", "message": {"role": "assistant", "content": "one two three"}, "done": True,
        "done_reason": "stop", **TIMES}
    assert response.headers["x-warden-route"] == "mlx" and "x-warden-reason" not in response.headers
    assert response.headers["server-timing"].startswith("queue;dur=1.5, load;dur=2.0")


def test_generate_streamed_and_whole(http):
    asked = {"model": "tiny", "prompt": "hi"}
    *words, last = map(without_time, lines(http.post("/api/generate", json=asked)))
    assert [word["response"] for word in words] == ["one ", "two ", "three"]
    assert last == {"model": "tiny", "response": "", "done": True, "done_reason": "stop", **TIMES}
    whole = http.post("/api/generate", json=asked | {"stream": False}).json()
    assert whole["response"] == "one two three" and whole["done"] is True


def test_generate_applies_the_template_unless_raw(http, gateway):
    http.post("/api/generate", json={"prompt": "hi", "system": "be short"})
    http.post("/api/generate", json={"prompt": "hi", "system": "be short", "raw": True})
    templated, raw = gateway.all(Submit)
    assert templated.messages == [Message("system", "be short"), Message("user", "hi")] and templated.prompt is None
    assert raw.messages is None and raw.prompt == "hi"


def test_options_arrive_in_our_names(http, gateway):
    http.post("/api/chat", json={"messages": HI, "options": {
        "num_predict": 7, "temperature": 0, "top_k": 40, "top_p": 0.9, "min_p": 0.05, "seed": 42, "stop": ["\n", ""],
        "repeat_penalty": 1.1, "repeat_last_n": 32, "presence_penalty": 0.5, "frequency_penalty": 0.25}})
    assert gateway.wait_for(Submit).options == protocol.Options(
        max_tokens=7, temperature=0, top_k=40, top_p=0.9, min_p=0.05, seed=42, stop=["\n"], repeat_penalty=1.1,
        repeat_last_n=32, presence_penalty=0.5, frequency_penalty=0.25)


@pytest.mark.parametrize(("given", "field", "expected"), [
    ({"num_predict": -1}, "max_tokens", None), ({"num_predict": -2}, "max_tokens", None), ({"seed": -1}, "seed", None),
    ({"stop": "END"}, "stop", ["END"]), ({"stop": None}, "stop", []),
])
def test_special_values_of_options(http, gateway, given, field, expected):
    assert http.post("/api/chat", json={"messages": HI, "options": given}).status_code == 200
    assert getattr(gateway.wait_for(Submit).options, field) == expected


def test_unknown_fields_and_options_are_accepted_and_noted_once(http, stack):
    for _ in range(2):
        response = http.post("/api/chat", json={"messages": HI, "made_up": [1], "options": {"mirostat_x": 2}})
        assert response.status_code == 200
    assert stack.notes == [("option_ignored", {"option": "mirostat_x"})]


@pytest.mark.parametrize("extra", [
    {"format": ""}, {"format": None}, {"tools": None}, {"tools": []}, {"think": False}, {"options": None},
    {"keep_alive": "5m"}, {"keep_alive": -1}, {"keep_alive": 0}, {"stream": None}, {"keep_alive": "1h30m0.5s"},
    {"keep_alive": "-1"}, {"keep_alive": ".5h"}, {"keep_alive": "-5m"}, {"keep_alive": 2.5}, {"keep_alive": ""},
    {"messages": [{"role": "user", "content": "hi", "images": [], "tool_calls": None}]},
])
def test_empty_fields_count_as_absent(http, extra):
    assert http.post("/api/chat", json={"messages": HI} | extra).status_code == 200


@pytest.mark.parametrize(("path", "extra", "field"), [
    ("/api/chat", {"format": "json"}, "format"), ("/api/chat", {"format": {"type": "object"}}, "format"),
    ("/api/chat", {"tools": [{"type": "function"}]}, "tools"), ("/api/chat", {"think": True}, "think"),
    ("/api/generate", {"images": ["aGk="], "raw": True}, "images"), ("/api/generate", {"suffix": "end"}, "suffix"),
    ("/api/generate", {"template": "{{ .Prompt }}"}, "template"), ("/api/generate", {"context": [1, 2]}, "context"),
])
def test_what_is_not_offered_is_501_and_says_so(http, gateway, path, extra, field):
    response = http.post(path, json={"prompt": "hi", "messages": HI} | extra)
    assert response.status_code == 501 and response.headers["x-should-retry"] == "false"
    assert response.json()["error"].startswith(f"{field}: ") and "later" in response.json()["error"]
    assert not gateway.all(Submit)


@pytest.mark.parametrize(("path", "body", "field"), [
    ("/api/chat", {"messages": "hi"}, "messages"), ("/api/chat", {"messages": [{"role": "user", "content": 5}]},
                                                   "messages[0].content"),
    ("/api/chat", {"messages": [{"role": "wizard", "content": ""}]}, "messages[0].role"),
    ("/api/chat", {"messages": HI, "model": 3}, "model"), ("/api/chat", {"messages": HI, "stream": "yes"}, "stream"),
    ("/api/chat", {"messages": HI, "options": {"temperature": "hot"}}, "options.temperature"),
    ("/api/chat", {"messages": HI, "options": {"temperature": 11}}, "options.temperature"),
    ("/api/chat", {"messages": HI, "options": {"num_predict": 10**9}}, "options.num_predict"),
    ("/api/chat", {"messages": HI, "options": {"stop": [1]}}, "options.stop"),
    ("/api/chat", {"messages": HI, "options": 5}, "options: "),
    ("/api/chat", {"messages": HI, "options": [5]}, "options: "),
    *(("/api/chat", {"messages": HI, "keep_alive": text}, "keep_alive: ") for text in ("banana", "5 m", "m", "5mx")),
    ("/api/chat", {"keep_alive": 0}, "model: "),
    ("/api/generate", {"keep_alive": "soon"}, "keep_alive: "),
    ("/api/generate", {"prompt": ["hi"]}, "prompt"), ("/api/generate", {"prompt": "hi", "raw": 1}, "raw"),
])
def test_wrong_types_are_400_and_name_the_field(http, gateway, path, body, field):
    response = http.post(path, json=body)
    assert response.status_code == 400
    assert response.json()["error"].startswith(field), response.text
    assert not gateway.all(Submit)


def test_a_number_out_of_range_is_400_and_names_the_option(http):
    body = b'{"messages": [{"role": "user", "content": "hi"}], "options": {"made_up": 1e999, "temperature": 1e999}}'
    response = http.post("/api/chat", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400 and response.json()["error"].startswith("options.temperature: ")


@pytest.mark.parametrize(("path", "said"), [("/api/generate", {"response": ""}),
                                            ("/api/chat", {"message": {"role": "assistant", "content": ""}})])
@pytest.mark.parametrize("stream", [True, False])
def test_no_prompt_loads(http, gateway, path, said, stream):
    response = http.post(path, json={"model": "tiny", "stream": stream})
    assert without_time(response.json()) == {"model": "tiny", **said, "done": True, "done_reason": "load"}
    assert response.headers["x-warden-model"] == "tiny"
    assert gateway.wait_for(LoadModel).model == "tiny" and not gateway.all(Submit)


@pytest.mark.parametrize(("given", "seconds"), [
    ("10m", 600.0), (2.5, 2.5), (0, 0.0), ("0s", 0.0), (-1, -1.0), ("-5m", -1.0), (1e300, -1.0), ("", None),
    (None, None), ("1h30m0.5s", 5400.5)])
def test_keep_alive_goes_with_the_request(http, gateway, given, seconds):
    for path in ("/api/chat", "/api/generate"):
        assert http.post(path, json={"messages": HI, "prompt": "hi", "keep_alive": given}).status_code == 200
    assert [submit.keep_alive_s for submit in gateway.all(Submit)] == [seconds] * 2


def test_keep_alive_goes_with_a_load(http, gateway):
    http.post("/api/generate", json={"model": "tiny", "keep_alive": "-1m"})
    assert gateway.wait_for(LoadModel).keep_alive_s == -1.0


@pytest.mark.parametrize(("path", "said"), [("/api/generate", {"response": ""}),
                                            ("/api/chat", {"message": {"role": "assistant", "content": ""}})])
@pytest.mark.parametrize(("stream", "media_type"), [(None, "application/x-ndjson"), (False, "application/json")])
@pytest.mark.parametrize("zero", [0, "0", "0s", "0h0m"])
def test_no_prompt_and_no_keep_alive_unload(http, gateway, path, said, stream, media_type, zero):
    response = http.post(path, json={"model": "tiny", "keep_alive": zero, "stream": stream})
    assert response.headers["content-type"] == media_type and response.headers["x-warden-model"] == "tiny"
    assert without_time(response.json()) == {"model": "tiny", **said, "done": True, "done_reason": "unload"}
    assert response.text.count("\n") == 1
    assert gateway.wait_for(Unload).model == "tiny" and not gateway.all(LoadModel)


def test_what_is_not_unloaded_is_told(http, gateway):
    assert http.post("/api/generate", json={"model": "x", "keep_alive": 0}).status_code == 404
    gateway.on[Unload] = lambda asked: [error(asked.id, "invalid_request", "tiny is pinned")]
    response = http.post("/api/generate", json={"model": "tiny", "keep_alive": 0})
    assert (response.status_code, response.json()) == (400, {"error": "tiny is pinned"})


def test_what_can_never_fit_is_507_and_not_to_be_tried_again(http, gateway):
    gateway.on[Submit] = lambda s: [error(s.id, "insufficient_memory", "big needs 40 GiB of 21")]
    for path, found in (("/api/chat", "error"), ("/v1/chat/completions", "error")):
        response = http.post(path, json={"model": "big", "messages": HI})
        assert response.status_code == 507 and "big needs 40 GiB" in str(response.json()[found])
        assert response.headers["x-should-retry"] == "false" and "retry-after" not in response.headers


def test_memory_pressure_says_so_and_when_to_come_again(http, gateway):
    gateway.on[Submit] = lambda s: [error(s.id, "memory_pressure", "memory is at 98.4 %", 4.2)]
    response = http.post("/api/chat", json={"messages": HI})
    assert response.status_code == 503 and response.headers["retry-after"] == "5"
    assert response.json() == {"error": "memory is at 98.4 %"}


def test_no_model_is_the_default_and_the_answer_names_it(http, gateway):
    assert http.post("/api/chat", json={"messages": HI, "stream": False}).json()["model"] == "tiny"
    assert gateway.wait_for(Submit).model == ""
    assert http.post("/api/generate", json={"stream": False}).json()["model"] == "tiny"


def test_images_go_with_their_message(http, gateway):
    http.post("/api/chat", json={"messages": [*HI, {"role": "user", "content": "what is it?", "images": ["aGk="]}]})
    http.post("/api/generate", json={"prompt": "what is it?", "images": ["aG\nk=", "aG8="]})
    chat, generate = gateway.all(Submit)
    assert [message.images for message in chat.messages] == [[], ["aGk="]]
    assert generate.messages == [Message("user", "what is it?", ["aGk=", "aG8="])]


@pytest.mark.parametrize(("path", "body", "field"), [
    ("/api/chat", {"messages": [*HI, {"role": "user", "images": ["aGk=", "no image!"]}]}, "messages[1].images[1]: "),
    ("/api/chat", {"messages": [{"role": "user", "images": ["http://x/cat.png"]}]}, "messages[0].images[0]: "),
    ("/api/generate", {"prompt": "hi", "images": ["data:image/png;base64,aGk="]}, "images[0]: "),
    ("/api/generate", {"prompt": "hi", "images": ["aGk=", ""]}, "images[1]: "),
    ("/api/generate", {"prompt": "hi", "images": ["aGk"]}, "images[0]: "),
    ("/api/generate", {"prompt": "hi", "images": "aGk="}, "images: "),
    ("/api/generate", {"prompt": "hi", "images": ["aGk="] * 65}, "images: "),
])
def test_an_image_that_is_none_is_400_and_named(http, gateway, path, body, field):
    response = http.post(path, json=body)
    assert response.status_code == 400 and response.json()["error"].startswith(field), response.text
    assert not gateway.all(Submit)


def test_category_is_a_field_that_beats_the_header(http, gateway):
    headers = {"X-Warden-Category": "fast"}
    for path in ("/api/chat", "/api/generate"):
        asked = {"messages": HI, "prompt": "hi"}
        http.post(path, json=asked | {"category": "coding"}, headers=headers)
        http.post(path, json=asked, headers=headers)
        http.post(path, json=asked | {"category": None})
    assert [submit.category for submit in gateway.all(Submit)] == ["coding", "fast", ""] * 2
    assert http.post("/api/chat", json={"messages": HI, "category": 5}).json()["error"].startswith("category: ")


@pytest.mark.parametrize("given", ["high", "HIGH", "Low"])
def test_priority_and_caller_reach_the_gateway(http, gateway, given):
    http.post("/api/chat", json={"messages": HI}, headers={"X-Request-Priority": given})
    submit = gateway.wait_for(Submit)
    assert (submit.priority, submit.caller) == (given.lower(), "127.0.0.1")


def test_priority_is_medium_if_absent_and_400_if_unknown(http, gateway):
    http.post("/api/chat", json={"messages": HI})
    assert gateway.wait_for(Submit).priority == "medium"
    response = http.post("/api/chat", json={"messages": HI}, headers={"X-Request-Priority": "urgent"})
    assert response.status_code == 400
    assert all(word in response.json()["error"] for word in ("X-Request-Priority", "high", "medium", "low"))
    assert http.post("/api/chat", json={}, headers={"X-Request-Priority": "urgent"}).status_code == 400


@pytest.mark.parametrize("stream", [True, False])
def test_errors_before_the_first_token_have_their_status(http, gateway, stream):
    gateway.on[Submit] = lambda s: [accepted(s.id, 1), error(s.id, "queue_full", "5 running and 50 waiting", 6.2)]
    response = http.post("/api/chat", json={"messages": HI, "stream": stream})
    assert response.status_code == 503 and response.headers["retry-after"] == "7"
    assert response.json() == {"error": "server busy, please try again: 5 running and 50 waiting"}


def test_an_unknown_model_is_404(http, gateway):
    gateway.on[Submit] = lambda s: [error(s.id, "model_not_found", 'model "x" not found; did you mean tiny?')]
    response = http.post("/api/chat", json={"model": "x", "messages": HI})
    assert response.status_code == 404
    assert response.json()["error"].startswith('model "x" not found')


def test_an_error_in_mid_stream_is_the_last_line(http, gateway):
    gateway.on[Submit] = lambda s: [accepted(s.id, 1), tokens(s.id, 0, "a"), error(s.id, "worker_crashed", "it died")]
    first, last = lines(http.post("/api/chat", json={"messages": HI}))
    assert first["message"]["content"] == "a" and last == {"error": "it died"}


def test_a_cancel_by_somebody_else_is_no_clean_end(http, gateway):
    gateway.on[Submit] = lambda s: [accepted(s.id, 1), tokens(s.id, 0, "a"), done(s.id, reason="cancelled")]
    *_, last = lines(http.post("/api/chat", json={"messages": HI}))
    assert "cancelled" in last["error"]


def test_a_full_stop_at_the_limit_and_a_reason(http, gateway):
    gateway.on[Submit] = lambda s: [accepted(s.id, 1), protocol.Done(
        s.id, "length", "tiny", protocol.Usage(1, 0), TIMINGS, "medium", "mlx>ollama", "overloaded")]
    response = http.post("/api/chat", json={"messages": HI})
    assert lines(response)[0]["done_reason"] == "length"
    assert (response.headers["x-warden-route"], response.headers["x-warden-reason"]) == ("mlx>ollama", "overloaded")
