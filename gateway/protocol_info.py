"""The values that results carry: what a model is, how the gateway is, what came of an order, who would answer. Pure."""

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
    audience: str = "all"


class BackendInfo(msgspec.Struct, frozen=True):
    """A relay. `state`: ready | down | starting; `reason` says why, for people. `models`: what its server has."""

    name: str
    url: str
    state: str
    reason: str
    running: int
    queued: int
    max_running: int
    models: list[str]


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
    rate_limited: int = 0
    hops: int = 0  # requests that went on to another backend, for whatever reason
    spilled: int = 0  # requests that went to Ollama because MLX was overloaded, at once or from the queue
    backends: list[BackendInfo] = []


class HistogramKind(msgspec.Struct, frozen=True):
    """`edges` rise; a value belongs to the first that is not below it."""

    name: str
    edges: list[float]


class HistogramCounts(msgspec.Struct, frozen=True):
    """`counts` by bucket, not cumulative: one for each edge, and one for what is above them all."""

    counts: list[int]
    sum: float


class ModelMetrics(msgspec.Struct, frozen=True):
    """Of one model since this gateway began. `ended`: stop | length | abort | error; `histograms` in the order of
    `MetricsInfo.kinds`. Tokens of answers under way are among `generation_tokens`. `queried_tokens`: of the prompts of
    answers that have ended; `cached_tokens` of them were not computed again.
    """

    slug: str
    name: str
    audience: str
    ended: dict[str, int]
    prompt_tokens: int
    generation_tokens: int
    histograms: list[HistogramCounts]
    preemptions: int = 0
    queried_tokens: int = 0
    cached_tokens: int = 0


class MetricsInfo(msgspec.Struct, frozen=True):
    """What was measured since this gateway began. `waits` in seconds by class, the highest first.

    `ended`: admitted requests by how they ended (stop, length, cancelled, or an error's code). `refused`: requests that
    were not admitted, by code; `refused_besides`: questions, loads and orders.
    """

    epoch: int
    kinds: list[HistogramKind]
    models: list[ModelMetrics]
    wait_edges_s: list[float]
    waits: list[HistogramCounts]
    ended: dict[str, int]
    refused: dict[str, int]
    refused_besides: dict[str, int]


class OrderDone(msgspec.Struct, frozen=True):
    """An order (unload, evict, pin, unpin, copy, delete) was taken; `text` says what came of it, for people."""

    model: str
    text: str


class RouteStep(msgspec.Struct, frozen=True):
    """One step of a chain. `state`: open | closed | down | absent; `why` for people."""

    backend: str
    model: str
    state: str
    why: str


class RouteInfo(msgspec.Struct, frozen=True):
    """Who would answer a request now. `chosen`: index into `steps`; -1: nobody, and `code` and `message` say why.

    `simple`: it may leave MLX for want of a place there. `overloaded`: MLX is, for this kind of work.
    """

    model: str
    kind: str
    priority: str
    audience: str
    simple: bool
    overloaded: bool
    steps: list[RouteStep]
    chosen: int
    route: str
    reason: str
    code: str = ""
    message: str = ""


class CallerInfo(msgspec.Struct, frozen=True):
    """`name`: of the key; "" without one. `models`: the only ones allowed; empty: all. `rate_limit` 0: none."""

    name: str
    audience: str
    max_priority: str
    models: list[str]
    rate_limit: int
    rate_window_s: float
    rate_remaining: int


class CountInfo(msgspec.Struct, frozen=True):
    """`context_length` of the model, 0 if not known: a prompt must have fewer `tokens`, since one is for the answer."""

    model: str
    tokens: int
    context_length: int
    ids: list[int] | None = None


class PullDone(msgspec.Struct, frozen=True):
    """The model is configured as `model` and may be asked; `text` for people."""

    model: str
    path: str
    bytes: int
    text: str
