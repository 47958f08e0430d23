"""From the lines of an answer in Ollama's API to pieces of an answer: text, reasoning, calls, chances, counts.

The server is not trusted: what is no JSON, no text or nested without end is its failure, and its numbers are bounded.
A call that comes without an id gets one, for its caller must be able to name it. Of tokens their ids are not known.
"""

import json
import uuid
from typing import Annotated, Any

import msgspec

from control.messages import MALFORMED
from workers.job_parts import CallPiece, More, TokenLogprob
from workers.protocol import End
from workers.relay import Piece, UpstreamFailed
from workers.relay_http import problem_in

NS_PER_MS = 1_000_000
COUNT_MAX = 2**53  # of tokens and nanoseconds: beyond it a number is none
TOP_MAX = 20
PIECE_MAX_BYTES, NAME_MAX_CHARS = 256, 256
LOGPROB_MIN = -9999.0
UNKNOWN_ID = -1
ENDS = {"length": "length"}  # any other reason is a stop
Byte = Annotated[int, msgspec.Meta(ge=0, le=255)]


class _Function(msgspec.Struct):
    name: str
    arguments: dict[str, Any] | str | None = None


class _Call(msgspec.Struct):
    function: _Function
    id: str | None = None


class _Chance(msgspec.Struct):
    token: str = ""
    logprob: float | None = None
    bytes: list[Byte] | None = None
    top_logprobs: "list[_Chance] | None" = None


class Message(msgspec.Struct):
    content: str | None = ""
    thinking: str | None = None
    tool_calls: list[_Call] | None = None


class Line(msgspec.Struct):
    """One object of a stream of /api/chat or /api/generate; times in nanoseconds."""

    message: Message | None = None
    response: str | None = ""
    thinking: str | None = None
    logprobs: list[_Chance] | None = None
    done: bool = False
    done_reason: str | None = None
    error: object = None
    prompt_eval_count: int | None = 0
    eval_count: int | None = 0
    prompt_eval_duration: int | None = 0
    eval_duration: int | None = 0


def read_line(line: bytes) -> Line:
    """Raises: UpstreamFailed, if it is no line of this API or tells of an error."""
    try:
        said = msgspec.json.decode(line, type=Line)
        error = json.dumps(said.error).encode()
    except MALFORMED as problem:
        raise UpstreamFailed("upstream_failed", f"ollama sent what is not its API: {problem}") from None
    if said.error is not None:
        raise UpstreamFailed("upstream_failed", f"ollama: {problem_in(error)}")
    return said


def piece_of(said: Line, calls_before: int, calls_max: int | None) -> Piece | None:
    """What this line says of the answer; None if nothing. `calls_before`: in the lines before it. Of more calls than
    `calls_max` the rest is left out.
    """
    message = said.message or Message()
    text, thinking = message.content or said.response or "", message.thinking or said.thinking or ""
    calls = [call_of(call, number) for number, call in enumerate(message.tool_calls or (), calls_before)
             if calls_max is None or number < calls_max]
    chances = [chance_of(one) for one in said.logprobs or ()]
    if not (thinking or calls or chances):
        return Piece(text) if text else None
    return Piece(text, More(thinking, calls, chances))


def call_of(call: _Call, index: int) -> CallPiece:
    """Raises: UpstreamFailed, if its arguments are no object."""
    given = call.function.arguments
    try:
        found = msgspec.json.decode(given, type=dict[str, Any]) if isinstance(given, str) and given else given or {}
        arguments = msgspec.json.encode(found).decode()
    except MALFORMED as problem:
        raise UpstreamFailed("upstream_failed", f"ollama sent what is not its API: {problem}") from None
    return CallPiece(index, (call.id or f"call_{uuid.uuid4().hex[:24]}")[:NAME_MAX_CHARS],
                     call.function.name[:NAME_MAX_CHARS], arguments)


def chance_of(said: _Chance) -> TokenLogprob:
    top = [TokenLogprob(UNKNOWN_ID, bytes_of(each), logprob_of(each)) for each in (said.top_logprobs or ())[:TOP_MAX]]
    return TokenLogprob(UNKNOWN_ID, bytes_of(said), logprob_of(said), top)


def bytes_of(said: _Chance) -> bytes:
    return (bytes(said.bytes) if said.bytes else said.token.encode())[:PIECE_MAX_BYTES]


def logprob_of(said: _Chance) -> float:
    return LOGPROB_MIN if said.logprob is None else max(said.logprob, LOGPROB_MIN)


def end_of(said: Line) -> End:
    return End(ENDS.get(said.done_reason or "", "stop"), count_of(said.prompt_eval_count), count_of(said.eval_count),
               count_of(said.prompt_eval_duration) / NS_PER_MS, count_of(said.eval_duration) / NS_PER_MS)


def count_of(number: int | None) -> int:
    """JSON knows integers of any length; what is divided or put into a frame must have one that fits."""
    return min(max(0, number or 0), COUNT_MAX)
