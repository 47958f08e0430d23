"""A real HTTP server in its own process that behaves as a file says, and writes down what it was asked.

    python -m tests.support.scripted_ollama --port N --behaviour FILE

FILE holds a `Behaviour` as JSON and is read again for every request, and again and again while one is held, so a test
changes it at any time. FILE with the ending .jsonl gets three kinds of lines, for whoever waits for them:

    {"n": 1, "at": "asked", "method": ..., "path": ..., "headers": {lower case: ...}, "body": JSON or null}
    {"n": 1, "at": "stuck"}                       it came to the point where it hangs or is held
    {"n": 1, "at": "finished" | "caller left" | "broken off"}
    {"n": 1, "at": "called back", "status": ..., "body": ...}         what its own call to us was answered

Each connection carries one request. "ready" on stdout: it listens. A server that is down is one whose process is not
there; tests/support/relay_fixtures.py starts and kills it.
"""

import argparse
import asyncio
import json
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

LOOK_EVERY_S = 0.01
CALL_BACK_MAX_S = 30.0
BODY_MAX_BYTES = 64 * 1024 * 1024
HOP = "x-warden-hop"
NO_CONTENT = 204


class Behaviour(msgspec.Struct, forbid_unknown_fields=True):
    """`mode`: what becomes of an answer:

    up; status (an error with `status` and `problem`); hang (no answer ever); hang_after_headers; redirect (to
    `location`); wrong_api (a page); and after the first `after` words: hang_in_stream, hold (until `released`),
    break_off (the connection closes), no_end (the answer ends like one that is whole, but says no end),
    error_in_stream (`problem`), garbage (`raw_line`, else what is no JSON), long_line (of `line_bytes` bytes).

    `probe`: the same for signs of life, "" for up: status, hang, redirect, wrong_api. `raw_problem`: the body of an
    error as it is, `raw_sign` that of a sign of life. `split`: bodies of probes come in two parts. What is raw for an
    answer or a sign is written a byte for each character.
    """

    mode: str = "up"
    probe: str = ""
    words: tuple[str, ...] = ("one ", "two ", "three")
    after: int = 1
    first_pause_s: float = 0.0
    pause_s: float = 0.0
    released: bool = False
    status: int = 500
    problem: str = "as scripted"
    raw_problem: str = ""
    raw_line: str = ""
    raw_sign: str = ""
    location: str = "http://127.0.0.1:1/"
    line_bytes: int = 0
    models: tuple[str, ...] = ("llama3.2:1b",)
    thinking: str = ""
    calls: tuple[dict, ...] = ()  # of tools, as its API writes them
    chances: tuple[dict, ...] = ()  # of the tokens of each word, the same
    steps: tuple[str, ...] = ()
    split: bool = False
    call_back: str = ""  # a URL that is asked meanwhile, with the hop that was received
    call_back_body: dict = {}


class Request(msgspec.Struct):
    number: int
    method: str
    path: str
    headers: dict[str, str]
    body: dict | None


class Left(Exception):
    """The caller closed the connection."""


class Script:
    """What one API adds; the words of its answers and its signs of life."""

    content_type = "application/json"

    def probe(self, path: str, behaviour: Behaviour) -> bytes | None:
        """The answer to a sign of life; None if `path` is none."""
        raise NotImplementedError

    def is_work(self, request: Request) -> bool:
        raise NotImplementedError

    def before(self, request: Request, behaviour: Behaviour) -> list[bytes]:
        """Lines that come before the words."""
        return []

    def word(self, request: Request, text: str) -> bytes:
        raise NotImplementedError

    def end(self, request: Request, behaviour: Behaviour) -> bytes:
        raise NotImplementedError

    def error(self, problem: str) -> bytes:
        """An error in the middle of an answer."""
        raise NotImplementedError


