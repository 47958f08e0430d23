"""How answers look in Anthropic's dialect: its SSE events, or one message. Values in, bytes out.

An answer is a row of blocks (thinking, text, tool_use), each begun, filled and ended before the next. What the SDKs'
accumulators rely on: `message_start` comes before any block, indices count from 0 without gap, the counts of
`message_delta` stand for the whole answer. How many tokens the prompt had is known at the end alone, so the start says
0. While a request waits, a comment says why and a `ping` that we live, which SDKs pass over wherever it stands. An
answer that says nothing has one empty text, since clients read the first block without a look. Pure.
"""

from gateway.http.errors import error_body
from gateway.http.heard import Heard
from gateway.http.streams import Face, encode, waiting_comment
from gateway.http.tools import arguments_object
from gateway.protocol import CallPiece, Done, Progress, Started, Tokens, Usage

SIGNATURE = ""  # nothing here signs reasoning, or asks for it
CALL_ID = "toolu_"
TEXT_DELTA = (b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
              b'"delta":{"type":"text_delta","text":%b}}\n\n')  # as `_delta` says it, three times as fast
OPEN_END: dict[str, object] = {"stop_reason": None, "stop_sequence": None}


class AnthropicFace(Face):
    """`model`: as the caller wrote it; the resolved one if it named none."""

    media_type = "text/event-stream; charset=utf-8"

    def __init__(self, model: str, request_id: str) -> None:
        self.model = model
        self._request_id = request_id
        self._begun = False
        self._blocks = 0
        self._open = ""  # what the open block is: text, thinking or a call; "": none is
        self._called = False

    def tokens(self, event: Tokens, at: str) -> bytes:
        said = b""
        if event.thinking:
            said += self._block("thinking", {"type": "thinking", "thinking": "", "signature": SIGNATURE})
            said += self._delta({"type": "thinking_delta", "thinking": event.thinking})
        if event.text:
            said += self._block("text", {"type": "text", "text": ""})
            said += TEXT_DELTA % (self._blocks - 1, encode(event.text))
        return said + b"".join(map(self._call, event.calls))

    def waiting(self, progress: Progress | None, at: str) -> bytes:
        return waiting_comment(progress) + sse_event({"type": "ping"})

    def routed(self, event: Started, at: str) -> bytes:
        return f": model={event.model} route={event.route} reason={event.reason}\n\n".encode()

    def done(self, done: Done, at: str) -> bytes:
        empty = b"" if self._blocks else self._block("text", {"type": "text", "text": ""})
        end = {"type": "message_delta", "delta": ending(done, called=self._called), "usage": usage_of(done.usage)}
        return empty + self._end() + sse_event(end) + sse_event({"type": "message_stop"})

    def error(self, code: str, message: str, param: str | None = None) -> bytes:
        return sse_event(error_body("anthropic", code, message, request_id=self._request_id))

    def whole(self, heard: Heard, done: Done, at: str) -> bytes:
        content: list[dict[str, object]] = []
        if heard.thinking:
            content.append({"type": "thinking", "thinking": heard.thinking, "signature": SIGNATURE})
        calls = heard.calls
        if heard.text or not (content or calls):
            content.append({"type": "text", "text": heard.text})
        content += [{"type": "tool_use", "id": call_id(call.id, self._request_id, number), "name": call.name,
                     "input": arguments_object(call.arguments)} for number, call in enumerate(calls)]
        return encode(self._message(content, ending(done, called=bool(calls)), done.usage))

    def _message(self, content: list[dict[str, object]], end: dict[str, object], usage: Usage) -> dict[str, object]:
        return {"id": f"msg_{self._request_id}", "type": "message", "role": "assistant", "model": self.model,
                "content": content, **end, "usage": usage_of(usage) | {"service_tier": "standard"}}

    def _call(self, piece: CallPiece) -> bytes:
        self._called = True
        begun = self._block(f"call {piece.index}", {
            "type": "tool_use", "id": call_id(piece.id, self._request_id, piece.index), "name": piece.name,
            "input": {}})
        return begun + (self._delta({"type": "input_json_delta", "partial_json": piece.arguments})
                        if piece.arguments else b"")

    def _block(self, kind: str, empty: dict[str, object]) -> bytes:
        """The begin of a block, unless it is this one that is open. The message begins before its first one."""
        if self._open == kind:
            return b""
        before = self._end() if self._begun else sse_event(
            {"type": "message_start", "message": self._message([], OPEN_END, Usage(0, 0))})
        self._begun, self._open = True, kind
        self._blocks += 1
        return before + sse_event({"type": "content_block_start", "index": self._blocks - 1, "content_block": empty})

    def _delta(self, delta: dict[str, object]) -> bytes:
        return sse_event({"type": "content_block_delta", "index": self._blocks - 1, "delta": delta})

    def _end(self) -> bytes:
        """The end of the open block."""
        if not self._open:
            return b""
        signed = self._delta({"type": "signature_delta", "signature": SIGNATURE}) if self._open == "thinking" else b""
        self._open = ""
        return signed + sse_event({"type": "content_block_stop", "index": self._blocks - 1})


def sse_event(value: dict[str, object]) -> bytes:
    """With its type as the event's name too, as these SDKs read it."""
    return f"event: {value['type']}\ndata: ".encode() + encode(value) + b"\n\n"


def call_id(given: str, request_id: str, number: int) -> str:
    """As Anthropic's ids of calls begin, and different for each call of each request."""
    if given:
        return CALL_ID + given.removeprefix("call_").removeprefix(CALL_ID)
    return f"{CALL_ID}{''.join(each for each in request_id if each.isalnum())}_{number}"


def ending(done: Done, *, called: bool) -> dict[str, object]:
    """Why the answer ended. A call that waits for its result beats a stop string."""
    if done.finish_reason == "length":
        return {"stop_reason": "max_tokens", "stop_sequence": None}
    if called or not done.stop:
        return {"stop_reason": "tool_use" if called else "end_turn", "stop_sequence": None}
    return {"stop_reason": "stop_sequence", "stop_sequence": done.stop}


def usage_of(usage: Usage) -> dict[str, object]:
    """`input_tokens` are those that were computed; the cached ones are counted beside them."""
    details = {"output_tokens_details": {"thinking_tokens": usage.thinking_tokens}} if usage.thinking_tokens else {}
    return {"input_tokens": max(usage.prompt_tokens - usage.cached_tokens, 0), "output_tokens": usage.completion_tokens,
            "cache_creation_input_tokens": 0, "cache_read_input_tokens": usage.cached_tokens, **details}
