"""How answers of chat completions look in the OpenAI dialect: SSE events, or one object. Values in, bytes out. Pure.

Reasoning stands beside the content, under the two names that clients of local servers read: `reasoning_content`
(DeepSeek's) and `reasoning` (OpenRouter's). Whoever reads both takes the first that is there. A choice that called
tools ends with `tool_calls`, unless it was cut short.
"""

from gateway.http.errors import error_body
from gateway.http.heard import Heard
from gateway.http.heard_choices import ChoicesFace, parts_of
from gateway.http.streams import SSE_DONE, encode, sse, waiting_comment
from gateway.protocol import CallPiece, Done, Progress, Started, TokenLogprob, Tokens, ToolCall, Usage

LOGPROB_MIN = -9999.0  # OpenAI's number for "never"; JSON has no infinity
NO_CHOICE = b"[]}\n\n"


class OpenAIFace(ChoicesFace):
    """What all answers of this dialect share. `created_s` is the wall clock in whole seconds; `model` is set when it is
    resolved; `maker` is this program and its version, which the fingerprint tells together with the model.
    """

    media_type = "text/event-stream; charset=utf-8"
    kind = ""  # `object` of a whole answer
    kind_of_chunk = ""

    def __init__(self, answer_id: str, created_s: int, *, include_usage: bool, maker: str = "") -> None:
        self.model = ""
        self._maker = maker
        self.places: dict[str, int] = {}
        self._id = answer_id
        self._created_s = created_s
        self._include_usage = include_usage
        self._model_around: str | None = None  # of which `_around` is known

    def waiting(self, progress: Progress | None, at: str) -> bytes:
        return waiting_comment(progress)

    def routed(self, event: Started, at: str) -> bytes:
        return f": model={event.model} route={event.route} reason={event.reason}\n\n".encode()

    def done(self, done: Done, at: str) -> bytes:
        end = self.ended(done)
        if self._include_usage:
            end += sse({**self._base(self.kind_of_chunk), "choices": [], "usage": usage_of(done.usage)})
        return end + SSE_DONE

    def error(self, code: str, message: str, param: str | None = None) -> bytes:
        return sse(error_body("openai", code, message, param))

    def whole(self, heard: Heard, done: Done, at: str) -> bytes:
        choices = [{"index": place, **self._choice(*part)} for place, part in enumerate(parts_of(heard, done))]
        return encode({**self._base(self.kind), "choices": choices, "usage": usage_of(done.usage),
                       "service_tier": "default"})

    def _choice(self, heard: Heard, done: Done) -> dict[str, object]:
        """One choice of a whole answer, without its index."""
        raise TypeError(f"{type(self).__name__} shows no choice")

    def _chunk(self, choice: dict[str, object]) -> bytes:
        head, tail = self._around()
        return head + encode(choice) + tail

    def _around(self) -> tuple[bytes, bytes]:
        """What stands before and after the choice in every chunk, encoded once."""
        if self._model_around != self.model:
            self._model_around = self.model
            chunk = sse({**self._base(self.kind_of_chunk), "choices": []}).removesuffix(NO_CHOICE)
            usage = b',"usage":null' if self._include_usage else b""
            self._head, self._tail = chunk + b"[", b"]" + usage + b"}\n\n"
        return self._head, self._tail

    def _base(self, kind: str) -> dict[str, object]:
        return {"id": self._id, "object": kind, "created": self._created_s, "model": self.model,
                "system_fingerprint": f"{self._maker}-{self.model}"}


