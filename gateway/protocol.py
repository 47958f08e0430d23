"""The client protocol on `clients.ipc`. The closed list of errors (`gateway/error_codes.py`) and the events
(`gateway/protocol_events.py`) and the values that results carry (`gateway/protocol_info.py`) are handed on from here,
so that this is the one module clients need.

Wire: a DEALER sends one frame per message, a MessagePack map with a `type`; any MessagePack library will do. The
gateway answers with one frame per event, a map with a `type`; a client whose hello said `batch: true` gets each
frame as an *array* of such maps instead (everything that one turn of the gateway's loop had for it).

    client  -> hello                 optional, unless keys are needed; answered by welcome (and again when this gateway
                                     is new to the client)
    client  -> submit                answered by accepted or error; then progress*, started, (note | tokens)*, and one
                                     done | error
    client  -> cancel                the request ends with done(finish_reason="cancelled") unless it ended before
    client  -> list | show | stats | route | whoami   answered by result or error
    client  -> load                             answered by progress*, then result or error
    client  -> unload | evict | pin | unpin     orders, carried out by control; answered by result or error

Unknown fields are accepted, wrong types refused with a message that names the field. Pure: no socket here.
"""

from typing import Annotated, Literal

import msgspec

from gateway.error_codes import ERRORS, ErrorCode
from gateway.protocol_events import (
    HANDED_ON,
    TERMINAL,
    Accepted,
    Done,
    Error,
    Event,
    Note,
    Progress,
    RateInfo,
    Result,
    Started,
    Timings,
    Tokens,
    Usage,
    Welcome,
    backend_of,
)
from gateway.protocol_info import BackendInfo, CallerInfo, ModelInfo, OrderDone, RouteInfo, RouteStep, StatsInfo

__all__ = ["ERRORS", "HANDED_ON", "TERMINAL", "Accepted", "BackendInfo", "CallerInfo", "Done", "Error", "ErrorCode",
           "Event", "ModelInfo", "Note", "OrderDone", "Progress", "RateInfo", "Result", "RouteInfo", "RouteStep",
           "Started", "StatsInfo", "Timings", "Tokens", "Usage", "Welcome", "backend_of"]

VERSION = 1
ID_MAX_CHARS = 128
KEY_MAX_CHARS = 256
USER = "user "  # what `caller` begins with if it is a user that a front end has named, and no address
STOP_MAX = 16
STOP_MAX_CHARS = 256
MESSAGES_MAX = 4096
IMAGES_MAX = 64
TOKENS_MAX = 1_048_576
BODY_MAX_BYTES = 32 * 1024 * 1024
KEEP_ALIVE_MAX_S = 1e15  # in milliseconds it still fits into a word of the table

Key = Annotated[str, msgspec.Meta(max_length=KEY_MAX_CHARS)]
Id = Annotated[str, msgspec.Meta(min_length=1, max_length=ID_MAX_CHARS)]
Name = Annotated[str, msgspec.Meta(max_length=256)]
TokenId = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
OneModel = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]  # an order never means the default model
KeepAlive = Annotated[float, msgspec.Meta(ge=-KEEP_ALIVE_MAX_S, le=KEEP_ALIVE_MAX_S)] | None
PRIORITIES = ("high", "medium", "low")


class Message(msgspec.Struct, frozen=True):
    """`images` are base64 (PNG, JPEG or what the backend reads)."""

    role: Literal["system", "user", "assistant", "tool", "developer"]
    content: str
    images: Annotated[list[str], msgspec.Meta(max_length=IMAGES_MAX)] = []


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
    """`key`: for whatever this client asks without a key of its own. `secret`: only our own http knows it; its client
    may say in `caller` whom it asks for, and is not taken for that person itself.
    """

    v: int = VERSION
    batch: bool = False
    key: Key = ""
    secret: Key = ""