class ScriptedServer:
    def __init__(self, script: Script, behaviour_file: Path) -> None:
        self._script, self._file = script, behaviour_file
        self._log = behaviour_file.with_suffix(".jsonl").open("a", buffering=1)
        self._count = 0

    async def serve(self, port: int) -> None:
        server = await asyncio.start_server(self._on_connection, "127.0.0.1", port)
        print("ready", flush=True)
        await server.serve_forever()

    def _behaviour(self) -> Behaviour:
        return msgspec.json.decode(self._file.read_bytes(), type=Behaviour)

    def _note(self, number: int, at: str, **facts: object) -> None:
        self._log.write(json.dumps({"n": number, "at": at} | facts) + "\n")

    async def _on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await self._read_request(reader)
            answering = asyncio.ensure_future(self._answer(request, Reply(writer)))
            leaving = asyncio.ensure_future(reader.read(1))
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
            gone = not answering.done()
            answering.cancel()
            leaving.cancel()
            if gone or isinstance(answering.exception(), ConnectionError):
                self._note(request.number, "caller left")
            else:
                self._note(request.number, answering.result())
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # it only looked whether somebody listens
        finally:
            writer.close()

    async def _read_request(self, reader: asyncio.StreamReader) -> Request:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip().split("\r\n")
        headers = {name.strip().lower(): text.strip() for name, _, text in (line.partition(":") for line in lines)}
        method, path, _ = first.split(" ")
        size_bytes = min(int(headers.get("content-length", "0")), BODY_MAX_BYTES)
        body = json.loads(await reader.readexactly(size_bytes)) if size_bytes else None
        self._count += 1
        request = Request(self._count, method, path, headers, body)
        self._note(request.number, "asked", method=method, path=path, headers=headers, body=body)
        return request

    async def _answer(self, request: Request, reply: "Reply") -> str:
        behaviour = self._behaviour()
        sign = self._script.probe(request.path, behaviour) if request.method == "GET" else None
        mode = (behaviour.probe or "up") if sign is not None else behaviour.mode
        if sign is None and not (request.method == "POST" and self._script.is_work(request)):
            await reply.whole(404, "text/plain", b"404 page not found")
        elif mode == "hang":
            await self._hang(request)
        elif mode == "status":
            said = behaviour.raw_problem.encode() or json.dumps({"error": behaviour.problem}).encode()
            await reply.whole(behaviour.status, "application/json", said if behaviour.status != NO_CONTENT else b"")
        elif mode == "redirect":
            await reply.whole(307, "text/plain", b"", f"Location: {behaviour.location}\r\n")
        elif mode == "wrong_api":
            await reply.whole(200, "text/html", b"<html><body>It works!</body></html>\n")
        elif sign is not None:
            sign = behaviour.raw_sign.encode("latin-1") or sign
            await reply.whole(200, "application/json", sign, split=behaviour.split)
        else:
            return await self._stream(request, behaviour, reply)
        return "finished"

    async def _stream(self, request: Request, behaviour: Behaviour, reply: "Reply") -> str:
        await pause(behaviour.first_pause_s)
        await reply.begin(self._script.content_type)
        if behaviour.mode == "hang_after_headers":
            await self._hang(request)
        for line in self._script.before(request, behaviour):
            await reply.line(line)
        if behaviour.call_back:
            await self._call_back(request, behaviour)
        async for word in self._words(request, behaviour, reply):
            await reply.line(self._script.word(request, word))
        if behaviour.mode == "break_off":
            return "broken off"
        if behaviour.mode not in ("no_end", "error_in_stream"):
            await reply.line(self._script.end(request, behaviour))
        await reply.end()
        return "finished"

    async def _words(self, request: Request, behaviour: Behaviour, reply: "Reply") -> AsyncIterator[str]:
        """The words; in their midst what `mode` says."""
        for number, word in enumerate([*behaviour.words, ""]):
            if number == min(behaviour.after, len(behaviour.words)):
                match behaviour.mode:
                    case "break_off" | "no_end":
                        return
                    case "hang_in_stream":
                        await self._hang(request)
                    case "hold":
                        await self._hold(request)
                    case "error_in_stream":
                        await reply.line(self._script.error(behaviour.problem))
                        return
                    case "garbage":
                        begin = b"data: " if b"data" in self._script.word(request, "") else b""
                        await reply.line(begin + (behaviour.raw_line or "{no").encode("latin-1"))
                    case "long_line":
                        await reply.line(self._script.word(request, "x" * behaviour.line_bytes))
            if number < len(behaviour.words):
                yield word
                await pause(behaviour.pause_s)

    async def _hang(self, request: Request) -> None:
        self._note(request.number, "stuck")
        await asyncio.Event().wait()

    async def _hold(self, request: Request) -> None:
        self._note(request.number, "stuck")
        while not self._behaviour().released:
            await asyncio.sleep(LOOK_EVERY_S)

    async def _call_back(self, request: Request, behaviour: Behaviour) -> None:
        headers = {"Content-Type": "application/json", HOP: request.headers.get(HOP, "0")}
        asked = urllib.request.Request(behaviour.call_back, json.dumps(behaviour.call_back_body).encode(), headers)
        status, body = await asyncio.to_thread(fetch, asked)
        self._note(request.number, "called back", status=status, body=body)


class Reply:
    """One answer on its way; a caller that is gone shows as ConnectionError."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def whole(self, status: int, content_type: str, body: bytes, more: str = "", split: bool = False) -> None:
        self._head(status, content_type, f"Content-Length: {len(body)}\r\n{more}")
        if split:
            await self._send(body[: len(body) // 2])
            await pause(LOOK_EVERY_S)
            body = body[len(body) // 2 :]
        await self._send(body)

    async def begin(self, content_type: str) -> None:
        self._head(200, content_type, "Transfer-Encoding: chunked\r\n")
        await self._send(b"")

    async def line(self, line: bytes) -> None:
        line += b"\n"
        await self._send(b"%x\r\n%s\r\n" % (len(line), line))

    async def end(self) -> None:
        await self._send(b"0\r\n\r\n")

    def _head(self, status: int, content_type: str, more: str) -> None:
        head = f"HTTP/1.1 {status} Scripted\r\nContent-Type: {content_type}\r\n{more}Connection: close\r\n\r\n"
        self._writer.write(head.encode())

    async def _send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()


async def pause(duration_s: float) -> None:
    loop = asyncio.get_running_loop()
    until = loop.time() + duration_s
    while (left_s := until - loop.time()) > 0:
        await asyncio.sleep(left_s)


def fetch(request: urllib.request.Request) -> tuple[int, str]:
    """Status and body, of errors too; status 0: nobody answers."""
    try:
        with urllib.request.urlopen(request, timeout=CALL_BACK_MAX_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError as problem:
        return 0, str(problem)


def main(script: Script) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--behaviour", type=Path, required=True)
    given = parser.parse_args(sys.argv[1:])
    asyncio.run(ScriptedServer(script, given.behaviour).serve(given.port))
    return 0
