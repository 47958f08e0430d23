"""bench/http_load.py: a server that answers byte by byte what the test says."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from bench import http_load
from bench.http_load import HttpAsker
from bench.records import Ask
from tests.support.wire import LAST, ROLE, WHOLE, event, line, text
from tests.support.supervisor_home import free_port

WITHIN_S = 5.0
ASK = Ask(0.0, "high", "What is a warden?", 3)


class Server:
    """Says `answer`, raw bytes, to every POST and closes; keeps what was posted."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.posted: list[tuple[dict[str, str], dict]] = []

    async def serve(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        if head.startswith(("POST /v1/chat/completions ", "POST /api/chat ")):
            headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
            self.posted.append((headers, json.loads(await reader.readexactly(int(headers["content-length"])))))
            writer.write(self.answer)
        writer.close()


@asynccontextmanager
async def asker_of(server: Server, model: str = "m", kind: str = "http"):
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        address = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        async with HttpAsker(address, model, {"Authorization": "Bearer abc"}, kind=kind) as asker:
            yield asker


def heard(answer: bytes, at_s: float | None = None, model: str = "m", kind: str = "http"):
    async def scenario():
        async with asker_of(server, model, kind) as asker:
            return await asker.hear(ASK, at_s, asyncio.get_running_loop().time())

    server = Server(answer)
    return asyncio.run(asyncio.wait_for(scenario(), WITHIN_S)), server.posted


def stream(body: bytes, head: bytes = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n") -> bytes:
    return head + body


def status(code: int, body: bytes = b"{}") -> bytes:
    return b"HTTP/1.1 %d Some Words\r\ncontent-length: %d\r\n\r\n" % (code, len(body)) + body


def test_an_answer_and_what_was_asked():
    note, [(headers, body)] = heard(stream(WHOLE))
    assert (note.outcome, note.detail, note.tokens, note.by_usage, len(note.gaps_s)) == ("done", "", 7, True, 2)
    assert note.at_s == note.sent_s <= note.first_s <= note.end_s
    assert (headers["x-request-priority"], headers["authorization"]) == ("high", "bearer abc")
    assert body == {"model": "m", "messages": [{"role": "user", "content": ASK.prompt}], "stream": True,
                    "stream_options": {"include_usage": True}, "max_tokens": 3, "temperature": 0}


def test_the_same_in_ollamas_dialect():
    body = line("a") + line("b") + line("", done=True, eval_count=7)
    note, [(headers, asked)] = heard(stream(body), kind="ollama")
    assert (note.outcome, note.tokens, note.by_usage, len(note.gaps_s)) == ("done", 7, True, 1)
    assert (headers["accept"], asked["model"]) == ("application/x-ndjson", "m")
    assert asked["options"] == {"num_predict": 3, "temperature": 0}
    assert heard(stream(line("a")), kind="ollama")[0].detail == "the stream ended in mid-answer"
    assert heard(stream(line("a") + b'{"error": "it died"}\n'), kind="ollama")[0].detail == "in mid-answer: it died"


def test_in_an_open_loop_it_keeps_the_time_it_was_due():
    note, _ = heard(stream(WHOLE), at_s=-3.0)
    assert note.at_s == -3.0 < note.sent_s


def test_without_a_model_the_server_chooses():
    _, [(_, body)] = heard(stream(WHOLE), model="")
    assert "model" not in body


def test_the_last_line_needs_no_end_but_must_be_whole():
    assert heard(stream(text("a") + b"data: [DONE]"))[0].outcome == "done"
    assert heard(stream(text("a") + b"data: [DO"))[0].detail == "the stream ended in mid-answer"


def test_an_old_server_that_ends_by_closing_and_sends_neither_usage_nor_done():
    note, _ = heard(stream(ROLE + text("a") + event(choices=[]) + text("b") + LAST, b"HTTP/1.0 200 OK\r\n\r\n"))
    assert (note.outcome, note.detail, note.tokens, note.by_usage, len(note.gaps_s)) == ("done", "", 2, False, 1)


@pytest.mark.parametrize("code", [429, 503, 529])
def test_no_place_is_a_refusal(code):
    note, _ = heard(status(code, b'{"error": {"code": "queue_full"}}'))
    assert (note.outcome, note.detail, note.first_s, note.tokens) == ("refused", f"{code} queue_full", None, 0)


@pytest.mark.parametrize(("answer", "detail"), [
    (status(404, b'{"error": {"code": "model_not_found"}}'), "404 model_not_found"),
    (status(500, b"<html>"), "500"),
    (b"HTTP/1.1 307 Elsewhere\r\nlocation: /v2\r\ncontent-length: 0\r\n\r\n", "307"),
    (stream(ROLE + text("a")), "the stream ended in mid-answer"),
    (status(200, b'{"choices": []}'), "the stream ended in mid-answer"),
    (stream(b'{"choices": []}', b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n"),
     "one JSON object instead of a stream"),
    (stream(text("a") + event(error={"code": "worker_crashed"})), "in mid-answer: worker_crashed"),
    (stream(b"data: {\n\n"), "an event that is no chunk of a chat completion"),
    (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\ndata:", "connection: ClientPayloadError"),
    (b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n" + WHOLE, "connection: ClientPayloadError"),
    (b"", "connection: ServerDisconnectedError"),
    (b"\x00\x01 nonsense\r\n\r\n", "connection: ClientResponseError"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_what_breaks_is_an_error_and_raises_nothing(answer, detail):
    note, _ = heard(answer)
    assert (note.outcome, note.detail) == ("error", detail)


def test_nobody_there_is_an_error():
    async def scenario():
        async with HttpAsker(f"http://127.0.0.1:{free_port()}", "m", {}) as asker:
            return await asker.hear(ASK, None, 0.0)

    note = asyncio.run(scenario())
    assert (note.outcome, note.detail) == ("error", "connection: ClientConnectorError")


def test_an_answer_that_takes_too_long_is_an_error(monkeypatch):
    async def hang(reader, writer):
        await reader.read()
        writer.close()

    async def scenario():
        async with await asyncio.start_server(hang, "127.0.0.1", 0) as listening:
            address = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
            async with HttpAsker(address, "m", {}) as asker:
                return await asker.hear(ASK, None, 0.0)

    monkeypatch.setattr(http_load, "ANSWER_WITHIN_S", 0.05)
    monkeypatch.setattr(http_load, "WARM_WITHIN_S", 0.05)
    note = asyncio.run(asyncio.wait_for(scenario(), WITHIN_S))
    assert (note.outcome, note.detail) == ("error", "no end within 0.05 s")
