"""How an answer looks in each dialect: as a stream of NDJSON lines or SSE events, or whole. Values in, bytes out.

A *face* is made per request and knows the names and times that its objects repeat. `at` is the wall clock as text
(RFC 3339), given by the caller, since this is pure. What clients rely on and this keeps:

* NDJSON: never a blank line; a sign of life is an object with empty content and `done: false`; the last one has
  `done: true` with nanosecond durations.
* SSE: a sign of life is a comment line; the usage chunk has no choices; `[DONE]` comes after a good end only.
* An error in mid-stream is the dialect's error object as the last line or event.
"""

from typing import Protocol

import msgspec

from gateway.http.errors import error_body
from gateway.protocol import Done, Note, Progress, Started, Usage

NS_PER_MS = 1_000_000
SSE_DONE = b"data: [DONE]\n\n"
encode = msgspec.json.Encoder().encode


class Face(Protocol):
    """A face that can show a load has `loaded` too. Dialects that have no place for what an agent does say nothing."""

    media_type: str
    model: str  # as the caller wrote it, else set to the resolved name as soon as that is known

    def started(self, event: Started) -> bytes:
        """A backend has it; said again when another one takes over."""
        return b""

    def routed(self, event: Started, at: str) -> bytes:
        """The same in the body, if the headers that tell it have left already."""
        return b""

    def note(self, note: Note) -> bytes:
        """What an agent does meanwhile."""
        return b""

    def tokens(self, text: str, at: str) -> bytes: ...

    def waiting(self, progress: Progress | None, at: str) -> bytes:
        """A sign of life; `progress` None if the answer has begun or nothing is known."""

    def done(self, done: Done, at: str) -> bytes: ...

    def error(self, code: str, message: str) -> bytes: ...

    def whole(self, text: str, done: Done, at: str) -> bytes:
        """The answer that is not streamed."""


class OllamaFace(Face):
    """`chat` decides between the `message` of /api/chat and the `response` of /api/generate."""

    media_type = "application/x-ndjson"

    def __init__(self, model: str, *, chat: bool) -> None:
        self.model = model
        self.chat = chat

    def tokens(self, text: str, at: str) -> bytes:
        return self._line(text, at, {"done": False})

    def waiting(self, progress: Progress | None, at: str) -> bytes:
        facts = {} if progress is None else {
            "queue_position": progress.position, "reason": progress.reason, "detail": progress.detail,
            "load_progress": progress.load_progress, "estimate_s": progress.estimate_s}
        return self._line("", at, {"done": False, **facts})

    def routed(self, event: Started, at: str) -> bytes:
        return self._line("", at, {"done": False, "route": event.route, "route_reason": event.reason})

    def done(self, done: Done, at: str) -> bytes:
        return self.whole("", done, at)

    def loaded(self, at: str) -> bytes:
        """The only object of a request that loads and asks nothing."""
        return self._line("", at, {"done": True, "done_reason": "load"})

    def unloaded(self, at: str) -> bytes:
        """The only object of a request that unloads."""
        return self._line("", at, {"done": True, "done_reason": "unload"})

    def error(self, code: str, message: str) -> bytes:
        return encode({"error": message}) + b"\n"  # whoever has half an answer is not told "server busy"

    def whole(self, text: str, done: Done, at: str) -> bytes:
        times, usage = done.timings, done.usage
        return self._line(text, at, {
            "done": True,
            "done_reason": done.finish_reason,
            "total_duration": round(times.total_ms * NS_PER_MS),
            "load_duration": round(times.load_ms * NS_PER_MS),
            "prompt_eval_count": usage.prompt_tokens,
            "prompt_eval_duration": round(times.prompt_ms * NS_PER_MS),
            "eval_count": usage.completion_tokens,
            "eval_duration": round(times.decode_ms * NS_PER_MS),
        })

    def _line(self, text: str, at: str, rest: dict[str, object]) -> bytes:
        said = {"message": {"role": "assistant", "content": text}} if self.chat else {"response": text}
        return encode({"model": self.model, "created_at": at, **said, **rest}) + b"\n"


class OpenAIFace(Face):
    """Chat completions. `created_s` is the wall clock in whole seconds; `model` is set when it is resolved."""

    media_type = "text/event-stream; charset=utf-8"

    def __init__(self, answer_id: str, created_s: int, *, include_usage: bool) -> None:
        self.model = ""
        self._id = answer_id
        self._created_s = created_s
        self._include_usage = include_usage
        self._begun = False

    def tokens(self, text: str, at: str) -> bytes:
        return self._begin() + self._chunk({"content": text}, None)

    def waiting(self, progress: Progress | None, at: str) -> bytes:
        if progress is None:
            return b": waiting\n\n"
        detail = " ".join(progress.detail.split())  # a line break would end the comment
        return (f": queued position={progress.position} reason={progress.reason} "
                f"estimate_s={progress.estimate_s:g}{detail and f' detail={detail}'}\n\n").encode()

    def routed(self, event: Started, at: str) -> bytes:
        return f": model={event.model} route={event.route} reason={event.reason}\n\n".encode()

    def done(self, done: Done, at: str) -> bytes:
        end = self._begin() + self._chunk({}, done.finish_reason)
        if self._include_usage:
            end += sse({**self._base("chat.completion.chunk"), "choices": [], "usage": usage_of(done.usage)})
        return end + SSE_DONE

    def error(self, code: str, message: str) -> bytes:
        return sse(error_body("openai", code, message))

    def whole(self, text: str, done: Done, at: str) -> bytes:
        choice = {"index": 0, "message": {"role": "assistant", "content": text, "refusal": None}, "logprobs": None,
                  "finish_reason": done.finish_reason}
        return encode({**self._base("chat.completion"), "choices": [choice], "usage": usage_of(done.usage)})

    def _begin(self) -> bytes:
        """The chunk that names the role, before the first other one."""
        if self._begun:
            return b""
        self._begun = True
        return self._chunk({"role": "assistant", "content": ""}, None)

    def _chunk(self, delta: dict[str, str], finish_reason: str | None) -> bytes:
        chunk = {**self._base("chat.completion.chunk"),
                 "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}]}
        if self._include_usage:
            chunk["usage"] = None
        return sse(chunk)

    def _base(self, kind: str) -> dict[str, object]:
        return {"id": self._id, "object": kind, "created": self._created_s, "model": self.model}


def sse(value: dict[str, object]) -> bytes:
    return b"data: " + encode(value) + b"\n\n"


def usage_of(usage: Usage) -> dict[str, int]:
    return {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.prompt_tokens + usage.completion_tokens}
