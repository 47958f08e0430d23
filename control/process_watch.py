"""What became of the processes: orders that failed, ends before the hello, deaths, and an operator's hold.

supervisord's list, read once a second, is the truth about processes; it may be old, so each list carries the moment it
was asked for, and news from before an order or an end is not believed. A welcomed worker's death is noticed sooner, by
pid and start time. STOPPED in the list means that an operator stopped it: the model is held until it is started again.
STOPPING means that it was told to, once; a TERM that comes while a process is being started can be lost, so it is said
again. A list that cannot be had is nobody's crash.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from control.operators import OPERATOR
from control.pressure_level import Level
from control.rows import RowState
from control.states import WORKER_PHASES, Phase
from control.supervisord import Facts, Fault, OrderDone, ProcessFact, ProcessState, SupervisordFault

if TYPE_CHECKING:
    from control.reconciler import Reconciler

NS = 1_000_000_000
PROGRAM = "worker-"
TERM_AGAIN_S = 1.0
OUT_OF_MEMORY = "out of memory"  # how a worker begins its last words when it was that
HAS_PID = (ProcessState.STARTING, ProcessState.RUNNING, ProcessState.STOPPING)


class ProcessWatch:
    """The reconciler's eye on processes. `read_at`: when the newest list was asked for, monotonic seconds."""

    def __init__(self, reconciler: Reconciler) -> None:
        self.r = reconciler
        self.read_at = 0.0
        self._pids: dict[str, int] = {}
        self._term_said_at: dict[str, float] = {}  # by slug

    def on_supervisord(self, value: Facts | OrderDone, now: float) -> None:
        if isinstance(value, OrderDone):
            self._on_order_done(value, now)
            return
        self.read_at = value.read_at_ns / NS
        self._pids = {name: fact.pid for name, fact in value.processes.items()}
        for name, fact in value.processes.items():
            row = self.r.rows.get(name.removeprefix(PROGRAM)) if name.startswith(PROGRAM) else None
            if row is not None:
                self._on_process_fact(row, fact, now)
                if signal := value.exit_signals.get(name):
                    self._on_exit_signal(row, signal)
        self.r.relays.on_processes(value.processes)
        self.r.shelf.on_processes(value.processes, now)
        self.r.act(now)

    def _on_exit_signal(self, row: RowState, signal: str) -> None:
        """What ended it, known a moment later. Metal aborts a process that runs out of memory, and a system that runs
        out of it kills one: its model is loaded into less next time."""
        if row.phase not in (Phase.BACKOFF, Phase.QUARANTINED):
            return
        for_memory = signal == "SIGABRT" or (signal == "SIGKILL" and self.r.books.level > Level.NORMAL)
        row.on_exit_signal(signal, for_memory)
        self.r.effects.note("exit_signal", model=row.slug, signal=signal, shrink=row.shrink)
        self.r.tell([row])

    def _on_order_done(self, done: OrderDone, now: float) -> None:
        row = self.r.rows.get(done.name.removeprefix(PROGRAM))
        if row is None or done.verb != "start" or row.phase is not Phase.STARTING:
            return
        refused = isinstance(done.error, SupervisordFault) and done.error.code != Fault.ALREADY_STARTED
        if isinstance(done.error, SupervisordFault | None) and not refused:
            row.start_confirmed_at = now  # or somebody was faster; its hello comes
            return
        self.r.effects.note("start_failed", model=row.slug, reason=str(done.error))
        if refused and done.error.code == Fault.BAD_NAME:
            refused = False  # a model that was pulled while supervisord did not answer: `shelf` tells it again
        failed = row.on_crash if refused else row.on_not_started
        failed(now, f"could not be started: {done.error}")
        self._note_quarantine(row, now)
        self.r.tell([row])

    def _on_process_fact(self, row: RowState, fact: ProcessFact, now: float) -> None:
        if fact.state in HAS_PID:
            if self._is_new_process(row, fact):
                self.r.keys.on_new_process(row)
                row.wanted_by, row.wanted_at = OPERATOR, now
                row.on_started(now, "started by an operator")
                row.start_confirmed_at = now
                row.share_bytes = self.r.books.unknown_bytes(row)
                self.r.tell([row])
            elif fact.state is ProcessState.STOPPING:
                self._say_term_again(row, fact)
        elif row.phase is Phase.STARTING:
            if row.start_confirmed_at is None or self.read_at <= row.start_confirmed_at:
                return  # older than the order
            if fact.state != ProcessState.STOPPED:
                self._crash(row, f"exited with status {fact.exit_status} before its hello", now)
            elif fact.start_s:
                self._hold(row, now)
            else:
                row.on_not_started(now, "the order to start it was lost")
                self.r.tell([row])
        elif fact.state == ProcessState.STOPPED and fact.start_s and not row.has_process:
            if row.phase is not Phase.HELD:
                self._hold(row, now)

    def _say_term_again(self, row: RowState, fact: ProcessFact) -> None:
        """An operator's stop that a worker did not hear; not before its hello, since then it does hear."""
        said_at = self._term_said_at.get(row.slug, 0.0)  # each order is followed by a list at once
        if row.phase is Phase.ALIVE and row.pid == fact.pid and row.effective is not Phase.DRAINING and (
                self.read_at - said_at >= TERM_AGAIN_S):
            self._term_said_at[row.slug] = self.read_at
            self.r.effects.note("term_again", model=row.slug, incarnation=row.incarnation)
            self.r.effects.order("signal", PROGRAM + row.slug, "TERM")

    def _is_new_process(self, row: RowState, fact: ProcessFact) -> bool:
        """A process that control did not order: not the one it knows, nor the one it has just seen end."""
        return (not row.has_process and self.read_at > row.ended_at and fact.pid not in (0, row.last_pid)
                and fact.state is not ProcessState.STOPPING
                and row.phase is not Phase.VERIFY_FREE)  # its turn comes when the memory of the last one was looked at

    def is_its_process(self, row: RowState) -> bool:
        """A signal goes to a program by name: only if supervisord means the very process of this row by it."""
        pid = self._pids.get(PROGRAM + row.slug, 0)
        return row.has_process and pid != 0 and row.pid in (0, pid)

    def _hold(self, row: RowState, now: float) -> None:
        row.on_hold(now)
        self.r.effects.note("held", model=row.slug, reason=row.reason)
        self.r.tell([row])

    def _crash(self, row: RowState, what: str, now: float) -> None:
        row.on_crash(now, what, out_of_memory=what.startswith(OUT_OF_MEMORY))
        self.r.effects.note("crashed", model=row.slug, phase=row.phase.name, reason=row.reason)
        self._note_quarantine(row, now)
        self.r.tell([row])

    def _note_quarantine(self, row: RowState, now: float) -> None:
        if row.phase is Phase.QUARANTINED:
            self.r.effects.note("quarantine", model=row.slug, reason=row.reason, for_s=round(row.not_before - now))

    def on_gone(self, row: RowState, now: float) -> None:
        """The process of a welcomed worker is no more."""
        words = self.r.effects.read_worker(row.index)
        last = words.phase if words is not None and words.incarnation == row.incarnation else row.worker_phase
        willing = row.phase is Phase.STOPPING or Phase.DRAINING in (last, row.worker_phase)
        if self.r.keys.on_gone(row, willing and row.stalled_at is None, now):
            return
        if willing and row.stalled_at is None:
            row.on_orderly_end(now, "drained and ended")
            self.r.effects.note("ended", model=row.slug, incarnation=row.incarnation)
            self.r.tell([row])
            return
        if words is not None and words.incarnation == row.incarnation and words.finished:
            row.crashes.clear()  # it could do its work: whatever killed it, it does not crash by itself
        doing = "loading" if row.loading else Phase(last).name.lower() if last in WORKER_PHASES else "starting"
        what = row.last_error or f"its process died while {doing}"
        self._crash(row, f"stalled and was stopped: {row.reason}" if row.stalled_at is not None else what, now)
