"""Control's decisions carried out: hellos welcomed, deaths noticed, models started and loaded, stuck workers signalled.

Theory
------
Facts come in as events (`on_<event>`): frames from workers and the gateway, supervisord's list of processes, the
tick. Each changes a `RowState`; then `act` asks the pure choosers (`load_choice`, `stall`) what is next and carries
that out through `Effects`. Every change of a row is written to the table *before* anybody is told.

Guarantees
1. A worker is started at most once per order: while an order or a process is outstanding there is no second one.
2. Incarnations only grow, also across a table made anew (`incarnation_floor`).
3. A new control process adopts living workers as they are: a LOADING one is read, never ordered again.
4. Nothing here terminates a worker to make room. `_signal_stalled` is the only place that signals, and asserts it.
"""

from collections.abc import Iterable
from typing import Protocol

import msgspec

from control import load_choice, messages, stall
from control.config import Config
from control.process_watch import PROGRAM, ProcessWatch
from control.rows import RowState
from control.states import WORKER_PHASES, IllegalTransition, Phase
from control.table import RowGateway, RowWorker, Snapshot

NS = 1_000_000_000
CLOCK_GAP_S = 5.0
LOAD_AGAIN_S = 5.0


class Effects(Protocol):
    """Everything control can do to the world, and the facts it may ask for at once."""

    def to_peer(self, identity: bytes, message: msgspec.Struct) -> bool: ...

    def order(self, verb: str, name: str, *args: str) -> None:
        """To supervisord; the outcome comes back as OrderDone."""

    def write_row(self, row: RowState) -> None: ...

    def read_gateway(self, index: int) -> RowGateway | None:
        """The gateway's words about a row; None unless they are of the gateway that is alive now."""

    def read_worker(self, index: int) -> RowWorker | None: ...

    def is_alive(self, pid: int, start_time_us: int) -> bool: ...

    def note(self, event: str, **facts: object) -> None: ...


