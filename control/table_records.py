"""What the words of the table mean: every kind of record, who writes it, and the table as values.

A record's one writer stands first in its docstring. Bytes, whole numbers and monotonic nanoseconds throughout; how they
are laid out and checked is `control/table_layout.py`. A reading of them is advice. Pure.
"""

from typing import NamedTuple

from control.states import CONTROL_PHASES, Phase, effective_phase, is_fresh

SUPERVISORD_STALE_NS = 10_000_000_000
WORD_BYTES = 8
SLUG_MAX_BYTES = 96
REASON_MAX_BYTES = 240
WARNING_MAX_BYTES = 496
FOREVER = 2**63 - 1  # of a time that never comes


class ControlWords(NamedTuple):
    """control about itself. `overload` and `spill` are one bit per class; times are monotonic nanoseconds.

    `supervisord_at_ns`: when the newest list of processes was asked of supervisord; 0: none yet. A class whose bit is
    set in `overload` gets no new work begun. `spill` has a bit for each `control.routing.Kind` of work that MLX is
    overloaded for. `pressure_level` is a `control.pressure_level.Level`; `ceiling_bytes` is
    what all shares together may reach (0: not worked out yet), `reserved_bytes` what they reach now, `leaked_bytes`
    what processes that ended did not give back. `refused_by_*` are the `evictions_refused` by who refused;
    nobody: the gateway did not answer. `available_bytes` of `total_bytes` are measured, never injected.
    """

    epoch: int
    heartbeat_ns: int
    pid: int
    pressure_permille: int
    overload: int
    spill: int
    supervisord_at_ns: int
    pressure_level: int
    pressure_read_at_ns: int
    ceiling_bytes: int
    reserved_bytes: int
    leaked_bytes: int
    available_bytes: int
    total_bytes: int
    evictions: int
    evictions_refused: int
    forced_kills: int
    refused_by_control: int
    refused_by_gateway: int
    refused_by_worker: int
    refused_by_nobody: int

    @property
    def supervisord_is_silent(self) -> bool:
        """control has asked it in vain for SUPERVISORD_STALE_NS. Says nothing while control itself is silent."""
        return bool(self.supervisord_at_ns) and self.heartbeat_ns - self.supervisord_at_ns > SUPERVISORD_STALE_NS


class GatewayWords(NamedTuple):
    """gateway about all models together; counters start at 0 in each gateway epoch.

    `running_*` and `queued_*` are of MLX alone; relays have limits of their own. `hops` counts requests that went on to
    another backend, `spilled` those of them that left MLX because it was overloaded. `preemptions` counts pauses,
    `resumptions` how many of the paused went on, `continuations` answers that went on
    from their tokens elsewhere or later.

    `lost_to_eviction` counts jobs that a worker held when it left to make room: it must be 0 always.
    """

    epoch: int
    heartbeat_ns: int
    pid: int
    running_high: int
    running_medium: int
    running_low: int
    paused_high: int
    paused_medium: int
    paused_low: int
    queued_high: int
    queued_medium: int
    queued_low: int
    admitted_high: int
    admitted_medium: int
    admitted_low: int
    finished: int
    failed: int
    cancelled: int
    rejected: int
    displaced: int
    expired: int
    retried: int
    dropped_frames: int
    lost_to_eviction: int
    relay_running: int
    relay_queued: int
    rate_limited: int
    hops: int
    spilled: int
    preemptions: int
    resumptions: int
    continuations: int


