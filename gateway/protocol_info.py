"""The values that results carry: what a model is, how the gateway is, and what came of an order. Pure."""

import msgspec


class ModelInfo(msgspec.Struct, frozen=True):
    """`state` is the row's effective phase in lower case, `reason` says why, for people.

    `share_bytes` is what its process counts for in the budget. `keep_until_s`: seconds from now until it may go for
    want of use, 0 when that time is over, negative for ever, None while it is not loaded; one that is `pinned` does
    not go even then. `load_progress` is 0..1, 1 when it takes requests.
    """

    name: str
    aliases: list[str]
    engine: str
    path: str
    state: str
    reason: str
    context_length: int
    batch_max: int
    active: int
    queued: int
    memory_bytes: int
    load_ms: int
    pid: int
    share_bytes: int
    pinned: bool
    keep_until_s: float | None
    load_progress: float


class StatsInfo(msgspec.Struct, frozen=True):
    """Counters of this gateway epoch; lists and maps by class are in the order high, medium, low.

    `lost_to_eviction` counts jobs that a worker held when it left to make room. It must be 0 always.
    """

    epoch: int
    running: list[int]
    queued: list[int]
    admitted: list[int]
    finished: int
    failed: int
    cancelled: int
    rejected: int
    displaced: int
    expired: int
    retried: int
    dropped_frames: int
    lost_to_eviction: int
    max_running: int
    max_queued: int
    oldest_wait_ms: list[float]
    mean_wait_ms: list[float]
    service_rate_per_s: float


class OrderDone(msgspec.Struct, frozen=True):
    """An order (unload, evict, pin, unpin) was taken; `text` says what came of it, for people."""

    model: str
    text: str
