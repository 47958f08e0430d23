"""From events to bytes: waiting, leaving, not reading, and a gateway that restarts; through real sockets."""

import asyncio
import json

import msgspec
import pytest

from gateway import protocol
from gateway.client import GatewayError
from gateway.http.answering import check_end, server_timing
from gateway.protocol import LoadModel, Note, Progress, RateInfo, Started, Submit
from tests.support.fake_gateway import TIMINGS, accepted, done, error, model_info, tokens
from tests.support.raw_http import RawHttp
from tests.support.supervisor_home import wait_until

CHAT, COMPLETIONS = "/api/chat", "/v1/chat/completions"
ASKED = b'{"messages": [{"role": "user", "content": "hi"}], "stream": true}'
WHOLE = ASKED.replace(b"true", b"false")


@pytest.fixture
def quick(monkeypatch):
    """Signs of life come soon."""
    monkeypatch.setattr("gateway.http.answering.WAIT_BEFORE_HEADERS_S", 0.5)  # by then it is accepted
    monkeypatch.setattr("gateway.http.answering.SIGN_EVERY_S", 0.05)


def waits(submit):
    return [accepted(submit.id, 1, position=2), Progress(submit.id, 3, "loading", 12.0, 0.5)]


def test_who_waits_long_gets_headers_and_signs_of_life_in_ndjson(stack, gateway, quick):
    gateway.on[Submit] = waits
    with RawHttp(stack.port) as raw:
        raw.post(CHAT, ASKED)
        head = raw.read_until(b'"estimate_s":12.0}\n')
        assert head.startswith(b"HTTP/1.1 200 ") and b"x-warden-model: tiny" in head
        line = json.loads(next(part for part in head.split(b"\r\n") if part.startswith(b"{")))
        assert line["message"]["content"] == "" and line["done"] is False
        assert (line["queue_position"], line["reason"]) == (3, "loading")
        raw.read_until(b"queue_position")  # and another one
        submit = gateway.wait_for(Submit)
        gateway.say(submit.id, tokens(submit.id, 0, "a"), done(submit.id))
        assert b'"content":"a"' in raw.read_until(b'"done":true')


def test_who_asks_for_progress_hears_of_it_at_once(stack, gateway):
    gateway.on[Submit] = waits
    with RawHttp(stack.port) as raw:
        raw.post(CHAT, ASKED, more_headers=b"x-warden-progress: 1\r\n")
        assert b"x-warden-model: tiny" in raw.read_until(b'"estimate_s":12.0}\n')


def test_who_waits_long_gets_comments_in_sse(stack, gateway, quick):
    gateway.on[Submit] = waits
    with RawHttp(stack.port) as raw:
        raw.post(COMPLETIONS, ASKED)
        head = raw.read_until(b": queued position=3 reason=loading estimate_s=12 load_progress=0.5\n\n")
        assert b"text/event-stream" in head
        submit = gateway.wait_for(Submit)
        gateway.say(submit.id, error(submit.id, "queue_deadline", "300 s are over"))
        rest = raw.read_until(b"queue_deadline")
        assert b"[DONE]" not in rest


@pytest.mark.parametrize(("path", "told"), [
    (CHAT, b'"route":"mlx>ollama","route_reason":"down"}\n'),
    (COMPLETIONS, b": model=remote route=mlx>ollama reason=down\n\n")])
def test_who_answers_is_told_in_the_body_once_the_headers_have_left(stack, gateway, quick, path, told):
    gateway.on[Submit] = waits
    with RawHttp(stack.port) as raw:
        raw.post(path, ASKED)
        raw.read_until(b"loading")
        submit = gateway.wait_for(Submit)
        gateway.say(submit.id, Started(submit.id, "remote", "mlx>ollama", "down", 1, 0.0, 0.0),
                    tokens(submit.id, 0, "a"), done(submit.id))
        assert told in raw.read_until(b'"done":true' if path == CHAT else b"[DONE]")


def test_a_pause_in_mid_answer_has_signs_of_life_too(stack, gateway, quick):
    gateway.on[Submit] = lambda s: [*waits(s), tokens(s.id, 0, "a")]
    with RawHttp(stack.port) as raw:
        raw.post(COMPLETIONS, ASKED)
        assert b"queued" not in raw.read_until(b": waiting\n\n").partition(b'"a"')[2]


