"""Control's decisions carried out: hellos welcomed, deaths noticed, stuck workers signalled, and who does the rest.

Theory
------
Facts come in as events (`on_<event>`): frames from workers and the gateway, supervisord's list of processes, readings
of memory, the tick. Each changes a `RowState`; then `act` lets the parts do what is next: the evictor makes room
(`evictor`, `three_keys`), the loader starts and loads (`loader`). All ask pure choosers and act through `Effects`.
Every change of a row is written to the table *before* anybody is told.

Guarantees
1. A worker is started at most once per order: while an order or a process is outstanding there is no second one.
2. Incarnations and fences only grow, also across a table made anew (`floor`).
3. A new control process adopts living workers as they are (`adoption`).
4. A worker leaves to make room only by its own will, after three keys. `_signal_stalled` is the only place that decides
   to signal one, for want of progress, and asserts it; `process_watch` repeats an operator's TERM that was lost.
"""

from collections.abc import Iterable
from typing import Protocol

import msgspec

from control import messages, stall
from control.budget import ModelFacts, Profile
from control.config import Config, ModelConfig
from control.evictor import Evictor
from control.library import Library
from control.loader import Loader
from control.memory_books import MemoryBooks
from control.operators import OPERATOR, Operators
from control.process_watch import PROGRAM, ProcessWatch
from control.relays import Relays
from control.rows import RowState
from control.shelf import Shelf
from control.spill import Spill
from control.states import WORKER_PHASES, IllegalTransition, Phase
from control.table import GatewayWords, RowGateway, RowWorker
from control.three_keys import ThreeKeys

NS = 1_000_000_000
CLOCK_GAP_S = 5.0
EXPLAIN_EVERY_S = 1.0
WELCOME_AGAIN_S = 1.0
LEAVES_WITHIN_S = 5.0


class Effects(Protocol):
    """Everything control can do to the world, and the facts it may ask for at once."""

    def to_peer(self, identity: bytes, message: msgspec.Struct) -> bool: ...

    def order(self, verb: str, name: str, *args: str) -> None:
        """To supervisord; the outcome comes back as OrderDone."""

    def write_row(self, row: RowState) -> None: ...

    def read_gateway(self, index: int) -> RowGateway | None:
        """The gateway's words about a row; None unless they are of the gateway that is alive now."""

    def read_worker(self, index: int) -> RowWorker | None: ...

    def read_gateway_words(self) -> GatewayWords | None:
        """None unless the gateway is alive."""

    def is_alive(self, pid: int, start_time_us: int) -> bool: ...

    def read_facts(self, slug: str) -> ModelFacts | str:
        """The sizes of a model's files as they are now; a str says why they cannot be told."""

    def read_profile(self, slug: str) -> Profile | None: ...

    def save_profile(self, slug: str, profile: Profile) -> None: ...

    def read_library(self) -> Library | str:
        """As it stands in the home now; a str says why it cannot be read."""

    def write_programs(self, config: Config) -> str:
        """Let supervisord's file have the programs of these models; "" or why that cannot be."""

    def add_row(self, row: RowState) -> bool:
        """Find a free row of the table, write it and name it; sets `row.index`. False: there is none."""

    def drop_row(self, row: RowState) -> None: ...

    def take_models(self, config: Config) -> None: ...

    def note(self, event: str, **facts: object) -> None: ...


