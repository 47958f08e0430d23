"""One request's limits and refusals over a real socket, before the gateway hears of it."""

import socket

import pytest

from gateway.protocol import Submit
from tests.support.raw_http import RawHttp
from tests.support.supervisor_home import wait_until

HI = b'{"messages": [{"role": "user", "content": "hi"}]}'
CHAT, COMPLETIONS = "/api/chat", "/v1/chat/completions"


def message_of(response) -> str:
    error = response.json()["error"]
    return error["message"] if isinstance(error, dict) else error


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
@pytest.mark.parametrize("given", ["application/x-www-form-urlencoded", "text/plain", "application/jsonx", None])
def test_what_is_not_json_is_415_with_the_remedy(http, gateway, path, given):
    response = http.post(path, content=HI, headers={"content-type": given} if given else {})
    assert response.status_code == 415 and "Content-Type: application/json" in message_of(response)
    assert not gateway.all(Submit)


@pytest.mark.parametrize("given", ["application/json", "Application/JSON; charset=utf-8"])
def test_json_is_accepted_with_and_without_charset(http, given):
    assert http.post(CHAT, content=HI, headers={"content-type": given}).status_code == 200


@pytest.mark.parametrize(("encoding", "status"), [("gzip", 415), ("zstd", 415), ("identity", 200), ("", 200)])
def test_a_body_that_is_packed_is_415_and_told_so(http, encoding, status):
    response = http.post(CHAT, content=HI, headers={"content-type": "application/json", "content-encoding": encoding})
    assert response.status_code == status
    assert status == 200 or "Content-Encoding" in message_of(response)


@pytest.mark.parametrize("body", [
    b"", b"{", b"[]", b"null", b'"hi"', b"\xff\xfe", b'{"messages": [{"role": "user", "content": "\xff"}]}',
    b'{"messages": [{"role": "user", "content": "\\ud800"}]}', b"[" * 100_000, b'{"made_up": ' + b"[" * 90_000,
    b'{"messages": ' + b"[" + b"0," * 90_000 + b"0]}", b'{"messages": NaN}', HI + b"x",
])
@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
def test_bad_json_is_400(http, gateway, path, body):
    response = http.post(path, content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400, response.text
    assert message_of(response) and not gateway.all(Submit)


def test_a_body_too_large_is_413_before_it_is_sent(stack, gateway):
    with RawHttp(stack.port) as raw:
        raw.send(b"POST /api/chat HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
                 b"content-length: 100000000\r\n\r\n")
        head = raw.read_until(b"body_max_bytes")
    assert head.startswith(b"HTTP/1.1 413 ") and not gateway.all(Submit)


def test_a_body_without_a_length_is_413_when_it_becomes_too_large(stack):
    with RawHttp(stack.port) as raw:
        raw.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
                 b"transfer-encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        for _ in range(4):
            raw.send(chunk)
        head = raw.read_until(b"body_max_bytes")
    assert head.startswith(b"HTTP/1.1 413 ") and b'"code":"body_too_large"' in head


def test_a_body_that_stops_coming_is_408(stack, monkeypatch):
    monkeypatch.setattr("gateway.http.call.BODY_IDLE_S", 0.05)
    with RawHttp(stack.port) as raw:
        raw.send(b"POST /api/chat HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
                 b"content-length: 50\r\n\r\n{")
        assert raw.read_to_end().startswith(b"HTTP/1.1 408 ")


def test_a_body_that_trickles_for_ever_is_408(stack, monkeypatch):
    monkeypatch.setattr("gateway.http.call.BODY_WITHIN_S", 0.1)
    with RawHttp(stack.port) as raw:
        raw.send(b"POST /api/chat HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
                 b"content-length: 100000\r\n\r\n")
        answer = raw.trickle(b" ")
    assert answer == b"" or answer.startswith(b"HTTP/1.1 408 ")


def test_a_caller_that_leaves_in_mid_body_is_noted_and_no_error(stack, http):
    with RawHttp(stack.port) as raw:
        raw.send(b"POST /api/chat HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
                 b"content-length: 50\r\n\r\n{")
    assert http.get("/livez").status_code == 200
    [(_, facts)] = wait_until("the note", lambda: list(stack.notes))
    assert (facts["status"], facts["code"]) == (499, "caller_left")


def test_a_small_body_in_many_pieces_is_read(stack):
    with RawHttp(stack.port) as raw:
        raw.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.send(b"POST /api/chat HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
                 b"content-length: %d\r\n\r\n" % len(HI))
        for byte in HI:
            raw.send(bytes([byte]))
        assert raw.read_until(b'"done":true').startswith(b"HTTP/1.1 200 ")


def test_a_body_that_is_no_object_is_told_so(http):
    response = http.post(CHAT, content=b"[]", headers={"content-type": "application/json"})
    assert message_of(response) == "body: expected an object, got `array`"


@pytest.mark.parametrize("body", [b"", b" \n"])
def test_an_empty_body_is_told_so(http, body):
    response = http.post(CHAT, content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400 and message_of(response) == "the body is empty; send a JSON object"
