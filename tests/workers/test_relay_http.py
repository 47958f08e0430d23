"""HTTP of the relays, tried on real servers: what is sent, what comes whole, what a cancel does, what is never done."""

import asyncio

import pytest

from tests.support.relay_calls import (
    LIMITS,
    chat,
    descriptors,
    hear,
    leave,
    refused,
    server_of,
    with_server,
)
from tests.support.relay_fixtures import kind, ollama, upstream, victoria
from workers.protocol import Remote as RemoteJob
from workers.relay import LINE_MAX_BYTES
from workers.relay_http import HEADER_MAX_CHARS, header_text

__all__ = ["kind", "ollama", "upstream", "victoria"]
KEY = "warden-secret-key-of-a-test"


def test_the_words_come_in_order_and_the_server_sees_the_end(upstream):
    heard = hear(server_of(upstream), chat("hello"))
    assert heard.failed is None and heard.end.reason == "stop"
    assert heard.text == "one two three"
    upstream.wait_ended(upstream.wait_asked(), "finished")


def test_hop_class_and_request_id_are_told(upstream):
    hear(server_of(upstream), chat("hello", remote=RemoteJob("m", 2, "req-77", priority="high")))
    headers = upstream.wait_asked()["headers"]
    assert (headers["x-warden-hop"], headers["x-request-priority"]) == ("2", "high")
    assert headers["x-request-id" if upstream.kind == "ollama" else "x-correlation-id"] == "req-77"


def test_the_place_in_a_trace_is_told_if_there_is_one(upstream):
    traceparent = f"00-{'4b' * 16}-{'0f' * 8}-01"
    hear(server_of(upstream), chat("hello", remote=RemoteJob("m", 1, "r", traceparent=traceparent)))
    assert upstream.wait_asked()["headers"]["traceparent"] == traceparent
    hear(server_of(upstream), chat("hello"))
    assert "traceparent" not in upstream.wait_asked(2)["headers"]


def test_a_request_id_that_no_header_may_hold_is_cleaned_and_harms_nobody(upstream):
    heard = hear(server_of(upstream), chat("hello", remote=RemoteJob("m", 1, "a\r\nX-Evil: 1\0é" + "z" * 1000)))
    headers = upstream.wait_asked()["headers"]
    assert heard.end and "x-evil" not in headers
    assert header_text("a\r\nb\0é\tc ") == "abc " and len(header_text("z" * 1000)) == HEADER_MAX_CHARS


def test_each_request_has_a_connection_of_its_own_that_asks_for_no_compression(upstream):
    hear(server_of(upstream), chat("hello"))
    headers = upstream.wait_asked()["headers"]
    assert (headers["connection"], headers["accept-encoding"]) == ("close", "identity")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_names_the_setting(ollama, victoria, status):
    ollama.be(mode="redirect", probe="redirect", location=victoria.url + "/stream")
    failed = hear(server_of(ollama), chat("a secret prompt")).failed
    assert failed.code == "upstream_failed" and "ollama_url" in failed.message
    assert "redirects" in refused(server_of(ollama)).message
    assert victoria.lines("asked") == [], "the prompt was handed on"


def test_pauses_within_the_limit_add_up_to_any_length(upstream):
    upstream.be(words=["word "] * 8, pause_s=0.06)
    assert hear(server_of(upstream, LIMITS._replace(first_byte_s=0.3, idle_s=0.3)), chat("hello")).end


def test_a_long_line_within_the_limit_comes_whole(upstream):
    upstream.be(mode="long_line", line_bytes=LINE_MAX_BYTES - 1000)
    heard = hear(server_of(upstream), chat("hello"))
    assert heard.end and len(heard.text) == len("one two three") + LINE_MAX_BYTES - 1000


@pytest.mark.parametrize("mode", ["hang", "hang_after_headers", "hang_in_stream"])
def test_a_cancel_closes_the_connection_wherever_the_answer_is(upstream, mode):
    upstream.be(mode=mode)
    leave(server_of(upstream), chat("hello"), upstream.wait_stuck)
    upstream.wait_ended(upstream.wait_asked(), "caller left")


def test_a_reader_that_leaves_between_two_pieces_closes_the_connection_at_once(upstream):
    """Not when the garbage collector comes: it is closed as soon as `aclose` returns."""
    upstream.be(mode="hold", words=["one "] * 3, after=1)
    server = server_of(upstream)

    async def take_one_and_go() -> tuple[int, int]:
        before = descriptors()
        answer = server.answer(chat("hello"))
        async for _ in answer:
            break
        during = descriptors()
        await answer.aclose()
        await asyncio.sleep(0)  # the transport closes in the turn after
        return during - before, descriptors() - before

    during, after = with_server(server, take_one_and_go)
    assert during > after
    upstream.wait_ended(upstream.wait_asked(), "caller left")


def test_many_answers_leave_no_connection_and_no_task_behind(upstream):
    server = server_of(upstream)

    async def ask_many() -> tuple[int, int]:
        await one()
        before = descriptors()
        await asyncio.gather(*(one() for _ in range(30)))
        return max(0, descriptors() - before), len(asyncio.all_tasks()) - 1

    async def one() -> None:
        async for _ in server.answer(chat("hello")):
            pass

    assert with_server(server, ask_many) == (0, 0)


def test_the_key_is_sent_from_its_file_as_it_is_now(upstream, tmp_path):
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    server = server_of(upstream, key_file=str(file))

    async def probe_and_ask() -> None:
        await server.probe()
        file.write_text("another-key")
        async for _ in server.answer(chat("hello")):
            pass

    with_server(server, probe_and_ask)
    assert upstream.probes()[0]["headers"]["authorization"] == f"Bearer {KEY}"
    assert upstream.wait_asked()["headers"]["authorization"] == "Bearer another-key"


def test_without_a_key_file_no_key_is_sent(upstream):
    hear(server_of(upstream), chat("hello"))
    assert "authorization" not in upstream.wait_asked()["headers"]


def test_a_proxy_of_the_environment_is_not_used(upstream, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert hear(server_of(upstream), chat("hello")).end