class Reconciler:
    def __init__(self, config: Config, effects: Effects, epoch: int, boot_id: int, rows: dict[str, int],
                 floor: int) -> None:
        self.config, self.effects, self.epoch, self.boot_id = config, effects, epoch, boot_id
        self.rows = {slug: RowState(rows[slug], slug, pinned=self.models[slug].pinned) for slug in self.models}
        self.incarnation = floor
        self.gateway: bytes = b""
        self.limits = stall.Limits(config.stall_limit_s, config.load_deadline_s)
        self.forced_kills = self.refused_words = 0
        self._ticked_at = self._judge_from = 0.0
        self.processes = ProcessWatch(self)
        self.books, self.keys = MemoryBooks(self), ThreeKeys(self, floor)
        self.evictor, self.loader, self.operators = Evictor(self), Loader(self, floor), Operators(self)
        self.shelf = Shelf(self)
        self.relays = Relays(self, {slug: rows[slug] for slug in config.relays.values()})
        self.spill = Spill(config.max_running, config.spill_after_queued)
        for model in config.models:
            if model.preload:
                self.rows[model.slug].wanted_by = "preload"

    @property
    def models(self) -> dict[str, ModelConfig]:  # pulled ones come and go
        return self.config.by_slug

    def tell(self, rows: Iterable[RowState]) -> None:
        """The table first, then the gateway."""
        for row in rows:
            self.effects.write_row(row)
            if self.gateway:
                self.effects.to_peer(self.gateway, messages.ModelState(
                    messages.VERSION, self.epoch, row.slug, row.incarnation, row.effective, row.reason))

    def explain(self, row: RowState, reason: str, now: float) -> None:
        """A new reason for people; numbers in it that only grow older are not worth a message each time."""
        if reason != row.reason and now - row.explained_at >= EXPLAIN_EVERY_S:
            row.reason, row.explained_at = reason, now
            self.tell([row])

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
                self.tell([*self.rows.values(), *self.relays.rows.values()])
            case messages.Want() | messages.Idle():
                self.act(now)
            case messages.Fenced():
                self.keys.on_fenced(message, now)
            case messages.GateBusy():
                self.keys.on_gate_busy(message)
            case messages.Quitting():
                self.keys.on_quitting(message, now)
            case messages.Busy():
                self.keys.on_busy(message)
            case messages.Ask():
                self.operators.on_ask(identity, message, now)

    def on_hello(self, identity: bytes, hello: messages.Hello, now: float) -> None:
        if hello.boot_id != self.boot_id:
            return  # it opens the new table and comes again
        if not self.effects.is_alive(hello.pid, hello.start_time_us):
            return  # said by a process that is gone: hellos of two connections come in any order
        if hello.slug in self.relays.rows:
            self.relays.on_hello(self.relays.rows[hello.slug], identity, hello, now)
            return
        row = self.rows.get(hello.slug)
        same_process = row is not None and (row.pid, row.start_time_us) == (hello.pid, hello.start_time_us)
        if row is None:
            self._refuse(identity, f"no model with the slug {hello.slug!r} is configured")
        elif row.phase in (Phase.STOPPING, Phase.VERIFY_FREE):
            return  # it leaves; or it is the next one, comes too early, and says it again
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
        self.keys.on_new_process(row)
        if row.start_ordered_at is None:
            row.wanted_by, row.wanted_at = row.wanted_by or OPERATOR, now
        self.incarnation += 1  # (2)
        row.on_welcomed(self.incarnation, hello.pid, hello.start_time_us, identity, Phase.EMPTY)
        row.share_bytes = self.books.empty_bytes(row)
        self.effects.note("welcome", model=row.slug, incarnation=row.incarnation, pid=row.pid)
        self.tell([row])
        self._say_welcome(row, now)
        self.act(now)

    def _welcome_back(self, row: RowState, identity: bytes, hello: messages.Hello, now: float) -> None:
        """A living worker greets a new control process, or says hello twice."""
        phase = hello.phase if hello.phase in WORKER_PHASES else Phase.EMPTY
        incarnation = hello.incarnation or row.incarnation
        self.incarnation = max(self.incarnation, incarnation)
        if row.phase is not Phase.ALIVE:
            self.keys.fence_off(row, now)  # the table was made anew: what was outstanding is not known
            row.share_bytes = max(row.share_bytes, self.books.unknown_bytes(row))
        row.on_welcomed(incarnation, hello.pid, hello.start_time_us, identity, phase)
        self.tell([row])
        self._say_welcome(row, now)

    def _say_welcome(self, row: RowState, now: float) -> None:
        """Said again until the worker reports that it obeys us: the answer may be lost with a connection."""
        row.welcome_said_at = now
        self.effects.to_peer(row.peer, messages.Welcome(messages.VERSION, self.boot_id, self.epoch, row.index,
                                                        row.incarnation))

    def on_report(self, report: messages.Report, now: float) -> None:
        if report.slug in self.relays.rows:
            self.relays.on_report(self.relays.rows[report.slug], report, now)
        row = self.rows.get(report.slug)
        if row is None or report.incarnation != row.incarnation:
            return
        if report.error:
            row.last_error = report.error
        words = self.effects.read_worker(row.index)  # written before the report was sent, so at least as new
        known = words is not None and words.incarnation == row.incarnation
        if report.control_epoch == self.epoch:
            if known and not row.obeys_us and row.load_sent_at is None:  # of a table made anew, only it knows
                row.share_bytes = max(words.share_bytes, self.books.empty_bytes(row))
                self.effects.write_row(row)
            self.keys.on_settled(row)
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
            self.loader.on_loaded(row, now)
        self.tell([row])
        self.act(now)

    # -- time and action -------------------------------------------------------------------------------------

    def on_tick(self, now: float) -> None:
        if now - self._ticked_at > CLOCK_GAP_S:  # we were stopped, and so perhaps was everybody: nobody is late yet
            self._judge_from = now + CLOCK_GAP_S
        self._ticked_at = now
        self.books.on_tick(now)
        for row in self.rows.values():
            if row.on_time(now):
                self.tell([row])
            if row.phase in (Phase.ALIVE, Phase.STOPPING):
                if not self.effects.is_alive(row.pid, row.start_time_us):
                    self.processes.on_gone(row, now)
                    continue
                words = self.effects.read_worker(row.index)
                if words is not None and words.incarnation == row.incarnation:
                    self._on_worker_phase(row, words.phase, now)
            if row.phase is Phase.ALIVE and row.peer and not row.obeys_us and (
                    now - row.welcome_said_at > WELCOME_AGAIN_S):
                self._say_welcome(row, now)
            self.loader.on_tick(row, now)
            self.keys.on_tick(row, now)
            if now >= self._judge_from:
                self._signal_stalled(row, now)
        self.relays.on_tick(now)
        self.spill.see(self.effects.read_gateway_words(), self.books.level, now, self._waiting_for_loads())
        self.act(now)

    def _waiting_for_loads(self) -> int:
        """How many requests wait for a model that does not answer yet."""
        words = [self.effects.read_gateway(row.index) for row in self.rows.values() if row.effective is not Phase.READY]
        return sum(sum(each.waiting) for each in words if each is not None)

    def _signal_stalled(self, row: RowState, now: float) -> None:
        """The only place that decides to signal a worker (4): for want of progress, never to make room."""
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
        """Whatever is next: make room, start, load."""
        self.evictor.press(now)
        self.loader.act(now)

    @property
    def somebody_leaves(self) -> bool:
        """Somebody waits for that memory: looked at more often, for as long as it is likely to end soon."""
        return any(row.stop is not None and row.stop.quit_at is not None
                   and self._ticked_at - row.stop.quit_at < LEAVES_WITHIN_S for row in self.rows.values())
