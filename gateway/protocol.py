"""The client protocol on `clients.ipc`. The closed list of errors (`gateway/error_codes.py`) and the values that
results carry (`gateway/protocol_info.py`) are handed on from here, so that this is the one module clients need.

Wire: a DEALER sends one frame per message, a MessagePack map with a `type`; any MessagePack library will do. The
gateway answers with one frame per event, a map with a `type`; a client whose hello said `batch: true` gets each
frame as an *array* of such maps instead (everything that one turn of the gateway's loop had for it).

    client  -> hello                 optional; answered by welcome (and again when this gateway is new to the client)
    client  -> submit                answered by accepted or error; then progress*, started, tokens*, one done | error
    client  -> cancel                the request ends with done(finish_reason="cancelled") unless it ended before
    client  -> list | show | stats              answered by result or error
    client  -> load                             answered by progress*, then result or error
    client  -> unload | evict | pin | unpin     orders, carried out by control; answered by result or error

Unknown fields are accepted, wrong types refused with a message that names the field. Pure: no socket here.
"""

from typing import Annotated, Literal

import msgspec

from gateway.error_codes import ERRORS, ErrorCode
from gateway.protocol_info import ModelInfo, OrderDone, StatsInfo

__all__ = ["ERRORS", "ErrorCode", "ModelInfo", "OrderDone", "StatsInfo"]

VERSION = 1
ID_MAX_CHARS = 128
STOP_MAX = 16
STOP_MAX_CHARS = 256
MESSAGES_MAX = 4096
TOKENS_MAX = 1_048_576
BODY_MAX_BYTES = 32 * 1024 * 1024
KEEP_ALIVE_MAX_S = 1e15  # in milliseconds it still fits into a word of the table

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=ID_MAX_CHARS)]
Name = Annotated[str, msgspec.Meta(max_length=256)]
TokenId = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
OneModel = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]  # an order never means the default model
KeepAlive = Annotated[float, msgspec.Meta(ge=-KEEP_ALIVE_MAX_S, le=KEEP_ALIVE_MAX_S)] | None
PRIORITIES = ("high", "medium", "low")


class Message(msgspec.Struct, frozen=True):
    role: Literal["system", "user", "assistant", "tool", "developer"]
    content: str


def _within(low: float, high: float, kind: type = float):
    """An optional number with limits; the decoder's message names the field and the limit."""
    return Annotated[kind, msgspec.Meta(ge=low, le=high)] | None


class Options(msgspec.Struct, frozen=True):
    """Every field optional; what is not given comes from the model's configuration. `seed` not given: drawn."""

    max_tokens: _within(1, 10_000_000, int) = None
    temperature: _within(0, 10) = None
    top_p: _within(0, 1) = None
    top_k: _within(0, 1_000_000, int) = None
    min_p: _within(0, 1) = None
    repeat_penalty: _within(0.01, 100) = None
    repeat_last_n: _within(-1, 1_000_000, int) = None
    presence_penalty: _within(-100, 100) = None
    frequency_penalty: _within(-100, 100) = None
    seed: _within(-(2**63), 2**63 - 1, int) = None
    stop: Annotated[list[Annotated[str, msgspec.Meta(min_length=1, max_length=STOP_MAX_CHARS)]],
                    msgspec.Meta(max_length=STOP_MAX)] | None = None


class Hello(msgspec.Struct, tag="hello", tag_field="type", frozen=True):
    v: int = VERSION
    batch: bool = False


class Submit(msgspec.Struct, tag="submit", tag_field="type", frozen=True):
    """Ask for an answer. Exactly one of `messages`, `prompt` (taken as it is, no template), `tokens`.

    `keep_alive_s`: how long the model should stay loaded after this answer; negative: for ever, 0: unload it as soon
    as it is idle, not given: as configured. Of several requests the newest decides.
    """

    id: Id
    model: Name = ""
    messages: Annotated[list[Message], msgspec.Meta(min_length=1, max_length=MESSAGES_MAX)] | None = None
    prompt: str | None = None
    tokens: Annotated[list[TokenId], msgspec.Meta(min_length=1, max_length=TOKENS_MAX)] | None = None
    options: Options = Options()
    priority: Literal["high", "medium", "low"] = "medium"
    caller: Name = ""
    deadline_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] | None = None
    keep_alive_s: KeepAlive = None


class Cancel(msgspec.Struct, tag="cancel", tag_field="type", frozen=True):
    id: Id


class ListModels(msgspec.Struct, tag="list", tag_field="type", frozen=True):
    """Answered by a result whose value is a list of `ModelInfo`."""

    id: Id


class Show(msgspec.Struct, tag="show", tag_field="type", frozen=True):
    """Answered by a result whose value is one `ModelInfo`."""

    id: Id
    model: Name


