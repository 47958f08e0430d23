"""The relay to the Victoria agent: POST /stream, answered by server-sent events.

    data: {"type": "start|step|progress|chunk|error|end", "content": ...}

The last message is the goal, what came before it the history. Only chunks are the answer; start, step and progress are
shown to who wants to see them. An error, or an end of the connection without `end`, is a failure. Victoria counts no
tokens, so the counts of her answers are 0.

She is given text alone and answers with text: tools, schemas, chances and the like are not offered here. Whether she
reasons is her own matter.
"""

import json
from collections.abc import AsyncIterator
from contextlib import aclosing

import msgspec

from control.messages import MALFORMED
from workers.engine import EngineJob
from workers.job_parts import NONE
from workers.protocol import End
from workers.relay import PRIORITY_HEADER, Aside, Limits, Piece, UpstreamFailed, not_offered
from workers.relay_http import Remote, finish, trace_headers

DATA = b"data:"
ASIDES = ("start", "step", "progress")


class _Event(msgspec.Struct):
    type: str
    content: object = None


class VictoriaServer:
    name = "victoria"

    def __init__(self, url: str, key_file: str, limits: Limits) -> None:
        self.url = url
        self._remote = Remote(self.name, url, key_file, limits)
        self.open, self.close = self._remote.open, self._remote.close

    async def probe(self) -> list[str]:
        await self._remote.get("/health")
        return [self.name]

    async def answer(self, job: EngineJob) -> AsyncIterator[Piece | Aside | End]:
        headers = {"X-Correlation-ID": job.remote.request_id, "Accept": "text/event-stream",
                   PRIORITY_HEADER: job.remote.priority} | trace_headers(job.remote.traceparent)
        async with aclosing(self._remote.lines("/stream", request_of(job), job.remote.hop, **headers)) as lines:
            async for line in lines:
                if not line.startswith(DATA):
                    continue  # a comment, the name of an event, or the blank line after it
                event = read_event(line)
                text = text_of(event.content)
                if event.type == "chunk":
                    yield Piece(text)
                elif event.type in ASIDES:
                    yield Aside(event.type, text)
                elif event.type == "error":
                    raise UpstreamFailed("upstream_failed", f"victoria: {text}")
                elif event.type == "end":
                    yield End("stop", 0, 0, 0.0, 0.0)
                    await finish(lines)
                    return


def read_event(line: bytes) -> _Event:
    """Raises: UpstreamFailed."""
    try:
        return msgspec.json.decode(line.removeprefix(DATA), type=_Event)
    except MALFORMED as problem:
        raise UpstreamFailed("upstream_failed", f"victoria sent what is not her API: {problem}") from None


def check_offered(job: EngineJob) -> None:
    """Raises: UpstreamFailed `not_offered`, naming what is asked besides words."""
    extras = job.extras
    for field, is_asked in (
        ("inputs", job.inputs is not None), ("tokens", job.tokens is not None),
        ("tools", bool(extras.tools) and extras.tool_choice != NONE),
        ("schema", extras.schema is not None), ("logprobs", extras.logprobs is not None),
        ("logit_bias", bool(extras.logit_bias)), ("template", bool(extras.template)),
        ("suffix", extras.suffix is not None),
    ):
        if is_asked:
            raise not_offered("victoria", field)


def request_of(job: EngineJob) -> dict:
    """Raises: UpstreamFailed `not_offered`."""
    check_offered(job)
    remote = job.remote
    *history, last = job.messages or [None]
    body = {
        "goal": last.content if last is not None else job.prompt,
        "session_id": remote.session or remote.request_id,
        "chat_history": [{"role": message.role, "content": message.content} for message in history],
    }
    return {**body, "max_steps": remote.max_steps} if remote.max_steps else body


def text_of(content: object) -> str:
    """Raises: UpstreamFailed, if it is nested too deeply to be written."""
    try:
        return content if isinstance(content, str) else "" if content is None else json.dumps(
            content, ensure_ascii=False)
    except RecursionError as problem:
        raise UpstreamFailed("upstream_failed", f"victoria sent what is not her API: {problem}") from None
