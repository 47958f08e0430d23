"""An answer that is paused in the middle: no dialect is harmed by hearing of it, and what is streamed is whole."""

import json

import pytest

from gateway.protocol import PAUSED, Progress, Started, Submit
from tests.support.fake_gateway import accepted, done, tokens
from tests.support.raw_http import RawHttp

MESSAGES = [{"role": "user", "content": "hi"}]
ASKED = {"/api/chat": {"messages": MESSAGES}, "/api/generate": {"prompt": "hi"},
         "/v1/chat/completions": {"messages": MESSAGES}, "/v1/completions": {"prompt": "hi", "model": "tiny"},
         "/v1/messages": {"model": "tiny", "max_tokens": 9, "messages": MESSAGES}, "/v1/responses": {"input": "hi"}}


def paused(submit):
    """Told of a pause between two tokens, by a worker that said how it began."""
    progress = Progress(submit.id, 1, PAUSED, 4.0, 1.0, "a request of class HIGH has its place")
    return [accepted(submit.id, 1), Started(submit.id, "tiny", "mlx", "", 1, 0.0, 0.0), tokens(submit.id, 0, "one "),
            progress, progress, tokens(submit.id, 1, "two"), done(submit.id)]


def text_of(body: bytes) -> str:
    """All that a client of any of these dialects would show."""
    lines = [line.removeprefix("data: ") for line in body.decode().splitlines()]
    events = [json.loads(line) for line in lines if line.startswith("{")]
    return "".join(filter(None, map(piece_of, events)))


def piece_of(event: dict) -> str | None:
    if "done" in event:  # Ollama's
        return event.get("message", {}).get("content") or event.get("response")
    if choices := event.get("choices"):
        return choices[0].get("text") or choices[0].get("delta", {}).get("content")
    delta = event.get("delta")  # of Anthropic's events an object, of the Responses' the text
    return delta.get("text") if isinstance(delta, dict) else delta


@pytest.mark.parametrize("path", ASKED)
@pytest.mark.parametrize("at_once", [False, True])
def test_a_stream_goes_on_after_a_pause(stack, gateway, path, at_once):
    gateway.on[Submit] = paused
    headers = b"anthropic-version: 2023-06-01\r\n" * (path == "/v1/messages") + b"x-warden-progress: 1\r\n" * at_once
    with RawHttp(stack.port) as raw:
        raw.post(path, json.dumps(ASKED[path] | {"stream": True}).encode(), more_headers=headers)
        body = raw.read_until(b"0\r\n\r\n")
    assert text_of(body.partition(b"\r\n\r\n")[2]) == "one two"
    assert (b"HIGH" in body) == at_once


def test_a_whole_answer_shows_nothing_of_it(stack, gateway):
    gateway.on[Submit] = paused
    with RawHttp(stack.port) as raw:
        raw.post("/api/chat", json.dumps(ASKED["/api/chat"] | {"stream": False}).encode())
        assert b'"content":"one two"' in raw.read_until(b'"done":true')