def test_a_load_shows_signs_of_life(stack, gateway, quick):
    gateway.on[LoadModel] = lambda m: [Progress(m.id, 1, "loading", 3.0)]
    with RawHttp(stack.port) as raw:
        raw.post("/api/generate", b'{"model": "tiny"}')
        raw.read_until(b'"reason":"loading"')
        load = gateway.wait_for(LoadModel)
        gateway.say(load.id, protocol.Result(load.id, msgspec.Raw(protocol.encode(model_info()))))
        raw.read_until(b'"done_reason":"load"')


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
@pytest.mark.parametrize("asked", [ASKED, WHOLE], ids=["stream", "whole"])
@pytest.mark.parametrize("when", ["before the first token", "in mid-answer"])
def test_a_caller_that_leaves_is_cancelled(stack, gateway, path, asked, when):
    begun = when == "in mid-answer"
    gateway.on[Submit] = (lambda s: [accepted(s.id, 1), tokens(s.id, 0, "abc")]) if begun else gateway.hold
    with RawHttp(stack.port) as raw:
        raw.post(path, asked)
        submit = gateway.wait_for(Submit)
        if begun and asked is ASKED:
            raw.read_until(b"abc")
    gateway.wait_for_cancel(submit.id)
    wait_until("the note", lambda: stack.notes)  # or it would come in the middle of the next test


def test_a_caller_that_does_not_read_is_cut_and_only_that_one(stack, gateway, http, monkeypatch):
    monkeypatch.setattr("gateway.http.call.SEND_WITHIN_S", 0.1)
    monkeypatch.setattr("gateway.inbox.UNREAD_MAX_CHARS", 10**9)  # or that limit may be found first
    flood = "x" * 100_000
    gateway.on[Submit] = lambda s: (
        [accepted(s.id, 1), *(tokens(s.id, n, flood) for n in range(8))] if s.model == "flood" else gateway.answer(s))
    with RawHttp(stack.port, receive_buffer_bytes=4096) as raw:
        raw.post(CHAT, ASKED.replace(b'{"m', b'{"model": "flood", "m', 1))
        submit = gateway.wait_for(Submit)
        while not gateway.is_cancelled(submit.id):  # the kernel takes some megabytes before anybody notices
            assert http.post(CHAT, json=json.loads(ASKED)).status_code == 200
            gateway.say(submit.id, *(tokens(submit.id, n, flood) for n in range(8)))
        gateway.wait_for_cancel(submit.id)
        assert b'"done":true' not in raw.read_to_end()
    [facts] = wait_until("the note", lambda: [facts for event, facts in stack.notes if event == "request_failed"])
    assert facts["path"] == CHAT
    assert facts["code"] == "slow_reader"


def test_a_gateway_that_restarts_before_the_first_token_is_not_noticed(stack, gateway, http, monkeypatch):
    monkeypatch.setattr("gateway.exchange.HELLO_EVERY_S", 0.05)
    gateway.on[Submit] = gateway.hold
    with RawHttp(stack.port) as raw:
        raw.post(CHAT, ASKED)
        gateway.wait_for(Submit)
        gateway.kill()
        gateway.on[Submit] = gateway.answer
        gateway.revive(gateway.epoch + 1)
        answer = raw.read_until(b'"done":true')
    assert answer.startswith(b"HTTP/1.1 200 ") and answer.count(b'"three"') == 1


def test_a_gateway_that_restarts_in_mid_answer_is_an_error_line(stack, gateway, monkeypatch):
    monkeypatch.setattr("gateway.exchange.HELLO_EVERY_S", 0.05)
    gateway.on[Submit] = lambda s: [accepted(s.id, gateway.epoch), tokens(s.id, 0, "abc")]
    with RawHttp(stack.port) as raw:
        raw.post(CHAT, ASKED)
        raw.read_until(b"abc")
        gateway.kill()
        gateway.revive(gateway.epoch + 1)
        rest = raw.read_until(b"restarted in mid-answer")
    assert b'{"error":"the gateway restarted' in rest and b'"done":true' not in rest


