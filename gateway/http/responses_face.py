"""OpenAI's Responses API, what it says: typed events with their numbers, or one object. Values in, bytes out. Pure.

A response is a list of items: reasoning, messages, calls of functions. Each item of a stream is told when it begins,
piece by piece, and as a whole when it ends, and the last event holds the whole response once more. A stream that fails
ends with `response.failed` and an `error`, which makes the official library raise; it has no other end.

Signs of life are comments. While the answer has not begun, `response.queued` comes with them: some clients give up on
a stream that is silent for minutes, and count events alone. Its response repeats nothing of the request that may be
long: the events before and after have that.
"""

from collections.abc import Sequence
from typing import Any

from gateway.http.errors import error_body
from gateway.http.heard import Heard
from gateway.http.openai_face import OpenAIFace, token_object
from gateway.http.streams import encode
from gateway.protocol import CallPiece, Done, Progress, TokenLogprob, Tokens, Usage

REASONING, MESSAGE, CALL = "reasoning", "message", "function_call"
PREFIXES = {REASONING: "rs", MESSAGE: "msg", CALL: "fc"}
SAYS = {REASONING: "response.reasoning_text", MESSAGE: "response.output_text",
        CALL: "response.function_call_arguments"}
ERROR_CODES = {"rate_limited": "rate_limit_exceeded", "invalid_request": "invalid_prompt",
               "context_length_exceeded": "invalid_prompt"}  # the dialect has a closed list of its own
Json = dict[str, Any]
SHORT: Json = {"instructions": None, "metadata": {}, "tools": [], "tool_choice": "auto", "text": {"format": {
    "type": "text"}}}  # for what of the request may be long


class OutputItem:
    """One item, as far as it has come. `call`: index, id and name of a call."""

    def __init__(self, kind: str, item_id: str, call: CallPiece | None = None) -> None:
        self.kind = kind
        self.id = item_id
        self.call = call
        self.logprobs: list[Json] = []
        self.status = "in_progress"
        self._texts: list[str] = []

    def add(self, text: str, logprobs: Sequence[Json] = ()) -> None:
        self._texts.append(text)
        self.logprobs += logprobs

    @property
    def text(self) -> str:
        return "".join(self._texts)

    def part(self, *, empty: bool = False) -> Json:
        """The one content part of words or reasoning."""
        text = "" if empty else self.text
        if self.kind == REASONING:
            return {"type": "reasoning_text", "text": text}
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": [] if empty else self.logprobs}

    def shown(self, *, empty: bool = False) -> Json:
        base = {"id": self.id, "type": self.kind, "status": self.status}
        if self.call is not None:
            return base | {"call_id": self.call.id, "name": self.call.name, "arguments": "" if empty else self.text}
        content = {"content": [] if empty else [self.part()]}
        return base | ({"summary": []} if self.kind == REASONING else {"role": "assistant"}) | content