class ChatCompletionFace(OpenAIFace):
    """`function_call`: calls look as they did before there were tools, for who asked with `functions`."""

    kind = "chat.completion"
    kind_of_chunk = "chat.completion.chunk"

    def __init__(self, answer_id: str, created_s: int, *, include_usage: bool, maker: str = "",
                 function_call: bool = False) -> None:
        super().__init__(answer_id, created_s, include_usage=include_usage, maker=maker)
        self._function_call = function_call
        self._begun: set[int] = set()
        self._called: set[int] = set()

    def tokens(self, event: Tokens, at: str) -> bytes:
        place = self.places.get(event.id, 0)
        out = self._begin(place)
        if event.text and not (event.thinking or event.logprobs or event.calls):
            return out + self._text(place, event.text)
        if event.thinking:
            out += self._delta(place, {"reasoning_content": event.thinking, "reasoning": event.thinking})
        if event.text or event.logprobs:
            out += self._delta(place, {"content": event.text}, logprobs_of(event.logprobs))
        if event.calls:
            self._called.add(place)
            out += self._delta(place, self._call_delta(event.calls))
        return out

    def ended(self, done: Done) -> bytes:
        place = self.places.get(done.id, 0)
        return self._begin(place) + self._delta(place, {}, reason=self._reason(done, called=place in self._called))

    def _choice(self, heard: Heard, done: Done) -> dict[str, object]:
        calls, thinking = heard.calls, heard.thinking
        message = {"role": "assistant", "content": heard.text if heard.text or not calls else None, "refusal": None}
        if thinking:
            message |= {"reasoning_content": thinking, "reasoning": thinking}
        if calls and self._function_call:
            message["function_call"] = {"name": calls[0].name, "arguments": calls[0].arguments}
        elif calls:
            message["tool_calls"] = [call_object(call) for call in calls]
        return {"message": message, "logprobs": logprobs_of(heard.logprobs),
                "finish_reason": self._reason(done, called=bool(calls))}

    def _reason(self, done: Done, *, called: bool) -> str:
        if called and done.finish_reason == "stop":
            return "function_call" if self._function_call else "tool_calls"
        return done.finish_reason

    def _begin(self, place: int) -> bytes:
        """The chunk that names the role, before the first other one of a choice."""
        if place in self._begun:
            return b""
        self._begun.add(place)
        return self._delta(place, {"role": "assistant", "content": ""})

    def _text(self, place: int, text: str) -> bytes:
        """As `_delta` says it. Tokens that are text alone are almost all there are: 1 us instead of 4."""
        head, tail = self._around()
        return b'%b{"index":%d,"delta":{"content":%b},"logprobs":null,"finish_reason":null}%b' % (
            head, place, encode(text), tail)

    def _call_delta(self, pieces: list[CallPiece]) -> dict[str, object]:
        if self._function_call:
            first = [piece for piece in pieces if piece.index == 0]
            named = {"name": name} if (name := "".join(piece.name for piece in first)) else {}
            return {"function_call": named | {"arguments": "".join(piece.arguments for piece in first)}}
        return {"tool_calls": [piece_object(piece) for piece in pieces]}

    def _delta(self, place: int, delta: dict[str, object], logprobs: dict[str, object] | None = None,
               reason: str | None = None) -> bytes:
        return self._chunk({"index": place, "delta": delta, "logprobs": logprobs, "finish_reason": reason})


def call_object(call: ToolCall) -> dict[str, object]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def piece_object(piece: CallPiece) -> dict[str, object]:
    """Only the first of a call has its id and name: who puts pieces together appends what later ones have."""
    if not piece.name:
        return {"index": piece.index, "function": {"arguments": piece.arguments}}
    return {"index": piece.index, "id": piece.id, "type": "function",
            "function": {"name": piece.name, "arguments": piece.arguments}}


def logprobs_of(found: list[TokenLogprob]) -> dict[str, object] | None:
    """None if none were asked for, or none are there."""
    return {"content": [{**token_object(each), "top_logprobs": [token_object(top) for top in each.top]}
                        for each in found], "refusal": None} if found else None


def token_object(found: TokenLogprob) -> dict[str, object]:
    return {"token": found.piece.decode("utf-8", "replace"), "logprob": max(found.logprob, LOGPROB_MIN),
            "bytes": list(found.piece)}


def usage_of(usage: Usage) -> dict[str, object]:
    return {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.prompt_tokens + usage.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
            "completion_tokens_details": {"reasoning_tokens": usage.thinking_tokens}}
