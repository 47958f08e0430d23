"""bench/load.py: how asks are dealt out and collected, and what is refused before a run.

Runs with real generators are in tests/integration/test_bench.py.
"""

import http.server
import json
import threading
import time
from contextlib import contextmanager

import multiprocess
import pytest

from bench import load
from bench.http_load import ANSWER_WITHIN_S
from bench.load import (
    LoadFailed,
    Target,
    Unreachable,
    check_target,
    in_order,
    longest_run_s,
    running_limit,
    share,
)
from bench.records import Ask
from tests.support.fake_gateway import FakeGateway
from tests.support.supervisor_home import free_port

JOIN_WITHIN_S = 5.0


@pytest.mark.parametrize("processes", [1, 2, 3, 7])
def test_all_streams_are_given_away_evenly(processes):
    shares = [share(10, processes, number) for number in range(processes)]
    assert sum(shares) == 10
    assert max(shares) - min(shares) <= 1


@pytest.mark.parametrize(("count", "processes"), [(0, 1), (1, 1), (7, 3), (6, 3), (2, 2)])
def test_what_was_dealt_out_in_turn_is_collected_in_order(count, processes):
    asks = list(range(count))
    assert in_order([asks[number::processes] for number in range(processes)]) == asks


def test_a_run_may_last_as_long_as_its_longest_answers():
    asks = [Ask(0.0, "high", "a", 1)] * 5 + [Ask(30.0, "high", "a", 1)]
    assert longest_run_s(asks, 0) >= 30.0 + ANSWER_WITHIN_S
    assert longest_run_s(asks, 4) >= 2 * ANSWER_WITHIN_S


@contextmanager
def server_that_lists(status: int, body: bytes, elsewhere: str = "/", path: str = "/v1/models"):
    """Its URL, and the Authorization headers it saw."""
    keys = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            keys.append(self.headers.get("Authorization"))
            self.send_response(status if self.path in (path, "/health") else 404)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Location", elsewhere)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", keys
        finally:
            server.shutdown()
            thread.join(JOIN_WITHIN_S)


def test_a_target_without_a_model_gets_the_first_that_is_listed(monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")  # what is measured is no proxy
    with server_that_lists(200, json.dumps({"data": [{"id": "phi"}]}).encode()) as (url, keys):
        assert check_target(Target("t", "http", url, headers={"Authorization": "Bearer k"})).model == "phi"
        assert check_target(Target("t", "http", url, "mine")).model == "mine"
        assert keys == ["Bearer k", None]


@pytest.mark.parametrize("status", [200, 404, 500])
def test_a_server_that_lists_nothing_chooses_itself(status):
    with server_that_lists(status, b"") as (url, _):
        assert check_target(Target("t", "http", url)).model == ""


@pytest.mark.parametrize(("kind", "path", "body", "found"), [
    ("", "/v1/models", b'{"data": [{"id": "phi"}]}', ("http", "phi")),
    ("", "/api/tags", b'{"models": [{"name": "phi:latest"}]}', ("ollama", "phi:latest")),
    ("ollama", "/api/tags", b'{"models": []}', ("ollama", "")),
    ("", "/elsewhere", b"{}", ("http", "")),
])
def test_the_dialect_is_that_in_which_a_server_lists_its_models(kind, path, body, found):
    with server_that_lists(200, body, path=path) as (url, _):
        checked = check_target(Target("t", kind, url))
        assert (checked.kind, checked.model) == found


def test_a_server_that_wants_a_key_is_refused_with_the_remedy():
    with server_that_lists(401, b'{"error": {"code": "no_key"}}') as (url, _):
        with pytest.raises(Unreachable, match="401 no_key; give its key by --key-of far=VARIABLE"):
            check_target(Target("far", "http", url))


def test_a_redirect_is_refused_and_its_target_never_sees_the_key():
    with server_that_lists(200, b"") as (other, keys), server_that_lists(307, b"", f"{other}/v1/models") as (url, _):
        with pytest.raises(Unreachable, match=f"far: .* sends elsewhere .307.*{other}"):
            check_target(Target("far", "http", url, headers={"Authorization": "Bearer k"}))
        assert keys == []


@pytest.mark.parametrize(("status", "body", "limit"), [
    (200, b'{"max_concurrent": 5}', 5), (200, b"{}", None), (200, b"Ollama is running", None), (200, b"[1]", None),
    (200, b'{"max_concurrent": null}', None), (404, b'{"max_concurrent": 5}', None),
])
def test_the_running_limit_is_what_health_says(status, body, limit):
    with server_that_lists(status, body) as (url, _):
        assert running_limit(Target("t", "http", url)) == limit


def test_nobody_on_the_port_is_one_line():
    with pytest.raises(Unreachable, match="^far: http://127.0.0.1:[0-9]+ does not answer .*refused.*$"):
        check_target(Target("far", "http", f"http://127.0.0.1:{free_port()}", "m"))


def test_a_gateway_answers_or_is_unreachable(tmp_path, monkeypatch):
    endpoint = f"ipc://{tmp_path}/c.ipc"
    target = Target("ours", "zmq", endpoint)
    with FakeGateway(endpoint):
        assert check_target(target) == target
    monkeypatch.setattr("gateway.blocking_client.CONNECT_WITHIN_S", 0.02)
    monkeypatch.setattr("gateway.blocking_client.TICK_EVERY_S", 0.02)
    with pytest.raises(Unreachable, match="^ours: no answer from the gateway"):
        check_target(target)


class EndedProcess:
    exitcode = -9

    def join(self, within_s):
        """At once."""


def test_a_generator_that_ends_or_is_silent_is_told():
    ours, theirs = multiprocess.Pipe()
    with ours:
        with pytest.raises(LoadFailed, match="nothing in time"):
            load._receive(EndedProcess(), ours, time.monotonic())
        theirs.close()
        with pytest.raises(LoadFailed, match="exit code -9"):
            load._receive(EndedProcess(), ours, time.monotonic() + JOIN_WITHIN_S)
