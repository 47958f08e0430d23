"""What control knows of one configured model's row, and the only ways in which that may change.

Every change of phase goes through `RowState.move`, which asks `control/states.py` whether it is legal. How a process
ended decides what comes next: an orderly end is DOWN; a crash is BACKOFF for 1, 2, 4 .. 60 s; the third crash within
CRASH_WINDOW_S with no finished answer in between is QUARANTINED, until QUARANTINE_S have passed or an operator starts
the worker. Pure.
"""

from dataclasses import dataclass, field

from control.states import HAS_PROCESS, WORKER_PHASES, IllegalTransition, Phase, advance, effective_phase

CRASH_WINDOW_S = 300.0
CRASHES_MAX = 3
BACKOFF_FIRST_S, BACKOFF_MAX_S = 1.0, 60.0
QUARANTINE_S = 300.0
NS = 1_000_000_000


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
    last_pid: int = 0  # of the process that ended last
    start_ordered_at: float | None = None
    start_confirmed_at: float | None = None  # when supervisord said that it had spawned it
    load_id: int = 0
    load_sent_at: float | None = None  # set while a LOAD is outstanding
    load_deadline: float = 0.0
    wanted_by: str = ""  # "preload" or "an operator": wants the model without a request in the queue
    last_error: str = ""  # what the worker said when its load failed
    crashes: list[float] = field(default_factory=list)
    ended_at: float = 0.0  # when its last process was found gone
    not_before: float = 0.0  # BACKOFF and QUARANTINED end here
    stalled_at: float | None = None  # when TERM was sent for a stall
    killed: bool = False
    starts: int = 0
    loads: int = 0
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
    def has_process(self) -> bool:
        return self.phase in HAS_PROCESS

    def move(self, phase: Phase, reason: str) -> None:
        """Raises: IllegalTransition, and nothing was changed."""
        effective = advance(self.effective, phase)
        self.phase = effective
        self.reason = reason

    def on_adopted(self, phase: Phase, not_before: float, crashes: int, now: float) -> None:
        """A new control process goes on with the wait that an earlier one ordered. When each crash was is not known."""
        self.phase, self.not_before = phase, not_before
        self.crashes = [now] * crashes
        self.reason = "crashed before control restarted"

    def on_started(self, now: float, reason: str) -> None:
        """The process was ordered, or seen to be there."""
        self.move(Phase.STARTING, reason)
        self.start_ordered_at, self.start_confirmed_at = now, None
        self.starts += 1
        self.pid = self.start_time_us = 0
        self.worker_phase, self.peer, self.last_error = 0, b"", ""
        self.load_sent_at = self.stalled_at = None
        self.killed = False

    def on_welcomed(self, incarnation: int, pid: int, start_time_us: int, peer: bytes, worker_phase: int) -> None:
        """A worker said hello and is now this incarnation (a process that speaks is at least EMPTY)."""
        if self.phase is not Phase.ALIVE:
            advance(self.effective, Phase.EMPTY)
        self.phase, self.worker_phase = Phase.ALIVE, worker_phase
        self.incarnation, self.pid, self.start_time_us, self.peer = incarnation, pid, start_time_us, peer
        self.start_ordered_at = self.stalled_at = None
        self.reason = "its process is up"

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

    def on_orderly_end(self, now: float, reason: str) -> None:
        self._ended(now)
        self.move(Phase.DOWN, reason)

    def on_not_started(self, now: float, reason: str) -> None:
        """supervisord could not be asked: nobody's fault, so it is no crash; tried again soon."""
        self._ended(now)
        self.not_before = now + BACKOFF_FIRST_S
        self.move(Phase.BACKOFF, reason)

    def on_crash(self, now: float, what: str) -> None:
        """Back off, or give up for a while. `what` says how it ended."""
        self._ended(now)
        self.crashes = [at for at in self.crashes if now - at < CRASH_WINDOW_S] + [now]
        count = len(self.crashes)
        if count >= CRASHES_MAX:
            self.not_before = now + QUARANTINE_S
            self.move(Phase.QUARANTINED, f"{count} crashes in {CRASH_WINDOW_S / 60:g} min, the last: {what}")
            return
        wait_s = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2 ** (count - 1))
        self.not_before = now + wait_s
        self.move(Phase.BACKOFF, f"{what}; tried again in {wait_s:g} s")

    def _ended(self, now: float) -> None:
        self.ended_at = now
        self.last_pid = self.pid or self.last_pid
        self.peer = b""
        self.start_ordered_at = self.load_sent_at = self.stalled_at = None
        self.pid = self.start_time_us = 0

    def on_hold(self, now: float) -> None:
        if self.phase is not Phase.HELD:
            self._ended(now)
            self.move(Phase.HELD, "stopped by an operator")
            self.wanted_by = ""

    def on_time(self, now: float) -> bool:
        """End a wait that is over. Returns whether something changed."""
        if self.phase in (Phase.BACKOFF, Phase.QUARANTINED) and now >= self.not_before:
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
        }
