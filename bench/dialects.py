"""How two dialects of HTTP stream an answer: what is asked where, and what the pieces of the body say. Pure.

Decided here: an answer has ended if it says so (OpenAI: `[DONE]` or a finish_reason; Ollama: `"done": true`); an error
object in the stream is an error. Each event is decoded once, into the few fields that count. Text is the content, or
the reasoning that some servers send beside it. Comments and other fields of Server-Sent Events are passed over.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import msgspec

from bench.records import Ask

EVENT_MAX_BYTES = 4 * 1024 * 1024
DETAIL_MAX_CHARS = 80
EVENTS, LINES = "text/event-stream", "application/x-ndjson"


class BrokenStream(Exception):
    """The body is no sequence of events as its dialect has them; or it holds an error. The text is the detail."""


class Answer:
    """One answer in pieces as they come: `feed(piece, now_s)` to the end, then `close`. A subclass knows the dialect's
    lines, and says by `on_text` when one carries text.
    """

    def __init__(self) -> None:
        self.first_s: float | None = None
        self.gaps_s: list[float] = []
        self.ended = False  # it said itself that it is whole
        self.usage: int | None = None
        self._last_s = 0.0
        self._frames = 0
        self._rest = b""

    @property
    def tokens(self) -> int:
        return self._frames if self.usage is None else self.usage

    @property
    def by_usage(self) -> bool:
        return self.usage is not None

    def feed(self, piece: bytes, now_s: float) -> None:
        """Raises: BrokenStream."""
        lines = (self._rest + piece).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > EVENT_MAX_BYTES:
            raise BrokenStream(f"an event of more than {EVENT_MAX_BYTES} bytes")
        for line in lines:
            self.on_line(line, now_s)

    def close(self, now_s: float) -> None:
        """After the last piece: simple servers leave out the end of the last line. One that was cut says nothing."""
        with suppress(BrokenStream):
            self.on_line(self._rest, now_s)

    def on_text(self, now_s: float) -> None:
        if self.first_s is None:
            self.first_s = now_s
        else:
            self.gaps_s.append(now_s - self._last_s)
        self._last_s = now_s
        self._frames += 1

    def on_line(self, line: bytes, now_s: float) -> None:
        """A whole line, without its end. Raises: BrokenStream."""
        raise AssertionError("a dialect says what its lines are")


# -- OpenAI: POST /v1/chat/completions, Server-Sent Events -----------------------------------------------------------


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


class OpenAIAnswer(Answer):
    def on_line(self, line: bytes, now_s: float) -> None:
        if not line.startswith(b"data:"):
            return
        data = line[5:].strip()
        if data == b"[DONE]":
            self.ended = True
            return
        chunk = decoded(decode_chunk, data)
        if chunk.usage is not None and chunk.usage.completion_tokens is not None:
            self.usage = chunk.usage.completion_tokens
        for choice in chunk.choices or ():
            self.ended = self.ended or choice.finish_reason is not None
            delta = choice.delta
            if delta is not None and (delta.content or delta.reasoning or delta.reasoning_content):
                self.on_text(now_s)


def openai_body(ask: Ask, model: str) -> dict[str, object]:
    named = {"model": model} if model else {}
    return {**named, "messages": [{"role": "user", "content": ask.prompt}], "stream": True,
            "stream_options": {"include_usage": True}, "max_tokens": ask.max_tokens, "temperature": 0}


# -- Ollama: POST /api/chat, a JSON object in each line --------------------------------------------------------------


class Message(msgspec.Struct):
    content: str | None = None
    thinking: str | None = None


class Line(msgspec.Struct):
    message: Message | None = None
    done: bool = False
    eval_count: int | None = None
    error: msgspec.Raw = msgspec.Raw()


class OllamaAnswer(Answer):
    def on_line(self, line: bytes, now_s: float) -> None:
        if not line.strip():
            return
        said = decoded(decode_line, line)
        if said.message is not None and (said.message.content or said.message.thinking):
            self.on_text(now_s)
        if said.done:
            self.ended, self.usage = True, said.eval_count


def ollama_body(ask: Ask, model: str) -> dict[str, object]:
    return {"model": model, "messages": [{"role": "user", "content": ask.prompt}], "stream": True,
            "options": {"num_predict": ask.max_tokens, "temperature": 0}}


# -- both ------------------------------------------------------------------------------------------------------------


class Dialect(NamedTuple):
    """`models`: the path that lists them, under `listed` and `named` of each. `accept`: the type of a stream."""

    path: str
    body: Callable[[Ask, str], dict[str, object]]
    answer: Callable[[], Answer]
    accept: str
    models: str
    listed: str
    named: str


DIALECTS = {  # by `load.Target.kind`
    "http": Dialect("/v1/chat/completions", openai_body, OpenAIAnswer, EVENTS, "/v1/models", "data", "id"),
    "ollama": Dialect("/api/chat", ollama_body, OllamaAnswer, LINES, "/api/tags", "models", "name"),
}
DIALECT_NAMES = {"openai": "http", "ollama": "ollama"}  # as users say them
decode_chunk = msgspec.json.Decoder(Chunk).decode
decode_line = msgspec.json.Decoder(Line).decode


def decoded(decode: Callable[[bytes], Chunk | Line], data: bytes) -> Chunk | Line:
    """Raises: BrokenStream."""
    try:
        said = decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise BrokenStream("an event that is no chunk of a chat completion") from None
    if bytes(said.error) not in (b"", b"null"):
        raise BrokenStream(f"in mid-answer: {error_words(data)}")
    return said


def first_model(body: bytes, dialect: Dialect) -> str | None:
    """The first that a server lists, "" if its list is empty; None if this is no list of models of that dialect."""
    try:
        listed = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    models = listed.get(dialect.listed) if isinstance(listed, dict) else None
    if not isinstance(models, list):
        return None
    first = models[0] if models else None
    return str(first.get(dialect.named) or "") if isinstance(first, dict) else ""


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
