"""The relay to a server with Ollama's API: Ollama itself, or mlx-warden on another machine.

A chat goes to /api/chat; to /api/generate goes a prompt that is taken as it is (`raw`), one with a suffix, and a single
question with a template of its own. All that a request asks for goes on in Ollama's names: sampling and the seed,
format, reasoning, tools and calls in the history, chances, limits of the context. What Ollama has no word for is not
offered here, so that the next backend of the chain may do it: a bias, a call that must be made, schemas that calls must
meet. Only one call at a time is kept here: of several the first is passed on. Source: Ollama's docs/api.md.

`workers/relay_ollama_lines.py` reads the answer. Names of the server's models that are too long, and those after
MODELS_MAX, are left out: nobody can ask for them.
"""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

import msgspec

from control.messages import MALFORMED
from workers.engine import EngineJob
from workers.job_parts import AUTO, NONE, Tool
from workers.protocol import ChatMessage, End, Sampling
from workers.relay import PRIORITY_HEADER, Aside, Limits, Piece, UpstreamFailed, not_offered
from workers.relay_http import Remote, finish, trace_headers
from workers.relay_ollama_lines import end_of, piece_of, read_line

MODELS_MAX, MODEL_MAX_BYTES = 4000, 256  # all the names fit into one frame
ANY_OBJECT = {"type": "object"}
LACKING = re.compile(r"does not support (\w+)")  # in what it says of a model that cannot do it
FIELDS = {"thinking": "think", "insert": "suffix", "vision": "images"}


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
        try:
            async with aclosing(self._answer(job)) as parts:
                async for part in parts:
                    yield part
        except UpstreamFailed as failed:
            if failed.code == "invalid_request" and (lacking := LACKING.search(failed.message)):
                raise not_offered("ollama", FIELDS.get(lacking[1], lacking[1]), failed.message) from None
            raise

    async def _answer(self, job: EngineJob) -> AsyncIterator[Piece | Aside | End]:
        path, body = request_of(job)
        headers = {"X-Request-Id": job.remote.request_id, PRIORITY_HEADER: job.remote.priority} | trace_headers(
            job.remote.traceparent)
        calls, calls_max = 0, None if job.extras.parallel_tools else 1
        async with aclosing(self._remote.lines(path, body, job.remote.hop, **headers)) as lines:
            async for line in lines:
                if not line.strip():
                    continue
                said = read_line(line)
                piece = piece_of(said, calls, calls_max)
                if piece is not None:
                    calls += len(piece.more.calls) if piece.more is not None else 0
                    yield piece
                if said.done:
                    yield end_of(said)
                    await finish(lines)
                    return


def names_of(tags: _Tags) -> list[str]:
    names = [tag.name for tag in tags.models or ()]
    return [name for name in names if len(name.encode()) <= MODEL_MAX_BYTES][:MODELS_MAX]


def request_of(job: EngineJob) -> tuple[str, dict]:
    """Path and body. A prompt that does not fit is cut only if its caller says so.

    Raises:
        UpstreamFailed: `not_offered`, naming what Ollama has no word for.
    """
    check_offered(job)
    extras = job.extras
    body = {"model": job.remote.model, "stream": True, "options": options_of(job), "truncate": extras.truncate,
            "shift": extras.shift, **asked_of_the_answer(job)}
    if job.messages is None:
        how = {"raw": True} if extras.suffix is None else {"suffix": extras.suffix}
        return "/api/generate", {**body, "prompt": job.prompt, **how}
    if extras.template:
        return "/api/generate", {**body, "template": extras.template, **question_of(job.messages)}
    tools = {"tools": [tool_of(tool) for tool in extras.tools]} if extras.tools and extras.tool_choice != NONE else {}
    return "/api/chat", {**body, "messages": messages_of(job.messages), **tools}


def check_offered(job: EngineJob) -> None:
    """Raises: UpstreamFailed."""
    extras = job.extras
    for field, is_asked in (
        ("inputs", job.inputs is not None), ("tokens", job.tokens is not None), ("logit_bias", bool(extras.logit_bias)),
        ("tool_choice", extras.tool_choice not in (AUTO, NONE)),
        ("tools[].strict", extras.tool_choice != NONE and any(tool.strict for tool in extras.tools)),
    ):
        if is_asked:
            raise not_offered("ollama", field)


def asked_of_the_answer(job: EngineJob) -> dict[str, Any]:
    extras, found = job.extras, {}
    if extras.schema not in (None, False):
        found["format"] = "json" if extras.schema in (True, ANY_OBJECT) else extras.schema
    if extras.think is not None:
        found["think"] = extras.think
    if extras.logprobs is not None:
        found |= {"logprobs": True, "top_logprobs": extras.logprobs}
    return found


def question_of(messages: Sequence[ChatMessage]) -> dict[str, Any]:
    """One turn as /api/generate takes it. Raises: UpstreamFailed, if it is more than that."""
    *before, last = messages
    if last.role != "user" or [message.role for message in before] not in ([], ["system"]):
        raise not_offered("ollama", "template for more than one question")
    system = {"system": before[0].content} if before else {}
    return {"prompt": last.content, **system, **({"images": last.images} if last.images else {})}


def messages_of(messages: Sequence[ChatMessage]) -> list[dict[str, Any]]:
    """Ollama knows no `developer`, and wants the name of the function where a tool answers."""
    names = {call.id: call.name for message in messages for call in message.tool_calls if call.id}
    return [message_of(message, message.name or names.get(message.tool_call_id, "")) for message in messages]


def message_of(message: ChatMessage, tool_name: str) -> dict[str, Any]:
    said: dict[str, Any] = {"role": "system" if message.role == "developer" else message.role,
                            "content": message.content}
    if message.images:
        said["images"] = message.images
    if message.thinking:
        said["thinking"] = message.thinking
    if message.tool_calls:
        said["tool_calls"] = [{"id": call.id, "function": {"index": index, "name": call.name,
                                                           "arguments": arguments_of(call.arguments)}}
                              for index, call in enumerate(message.tool_calls)]
    if message.role == "tool":
        answered = {"tool_name": tool_name, "tool_call_id": message.tool_call_id}
        said |= {name: text for name, text in answered.items() if text}
    return said


def arguments_of(text: str) -> dict[str, Any]:
    """Raises: UpstreamFailed `invalid_request`, if they are not JSON; who calls over HTTP hears that sooner."""
    try:
        return msgspec.json.decode(text, type=dict[str, Any]) if text else {}
    except MALFORMED as problem:
        raise UpstreamFailed("invalid_request", f"messages: the arguments of a call are no JSON object: {problem}",
                             is_its_fault=False) from None


def tool_of(tool: Tool) -> dict[str, Any]:
    parameters = {**ANY_OBJECT, "properties": {}, **tool.parameters}
    return {"type": "function", "function": {"name": tool.name, "description": tool.description,
                                             "parameters": parameters}}


def options_of(job: EngineJob) -> dict[str, Any]:
    same: dict[str, Any] = {name: getattr(job.sampling, name) for name in Sampling.__struct_fields__}
    for name, given in (("num_predict", job.max_tokens), ("stop", job.stop), ("num_ctx", job.extras.num_ctx),
                        ("num_keep", job.extras.num_keep)):
        if given:
            same[name] = given
    return same
