"""What control knows of one configured model's row, and the only ways in which that may change.

Every change of phase goes through `RowState.move`, which asks `control/states.py` whether it is legal. How a process
ended decides what comes next: an orderly end is DOWN; a crash is BACKOFF for 1, 2, 4 .. 60 s; the third crash within
CRASH_WINDOW_S with no finished answer in between is QUARANTINED, until QUARANTINE_S have passed or an operator starts
the worker. After an out-of-memory death it is loaded into less (`shrink`). Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

from control.load_choice import PREWARMED
from control.states import HAS_PROCESS, WORKER_PHASES, IllegalTransition, Phase, Priority, advance, effective_phase
from control.table_records import FOREVER

CRASH_WINDOW_S = 300.0
CRASHES_MAX = 3
BACKOFF_FIRST_S, BACKOFF_MAX_S = 1.0, 60.0
QUARANTINE_S = 300.0
SHRINK_MAX = 8
SHRINK_FORGET_S = 600.0
NS = 1_000_000_000

if TYPE_CHECKING:
    from control.budget import Plan
    from control.three_keys import Stop


@dataclass(slots=True, eq=False)
class RowState:
    """Times are monotonic seconds; `pid` with `start_time_us` names a process for good."""

    index: int
    slug: str
    phase: Phase = Phase.DOWN
    worker_phase: int = 0
    incarnation: int = 0
    pid: int = 0
    start_time_us: int = 0
    peer: bytes = b""  # identity on control.ipc; b"" until this control process got its hello
    obeys_us: bool = False  # it has said that it obeys this control process and none before
    last_pid: int = 0  # of the process that ended last
    start_ordered_at: float | None = None
    start_confirmed_at: float | None = None  # when supervisord said that it had spawned it
    load_id: int = 0
    load_sent_at: float | None = None  # set while a LOAD is outstanding
    load_deadline: float = 0.0
    wanted_at: float = 0.0  # since when an operator wants it
    explained_at: float = 0.0
    welcome_said_at: float = 0.0
    leaving_at: float = 0.0  # when it said that it leaves
    wanted_by: str = ""  # "preload" or "an operator": wants the model without a request in the queue
    last_error: str = ""  # what the worker said when its load failed
    crashes: list[float] = field(default_factory=list)
    ended_at: float = 0.0  # when its last process was found gone
    not_before: float = 0.0  # BACKOFF and QUARANTINED end here
    stalled_at: float | None = None  # when TERM was sent for a stall
    killed: bool = False
    starts: int = 0
    loads: int = 0
    evictions: int = 0
    fence_id: int = 0
    fence_cleared: int = 0
    fence_at: float = 0.0
    stop: Stop | None = None  # the eviction under way
    need_bytes: int = 0
    need_of: tuple = ()  # what that was worked out from
    share_bytes: int = 0  # what it counts for in the books
    plan: Plan | None = None  # of the load that is under way
    batch_max: int = 0  # what its model is or will be loaded with
    context_length: int = 0
    shrink: int = 0  # how often it died for want of memory
    pinned: bool = False
    loaded_at: float = 0.0
    load_s: float = 0.0
    keep_until: float = inf
    unload_asked_at: float = -inf
    last_used: float = 0.0  # these four: as the gateways of this control process's life have said
    dispatched_at: float = 0.0
    last_class: Priority | None = None
    keep_alive_word: int = 0
    need_never: bool = False  # it needs more than all models together may have
    bad_files: bool = False  # quarantined because its files cannot be measured
    reason: str = "not started yet"

    @property
    def effective(self) -> Phase:
        return effective_phase(self.phase, self.worker_phase, same_incarnation=True)

    @property
    def loading(self) -> bool:
        """A load is under way, or was ordered and not yet answered."""
        return self.phase is Phase.ALIVE and (
            self.worker_phase == Phase.LOADING or (self.load_sent_at is not None and self.worker_phase == Phase.EMPTY))

    @property
    def is_closing(self) -> bool:
        """Its gate is shut for an eviction that waits for answers in flight."""
        return self.stop is not None and self.stop.closing and self.stop.quit_at is None

    @property
    def has_process(self) -> bool:
        return self.phase in HAS_PROCESS

    @property
    def is_fenced(self) -> bool:
        return self.fence_id != self.fence_cleared

    def put_fence(self, fence: int, now: float) -> None:
        assert fence > self.fence_id, "fences only grow"
        self.fence_id, self.fence_at = fence, now

    def clear_fence(self) -> None:
        self.fence_cleared, self.stop = self.fence_id, None

    def move(self, phase: Phase, reason: str) -> None:
        """Raises: IllegalTransition, and nothing was changed."""
        effective = advance(self.effective, phase)
        self.phase = effective
        self.reason = reason

    def on_adopted(self, phase: Phase, not_before: float, crashes: int, now: float, reason: str) -> None:
        """A new control process goes on with the wait that an earlier one ordered. When each crash was is not known."""
        self.phase, self.not_before = phase, not_before
        self.crashes = [now] * crashes
        self.reason = reason or "so it was before control restarted"

    def on_started(self, now: float, reason: str) -> None:
        """The process was ordered, or seen to be there."""
        self.move(Phase.STARTING, reason)
        self.start_ordered_at, self.start_confirmed_at = now, None
        self.starts += 1
        self.pid = self.start_time_us = 0
        self.worker_phase, self.peer, self.obeys_us, self.last_error = 0, b"", False, ""
        self.load_sent_at = self.stalled_at = None
        self.killed = False

    def on_welcomed(self, incarnation: int, pid: int, start_time_us: int, peer: bytes, worker_phase: int) -> None:
        """A worker said hello and is now this incarnation (a process that speaks is at least EMPTY)."""
        if self.phase is not Phase.ALIVE:
            advance(self.effective, Phase.EMPTY)
        if incarnation != self.incarnation:
            self.last_class, self.keep_alive_word = None, 0  # of the one before
        self.phase, self.worker_phase = Phase.ALIVE, worker_phase
        self.incarnation, self.pid, self.start_time_us, self.peer = incarnation, pid, start_time_us, peer
        self.start_ordered_at = self.stalled_at = None
        self.obeys_us = False
        if worker_phase != Phase.EMPTY or not self.reason.startswith(PREWARMED):
            self.reason = {Phase.READY: "loaded", Phase.LOADING: "loading"}.get(worker_phase, "its process is up")

    def on_bad_files(self, now: float, why: str) -> None:
        """It cannot be loaded as its files are; looked at again after QUARANTINE_S."""
        self.not_before, self.bad_files = now + QUARANTINE_S, True
        self.move(Phase.QUARANTINED, why)

    def on_worker_phase(self, phase: int) -> None:
        """The worker's own word. Raises: IllegalTransition, and nothing was changed."""
        if self.phase is not Phase.ALIVE or phase == self.worker_phase:
            return
        if phase not in WORKER_PHASES:
            raise IllegalTransition(f"{phase} is no word of a worker")
        if phase == Phase.READY and self.worker_phase == Phase.EMPTY:
            self.worker_phase = Phase.LOADING  # it was, between two looks
        self.worker_phase = advance(self.effective, Phase(phase))
        if phase in (Phase.READY, Phase.DRAINING):
            self.load_sent_at = None

    def on_quitting(self, now: float, reason: str) -> None:
        """It is empty-handed and leaves. Its row may have said so (DRAINING) before its message came."""
        if self.effective is not Phase.DRAINING:
            self.move(Phase.STOPPING, reason)
        self.leaving_at = now

    def on_evicted(self, now: float, reason: str) -> None:
        """It has left to make room. Its share stays in the books until its memory is measured back."""
        share_bytes = self.share_bytes
        self._forget_shortage(now)
        self._ended(now)
        self.share_bytes = share_bytes
        self.evictions += 1
        self.move(Phase.VERIFY_FREE, reason)

    def on_leak(self, reason: str) -> None:
        """Its memory did not come back. What is missing stands in the books, no longer as its share."""
        self.share_bytes = 0
        self.move(Phase.LEAK_SUSPECTED, reason)

    def on_memory_back(self, reason: str) -> None:
        self.share_bytes = 0
        self.move(Phase.DOWN, reason)

    def on_orderly_end(self, now: float, reason: str) -> None:
        self._forget_shortage(now)
        self._ended(now)
        self.move(Phase.DOWN, reason)

    def on_not_started(self, now: float, reason: str) -> None:
        """supervisord could not be asked: nobody's fault, so it is no crash; tried again soon."""
        self._ended(now)
        self.not_before = now + BACKOFF_FIRST_S
        self.move(Phase.BACKOFF, reason)

    def on_crash(self, now: float, what: str, *, out_of_memory: bool = False) -> None:
        """Back off, or give up for a while. `what` says how it ended."""
        self._ended(now)
        self.shrink = min(SHRINK_MAX, self.shrink + out_of_memory)
        self.crashes = [at for at in self.crashes if now - at < CRASH_WINDOW_S] + [now]
        count = len(self.crashes)
        if count >= CRASHES_MAX:
            self.not_before = now + QUARANTINE_S
            self.move(Phase.QUARANTINED, f"{count} crashes in {CRASH_WINDOW_S / 60:g} min, the last: {what}")
            return
        wait_s = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2 ** (count - 1))
        self.not_before = now + wait_s
        self.move(Phase.BACKOFF, f"{what}; tried again in {wait_s:g} s")

    def on_exit_signal(self, signal: str, for_memory: bool) -> None:
        """The signal that ended it, learnt after `on_crash`."""
        self.shrink = min(SHRINK_MAX, self.shrink + for_memory)
        self.reason += f" ({signal}{', so it is loaded into less' if for_memory else ''})"

    def _forget_shortage(self, now: float) -> None:
        """It has run for long: the shortage it died of is over."""
        if self.loaded_at and now - self.loaded_at > SHRINK_FORGET_S:
            self.shrink = max(0, self.shrink - 1)

    def _ended(self, now: float) -> None:
        self.ended_at = now
        self.last_pid = self.pid or self.last_pid
        self.peer, self.obeys_us = b"", False
        self.start_ordered_at = self.load_sent_at = self.stalled_at = None
        self.pid = self.start_time_us = self.share_bytes = self.batch_max = self.context_length = 0

    def on_hold(self, now: float) -> None:
        if self.phase is not Phase.HELD:
            self._ended(now)
            self.move(Phase.HELD, "stopped by an operator")
            self.wanted_by = ""

    def on_time(self, now: float) -> bool:
        """End a wait that is over. Returns whether something changed."""
        if self.phase in (Phase.BACKOFF, Phase.QUARANTINED) and now >= self.not_before:
            self.bad_files = False
            self.move(Phase.DOWN, f"may be started again after: {self.reason}")
            return True
        return False

    def words(self) -> dict[str, int]:
        """Control's words about this row, for the table."""
        return {
            "incarnation": self.incarnation,
            "phase": self.phase,
            "pid": self.pid,
            "start_time_us": self.start_time_us,
            "load_id": self.load_id,
            "load_deadline_ns": int(self.load_deadline * NS),
            "backoff_until_ns": int(self.not_before * NS),
            "crashes": len(self.crashes),
            "loads": self.loads,
            "starts": self.starts,
            "fence_id": self.fence_id,
            "fence_cleared": self.fence_cleared,
            "fence_at_ns": int(self.fence_at * NS) if self.is_fenced else 0,
            "share_bytes": self.share_bytes,
            "need_bytes": self.need_bytes,
            "batch_max": self.batch_max,
            "context_length": self.context_length,
            "pinned": self.pinned,
            "keep_until_ns": self._keep_until_ns(),
            "evictions": self.evictions,
            "shrink": self.shrink,
        }

    def _keep_until_ns(self) -> int:
        if self.effective is not Phase.READY:
            return 0
        return FOREVER if self.keep_until * NS >= FOREVER else int(max(0.0, self.keep_until) * NS)
