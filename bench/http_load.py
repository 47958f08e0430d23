"""Asks any OpenAI-compatible server over HTTP (POST /v1/chat/completions, streamed) and notes when what came.

Decided here: an answer is done if it ended with `[DONE]` or named a finish_reason and the connection ended as HTTP
says it must; it is an error if it broke off, if it holds an error object, or if the connection failed; 429, 503 and
529 are refusals. Each event is decoded once, into the few fields that count. Text is `content`, or the reasoning that
some servers send beside it. Comments and other fields of Server-Sent Events are passed over.

Nothing is tried again: a caller who was refused or cut off is what a bench is there to count. No redirect is followed.
"""

import asyncio
import time
from contextlib import suppress

import aiohttp
import msgspec

from bench.records import REFUSED_STATUSES, Ask, Heard

ANSWER_WITHIN_S = 900.0  # from sending to the last byte; what takes longer is an error
WARM_WITHIN_S = 10.0
WARM_CONNECTIONS_MAX = 64
IDLE_CONNECTION_MAX_S = 2.0  # servers close idle ones after some 5 s, and a request then meets a closed connection
EVENT_MAX_BYTES = 4 * 1024 * 1024
DETAIL_MAX_CHARS = 80


class Delta(msgspec.Struct):
    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None


class Choice(msgspec.Struct):
    delta: Delta | None = None
    finish_reason: str | None = None


class Usage(msgspec.Struct):
    completion_tokens: int | None = None


class Chunk(msgspec.Struct):
    choices: list[Choice] | None = None
    usage: Usage | None = None
    error: msgspec.Raw = msgspec.Raw()


decode_chunk = msgspec.json.Decoder(Chunk).decode
encode = msgspec.json.Encoder().encode


class BrokenStream(Exception):
    """The body is no sequence of events as this dialect has them; or it holds an error. The text is the detail."""


class Answer:
    """Server-Sent Events of one answer, in pieces as they come: `feed(piece, now_s)` to the end, then `close`."""

    def __init__(self) -> None:
        self.first_s: float | None = None
        self.gaps_s: list[float] = []
        self.ended = False  # by [DONE] or a finish_reason
        self._last_s = 0.0
        self._frames = 0
        self._usage: int | None = None
        self._rest = b""

    @property
    def tokens(self) -> int:
        return self._frames if self._usage is None else self._usage

    @property
    def by_usage(self) -> bool:
        return self._usage is not None

    def feed(self, piece: bytes, now_s: float) -> None:
        """Raises: BrokenStream."""
        lines = (self._rest + piece).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > EVENT_MAX_BYTES:
            raise BrokenStream(f"an event of more than {EVENT_MAX_BYTES} bytes")
        for line in lines:
            if line.startswith(b"data:"):
                self._on_data(line[5:].strip(), now_s)

    def close(self) -> None:
        """After the last piece: simple servers leave out the end of the line [DONE]."""
        if self._rest.removeprefix(b"data:").strip() == b"[DONE]":
            self.ended = True

    def _on_data(self, data: bytes, now_s: float) -> None:
        if data == b"[DONE]":
            self.ended = True
            return
        try:
            chunk = decode_chunk(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise BrokenStream("an event that is no chunk of a chat completion") from None
        if bytes(chunk.error) not in (b"", b"null"):
            raise BrokenStream(f"in mid-answer: {error_words(data)}")
        if chunk.usage is not None and chunk.usage.completion_tokens is not None:
            self._usage = chunk.usage.completion_tokens
        for choice in chunk.choices or ():
            self.ended = self.ended or choice.finish_reason is not None
            delta = choice.delta
            if delta is not None and (delta.content or delta.reasoning or delta.reasoning_content):
                self._on_text(now_s)

    def _on_text(self, now_s: float) -> None:
        if self.first_s is None:
            self.first_s = now_s
        else:
            self.gaps_s.append(now_s - self._last_s)
        self._last_s = now_s
        self._frames += 1


class HttpAsker:
    """`async with HttpAsker(url, model, headers) as asker`. `model` "": the field is left out.

    Connects `warm_connections` times at once to begin with.
    """

    def __init__(self, address: str, model: str, headers: dict[str, str], warm_connections: int = 1) -> None:
        self.url = f"{address}/v1/chat/completions"
        self.warm_url = f"{address}/"  # cheap everywhere; what it says does not matter
        self.model = model
        self.headers = headers
        self.warm_connections = min(warm_connections, WARM_CONNECTIONS_MAX)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "HttpAsker":
        self._session = aiohttp.ClientSession(
            # Content-Type is said here because the body is encoded here; no cookies, no proxies, no compression.
            headers={"Content-Type": "application/json", "Accept": "text/event-stream",
                     "Accept-Encoding": "identity", **self.headers},
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_CONNECTION_MAX_S),
            timeout=aiohttp.ClientTimeout(total=ANSWER_WITHIN_S, sock_connect=None),
            cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False)
        await asyncio.gather(*(self._warm() for _ in range(self.warm_connections)))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def _warm(self) -> None:
        """What it answers does not matter, nor whether: the first ask of the run will say so."""
        with suppress(aiohttp.ClientError, TimeoutError, OSError):
            timeout = aiohttp.ClientTimeout(total=WARM_WITHIN_S)
            async with self._session.get(self.warm_url, timeout=timeout) as answer:
                await answer.read()

    async def hear(self, ask: Ask, at_s: float | None, start: float) -> Heard:
        model = {"model": self.model} if self.model else {}
        body = encode({**model, "messages": [{"role": "user", "content": ask.prompt}], "stream": True,
                       "stream_options": {"include_usage": True}, "max_tokens": ask.max_tokens, "temperature": 0})
        sent_s = time.monotonic() - start
        answer = Answer()
        outcome, detail = await self._ask(body, ask.klass, answer, start)
        return Heard(ask.klass, sent_s if at_s is None else at_s, sent_s, answer.first_s, time.monotonic() - start,
                     answer.tokens, tuple(answer.gaps_s), outcome, detail, answer.by_usage)

    async def _ask(self, body: bytes, klass: str, answer: Answer, start: float) -> tuple[str, str]:
        """Outcome and detail."""
        try:
            async with self._session.post(self.url, data=body, headers={"X-Request-Priority": klass},
                                          allow_redirects=False) as response:
                if response.status != 200:
                    words = f"{response.status} {error_words(await response.read())}".strip()
                    return ("refused" if response.status in REFUSED_STATUSES else "error"), words
                async for piece in response.content.iter_any():
                    answer.feed(piece, time.monotonic() - start)
                answer.close()
        except BrokenStream as broken:
            return "error", str(broken)
        except TimeoutError:
            return "error", f"no end within {ANSWER_WITHIN_S:g} s"
        except (aiohttp.ClientError, OSError) as problem:
            return "error", f"connection: {type(problem).__name__}"
        if answer.ended:
            return "done", ""
        no_stream = response.content_type == "application/json"
        return "error", "one JSON object instead of a stream" if no_stream else "the stream ended in mid-answer"


def error_words(body: bytes) -> str:
    """The code or type of an error object as servers send them, so that the same cause gives the same words; or ""."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    error = value.get("error", value.get("detail")) if isinstance(value, dict) else None
    if isinstance(error, dict):
        error = next((error[key] for key in ("code", "type", "message") if error.get(key)), "")
    return str(error or "")[:DETAIL_MAX_CHARS]
