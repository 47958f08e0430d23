"""The rows of the relays: welcomed, told to begin, and seen to their end. supervisord starts them again by itself.

A relay is a process that speaks the worker's protocols and calls another server (`workers/relay_ollama.py`). It holds
no model, so nothing here loads by need, evicts or gives out memory, and none of the three keys is about it:

1. Its hello is welcomed with a new incarnation, or with its own if a control process before this one gave it that.
2. What it waits for after that is LOAD, as every worker does; it is sent at once, and again until it is READY.
3. Its process gone, the row is DOWN and says why, as far as supervisord's list tells by then. Nobody is
   started: supervisord does (`autorestart`), unless an operator stopped it.
4. A new control process leaves a living relay as it is: its row stays ALIVE until its hello comes.

Whether its server answers is the relay's own word in the row (`breaker`); who routes reads it there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from control import messages
from control.rows import RowState
from control.states import WORKER_PHASES, Phase
from control.supervisord import ProcessFact, ProcessState
from control.table_records import Row

if TYPE_CHECKING:
    from control.reconciler import Reconciler

ORDER_AGAIN_S = 1.0
UP = "its process is up"
NOT_RUNNING = "its process is not running; supervisord starts it again (`warden ctl status`)"
ENDED = "its process has ended"  # why, is known with supervisord's next list
STOPPING = "its process is being stopped"
STOPPED = "an operator stopped it; `warden ctl start {slug}` brings it back"
FAILING = "its process ended within its first second: logs/{slug}.log may say why; supervisord tries again"
GIVEN_UP = "its process cannot run: logs/{slug}.log says why; `warden ctl start {slug}` tries again"
REFUSED_STATUS = 2  # of a process whose configuration cannot work: supervisord leaves it at that, after a few starts
ON_ITS_WAY = (ProcessState.STARTING, ProcessState.RUNNING)  # until its hello what was said before holds
SAID = {Phase.READY: "ready", Phase.DRAINING: "draining"}


class Relays:
    """`rows` by slug ("relay-ollama"); the reconciler hands on what concerns them."""

    def __init__(self, reconciler: Reconciler, rows: dict[str, int]) -> None:
        self.r = reconciler
        self.rows = {slug: RowState(index, slug, pinned=True, reason=NOT_RUNNING) for slug, index in rows.items()}
        self._ordered_at: dict[str, float] = {}
        self._stopped: dict[str, int] = {}  # the processes that supervisord was told to stop, by slug

    def adopt(self, old: Row) -> None:
        """As an earlier control process left it (4)."""
        row, words = self.rows.get(old.name), old.control
        if row is None or words is None:
            return
        row.incarnation, row.starts = words.incarnation, words.starts
        self.r.incarnation = max(self.r.incarnation, row.incarnation)
        if words.phase == Phase.ALIVE and words.pid and self.r.effects.is_alive(words.pid, words.start_time_us):
            known = old.worker is not None and old.worker.incarnation == words.incarnation
            phase = old.worker.phase if known and old.worker.phase in WORKER_PHASES else Phase.EMPTY
            row.on_welcomed(words.incarnation, words.pid, words.start_time_us, b"", phase)
            row.reason = SAID.get(phase, UP)

    def on_hello(self, row: RowState, identity: bytes, hello: messages.Hello, now: float) -> None:
        """Its process is alive (1)."""
        same = (row.pid, row.start_time_us) == (hello.pid, hello.start_time_us)
        if row.phase is Phase.ALIVE and not same:
            self._on_gone(row, now)
        incarnation = hello.incarnation or (row.incarnation if same and row.phase is Phase.ALIVE else 0)
        if not incarnation:
            self.r.incarnation += 1
            incarnation = self.r.incarnation
            row.starts += 1
        self.r.incarnation = max(self.r.incarnation, incarnation)
        phase = hello.phase if hello.phase in WORKER_PHASES else Phase.EMPTY
        row.on_welcomed(incarnation, hello.pid, hello.start_time_us, identity, phase)
        row.reason = SAID.get(phase, UP)
        self.r.effects.note("welcome", model=row.slug, incarnation=incarnation, pid=row.pid)
        self.r.tell([row])
        self._order(row, now)

    def on_report(self, row: RowState, report: messages.Report, now: float) -> None:
        if report.incarnation != row.incarnation or row.phase is not Phase.ALIVE:
            return
        row.obeys_us = row.obeys_us or report.control_epoch == self.r.epoch
        reason = report.error or SAID.get(report.phase, UP)
        if report.phase in WORKER_PHASES and (report.phase, reason) != (row.worker_phase, row.reason):
            row.worker_phase, row.reason = report.phase, reason
            self.r.tell([row])
        self._order(row, now)

    def on_tick(self, now: float) -> None:
        for row in self.rows.values():
            if row.phase is Phase.ALIVE and not self.r.effects.is_alive(row.pid, row.start_time_us):
                self._on_gone(row, now)  # 3
            elif row.phase is Phase.ALIVE and row.peer and now - self._ordered_at[row.slug] > ORDER_AGAIN_S and (
                    not row.obeys_us or row.worker_phase == Phase.EMPTY):
                self._order(row, now)

    def on_processes(self, facts: Mapping[str, ProcessFact]) -> None:
        """supervisord's list: why a relay does not run."""
        for slug in self.rows.keys() & facts.keys():
            row, why = self.rows[slug], why_not_running(facts[slug]).format(slug=slug)
            if facts[slug].state is ProcessState.STOPPING:
                self._stopped[slug] = facts[slug].pid
            if row.phase is not Phase.ALIVE and row.reason != why and facts[slug].state not in ON_ITS_WAY:
                row.reason = why
                self.r.tell([row])

    def _order(self, row: RowState, now: float) -> None:
        """Welcome until it obeys us, then LOAD (2)."""
        self._ordered_at[row.slug] = now
        if not row.obeys_us:
            self.r.effects.to_peer(row.peer, messages.Welcome(messages.VERSION, self.r.boot_id, self.r.epoch, row.index,
                                                              row.incarnation))
        elif row.worker_phase == Phase.EMPTY:
            self.r.effects.to_peer(row.peer, messages.Load(messages.VERSION, row.incarnation, 1, self.r.epoch))

    def _on_gone(self, row: RowState, now: float) -> None:
        self.r.effects.note("relay_ended", model=row.slug, incarnation=row.incarnation, pid=row.pid)
        was_stopped = self._stopped.get(row.slug) == row.pid
        row.on_orderly_end(now, STOPPED.format(slug=row.slug) if was_stopped else ENDED)
        self.r.tell([row])


def why_not_running(fact: ProcessFact) -> str:
    if fact.state is ProcessState.STOPPED and fact.start_s:
        return STOPPED
    if fact.state is ProcessState.STOPPING:
        return STOPPING
    if fact.state is ProcessState.BACKOFF:  # with what status it ended is not in the list
        return FAILING
    refused = fact.state is ProcessState.EXITED and fact.exit_status == REFUSED_STATUS
    return GIVEN_UP if refused or fact.state is ProcessState.FATAL else NOT_RUNNING
