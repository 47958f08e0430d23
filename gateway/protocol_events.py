"""What the gateway says to its clients: the events of a request's life, and the answers to questions.

`gateway.protocol` hands all of it on and says which event follows which. Pure.
"""

from typing import Literal

import msgspec

from workers.job_parts import CallPiece, TokenLogprob


class Welcome(msgspec.Struct, tag="welcome", tag_field="type", frozen=True):
    """`epoch` is this gateway's: a newer one than before means that what ran before is lost."""

    v: int
    epoch: int
    boot_id: int
    version: str


class RateInfo(msgspec.Struct, frozen=True):
    """Of this caller: requests in a window, those left, and when the next is free again if none is left."""

    limit: int
    remaining: int
    reset_s: float


class Accepted(msgspec.Struct, tag="accepted", tag_field="type", frozen=True):
    """`position` 0: goes next; `model` is the resolved name. `clamped`: the class that was asked for, if the key does
    not allow it; `rate` None: there is no limit.
    """

    id: str
    epoch: int
    model: str
    priority: str
    position: int
    clamped: str = ""
    rate: RateInfo | None = None


def backend_of(route: str) -> str:
    """Who answers: the last of the route."""
    return route.rpartition(">")[2]


HANDED_ON = "handed on"  # reason of the Progress that goes out before a job goes to another server
PAUSED = "paused"  # reason of the Progress of an answer that stands still for a request of class HIGH


class Progress(msgspec.Struct, tag="progress", tag_field="type", frozen=True):
    """While a request waits. `reason`: queued | loading | starting | backoff | memory, or PAUSED, which may come in the
    middle of an answer, or HANDED_ON: from now on another server may have begun it. `estimate_s` is a guess, 1..120.

    `detail` is why the model is as it is, for people; "" when there is nothing to say.
    """

    id: str
    position: int
    reason: str
    estimate_s: float
    load_progress: float = 0.0
    detail: str = ""


class Fetching(msgspec.Struct, tag="fetching", tag_field="type", frozen=True):
    """How far a pull is. `file` "": about all of it; `digest` is the SHA-256 of the file in hex if it is known."""

    id: str
    status: str
    file: str = ""
    digest: str = ""
    total_bytes: int = 0
    completed_bytes: int = 0


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


class Note(msgspec.Struct, tag="note", tag_field="type", frozen=True):
    """What an agent does meanwhile, for people; no part of the answer. `kind`: start | step | progress."""

    id: str
    kind: str
    text: str


class Tokens(msgspec.Struct, tag="tokens", tag_field="type", frozen=True, omit_defaults=True):
    """`position` is the index of the first of `ids`. `text` is of the answer, `thinking` of the reasoning before it,
    `calls` are pieces of calls of tools, `logprobs` were asked for; any of them may be empty, and fields not sent are.

    What a relay answers has no ids: `position` counts the events that said something.
    """

    id: str
    position: int
    ids: list[int]
    text: str
    thinking: str = ""
    calls: list[CallPiece] = []
    logprobs: list[TokenLogprob] = []


class Vectors(msgspec.Struct, tag="vectors", tag_field="type", frozen=True):
    """The next embeddings, in the order of the inputs: each is float32, little-endian."""

    id: str
    vectors: list[bytes]


class Usage(msgspec.Struct, frozen=True):
    """`cached_tokens` of the prompt were not computed again; `thinking_tokens` of the answer were reasoning."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    thinking_tokens: int = 0


class Timings(msgspec.Struct, frozen=True):
    """Milliseconds. `load_ms` is the part of the wait spent on loading the model (0 if it was loaded)."""

    queue_ms: float
    load_ms: float
    prompt_ms: float
    decode_ms: float
    total_ms: float


class Done(msgspec.Struct, tag="done", tag_field="type", frozen=True):
    """`stop`: which of the stop strings ended the answer; "" if none did, or if nobody knows (a relay)."""

    id: str
    finish_reason: Literal["stop", "length", "cancelled"]
    model: str
    usage: Usage
    timings: Timings
    priority: str
    route: str = "mlx"
    reason: str = ""
    attempt: int = 1
    stop: str = ""


class Error(msgspec.Struct, tag="error", tag_field="type", frozen=True):
    """Ends the request `id` ("" when the frame could not be read that far). `code` is a key of `ERRORS`."""

    id: str
    code: str
    message: str
    status: int
    retry_after_s: float = 0.0
    rate: RateInfo | None = None


class Result(msgspec.Struct, tag="result", tag_field="type", frozen=True):
    """The answer to a question or an order; `value` is decoded with `decode_models`, `_model`, `_stats` or `_order`."""

    id: str
    value: msgspec.Raw


Event = Welcome | Accepted | Progress | Fetching | Started | Note | Tokens | Vectors | Done | Error | Result
TERMINAL = (Done, Error, Result)