def _text_kind(name: str, max_bytes: int, doc: str) -> type:
    kind = NamedTuple(name, [(f"text_{word}", int) for word in range(max_bytes // WORD_BYTES)])
    kind.__doc__ = doc
    return kind


RowName = _text_kind("RowName", SLUG_MAX_BYTES, "control: the slug of the row's model, as UTF-8, then zero bytes.")
RowReason = _text_kind("RowReason", REASON_MAX_BYTES, "control: why the row is as it is, for people.")
ControlWarning = _text_kind("ControlWarning", WARNING_MAX_BYTES, "control: what an operator should know, or nothing.")


class RowControl(NamedTuple):
    """control about the model's process. `phase` is one of CONTROL_PHASES.

    A fence stands while `fence_id` differs from `fence_cleared`. `need_bytes` is the least that loading the model takes
    (0: not worked out), `share_bytes` what its process counts for now, `batch_max` and `context_length` what it was
    loaded with. `keep_until_ns`: when it may go for want of use (FOREVER: never, 0: nothing is loaded).
    """

    incarnation: int
    phase: int
    pid: int
    start_time_us: int
    fence_id: int
    fence_cleared: int
    share_bytes: int
    load_id: int
    load_deadline_ns: int
    backoff_until_ns: int
    crashes: int
    loads: int
    starts: int
    need_bytes: int
    batch_max: int
    context_length: int
    pinned: int
    keep_until_ns: int
    fence_at_ns: int
    evictions: int
    shrink: int


class RowGateway(NamedTuple):
    """gateway about the model; counters start at 0 in each (epoch, incarnation).

    `unfinished` jobs protect the model. `oldest_wait_since_ns` is when the oldest waiter of the *highest* class that
    waits came, `oldest_any_since_ns` the oldest of all (0: nobody waits). `keep_alive_ms` is what the newest request
    asked for plus one (0: nothing, FOREVER: for ever), `last_dispatch_ns` when a request was sent to it last or a load
    was answered, `last_end_ns` when its last answer ended, `last_class` the class of the last request sent to it plus
    one (0: none), `fence_seen` the newest fence that was seen standing.
    """

    epoch: int
    incarnation: int
    gate: int
    fence_seen: int
    dispatched: int
    finished: int
    paused: int
    waiting_high: int
    waiting_medium: int
    waiting_low: int
    oldest_wait_since_ns: int
    last_dispatch_ns: int
    use_count: int
    unfinished: int
    last_end_ns: int
    keep_alive_ms: int
    last_class: int
    oldest_any_since_ns: int

    @property
    def waiting(self) -> tuple[int, int, int]:
        """By class, the highest first."""
        return self.waiting_high, self.waiting_medium, self.waiting_low

    @property
    def oldest_wait(self) -> float | None:
        """Since when the oldest of the highest waiting class waits, monotonic seconds."""
        return self.oldest_wait_since_ns / 1e9 if self.oldest_wait_since_ns else None


class RowWorker(NamedTuple):
    """The worker of that incarnation about itself. `phase` is one of WORKER_PHASES.

    `share_bytes` is the share it keeps to (0: none told), `device_bytes` what its GPU is recommended to use for all
    processes together (0: not known, or no GPU). `breaker`: of a relay, a `control.states.Breaker`. `tokens_per_ks`:
    tokens in a thousand seconds at the rate of the last two. `paused` jobs are among `active`; `kept_bytes` are KV
    caches of paused jobs and of the prefix cache in memory, `spilled_bytes` those of the prefix cache on disk.
    """

    incarnation: int
    phase: int
    accepted: int
    finished: int
    active: int
    load_progress_permille: int
    tokens_out: int
    mlx_active_bytes: int
    mlx_peak_bytes: int
    mlx_cache_bytes: int
    footprint_bytes: int
    heartbeat_ns: int
    progress_ns: int
    steps: int
    load_ms: int
    context_length: int
    batch_max: int
    pid: int
    gateway_epoch: int
    share_bytes: int
    device_bytes: int
    breaker: int
    tokens_per_ks: int
    paused: int
    kept_bytes: int
    spilled_bytes: int


class Row(NamedTuple):
    """One model as the table shows it; a record that cannot be read is None, a text that cannot be read is ""."""

    index: int
    name: str
    control: RowControl | None
    gateway: RowGateway | None
    worker: RowWorker | None
    reason: str = ""

    def phase(self, now_ns: int) -> Phase | None:
        """The effective phase; None (unknown) if control's record is unreadable or the worker it trusts is silent."""
        control, worker = self.control, self.worker
        if control is None or control.phase not in CONTROL_PHASES:
            return None
        same = worker is not None and worker.incarnation == control.incarnation
        if control.phase == Phase.ALIVE and same and not self.worker_is_fresh(now_ns):
            return None
        return effective_phase(control.phase, worker.phase if same else 0, same_incarnation=same)

    def worker_is_fresh(self, now_ns: int) -> bool:
        """Is the worker's record of control's incarnation, with a heartbeat within HEARTBEAT_STALE_NS of `now_ns`?

        A heartbeat that far in the future is left over from before a reboot, so it is not fresh either.
        """
        if self.control is None or self.worker is None or self.worker.incarnation != self.control.incarnation:
            return False
        return is_fresh(self.worker.heartbeat_ns, now_ns)


class Snapshot(NamedTuple):
    """The whole table at about one moment: each record is whole, two records may be of different moments.

    `rows` are the named ones, in the order of their index. A row whose name is damaged is listed with name "", so that
    nobody takes it for a free one.
    """

    boot_id: int
    control: ControlWords | None
    gateway: GatewayWords | None
    rows: tuple[Row, ...]
    warning: str = ""
