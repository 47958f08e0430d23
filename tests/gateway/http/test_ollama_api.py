"""The Ollama dialect over a real socket: shapes, streams, options, what is refused and how."""

import json
import threading

import pytest

from gateway import protocol
from gateway.protocol import LoadModel, Message, Submit, Unload
from tests.support.fake_gateway import TIMINGS, accepted, done, error, tokens
from tests.support.raw_http import RawHttp
from tests.support.supervisor_home import wait_until

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
    http.post("/api/generate", json={"prompt": "hi", "system": "be short", "template": "{{ .System }}|{{ .Prompt }}"})
    http.post("/api/generate", json={"prompt": "hi", "raw": True})
    http.post("/api/generate", json={"prompt": "def f(", "suffix": "return 1"})
    templated, raw, between = gateway.all(Submit)
    assert templated.messages == [Message("system", "be short"), Message("user", "hi")] and templated.prompt is None
    assert templated.template == "{{ .System }}|{{ .Prompt }}"
    assert (raw.messages, raw.prompt, raw.suffix) == (None, "hi", None)
    assert (between.messages, between.prompt, between.suffix) == (None, "def f(", "return 1")


@pytest.mark.parametrize(("extra", "status", "field"), [
    ({"raw": True, "system": "be short"}, 400, "system"), ({"raw": True, "template": "{{ .Prompt }}"}, 400, "template"),
    ({"suffix": "end", "template": "{{ .Prompt }}"}, 400, "template"),
    ({"raw": True, "images": ["aGk="]}, 501, "images"), ({"suffix": "end", "images": ["aGk="]}, 501, "images"),
])
def test_a_prompt_taken_as_it_is_has_no_place_for_more(http, gateway, extra, status, field):
    response = http.post("/api/generate", json={"prompt": "hi"} | extra)
    assert response.status_code == status and response.json()["error"].startswith(f"{field}: ")
    assert not gateway.all(Submit)
    blank = dict.fromkeys(("system", "template", "suffix"), "") | {"images": []}
    assert http.post("/api/generate", json={"prompt": "hi"} | blank | {"raw": True}).status_code == 200


def test_tools_go_along_and_calls_come_back_with_their_arguments_as_an_object(http, gateway):
    piece = protocol.CallPiece(0, "call_1", "weather", '{"city": "Rome"}')
    gateway.on[Submit] = lambda s: [accepted(s.id, 1), protocol.Tokens(s.id, 0, [1], "", calls=[piece]), done(s.id)]
    function = {"name": "weather", "description": "the weather", "parameters": {"type": "object"}}
    asked = {"messages": HI, "tools": [{"type": "function", "function": function}]}
    call = {"id": "call_1", "function": {"index": 0, "name": "weather", "arguments": {"city": "Rome"}}}
    said, last = lines(http.post("/api/chat", json=asked))
    assert said["message"] == {"role": "assistant", "content": "", "tool_calls": [call]} and said["done"] is False
    assert last["done_reason"] == "stop" and "tool_calls" not in last["message"]
    assert http.post("/api/chat", json=asked | {"stream": False}).json()["message"]["tool_calls"] == [call]
    assert gateway.wait_for(Submit).tools == [protocol.Tool("weather", "the weather", {"type": "object"})]


def test_a_call_that_is_long_in_being_written_shows_signs_of_life(http, stack, gateway, monkeypatch):
    monkeypatch.setattr("gateway.http.answering.WAIT_BEFORE_HEADERS_S", 0.3)
    monkeypatch.setattr("gateway.http.answering.SIGN_EVERY_S", 0.1)
    gateway.on[Submit] = lambda s: [accepted(s.id, 1)]
    with RawHttp(stack.port) as raw:
        raw.post("/api/chat", json.dumps({"model": "tiny", "messages": HI}).encode())
        submit, heard = gateway.wait_for(Submit), []

        def one_more_token_that_shows_nothing() -> bool:
            gateway.say(submit.id, tokens(submit.id, 0, ""))
            return len(heard) == 3

        reader = threading.Thread(target=lambda: heard.extend(raw.read_until(b'"done":false}') for _ in range(3)))
        reader.start()
        wait_until("three signs", one_more_token_that_shows_nothing)
        reader.join()
        gateway.say(submit.id, done(submit.id))
        raw.read_until(b'"done":true')
    assert b'"content":""' in heard[-1]


def test_an_unknown_option_is_noted_once_and_one_of_another_engine_not_at_all(http, stack):
    for _ in range(2):
        options = {"mirostat_x": 2, "somebody's own words": 1, "num_gpu": 99, "mirostat": 1, "tfs_z": "any"}
        response = http.post("/api/chat", json={"messages": HI, "made_up": [1], "options": options})
        assert response.status_code == 200
    noted = [(event, facts) for event, facts in stack.notes if event != "request_ended"]
    assert noted == [("option_ignored", {"option": "mirostat_x"})]


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
