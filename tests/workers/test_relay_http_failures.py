"""What goes wrong with the server of a relay, tried on real servers: each failure has its code and its words."""

import asyncio
import json
import os
import socket
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.relay_calls import (
    IMPATIENT,
    LIMITS,
    Heard,
    chat,
    hear,
    listen,
    refused,
    server_at,
    server_of,
    with_server,
)
from tests.support.relay_fixtures import kind, ollama, upstream, victoria
from tests.support.supervisor_home import free_port
from workers.engine import EngineJob
from workers.protocol import Remote as RemoteJob
from workers.relay import LINE_MAX_BYTES, PROBLEM_MAX_CHARS
from workers.relay_http import problem_in

__all__ = ["kind", "ollama", "upstream", "victoria"]
KEY = "warden-secret-key-of-a-test"
STATUSES = [
    (400, "invalid_request", False), (404, "model_not_found", False), (413, "invalid_request", False),
    (422, "invalid_request", False), (501, "not_offered", False), (508, "loop_detected", False),
    (401, "upstream_failed", True), (403, "upstream_failed", True), (409, "upstream_failed", True),
    (429, "upstream_failed", False), (500, "upstream_failed", True), (502, "upstream_failed", True),
    (503, "upstream_failed", True), (408, "upstream_timeout", True), (504, "upstream_timeout", True),
    (204, "upstream_failed", True),
]


def test_every_status_has_its_code_and_says_whose_fault_it_is(upstream):
    for status, code, is_its_fault in STATUSES:
        upstream.be(mode="status", status=status, problem="no room for this model")
        failed = hear(server_of(upstream), chat("hello")).failed
        assert (failed.code, failed.is_its_fault) == (code, is_its_fault), status
        assert f"{upstream.kind} answered {status}" in failed.message
        assert status == 204 or "no room for this model" in failed.message


def test_a_key_that_is_refused_is_named_by_its_setting_not_by_its_words(upstream, tmp_path):
    (tmp_path / "key").write_text(KEY)
    upstream.be(mode="status", status=401)
    failed = hear(server_of(upstream, key_file=str(tmp_path / "key")), chat("hello")).failed
    assert f"{upstream.kind}_key_file" in failed.message and KEY not in failed.message


def test_a_path_that_is_not_there_is_a_wrong_server_and_no_missing_model(upstream):
    """Its own words for a model begin with "error"; a page that is missing has none."""
    upstream.be(mode="status", status=404, raw_problem="404 page not found")
    failed = hear(server_of(upstream), chat("hello")).failed
    assert failed.code == "upstream_failed" and failed.is_its_fault
    assert f"{upstream.kind}_url" in failed.message


def test_nobody_there_is_a_failure_that_tells_callers_no_address(kind):
    port = free_port()
    server = server_at(kind, f"http://127.0.0.1:{port}")
    for failed in (hear(server, chat("hello")).failed, refused(server)):
        assert failed.code == "upstream_failed" and failed.is_its_fault
        assert failed.message == f"{kind}: connection refused"


def test_who_cannot_be_reached_in_time_is_given_up(kind):
    """A listener whose queue is full: the kernel answers no further connection."""
    with ExitStack() as sockets, socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(8):
            filler = sockets.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        url = "http://{}:{}".format(*listener.getsockname())
        failed = hear(server_at(kind, url, LIMITS._replace(connect_s=0.3)), chat("hello")).failed
    assert failed.code == "upstream_failed" and "relay_connect_s" in failed.message


@pytest.mark.parametrize("mode", ["hang", "hang_after_headers"])
def test_a_server_that_does_not_begin_is_given_up_and_sees_it(upstream, mode):
    upstream.be(mode=mode)
    failed = hear(server_of(upstream, IMPATIENT), chat("hello")).failed
    assert (failed.code, failed.is_its_fault) == ("upstream_timeout", True) and "relay_first_byte_s" in failed.message
    upstream.wait_ended(upstream.wait_asked(), "caller left")


def test_a_server_that_stops_in_the_middle_is_given_up_after_the_pause(upstream):
    upstream.be(mode="hang_in_stream", after=2)
    heard = hear(server_of(upstream, LIMITS._replace(idle_s=0.2)), chat("hello"))
    assert heard.text == "one two " and heard.end is None
    assert heard.failed.code == "upstream_timeout" and "relay_idle_s" in heard.failed.message
    upstream.wait_ended(upstream.wait_asked(), "caller left")


@pytest.mark.parametrize("mode", ["break_off", "no_end"])
@pytest.mark.parametrize("after", [0, 2])
def test_an_answer_that_breaks_off_never_looks_like_one_that_ended(upstream, mode, after):
    upstream.be(mode=mode, after=after)
    heard = hear(server_of(upstream), chat("hello"))
    assert heard.end is None and len(heard.text.split()) == after
    assert heard.failed is None or heard.failed.code == "upstream_failed"
    assert heard.failed is not None or mode == "no_end"  # the thread of the relay names this one


def test_an_error_in_the_middle_is_passed_on_with_its_words(upstream):
    upstream.be(mode="error_in_stream", after=1, problem="the model ran out of memory")
    heard = hear(server_of(upstream), chat("hello"))
    assert heard.text == "one " and heard.end is None
    assert heard.failed.code == "upstream_failed" and "the model ran out of memory" in heard.failed.message


