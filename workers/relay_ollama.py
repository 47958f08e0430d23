"""The relay to a server with Ollama's API: Ollama itself, or mlx-warden on another machine.

A chat goes to /api/chat, a prompt that is taken as it is to /api/generate with `raw`. Sampling is handed on in Ollama's
names, so is the seed; the counts and times of the last object become ours. Images go along as base64. What the server
thinks (`thinking`) is no part of the answer and is shown as progress. Source: Ollama's docs/api.md.

The server is not trusted: what is no JSON, no text or nested without end is its failure, its numbers are bounded, and
so are the names of its models. One that is too long, and those after MODELS_MAX, are left out: nobody can ask for them.
"""

import json
from collections.abc import AsyncIterator
from contextlib import aclosing

import msgspec

from control.messages import MALFORMED
from workers.engine import EngineJob
from workers.protocol import ChatMessage, End, Sampling
from workers.relay import PRIORITY_HEADER, Aside, Limits, Piece, UpstreamFailed
from workers.relay_http import Remote, finish, problem_in

NS_PER_MS = 1_000_000
COUNT_MAX = 2**53  # of tokens and nanoseconds: beyond it a number is none
MODELS_MAX, MODEL_MAX_BYTES = 4000, 256  # all the names fit into one frame
ENDS = {"length": "length"}  # any other reason is a stop


class _Message(msgspec.Struct):
    content: str = ""
    thinking: str | None = None


class _Line(msgspec.Struct):
    """One object of a stream of /api/chat or /api/generate; times in nanoseconds."""

    message: _Message | None = None
    response: str = ""
    thinking: str | None = None
    done: bool = False
    done_reason: str | None = None
    error: object = None
    prompt_eval_count: int | None = 0
    eval_count: int | None = 0
    prompt_eval_duration: int | None = 0
    eval_duration: int | None = 0


class _Tag(msgspec.Struct):
    name: str


class _Tags(msgspec.Struct):
    models: list[_Tag] | None = None


class OllamaServer:
    name = "ollama"

    def __init__(self, url: str, key_file: str, limits: Limits) -> None:
        self.url = url
        self._remote = Remote(self.name, url, key_file, limits)
        self.open, self.close = self._remote.open, self._remote.close

    async def probe(self) -> list[str]:
        body = await self._remote.get("/api/tags")
        try:
            return names_of(msgspec.json.decode(body, type=_Tags))
        except MALFORMED as problem:
            raise UpstreamFailed("upstream_failed", f"/api/tags is not Ollama's: {problem}") from None

    async def answer(self, job: EngineJob) -> AsyncIterator[Piece | Aside | End]:
        path, body = request_of(job)
        headers = {"X-Request-Id": job.remote.request_id, PRIORITY_HEADER: job.remote.priority}
        async with aclosing(self._remote.lines(path, body, job.remote.hop, **headers)) as lines:
            async for line in lines:
                if not line.strip():
                    continue
                said = read_line(line)
                message = said.message or _Message()
                if thinking := message.thinking or said.thinking:
                    yield Aside("progress", thinking)
                if text := message.content or said.response:
                    yield Piece(text)
                if said.done:
                    yield end_of(said)
                    await finish(lines)
                    return


def read_line(line: bytes) -> _Line:
    """Raises: UpstreamFailed, if it is no line of this API or tells of an error."""
    try:
        said = msgspec.json.decode(line, type=_Line)
        error = json.dumps(said.error).encode()
    except MALFORMED as problem:
        raise UpstreamFailed("upstream_failed", f"ollama sent what is not its API: {problem}") from None
    if said.error is not None:
        raise UpstreamFailed("upstream_failed", f"ollama: {problem_in(error)}")
    return said


def names_of(tags: _Tags) -> list[str]:
    names = [tag.name for tag in tags.models or ()]
    return [name for name in names if len(name.encode()) <= MODEL_MAX_BYTES][:MODELS_MAX]


def request_of(job: EngineJob) -> tuple[str, dict]:
    """Path and body. A prompt that does not fit is to be an error and not to be cut: that is how it is here too."""
    body = {"model": job.remote.model, "stream": True, "options": options_of(job), "truncate": False, "shift": False}
    if job.messages is None:
        return "/api/generate", {**body, "prompt": job.prompt, "raw": True}
    return "/api/chat", {**body, "messages": [message_of(message) for message in job.messages]}


def message_of(message: ChatMessage) -> dict:
    """Ollama knows no `developer`."""
    role = "system" if message.role == "developer" else message.role
    said = {"role": role, "content": message.content}
    return {**said, "images": message.images} if message.images else said


def options_of(job: EngineJob) -> dict:
    same = {name: getattr(job.sampling, name) for name in Sampling.__struct_fields__}
    if job.max_tokens:
        same["num_predict"] = job.max_tokens
    return {**same, "stop": job.stop} if job.stop else same


def end_of(said: _Line) -> End:
    return End(ENDS.get(said.done_reason or "", "stop"), count_of(said.prompt_eval_count), count_of(said.eval_count),
               count_of(said.prompt_eval_duration) / NS_PER_MS, count_of(said.eval_duration) / NS_PER_MS)


def count_of(number: int | None) -> int:
    """JSON knows integers of any length; what is divided or put into a frame must have one that fits."""
    return min(max(0, number or 0), COUNT_MAX)
