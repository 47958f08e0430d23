"""What a connection may cost before it has asked anything, over real sockets."""

import pytest

from gateway.protocol import Submit
from tests.support.raw_http import RawHttp

HEAD = b"GET /livez HTTP/1.1\r\nhost: localhost\r\n"


@pytest.fixture
def hasty(monkeypatch):
    monkeypatch.setattr("gateway.http.connection.HEAD_WITHIN_S", 0.05)


def test_a_head_that_does_not_end_is_408(stack, hasty):
    with RawHttp(stack.port) as raw:
        raw.send(HEAD)
        assert raw.read_to_end().startswith(b"HTTP/1.1 408 ")


def test_a_head_that_trickles_is_408(stack, hasty):
    with RawHttp(stack.port) as raw:
        raw.send(HEAD)
        answer = raw.trickle(b"x")
    assert answer == b"" or answer.startswith(b"HTTP/1.1 408 ")


def test_a_connection_that_says_nothing_is_closed_without_a_word(stack, hasty):
    with RawHttp(stack.port) as raw:
        assert raw.read_to_end() == b""


def test_the_second_request_of_a_connection_has_the_same_limit(stack, monkeypatch):
    with RawHttp(stack.port) as raw:
        raw.send(HEAD + b"\r\n")
        raw.read_until(b"alive")
        monkeypatch.setattr("gateway.http.connection.HEAD_WITHIN_S", 0.05)
        raw.send(HEAD)
        assert raw.read_to_end().startswith(b"HTTP/1.1 408 ")


def test_a_slow_answer_is_no_slow_head(stack, gateway, hasty, monkeypatch):
    monkeypatch.setattr("gateway.http.answering.WAIT_BEFORE_HEADERS_S", 0.15)
    gateway.on[Submit] = gateway.hold
    with RawHttp(stack.port) as raw:
        raw.post("/api/chat", b'{"messages": [{"role": "user", "content": "hi"}]}')
        assert raw.read_until(b'"done":false').startswith(b"HTTP/1.1 200 ")


def test_a_head_too_large_is_431(stack):
    with RawHttp(stack.port) as raw:
        raw.send(HEAD + b"x-long: ")
        answer = raw.trickle(b"y" * 4096)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 431 ")


def test_a_head_of_usual_size_and_two_requests_at_once_are_answered(stack):
    with RawHttp(stack.port) as raw:
        raw.send((HEAD + b"cookie: " + b"z" * 8000 + b"\r\n\r\n") * 2)
        data = raw.read_until(b"alive")
        while data.count(b"alive") < 2:
            data += raw.socket.recv(4096)


@pytest.mark.parametrize("junk", [b"\x00\x01\x02\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00" * 10 + b"\r\n\r\n",
                                  b"GET /livez HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n"])
def test_junk_is_refused_and_others_are_served(stack, http, junk):
    with RawHttp(stack.port) as raw:
        raw.send(junk)
        assert raw.read_to_end().startswith((b"HTTP/1.1 400 ", b""))
    assert http.get("/livez").status_code == 200
