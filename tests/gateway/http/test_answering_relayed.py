"""What another server may have done: no library is told, or left free, to ask it again by itself."""

from collections.abc import Callable

import pytest

from gateway.protocol import HANDED_ON, Progress, Started, Submit
from tests.support.fake_gateway import accepted, error
from tests.support.raw_http import RawHttp

PATHS = [("/api/chat", True), ("/api/chat", False), ("/v1/chat/completions", True), ("/v1/chat/completions", False),
         ("/chat/stream", True), ("/chat/send", False)]
BODY = {"messages": [{"role": "user", "content": "hi"}], "content": "hi"}
NEVER, ANY_TIME, LATER = "never", "any time", "later"


def begun(*routes: str) -> Callable:
    """The events until then: a route for each Started, "" where it was handed on to who is not yet known."""
    return lambda request_id: [
        Started(request_id, "remote", route, "", attempt, 0.0, 0.0) if route else
        Progress(request_id, 0, HANDED_ON, 1.0) for attempt, route in enumerate(routes, 1)]


def may_retry(response) -> str:
    if response.headers.get("x-should-retry") == "false":
        assert "retry-after" not in response.headers
        return NEVER
    return LATER if "retry-after" in response.headers else ANY_TIME


@pytest.mark.parametrize(("path", "stream"), PATHS)
@pytest.mark.parametrize(("routes", "code", "again"), [
    (("ollama",), "gateway_unavailable", NEVER),  # the answer may still be running there
    (("", "ollama"), "gateway_unavailable", NEVER),
    (("ollama", "ollama>mlx"), "gateway_unavailable", NEVER),
    (("mlx",), "gateway_unavailable", LATER),
    (("victoria>mlx",), "gateway_unavailable", LATER),  # she was down and never asked
    (("victoria",), "upstream_failed", NEVER),
    (("victoria",), "upstream_timeout", NEVER),
    (("victoria", "victoria>mlx"), "worker_crashed", NEVER),
    (("victoria",), "queue_deadline", NEVER),  # while it waits for the next of the chain
    (("", "victoria>mlx"), "worker_crashed", NEVER),  # handed to her, and she did not say that she began
    (("",), "upstream_failed", NEVER),
    (("ollama",), "upstream_failed", ANY_TIME),
    (("", "ollama"), "upstream_timeout", ANY_TIME),
    (("", "ollama>mlx"), "worker_crashed", ANY_TIME),
    (("ollama", "ollama>mlx"), "queue_deadline", LATER)])
def test_who_may_ask_again_after_an_error(http, gateway, path, stream, routes, code, again):
    gateway.on[Submit] = lambda s: [accepted(s.id, gateway.epoch), *begun(*routes)(s.id),
                                    error(s.id, code, "as scripted", 1.0 if again == LATER else 0.0)]
    response = http.post(path, json=BODY | {"stream": stream})
    assert "as scripted" in response.text and may_retry(response) == again


@pytest.mark.parametrize(("path", "stream"), PATHS)
@pytest.mark.parametrize("route", ["ollama", "victoria", ""])
def test_a_gateway_that_restarts_is_not_asked_again_for_what_it_had_handed_on(stack, gateway, http, monkeypatch, path,
                                                                             stream, route):
    monkeypatch.setattr("gateway.exchange.HELLO_EVERY_S", 0.05)
    gateway.on[Submit] = lambda s: [accepted(s.id, gateway.epoch), *begun(route)(s.id)]
    body = b'{"messages": [{"role": "user", "content": "hi"}], "content": "hi", "stream": %s}' % (
        b"true" if stream else b"false")
    with RawHttp(stack.port) as raw:
        raw.post(path, body)
        gateway.wait_for(Submit)
        assert http.get("/api/tags").status_code == 200  # over the same socket: what was said before has come
        gateway.kill()
        gateway.revive(gateway.epoch + 1)
        answer = raw.read_until(b"another server").lower()
    assert answer.startswith(b"http/1.1 503 ") and b"x-should-retry: false" in answer and b"retry-after" not in answer
    assert len(gateway.all(Submit)) == 1