def test_no_gateway_is_503_with_a_remedy(stack, gateway, http, monkeypatch):
    monkeypatch.setattr("gateway.exchange.ACCEPTED_WITHIN_S", 0.05)
    gateway.kill()
    response = http.post(CHAT, json=json.loads(ASKED))
    gateway.revive(gateway.epoch + 1)
    assert response.status_code == 503 and "warden up" in response.json()["error"]
    assert int(response.headers["retry-after"]) > 0


def test_a_whole_answer_has_a_limit(stack, gateway, http, monkeypatch):
    monkeypatch.setattr("gateway.http.answering.ANSWER_MAX_CHARS", 10)
    response = http.post(CHAT, content=WHOLE, headers={"content-type": "application/json"})
    assert response.status_code == 500 and "as a stream" in response.json()["error"]


def test_many_callers_at_once_get_their_own_answers(stack, gateway):
    def echo(submit):
        return [accepted(submit.id, 1), tokens(submit.id, 0, submit.messages[0].content), done(submit.id)]

    async def ask(number: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", stack.port)
        body = b'{"messages": [{"role": "user", "content": "<%d>"}]}' % number
        writer.write(b"POST /api/chat HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
                     b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        answer = await reader.read()
        writer.close()
        return answer

    async def all_of_them() -> list[bytes]:
        return await asyncio.gather(*map(ask, range(100)))

    gateway.on[Submit] = echo
    answers = asyncio.run(all_of_them())
    assert all(f'"<{number}>"'.encode() in answer for number, answer in enumerate(answers))


# -- headers: who answered, who asked ------------------------------------------------------------------------------

FIVE = RateInfo(500, 4, 0.0)
PATHS = [("/api/chat", True), ("/api/chat", False), ("/api/generate", True), (COMPLETIONS, True), (COMPLETIONS, False),
         ("/chat/stream", True), ("/chat/send", False)]


def ask(http, path: str, stream: bool):
    return http.post(path, json={"messages": [{"role": "user", "content": "hi"}], "prompt": "hi", "content": "hi",
                                 "stream": stream})


@pytest.mark.parametrize(("path", "stream"), PATHS)
def test_an_answer_names_who_gave_it_and_what_is_left_of_the_rate(http, gateway, path, stream):
    gateway.on[Submit] = lambda s: [
        protocol.Accepted(s.id, gateway.epoch, "tiny", "medium", 0, "high", FIVE),
        Started(s.id, "phi3.5:3.8b", "mlx>ollama", "overloaded", 1, 0.0, 0.0), tokens(s.id, 0, "a"),
        msgspec.structs.replace(done(s.id, route="mlx>ollama"), model="phi3.5:3.8b", reason="overloaded")]
    headers = ask(http, path, stream).headers
    assert (headers["x-warden-model"], headers["x-warden-route"], headers["x-warden-reason"]) == (
        "phi3.5:3.8b", "mlx>ollama", "overloaded")
    assert headers["x-warden-priority"] == "medium (not high)"
    assert [headers[f"x-ratelimit-{name}-requests"] for name in ("limit", "remaining", "reset")] == ["500", "4", "0s"]
    assert headers["x-request-id"] and "queue;dur=" in headers["server-timing"]


@pytest.mark.parametrize("path", [path for path, stream in PATHS if stream])
def test_the_time_to_the_first_token_is_told_once(http, path):
    assert ask(http, path, stream=True).headers["server-timing"].count("ttft;dur=") == 1


@pytest.mark.parametrize(("path", "stream"), PATHS)
def test_the_first_choice_has_no_reason_and_no_limit_no_headers(http, gateway, path, stream):
    headers = ask(http, path, stream).headers
    for absent in ("x-warden-reason", "x-warden-priority", "x-ratelimit-limit-requests", "retry-after"):
        assert absent not in headers
    assert headers["x-warden-route"] == "mlx" if not stream else headers["x-warden-model"] == "tiny"


@pytest.mark.parametrize(("path", "stream"), PATHS)
def test_a_hop_before_the_first_byte_is_in_the_headers(http, gateway, path, stream):
    gateway.on[Submit] = lambda s: [
        accepted(s.id, 1), Started(s.id, "tiny", "mlx", "", 1, 0.0, 0.0),
        Started(s.id, "remote", "mlx>ollama", "failed", 1, 0.0, 0.0), tokens(s.id, 0, "a"),
        msgspec.structs.replace(done(s.id, route="mlx>ollama"), model="remote", reason="failed")]
    headers = ask(http, path, stream).headers
    assert (headers["x-warden-model"], headers["x-warden-route"], headers["x-warden-reason"]) == (
        "remote", "mlx>ollama", "failed")


@pytest.mark.parametrize(("named", "model"), [("", "agents-own"), ("tiny", "tiny")])
@pytest.mark.parametrize("path", ["/api/chat", COMPLETIONS])
@pytest.mark.parametrize("stream", [True, False])
def test_who_answers_a_question_without_a_model_gives_it_its_name(http, gateway, path, stream, named, model):
    gateway.on[Submit] = lambda s: [
        accepted(s.id, gateway.epoch), Started(s.id, "agents-own", "agents", "", 1, 0.0, 0.0), tokens(s.id, 0, "a"),
        msgspec.structs.replace(done(s.id, route="agents"), model="agents-own")]
    response = http.post(path, json={"model": named, "messages": [{"role": "user", "content": "hi"}],
                                     "stream": stream})
    objects = [line.removeprefix("data: ") for line in response.text.splitlines() if "{" in line]
    assert {json.loads(each)["model"] for each in objects} == {model}
    assert response.headers["x-warden-model"] == "agents-own"


@pytest.mark.parametrize(("path", "stream"), PATHS)
def test_a_caller_over_its_rate_is_429_and_told_when_to_come_again(http, gateway, path, stream):
    gateway.on[Submit] = lambda s: [protocol.Error(s.id, "rate_limited", "500 requests in 90 s", 429, 12.3,
                                                   RateInfo(500, 0, 12.3))]
    response = ask(http, path, stream)
    assert response.status_code == 429 and "500 requests in 90 s" in response.text
    assert response.headers["retry-after"] == "13"
    assert response.headers["x-ratelimit-remaining-requests"] == "0"
    assert response.headers["x-ratelimit-reset-requests"] == "13s"


@pytest.mark.parametrize(("path", "stream"), PATHS)
@pytest.mark.parametrize(("route", "told_not_to"), [("mlx>ollama", False), ("mlx>ollama>victoria", True)])
def test_a_relay_that_fails_is_502_and_what_an_agent_did_is_not_done_again(http, gateway, path, stream, route,
                                                                           told_not_to):
    gateway.on[Submit] = lambda s: [protocol.Accepted(s.id, gateway.epoch, "tiny", "medium", 0, "", FIVE),
                                    Started(s.id, "remote", route, "down", 1, 0.0, 0.0),
                                    error(s.id, "upstream_failed", "it broke off")]
    response = ask(http, path, stream)
    assert response.status_code == 502 and "it broke off" in response.text
    assert response.headers["x-warden-route"] == route and response.headers["x-warden-reason"] == "down"
    assert response.headers["x-ratelimit-remaining-requests"] == "4"
    assert (response.headers.get("x-should-retry") == "false") == told_not_to


@pytest.mark.parametrize(("path", "stream"), [pair for pair in PATHS if pair[0] != "/chat/stream"])
def test_steps_of_an_agent_are_no_part_of_an_answer(http, gateway, path, stream):
    gateway.on[Submit] = lambda s: [accepted(s.id, 1), Started(s.id, "victoria", "victoria", "", 1, 0.0, 0.0),
                                    Note(s.id, "start", "begun"), Note(s.id, "step", "think"), tokens(s.id, 0, "a"),
                                    done(s.id, route="victoria")]
    text = ask(http, path, stream).text
    assert "think" not in text and "begun" not in text and '"a"' in text


def test_an_end_nobody_asked_for_is_an_error():
    check_end(done("1"))
    with pytest.raises(GatewayError, match="cancelled"):
        check_end(done("1", reason="cancelled"))


def test_server_timing():
    assert server_timing(TIMINGS) == (
        "queue;dur=1.5, load;dur=2.0, prompt;dur=3.0, decode;dur=4.0, total;dur=10.5")