class ResponsesFace(OpenAIFace):
    """`settings`: what the response repeats of its request. Routes and signs of life are shown as in chats."""

    def __init__(self, request_id: str, created_s: int, settings: Json) -> None:
        super().__init__(f"resp_{request_id}", created_s, include_usage=False)
        self._request_id = request_id
        self._created_s = created_s
        self._settings = settings
        self._items: list[OutputItem] = []
        self._number = 0

    # -- a stream ---------------------------------------------------------------------------------------------

    def tokens(self, event: Tokens, at: str) -> bytes:
        said = b""
        if event.thinking:
            said += self._say(REASONING, event.thinking)
        if event.text or event.logprobs:
            said += self._say(MESSAGE, event.text, [logprob_of(each) for each in event.logprobs])
        for piece in event.calls:
            said += self._say(CALL, piece.arguments, call=piece)
        return self._begin() + said if said else b""

    def waiting(self, progress: Progress | None, at: str) -> bytes:
        comment = super().waiting(progress, at)
        if self._items or not self.model:
            return comment
        return comment + self._begin() + self._event("response.queued", response=self._response("queued") | SHORT)

    def done(self, done: Done, at: str) -> bytes:
        before = self._begin()
        if not self._items:
            before += self._open(MESSAGE)
        status = self._end_of(done)
        before += self._close(status)
        return before + self._event(f"response.{status}", response=self._response(status, done))

    def error(self, code: str, message: str, param: str | None = None) -> bytes:
        failed = {"code": ERROR_CODES.get(code, "server_error"), "message": message}
        if self._items and self._items[-1].status == "in_progress":
            self._items[-1].status = "incomplete"
        return self._begin() + self._event("response.failed", response=self._response("failed", error=failed)) + (
            self._event("error", code=code, message=message, param=param, **error_body("openai", code, message, param)))

    # -- a whole answer ---------------------------------------------------------------------------------------

    def whole(self, heard: Heard, done: Done, at: str) -> bytes:
        if heard.thinking:
            self._new_item(REASONING).add(heard.thinking)
        if heard.text or not heard.calls:
            self._new_item(MESSAGE).add(heard.text, [logprob_of(each) for each in heard.logprobs])
        for index, call in enumerate(heard.calls):
            self._new_item(CALL, CallPiece(index, call.id, call.name)).add(call.arguments)
        for item in self._items:
            item.status = "completed"
        self._items[-1].status = status = self._end_of(done)
        return encode(self._response(status, done))

    # -- parts of both ----------------------------------------------------------------------------------------

    @staticmethod
    def _end_of(done: Done) -> str:
        return "incomplete" if done.finish_reason == "length" else "completed"

    def _begin(self) -> bytes:
        """The events before the first other one. They go out even if nothing else was said before the end."""
        if self._number:
            return b""
        return b"".join(self._event(f"response.{kind}", response=self._response("in_progress"))
                        for kind in ("created", "in_progress"))

    def _new_item(self, kind: str, call: CallPiece | None = None) -> OutputItem:
        self._items.append(OutputItem(kind, f"{PREFIXES[kind]}_{self._request_id}_{len(self._items)}", call))
        return self._items[-1]

    def _say(self, kind: str, text: str, logprobs: Sequence[Json] = (), call: CallPiece | None = None) -> bytes:
        """A piece of an item, after the end of the one before it and its own beginning, if it begins."""
        last = self._items[-1] if self._items else None
        said = b""
        if last is None or last.kind != kind or (call is not None and last.call.index != call.index):
            said = self._begin() + self._close("completed") + self._open(kind, call)
        item = self._items[-1]
        item.add(text, logprobs)
        more = {"logprobs": logprobs} if kind == MESSAGE else {}
        return said + self._event(f"{SAYS[kind]}.delta", **self._place(item), delta=text, **more)

    def _open(self, kind: str, call: CallPiece | None = None) -> bytes:
        item = self._new_item(kind, call)
        said = self._event("response.output_item.added", output_index=len(self._items) - 1, item=item.shown(empty=True))
        if kind == CALL:
            return said
        return said + self._event("response.content_part.added", **self._place(item), part=item.part(empty=True))

    def _close(self, status: str) -> bytes:
        """The end of the last item, if there is one."""
        if not self._items:
            return b""
        item = self._items[-1]
        item.status = status
        end = {"arguments": item.text, "name": item.call.name} if item.call is not None else {"text": item.text}
        if item.kind == MESSAGE:
            end["logprobs"] = item.logprobs
        said = self._event(f"{SAYS[item.kind]}.done", **self._place(item), **end)
        if item.kind != CALL:
            said += self._event("response.content_part.done", **self._place(item), part=item.part())
        return said + self._event("response.output_item.done", output_index=len(self._items) - 1, item=item.shown())

    def _place(self, item: OutputItem) -> Json:
        """Only the last item is written to."""
        place = {"item_id": item.id, "output_index": len(self._items) - 1}
        return place if item.kind == CALL else place | {"content_index": 0}

    def _event(self, kind: str, **facts: object) -> bytes:
        number, self._number = self._number, self._number + 1
        data = encode({"type": kind, "sequence_number": number, **facts})
        return b"event: " + kind.encode() + b"\ndata: " + data + b"\n\n"

    def _ended_s(self, done: Done) -> int:
        return self._created_s + round(done.timings.total_ms / 1000)

    def _response(self, status: str, done: Done | None = None, error: Json | None = None) -> Json:
        return {
            "id": self._id, "object": "response", "created_at": self._created_s, "status": status,
            "completed_at": self._ended_s(done) if status == "completed" else None,
            "error": error,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "model": self.model,
            "output": [item.shown() for item in self._items],
            **self._settings,
            "usage": usage_of(done.usage) if done is not None else None,
        }


def usage_of(usage: Usage) -> Json:
    return {"input_tokens": usage.prompt_tokens,
            "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
            "output_tokens": usage.completion_tokens,
            "output_tokens_details": {"reasoning_tokens": usage.thinking_tokens},
            "total_tokens": usage.prompt_tokens + usage.completion_tokens}


def logprob_of(found: TokenLogprob) -> Json:
    """With the likeliest tokens beside it."""
    return token_object(found) | {"top_logprobs": [token_object(each) for each in found.top]}