def test_what_is_not_the_api_is_a_failure(upstream):
    upstream.be(mode="garbage", after=1)
    failed = hear(server_of(upstream), chat("hello")).failed
    assert failed.code == "upstream_failed" and "not" in failed.message and "API" in failed.message


def test_a_line_beyond_the_limit_is_a_failure_that_quotes_nothing_of_it(upstream):
    upstream.be(mode="long_line", line_bytes=LINE_MAX_BYTES + 100)
    heard = hear(server_of(upstream), chat("hello"))
    assert heard.text == "one " and heard.failed.code == "upstream_failed"
    assert f"{LINE_MAX_BYTES:,} bytes" in heard.failed.message and "xxx" not in heard.failed.message


@pytest.mark.parametrize("content", [None, b"two\nlines " + KEY.encode(), b"\xff\xfe" + KEY.encode()])
def test_a_key_file_that_cannot_be_used_is_a_failure_that_does_not_tell_the_key(upstream, tmp_path, content):
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    failed = hear(server_of(upstream, key_file=str(tmp_path / "key")), chat("hello")).failed
    assert failed.code == "upstream_failed" and failed.is_its_fault
    assert KEY not in failed.message
    assert upstream.asked() == []


def test_a_key_file_that_hangs_fails_its_requests_and_hangs_nothing_else(upstream, tmp_path, monkeypatch):
    """A pipe that nobody writes to, as a file on a mount that is gone. Mercy after 10 s: else this might hang too."""
    monkeypatch.setattr("workers.relay_http.KEY_WITHIN_S", 0.1)
    os.mkfifo(tmp_path / "key")
    mercy = threading.Timer(10.0, feed_and_remove, [tmp_path / "key"])
    mercy.start()
    server = server_of(upstream, key_file=str(tmp_path / "key"))

    async def ask_thrice() -> list[Heard]:
        heard = [await listen(server, chat("hello"), Heard()) for _ in range(2)]
        readers = [thread for thread in threading.enumerate() if thread.name == "key"]
        assert len(readers) == 1, "each request leaves a thread behind"
        await asyncio.to_thread((tmp_path / "key").write_text, KEY)
        await asyncio.to_thread(readers[0].join)
        (tmp_path / "key").unlink()
        (tmp_path / "key").write_text(KEY)
        return [*heard, await listen(server, chat("hello"), Heard())]

    try:
        *failed, fine = with_server(server, ask_thrice)
    finally:
        mercy.cancel()
    for each in failed:
        assert each.failed.code == "upstream_failed" and "_key_file cannot be read (not within" in each.failed.message
    assert fine.end and len(upstream.asked()) == 1


def feed_and_remove(pipe: Path) -> None:
    pipe.write_text(KEY)
    pipe.unlink()


def test_words_that_are_no_text_are_told_in_what_fits_a_frame(upstream):
    """JSON can spell half a surrogate pair, which no frame can hold."""
    upstream.be(mode="status", status=500, raw_problem='{"error": "\\ud800 no room"}')
    failed = hear(server_of(upstream), chat("hello")).failed
    assert failed.code == "upstream_failed" and "? no room" in failed.message
    assert failed.message.encode()


def test_a_sign_of_life_is_nothing_but_an_answer_of_this_kind(upstream):
    for status in (404, 500, 503, 204):
        upstream.be(probe="status", status=status)
        assert f"{upstream.kind} answered {status}" in refused(server_of(upstream)).message


def test_what_speaks_another_protocol_is_a_failure_that_quotes_nothing_of_it(kind):
    """A mail server, say, behind the port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(4)
        threading.Thread(target=greet, args=(listener, b"220 mail.example SMTP secret words\r\n"), daemon=True).start()
        failed = hear(server_at(kind, "http://{}:{}".format(*listener.getsockname())), chat("hello")).failed
    assert failed.code == "upstream_failed" and "HTTP" in failed.message and "secret" not in failed.message


def greet(listener: socket.socket, words: bytes) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.sendall(words)
        connection.recv(4096)


def test_a_large_body_to_a_server_that_does_not_read_is_given_up():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(4)
        url = "http://{}:{}".format(*listener.getsockname())
        server = server_at("ollama", url, IMPATIENT)
        failed = hear(server, EngineJob((1, 1, 1), prompt="x" * 20_000_000, remote=RemoteJob("m", 1, "r"))).failed
    assert failed.code == "upstream_timeout"


@pytest.mark.parametrize(("body", "said"), [
    (json.dumps({"error": "plain"}), "plain"),
    (json.dumps({"error": {"message": "of OpenAI", "type": "x"}}), "of OpenAI"),
    (json.dumps({"type": "error", "error": {"type": "t", "message": "of Anthropic"}}), "of Anthropic"),
    (json.dumps({"detail": "of FastAPI"}), "{'detail': 'of FastAPI'}"),
    (json.dumps(["a", 1]), "['a', 1]"),
    ("  404 page not found\n", "404 page not found"),
    ("", ""),
    ("[" * 100_000, "[" * PROBLEM_MAX_CHARS),
    ("x" * 10_000, "x" * PROBLEM_MAX_CHARS),
    (json.dumps({"error": "y" * 10_000}), "y" * PROBLEM_MAX_CHARS),
], ids=lambda text: text[:20])
def test_the_words_of_an_error_in_any_shape(body, said):
    assert problem_in(body.encode()) == said


def test_bytes_that_are_no_text_are_an_error_text_too():
    assert problem_in(b"\xff\xfe no") == "\ufffd\ufffd no"