class Submit(msgspec.Struct, tag="submit", tag_field="type", frozen=True):
    """Ask for an answer. Exactly one of `messages`, `prompt` (taken as it is, no template), `tokens`.

    Without `model` the `category` chooses one, without either the default answers. `kind` chooses the chain of
    backends, `victoria` the one for a chat with that agent; `session` is what the agent calls the conversation.
    `demanding`: tools, a schema or reasoning are asked, so this is no simple work. `hop`: how often the request was
    handed on already. `key`: the API key; `caller`: whose share of the queue it counts for (heard from http alone).
    `trace`: what other servers are told that this request is called; not given: something unique.
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
    category: Name = ""
    kind: Literal["chat", "task", "batch", "agent"] = "task"
    victoria: bool = False
    session: Name = ""
    max_steps: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0
    demanding: bool = False
    hop: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 0
    trace: Name = ""
    key: Key = ""


class Route(Submit, tag="route", tag_field="type", frozen=True):
    """Who would answer this request, and why. Nothing is asked of anybody; answered by a result (`RouteInfo`)."""


class Cancel(msgspec.Struct, tag="cancel", tag_field="type", frozen=True):
    id: Id


class ListModels(msgspec.Struct, tag="list", tag_field="type", frozen=True):
    """Answered by a result whose value is a list of `ModelInfo`."""

    id: Id
    key: Key = ""


class Show(msgspec.Struct, tag="show", tag_field="type", frozen=True):
    """Answered by a result whose value is one `ModelInfo`."""

    id: Id
    model: Name
    key: Key = ""


class Stats(msgspec.Struct, tag="stats", tag_field="type", frozen=True):
    """Answered by a result whose value is `StatsInfo`."""

    id: Id
    key: Key = ""


class LoadModel(msgspec.Struct, tag="load", tag_field="type", frozen=True):
    """Load without asking anything. Answered by progress and then a result (ModelInfo) or an error.

    `keep_alive_s` as in `Submit`, from the moment it is answered: a load counts as use.
    """

    id: Id
    model: Name
    keep_alive_s: KeepAlive = None
    key: Key = ""


class Unload(msgspec.Struct, tag="unload", tag_field="type", frozen=True):
    """Unload as soon as it is idle and nobody waits for it. Orders are answered by a result (OrderDone) or an error."""

    id: Id
    model: OneModel
    key: Key = ""


class Evict(msgspec.Struct, tag="evict", tag_field="type", frozen=True):
    """Unload now, or not at all: `model_busy` if it answers, loads or is pinned. Answered when its process is gone."""

    id: Id
    model: OneModel
    key: Key = ""


class Pin(msgspec.Struct, tag="pin", tag_field="type", frozen=True):
    """Never unload it, until `unpin` or the end of the stack."""

    id: Id
    model: OneModel
    key: Key = ""


class Unpin(msgspec.Struct, tag="unpin", tag_field="type", frozen=True):
    """Unload it as any other."""

    id: Id
    model: OneModel
    key: Key = ""


class WhoAmI(msgspec.Struct, tag="whoami", tag_field="type", frozen=True):
    """What this caller may do; answered by a result (`CallerInfo`)."""

    id: Id
    key: Key = ""


Order = Unload | Evict | Pin | Unpin
FromClient = (Hello | Submit | Route | Cancel | ListModels | Show | Stats | WhoAmI | LoadModel | Unload | Evict | Pin
              | Unpin)


encode = msgspec.msgpack.Encoder().encode
decode_from_client = msgspec.msgpack.Decoder(FromClient).decode
decode_event = msgspec.msgpack.Decoder(Event).decode
decode_events = msgspec.msgpack.Decoder(list[Event]).decode
decode_models = msgspec.msgpack.Decoder(list[ModelInfo]).decode
decode_model = msgspec.msgpack.Decoder(ModelInfo).decode
decode_stats = msgspec.msgpack.Decoder(StatsInfo).decode
decode_route = msgspec.msgpack.Decoder(RouteInfo).decode
decode_caller = msgspec.msgpack.Decoder(CallerInfo).decode
decode_order = msgspec.msgpack.Decoder(OrderDone).decode
