"""From events to bytes: waiting, leaving, not reading, and a gateway that restarts; through real sockets."""

import asyncio
import json

import msgspec
import pytest

from gateway import protocol
from gateway.client import GatewayError
from gateway.http.answering import check_end, server_timing
from gateway.protocol import LoadModel, Progress, Submit
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


def test_who_waits_long_gets_comments_in_sse(stack, gateway, quick):
    gateway.on[Submit] = waits
    with RawHttp(stack.port) as raw:
        raw.post(COMPLETIONS, ASKED)
        head = raw.read_until(b": queued position=3 reason=loading estimate_s=12\n\n")
        assert b"text/event-stream" in head
        submit = gateway.wait_for(Submit)
        gateway.say(submit.id, error(submit.id, "queue_deadline", "300 s are over"))
        rest = raw.read_until(b"queue_deadline")
        assert b"[DONE]" not in rest


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
    monkeypatch.setattr("gateway.exchange.UNREAD_MAX_CHARS", 10**9)  # or that limit may be found first
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
    [(event, facts)] = wait_until("the note", lambda: list(stack.notes))
    assert event == "request_failed" and facts["path"] == CHAT
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


def test_an_end_nobody_asked_for_is_an_error():
    check_end(done("1"))
    with pytest.raises(GatewayError, match="cancelled"):
        check_end(done("1", reason="cancelled"))


def test_server_timing():
    assert server_timing(TIMINGS) == (
        "queue;dur=1.5, load;dur=2.0, prompt;dur=3.0, decode;dur=4.0, total;dur=10.5")