class Stats(msgspec.Struct, tag="stats", tag_field="type", frozen=True):
    """Answered by a result whose value is `StatsInfo`."""

    id: Id


class LoadModel(msgspec.Struct, tag="load", tag_field="type", frozen=True):
    """Load without asking anything. Answered by progress and then a result (ModelInfo) or an error.

    `keep_alive_s` as in `Submit`, from the moment it is answered: a load counts as use.
    """

    id: Id
    model: Name
    keep_alive_s: KeepAlive = None


class Unload(msgspec.Struct, tag="unload", tag_field="type", frozen=True):
    """Unload as soon as it is idle and nobody waits for it. Orders are answered by a result (OrderDone) or an error."""

    id: Id
    model: OneModel


class Evict(msgspec.Struct, tag="evict", tag_field="type", frozen=True):
    """Unload now, or not at all: `model_busy` if it answers, loads or is pinned. Answered when its process is gone."""

    id: Id
    model: OneModel


class Pin(msgspec.Struct, tag="pin", tag_field="type", frozen=True):
    """Never unload it, until `unpin` or the end of the stack."""

    id: Id
    model: OneModel


class Unpin(msgspec.Struct, tag="unpin", tag_field="type", frozen=True):
    """Unload it as any other."""

    id: Id
    model: OneModel


Order = Unload | Evict | Pin | Unpin
FromClient = Hello | Submit | Cancel | ListModels | Show | Stats | LoadModel | Unload | Evict | Pin | Unpin


class Welcome(msgspec.Struct, tag="welcome", tag_field="type", frozen=True):
    """`epoch` is this gateway's: a newer one than before means that what ran before is lost."""

    v: int
    epoch: int
    boot_id: int
    version: str


class Accepted(msgspec.Struct, tag="accepted", tag_field="type", frozen=True):
    """`position` 0: goes next; `model` is the resolved name."""

    id: str
    epoch: int
    model: str
    priority: str
    position: int


class Progress(msgspec.Struct, tag="progress", tag_field="type", frozen=True):
    """While a request waits. `reason`: queued | loading | starting | backoff | memory. `estimate_s` is a guess, 1..120.

    `detail` is why the model is as it is, for people; "" when there is nothing to say.
    """

    id: str
    position: int
    reason: str
    estimate_s: float
    load_progress: float = 0.0
    detail: str = ""


class Started(msgspec.Struct, tag="started", tag_field="type", frozen=True):
    """A backend has accepted the request. Said again, with a higher `attempt`, when it is given to another.

    `route`: the backends tried so far, e.g. "mlx"; `reason`: why it is not the first of the chain. `load_ms` is the
    part of `queue_ms` spent on loading the model.
    """

    id: str
    model: str
    route: str
    reason: str
    attempt: int
    queue_ms: float
    load_ms: float


class Tokens(msgspec.Struct, tag="tokens", tag_field="type", frozen=True):
    """`position` is the index of the first of `ids`; either of `ids` and `text` may be empty."""

    id: str
    position: int
    ids: list[int]
    text: str


class Usage(msgspec.Struct, frozen=True):
    prompt_tokens: int
    completion_tokens: int


class Timings(msgspec.Struct, frozen=True):
    """Milliseconds. `load_ms` is the part of the wait spent on loading the model (0 if it was loaded)."""

    queue_ms: float
    load_ms: float
    prompt_ms: float
    decode_ms: float
    total_ms: float


class Done(msgspec.Struct, tag="done", tag_field="type", frozen=True):
    id: str
    finish_reason: Literal["stop", "length", "cancelled"]
    model: str
    usage: Usage
    timings: Timings
    priority: str
    route: str = "mlx"
    reason: str = ""
    attempt: int = 1


class Error(msgspec.Struct, tag="error", tag_field="type", frozen=True):
    """Ends the request `id` ("" when the frame could not be read that far). `code` is a key of `ERRORS`."""

    id: str
    code: str
    message: str
    status: int
    retry_after_s: float = 0.0


class Result(msgspec.Struct, tag="result", tag_field="type", frozen=True):
    """The answer to a question or an order; `value` is decoded with `decode_models`, `_model`, `_stats` or `_order`."""

    id: str
    value: msgspec.Raw


Event = Welcome | Accepted | Progress | Started | Tokens | Done | Error | Result
TERMINAL = (Done, Error, Result)

encode = msgspec.msgpack.Encoder().encode
decode_from_client = msgspec.msgpack.Decoder(FromClient).decode
decode_event = msgspec.msgpack.Decoder(Event).decode
decode_events = msgspec.msgpack.Decoder(list[Event]).decode
decode_models = msgspec.msgpack.Decoder(list[ModelInfo]).decode
decode_model = msgspec.msgpack.Decoder(ModelInfo).decode
decode_stats = msgspec.msgpack.Decoder(StatsInfo).decode
decode_order = msgspec.msgpack.Decoder(OrderDone).decode
