"""How answers look in the Ollama dialect: lines of NDJSON, or one object. Values in, bytes out. Pure.

Reasoning is `thinking` beside the text, and a call of a tool has its arguments as an object. A call is shown when it is
complete; a chance is told for each token of the text, in the names of Ollama.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.http.heard import Heard
from gateway.http.streams import NS_PER_MS, Face, encode
from gateway.protocol import CallPiece, Done, Progress, Started, TokenLogprob, Tokens, ToolCall

LOGPROB_MIN = -9999.0  # for what cannot come at all: JSON has no infinity


class OllamaFace(Face):
    """`chat` decides between the `message` of /api/chat and the `response` of /api/generate."""

    media_type = "application/x-ndjson"

    def __init__(self, model: str, *, chat: bool) -> None:
        self.model = model
        self.chat = chat
        self._pieces: dict[int, ToolCall] = {}  # calls that are not complete yet
        self._model, self._model_known = b"", ""  # encoded, and of which name

    def tokens(self, event: Tokens, at: str) -> bytes:
        if event.text and not (event.thinking or event.calls or event.logprobs):
            return self._text(event.text, at)
        calls = [self._call(index, call, arguments) for index, call, arguments in self._complete(event.calls)]
        if not (event.text or event.thinking or calls or event.logprobs):
            return b""
        return self._line(event.text, at, {"done": False, **told(event.logprobs)}, event.thinking, calls)

    def waiting(self, progress: Progress | None, at: str) -> bytes:
        facts = {} if progress is None else {
            "queue_position": progress.position, "reason": progress.reason, "detail": progress.detail,
            "load_progress": progress.load_progress, "estimate_s": progress.estimate_s}
        return self._line("", at, {"done": False, **facts})

    def routed(self, event: Started, at: str) -> bytes:
        return self._line("", at, {"done": False, "route": event.route, "route_reason": event.reason})

    def done(self, done: Done, at: str) -> bytes:
        return self.whole(Heard(), done, at)

    def loaded(self, at: str) -> bytes:
        """The only object of a request that loads and asks nothing."""
        return self._line("", at, {"done": True, "done_reason": "load"})

    def unloaded(self, at: str) -> bytes:
        """The only object of a request that unloads."""
        return self._line("", at, {"done": True, "done_reason": "unload"})

    def error(self, code: str, message: str, param: str | None = None) -> bytes:
        return encode({"error": message}) + b"\n"  # whoever has half an answer is not told "server busy"

    def whole(self, heard: Heard, done: Done, at: str) -> bytes:
        times, usage = done.timings, done.usage
        calls = [self._call(index, call, arguments) for index, call in enumerate(heard.calls)
                 if (arguments := arguments_of(call.arguments)) is not None]
        return self._line(heard.text, at, {
            "done": True,
            "done_reason": done.finish_reason,
            "total_duration": round(max(times.total_ms, times.load_ms + times.prompt_ms + times.decode_ms) * NS_PER_MS),
            "load_duration": round(times.load_ms * NS_PER_MS),
            "prompt_eval_count": usage.prompt_tokens,
            "prompt_eval_duration": round(times.prompt_ms * NS_PER_MS),
            "eval_count": usage.completion_tokens,
            "eval_duration": round(times.decode_ms * NS_PER_MS),
            **told(heard.logprobs),
        }, heard.thinking, calls)

    def _complete(self, pieces: list[CallPiece]) -> list[tuple[int, ToolCall, dict[str, Any]]]:
        """The calls that these pieces complete: index, call, arguments."""
        found = []
        for piece in pieces:
            known = self._pieces.pop(piece.index, ToolCall("", ""))
            call = ToolCall(known.name or piece.name, known.arguments + piece.arguments, known.id or piece.id)
            if (arguments := arguments_of(call.arguments)) is None:
                self._pieces[piece.index] = call
            else:
                found.append((piece.index, call, arguments))
        return found

    def _call(self, index: int, call: ToolCall, arguments: dict[str, Any]) -> dict[str, Any]:
        said = {"function": {"index": index, "name": call.name, "arguments": arguments}}
        return {"id": call.id, **said} if call.id else said

    def _text(self, text: str, at: str) -> bytes:
        """As `_line` says it. Tokens that are text alone are almost all there are: 1 us instead of 3."""
        if self._model_known != self.model:
            self._model_known, self._model = self.model, encode(self.model)
        said = b'"message":{"role":"assistant","content":%b}' if self.chat else b'"response":%b'
        return (b'{"model":%b,"created_at":"%b",' + said + b',"done":false}\n') % (
            self._model, at.encode(), encode(text))

    def _line(self, text: str, at: str, rest: dict[str, object], thinking: str = "",
              calls: Sequence[dict[str, Any]] = ()) -> bytes:
        more: dict[str, Any] = {"thinking": thinking} if thinking else {}
        if calls:
            more["tool_calls"] = calls
        if self.chat:
            return encode({"model": self.model, "created_at": at,
                           "message": {"role": "assistant", "content": text, **more}, **rest}) + b"\n"
        return encode({"model": self.model, "created_at": at, "response": text, **more, **rest}) + b"\n"


def arguments_of(text: str) -> dict[str, Any] | None:
    """None if the text is not complete."""
    try:
        return msgspec.json.decode(text, type=dict[str, Any]) if text.strip() else {}
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def told(logprobs: list[TokenLogprob]) -> dict[str, Any]:
    return {"logprobs": [chance(one) | {"top_logprobs": [chance(top) for top in one.top]} if one.top else chance(one)
                         for one in logprobs]} if logprobs else {}


def chance(one: TokenLogprob) -> dict[str, Any]:
    return {"token": one.piece.decode(errors="replace"), "logprob": max(one.logprob, LOGPROB_MIN),
            "bytes": list(one.piece)}