class Reconciler:
    def __init__(self, config: Config, effects: Effects, epoch: int, boot_id: int, rows: dict[str, int],
                 incarnation_floor: int) -> None:
        self.config, self.effects, self.epoch, self.boot_id = config, effects, epoch, boot_id
        self.rows = {slug: RowState(index, slug) for slug, index in rows.items()}
        self.incarnation = incarnation_floor
        self.gateway: bytes = b""
        self.limits = stall.Limits(config.stall_limit_s, config.load_deadline_s)
        self.forced_kills = self.refused_words = 0
        self._loads = incarnation_floor
        self._ticked_at = self._judge_from = 0.0
        self.processes = ProcessWatch(self)
        for model in config.models:
            if model.preload:
                self.rows[model.slug].wanted_by = "preload"

    def adopt(self, snapshot: Snapshot, now: float) -> None:
        """Take over from an earlier control process: what the table says is checked against the processes (3)."""
        for old in snapshot.rows:
            row, words = self.rows.get(old.name), old.control
            if row is None or words is None:
                continue
            self.incarnation = max(self.incarnation, words.incarnation)
            row.incarnation, row.starts, row.loads = words.incarnation, words.starts, words.loads
            alive = bool(words.pid) and self.effects.is_alive(words.pid, words.start_time_us)
            if words.phase == Phase.ALIVE and alive:
                worker = old.worker
                known = worker is not None and worker.incarnation == words.incarnation
                phase = worker.phase if known and worker.phase in WORKER_PHASES else Phase.EMPTY
                row.on_welcomed(words.incarnation, words.pid, words.start_time_us, b"", phase)
                row.load_deadline = now + self.limits.load_deadline_s
            elif words.phase == Phase.STARTING:
                row.on_started(now, "was starting when control restarted")
                row.starts, row.start_confirmed_at = words.starts, now  # the next list of processes tells the truth
            elif words.phase in (Phase.BACKOFF, Phase.QUARANTINED, Phase.HELD):
                row.on_adopted(Phase(words.phase), words.backoff_until_ns / NS, words.crashes, now)

    def tell(self, rows: Iterable[RowState], now: float) -> None:
        """The table first, then the gateway."""
        for row in rows:
            self.effects.write_row(row)
            if self.gateway:
                wait_s = max(0.0, row.not_before - now) if row.phase in (Phase.BACKOFF, Phase.QUARANTINED) else 0.0
                self.effects.to_peer(self.gateway, messages.ModelState(
                    messages.VERSION, self.epoch, row.slug, row.incarnation, row.effective, row.reason, wait_s))

    # -- frames ----------------------------------------------------------------------------------------------

    def on_frame(self, identity: bytes, message: messages.FromPeer, now: float) -> None:
        match message:
            case messages.Hello():
                self.on_hello(identity, message, now)
            case messages.Report():
                self.on_report(message, now)
            case messages.GatewayHello() if message.boot_id == self.boot_id:
                self.gateway = identity
                self.effects.note("gateway_hello", epoch=message.gateway_epoch)
                self.tell(self.rows.values(), now)
            case messages.Want():
                self.act(now)

    def on_hello(self, identity: bytes, hello: messages.Hello, now: float) -> None:
        if hello.boot_id != self.boot_id:
            return  # it opens the new table and comes again
        row = self.rows.get(hello.slug)
        same_process = row is not None and (row.pid, row.start_time_us) == (hello.pid, hello.start_time_us)
        if row is None:
            self._refuse(identity, f"no model with the slug {hello.slug!r} is configured")
        elif hello.incarnation == 0 and not (same_process and row.phase is Phase.ALIVE):
            self._welcome_newborn(row, identity, hello, now)
        elif hello.incarnation == 0 or hello.incarnation >= row.incarnation:  # 0 in the row of a table made anew
            self._welcome_back(row, identity, hello, now)
        else:
            self._refuse(identity, f"incarnation {hello.incarnation} of {row.slug} is over")

    def _refuse(self, identity: bytes, reason: str) -> None:
        self.effects.note("hello_refused", reason=reason)
        self.effects.to_peer(identity, messages.Refused(messages.VERSION, reason))

    def _welcome_newborn(self, row: RowState, identity: bytes, hello: messages.Hello, now: float) -> None:
        if row.phase is Phase.ALIVE:  # the lock of the row says that the old process is gone
            self.processes.on_gone(row, now)
        if row.start_ordered_at is None:
            row.wanted_by = row.wanted_by or "an operator"
        self.incarnation += 1  # (2)
        row.on_welcomed(self.incarnation, hello.pid, hello.start_time_us, identity, Phase.EMPTY)
        self.effects.note("welcome", model=row.slug, incarnation=row.incarnation, pid=row.pid)
        self.tell([row], now)
        self._say_welcome(row)
        self.act(now)

    def _welcome_back(self, row: RowState, identity: bytes, hello: messages.Hello, now: float) -> None:
        """A living worker greets a new control process, or says hello twice."""
        phase = hello.phase if hello.phase in WORKER_PHASES else Phase.EMPTY
        incarnation = hello.incarnation or row.incarnation
        self.incarnation = max(self.incarnation, incarnation)
        row.on_welcomed(incarnation, hello.pid, hello.start_time_us, identity, phase)
        self.tell([row], now)
        self._say_welcome(row)

    def _say_welcome(self, row: RowState) -> None:
        self.effects.to_peer(row.peer, messages.Welcome(messages.VERSION, self.boot_id, self.epoch, row.index,
                                                        row.incarnation))

    def on_report(self, report: messages.Report, now: float) -> None:
        row = self.rows.get(report.slug)
        if row is None or report.incarnation != row.incarnation:
            return
        if report.error:
            row.last_error = report.error
        words = self.effects.read_worker(row.index)  # written before the report was sent, so at least as new
        known = words is not None and words.incarnation == row.incarnation
        self._on_worker_phase(row, words.phase if known else report.phase, now)

    def _on_worker_phase(self, row: RowState, phase: int, now: float) -> None:
        before = row.worker_phase
        if row.phase is not Phase.ALIVE or phase == before:
            return
        try:
            row.on_worker_phase(phase)
        except (IllegalTransition, ValueError) as problem:
            self.refused_words += 1
            self.effects.note("worker_word_refused", model=row.slug, problem=str(problem))
            return
        row.reason = {Phase.LOADING: "loading", Phase.READY: "loaded", Phase.DRAINING: "draining"}.get(phase, "up")
        if phase == Phase.READY:
            row.loads += 1
            row.wanted_by = ""
            self.effects.note("loaded", model=row.slug, incarnation=row.incarnation)
        self.tell([row], now)
        self.act(now)

    # -- time and action -------------------------------------------------------------------------------------

    def on_tick(self, now: float) -> None:
        if now - self._ticked_at > CLOCK_GAP_S:  # we were stopped, and so perhaps was everybody: nobody is late yet
            self._judge_from = now + CLOCK_GAP_S
        self._ticked_at = now
        for row in self.rows.values():
            if row.on_time(now):
                self.tell([row], now)
            if row.phase is Phase.ALIVE:
                if not self.effects.is_alive(row.pid, row.start_time_us):
                    self.processes.on_gone(row, now)
                    continue
                words = self.effects.read_worker(row.index)
                if words is not None and words.incarnation == row.incarnation:
                    self._on_worker_phase(row, words.phase, now)
            if row.effective is Phase.EMPTY and row.load_sent_at is not None and now - row.load_sent_at > LOAD_AGAIN_S:
                self._send_load(row, now)
            if now >= self._judge_from:
                self._signal_stalled(row, now)
        self.act(now)

    def _signal_stalled(self, row: RowState, now: float) -> None:
        """The only place that signals a worker (4): for want of progress, never to make room."""
        reason = stall.why_stalled(row, self.effects.read_worker(row.index), now, self.limits)
        number = stall.next_signal(row, now) if reason else ""
        if not number or not self.processes.is_its_process(row):
            return
        assert reason and row.has_process, "a worker is signalled only for a stall"
        if number == "TERM":
            row.stalled_at, row.reason = now, reason
        else:
            row.killed = True
            self.forced_kills += 1
        self.effects.note("signal_stalled", model=row.slug, signal=number, reason=row.reason)
        self.effects.order("signal", PROGRAM + row.slug, number)

    def act(self, now: float) -> None:
        choice = load_choice.choose_next([self._facts(row) for row in self.rows.values()], self.config.prewarm)
        match choice:
            case load_choice.Start():
                row = self.rows[choice.slug]
                row.on_started(now, choice.reason)
                self.effects.note("start", model=row.slug, reason=choice.reason)
                self.tell([row], now)
                self.effects.order("start", PROGRAM + row.slug)  # (1): STARTING until a hello or an end
            case load_choice.Load():
                self._load(self.rows[choice.slug], choice.reason, now)

    def _load(self, row: RowState, reason: str, now: float) -> None:
        if not row.peer:
            return  # it serves, but has not greeted this control process yet
        self._loads += 1
        row.load_id = self._loads
        row.load_deadline = now + self.limits.load_deadline_s
        row.reason = reason
        self.effects.note("load", model=row.slug, incarnation=row.incarnation, reason=reason)
        self.tell([row], now)
        self._send_load(row, now)

    def _send_load(self, row: RowState, now: float) -> None:
        """Said again while the worker stays EMPTY: it may be lost with a connection, and twice is harmless."""
        row.load_sent_at = now
        load = messages.Load(messages.VERSION, row.incarnation, row.load_id, self.epoch)
        if not self.effects.to_peer(row.peer, load):
            row.peer, row.load_sent_at = b"", None  # its death, or its next hello, decides

    def _facts(self, row: RowState) -> load_choice.Facts:
        words = self.effects.read_gateway(row.index)
        waiting = (words.waiting_high, words.waiting_medium, words.waiting_low) if words else (0, 0, 0)
        oldest = words.oldest_wait_since_ns / NS if words and words.oldest_wait_since_ns else None
        last_used = words.last_dispatch_ns / NS if words else 0.0
        # Whether an operator stopped it is not known until supervisord was asked after its end (STOPPED is a hold).
        settled = row.phase is not Phase.DOWN or row.ended_at < self.processes.read_at
        phase = row.effective if settled else Phase.STOPPING
        return load_choice.Facts(row.slug, phase, row.loading, waiting, oldest, row.wanted_by, last_used)
