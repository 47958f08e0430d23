"""What a connection may cost before it has asked anything, and what leaves in one write; over real sockets."""

import asyncio

import pytest

from gateway.http.connection import Joining
from gateway.protocol import Submit
from tests.support.fake_gateway import accepted, done, tokens
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


def test_a_head_that_begins_behind_another_request_has_its_time(stack, monkeypatch):
    with RawHttp(stack.port) as raw:
        raw.send(HEAD + b"\r\n")
        raw.read_until(b"alive")
        monkeypatch.setattr("gateway.http.connection.HEAD_WITHIN_S", 0.05)
        raw.send(HEAD + b"\r\n" + b"POST /api/chat HTT")
        assert b"HTTP/1.1 408 " in raw.read_to_end()


def test_a_short_answer_is_one_packet(stack, gateway):
    gateway.on[Submit] = lambda s: [accepted(s.id, 1), tokens(s.id, 0, "abc"), done(s.id)]
    with RawHttp(stack.port) as raw:
        raw.post("/api/chat", b'{"messages": [{"role": "user", "content": "hi"}]}')
        answer = raw.socket.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"\r\n0\r\n\r\n")


class Written(asyncio.Transport):
    """Notes what is asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[bytes | str] = []

    def write(self, data: bytes) -> None:
        self.said.append(data)

    def is_closing(self) -> bool:
        return "close" in self.said

    def close(self) -> None:
        self.said.append("close")

    def abort(self) -> None:
        self.said.append("abort")


def joined(*steps) -> list[bytes | str]:
    """What leaves when these steps are taken in one turn of the loop, and what in the next."""
    async def take() -> list[bytes | str]:
        written = Written()
        joining = Joining(written, asyncio.get_running_loop())
        for step in steps:
            step(joining)
        written.said.append("next turn")
        await asyncio.sleep(0)
        return written.said

    return asyncio.run(take())


def test_what_is_held_leaves_with_the_next_write_the_next_turn_or_the_end():
    def hold(joining: Joining) -> None:
        joining.hold()

    def write(data: bytes):
        return lambda joining: joining.write(data)

    assert joined(write(b"a"), write(b"b")) == [b"a", b"b", "next turn"]
    assert joined(hold, write(b"a"), write(b"b"), write(b"c")) == [b"ab", b"c", "next turn"]
    assert joined(hold, write(b"a")) == ["next turn", b"a"]
    assert joined(hold, write(b"a"), hold, write(b"b")) == ["next turn", b"ab"]
    assert joined(hold, write(b"a"), Joining.close) == [b"a", "close", "next turn"]
    assert joined(hold, write(b"a"), Joining.abort) == ["abort", "next turn"]
