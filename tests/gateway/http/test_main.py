"""The HTTP process itself: an inherited socket, an address of its own, an address in use, TERM."""

import logging
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace

import httpx
import pytest

from control.home import Home, home_from_env, prepare_home
from control.journal import get_journal
from gateway.http import __main__ as program
from gateway.protocol import Submit
from tests.support.fake_gateway import FakeGateway, accepted, tokens
from tests.support.http_stack import TOML, make_config
from tests.support.raw_http import RawHttp

WITHIN_S = 10


@pytest.fixture
def listener():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener


@pytest.fixture
def environment(tmp_path):
    (tmp_path / "warden.toml").write_text(TOML)
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return kept | {"WARDEN_HOME": str(tmp_path), "PYTHONPATH": os.getcwd()}


def spawn(environment: dict[str, str], stdin: object, *program: str) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, *(program or ("-m", "gateway.http"))], env=environment, stdin=stdin,
                            stderr=subprocess.PIPE, cwd=environment["WARDEN_HOME"])


def test_a_process_serves_on_the_socket_it_was_given_and_ends_by_term(environment, listener):
    process = spawn(environment, listener.fileno())
    try:
        port = listener.getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=WITHIN_S) as http:
            assert http.get("/health").json()["status"] == "degraded"  # waits in the backlog until it is up
            process.send_signal(signal.SIGTERM)
        assert process.wait(WITHIN_S) == 0
        log = process.stderr.read()
        assert b"http_up" in log and b"http_down" in log and b"GET /health" not in log
        with RawHttp(port) as raw:  # the socket is still open for the next process
            assert raw.socket.getpeername()[1] == port
    finally:
        end(process)


HURRIED = ("import sys; from gateway.http import __main__ as program; "
           "program.GRACEFUL_S, program.LAST_WORDS_S = 2, 1.5; sys.exit(program.main())")


@pytest.mark.integration
@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
def test_answers_that_are_not_finished_when_time_is_over_end_as_errors(environment, listener, tmp_path, path):
    asked = b'{"messages": [{"role": "user", "content": "hi"}], "stream": true}'
    port = listener.getsockname()[1]
    home = home_from_env({"WARDEN_HOME": str(tmp_path)})
    prepare_home(home)
    with FakeGateway(home.endpoint("clients")) as gateway:
        gateway.on[Submit] = lambda s: [accepted(s.id, 1), *([tokens(s.id, 0, "abc")] if s.model == "begun" else [])]
        process = spawn(environment, listener.fileno(), "-c", HURRIED)
        try:
            with RawHttp(port) as begun, RawHttp(port) as waiting, RawHttp(port) as sending:
                begun.post(path, asked.replace(b"{", b'{"model": "begun", ', 1))
                waiting.post(path, asked)
                sending.send(b"POST %b HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
                             b"content-length: 500\r\n\r\n{" % path.encode())
                begun.read_until(b"abc")
                gateway.wait_for(Submit, 2)
                process.send_signal(signal.SIGTERM)
                last = begun.read_to_end()
                assert b'{"error":' in last and b"the server is stopping; ask again" in last and b"[DONE]" not in last
                for raw in (waiting, sending):
                    answer = raw.read_to_end()
                    assert answer.startswith(b"HTTP/1.1 503 ") and b"retry-after: 1\r\n" in answer
                    assert b"application/json" in answer and b"the server is stopping; ask again" in answer
            assert process.wait(WITHIN_S) == 0
            log = process.stderr.read()
            assert b"Traceback" not in log and log.count(b"request_failed") == 3 and b"http_down" in log
        finally:
            end(process)


def end(process: subprocess.Popen) -> None:
    process.kill()
    process.wait()
    process.stderr.close()


def test_an_address_in_use_is_one_line_with_the_setting_and_exit_code_2(environment, listener):
    port = str(listener.getsockname()[1])
    process = spawn(environment | {"WARDEN_PORT": port}, subprocess.DEVNULL)
    _, log = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 2
    [line] = log.decode().splitlines()
    assert port in line and "WARDEN_PORT" in line and "warden.toml" in line


def test_a_wrong_configuration_is_one_line_and_exit_code_2(environment, capfd, monkeypatch, tmp_path):
    (tmp_path / "warden.toml").write_text("[server]\nporrt = 1\n")
    monkeypatch.setattr(os, "environ", environment)
    monkeypatch.chdir(tmp_path)
    assert program.main() == 2
    [line] = capfd.readouterr().err.splitlines()
    assert "porrt" in line


def test_what_the_server_logs_as_an_error_is_one_line_of_the_journal():
    reading, writing = os.pipe()
    log = logging.Logger("test")
    log.addHandler(program.JournalHandler(get_journal("http", writing)))
    log.warning("nothing to see")
    try:
        raise ValueError("broken")
    except ValueError:
        log.exception("Exception in ASGI application\n")
    [line] = os.read(reading, 65_536).decode().splitlines()
    os.close(reading)
    os.close(writing)
    assert "Exception in ASGI application" in line and "ValueError: broken" in line


def test_bind_takes_the_configured_address(tmp_path):
    config = replace(make_config(tmp_path), port=0)
    free = program.bind(config, Home(tmp_path))
    with free:
        assert free.getsockname()[0] == "127.0.0.1"
        free.listen()
        with pytest.raises(program.CannotListen, match="WARDEN_PORT"):
            program.bind(replace(config, port=free.getsockname()[1]), Home(tmp_path))


def test_an_address_that_others_reach_is_not_taken_without_a_key_and_exit_code_2(environment):
    process = spawn(environment | {"WARDEN_HOST": "0.0.0.0", "WARDEN_PORT": "12999"}, subprocess.DEVNULL)
    _, log = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 2
    [line] = log.decode().splitlines()
    assert "warden key create" in line and "0.0.0.0" in line
