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
                                                (an answer to `inputs` has vectors* in place of tokens)
    client  -> cancel                the request ends with done(finish_reason="cancelled") unless it ended before
    client  -> list | show | stats | metrics | route | whoami | tokenize   answered by result or error
    client  -> load                             answered by progress*, then result or error
    client  -> pull                             answered by fetching*, then result or error
    client  -> copy | delete                    answered by result or error
    client  -> unload | evict | pin | unpin     orders, carried out by control; answered by result or error

Unknown fields are accepted, wrong types refused with a message that names the field. Pure: no socket here.
"""

from typing import Annotated

import msgspec

from gateway.error_codes import ERRORS, ErrorCode
from gateway.protocol_events import (
    HANDED_ON,
    PAUSED,
    TERMINAL,
    Accepted,
    Done,
    Error,
    Event,
    Fetching,
    Note,
    Progress,
    RateInfo,
    Result,
    Started,
    Timings,
    Tokens,
    Usage,
    Vectors,
    Welcome,
    backend_of,
)
from gateway.protocol_info import (
    BackendInfo,
    CallerInfo,
    CountInfo,
    HistogramCounts,
    HistogramKind,
    MetricsInfo,
    ModelInfo,
    ModelMetrics,
    OrderDone,
    PullDone,
    RouteInfo,
    RouteStep,
    StatsInfo,
)
from gateway.protocol_submit import (
    BIASES_MAX,
    BODY_MAX_BYTES,
    ID_MAX_CHARS,
    IMAGES_MAX,
    INPUTS_MAX,
    KEEP_ALIVE_MAX_S,
    KEY_MAX_CHARS,
    LOGPROBS_MAX,
    MESSAGES_MAX,
    OPTION_TOKENS_MAX,
    PRIORITIES,
    STOP_MAX,
    STOP_MAX_CHARS,
    TOKENS_MAX,
    TOOLS_MAX,
    USER,
    Id,
    KeepAlive,
    Key,
    Message,
    Name,
    OneModel,
    Options,
    Route,
    Submit,
)
from workers.job_parts import AUTO, NAMED, NONE, REQUIRED, CallPiece, Think, TokenLogprob, Tool, ToolCall

__all__ = ["AUTO", "BIASES_MAX", "BODY_MAX_BYTES", "ERRORS", "HANDED_ON", "ID_MAX_CHARS", "IMAGES_MAX", "INPUTS_MAX",
           "KEEP_ALIVE_MAX_S", "KEY_MAX_CHARS", "LOGPROBS_MAX", "MESSAGES_MAX", "NAMED", "NONE", "OPTION_TOKENS_MAX",
           "PAUSED", "PRIORITIES", "REQUIRED", "STOP_MAX", "STOP_MAX_CHARS", "TERMINAL", "TOKENS_MAX", "TOOLS_MAX",
           "USER", "Accepted", "BackendInfo", "CallPiece", "CallerInfo", "CountInfo", "Done", "Error", "ErrorCode",
           "Event", "Fetching", "HistogramCounts", "HistogramKind", "Message", "MetricsInfo", "ModelInfo",
           "ModelMetrics", "Note", "Options", "OrderDone", "Progress", "PullDone", "RateInfo", "Result", "Route",
           "RouteInfo", "RouteStep", "Started", "StatsInfo", "Submit", "Timings", "TokenLogprob", "Tokens", "Tool",
           "ToolCall", "Usage", "Vectors", "Welcome", "backend_of"]

VERSION = 1


class Hello(msgspec.Struct, tag="hello", tag_field="type", frozen=True):
    """`key`: for whatever this client asks without a key of its own. `secret`: only our own http knows it; its client
    may say in `caller` whom it asks for, and is not taken for that person itself.
    """

    v: int = VERSION
    batch: bool = False
    key: Key = ""
    secret: Key = ""


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


class Metrics(msgspec.Struct, tag="metrics", tag_field="type", frozen=True):
    """What was measured of all requests. Answered by a result whose value is `MetricsInfo`.

    Our own http needs no key for it: it has decided who may see that, and must know it while nobody gives a key.
    """

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


class Tokenize(msgspec.Struct, tag="tokenize", tag_field="type", frozen=True, omit_defaults=True):
    """How many tokens this prompt would have: one of `messages` (with the chat template) and `prompt` (without). The
    model need not be loaded. Answered by a result (`CountInfo`), with the ids if `with_ids`.
    """

    id: Id
    model: Name = ""
    messages: Annotated[list[Message], msgspec.Meta(min_length=1, max_length=MESSAGES_MAX)] | None = None
    prompt: str | None = None
    tools: Annotated[list[Tool], msgspec.Meta(max_length=TOOLS_MAX)] = []
    think: Think = None
    with_ids: bool = False
    key: Key = ""


class Pull(msgspec.Struct, tag="pull", tag_field="type", frozen=True):
    """Fetch a model (a Hugging Face id, or a directory of this machine) and configure it under `model`, until `delete`.

    Answered by fetching*, then a result (`PullDone`) or an error. Leaving stops the download, which goes on where it
    was when it is asked again.
    """

    id: Id
    model: OneModel
    source: Name = ""
    key: Key = ""


class Copy(msgspec.Struct, tag="copy", tag_field="type", frozen=True):
    """Give a model a further name, which lasts. Answered by a result (`OrderDone`)."""

    id: Id
    model: OneModel
    to: OneModel
    key: Key = ""


class Delete(msgspec.Struct, tag="delete", tag_field="type", frozen=True):
    """Forget a name that `copy` or `pull` made; the weights too if `pull` fetched them and nobody else refers to them.

    Answered by a result (`OrderDone`) or an error; one that answers or loads is `model_busy`.
    """

    id: Id
    model: OneModel
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
FromClient = (Hello | Submit | Route | Cancel | ListModels | Show | Stats | Metrics | WhoAmI | Tokenize | LoadModel
              | Pull | Copy | Delete | Unload | Evict | Pin | Unpin)


encode = msgspec.msgpack.Encoder().encode
decode_from_client = msgspec.msgpack.Decoder(FromClient).decode
decode_event = msgspec.msgpack.Decoder(Event).decode
decode_events = msgspec.msgpack.Decoder(list[Event]).decode
decode_models = msgspec.msgpack.Decoder(list[ModelInfo]).decode
decode_model = msgspec.msgpack.Decoder(ModelInfo).decode
decode_stats = msgspec.msgpack.Decoder(StatsInfo).decode
decode_metrics = msgspec.msgpack.Decoder(MetricsInfo).decode
decode_route = msgspec.msgpack.Decoder(RouteInfo).decode
decode_caller = msgspec.msgpack.Decoder(CallerInfo).decode
decode_count = msgspec.msgpack.Decoder(CountInfo).decode
decode_pull = msgspec.msgpack.Decoder(PullDone).decode
decode_order = msgspec.msgpack.Decoder(OrderDone).decode
