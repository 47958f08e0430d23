"""The control process around the real Reconciler, in the order of `control/loop.py`; and a supervisord that obeys it.

What one turn of the loop reads and when it ticks is as there; sockets, table, clock and processes are the world's.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from control.adoption import adopt
from control.budget import ModelFacts, Profile
from control.header import header_words, warning
from control.pressure import Reading
from control.process_watch import PROGRAM
from control.reconciler import Reconciler
from control.rows import RowState
from control.states import is_fresh
from control.supervisord import Facts, Fault, OrderDone, ProcessFact, ProcessState, SupervisordFault
from control.table import ControlWords, GatewayWords, RowControl, RowGateway, RowWorker
from tests.model.real_wire import Killed, Process

if TYPE_CHECKING:
    from tests.model.real_worker import WorkerProcess
    from tests.model.real_world import RealWorld

NS = 1_000_000_000
TICK_S = 0.1
KV_TOKEN_BYTES = 100_000
CONTEXT = 4096


class ControlProcess(Process):
    """Implements `reconciler.Effects`."""

    def __init__(self, world: RealWorld) -> None:
        super().__init__(world, f"control.{next(world.numbers)}")
        adopted = world.table is not None
        self.table = world.table or world.make_table()
        self._header = self.table.writer(ControlWords)
        epoch = max(self._header.get("epoch") + 1, int(world.wall_s * 1000))
        self._header.set(epoch=epoch, pid=1)
        self._rows = {slug: self.table.writer(RowControl, index) for index, slug in enumerate(world.slugs)}
        self._inbox: list[Facts | OrderDone] = []
        self._next_tick = 0.0
        rows = {slug: index for index, slug in enumerate(world.slugs)}
        floor = int(world.wall_s * 1000)
        self.reconciler = r = Reconciler(world.config, self, epoch, self.table.boot_id, rows, floor)
        r.keys = world.variant.three_keys(r, floor)
        if adopted:
            adopt(r, self.table.snapshot(), world.now)
        self._read_memory(world.now)
        for row in r.rows.values():
            self.write_row(row)
        self._beat(world.now)

    # -- effects ---------------------------------------------------------------------------------------------

    def to_peer(self, identity: bytes, message: object) -> bool:
        return self.send(identity, message)

    def order(self, verb: str, name: str, *args: str) -> None:
        self.effect()
        self.world.supervisord.orders.append((self, verb, name, args))

    def write_row(self, row: RowState) -> None:
        self.effect()
        self._rows[row.slug].set(**row.words())
        self._rows[row.slug].flush()

    def read_gateway_words(self) -> GatewayWords | None:
        words = self.table.read(GatewayWords)
        return words if words is not None and is_fresh(words.heartbeat_ns, int(self.world.now * NS)) else None

    def read_gateway(self, index: int) -> RowGateway | None:
        gateway, words = self.read_gateway_words(), self.table.read(RowGateway, index)
        return words if gateway is not None and words is not None and words.epoch == gateway.epoch else None

    def read_worker(self, index: int) -> RowWorker | None:
        return self.table.read(RowWorker, index)

    def is_alive(self, pid: int, start_time_us: int) -> bool:
        return any(worker.pid == pid for worker in self.world.workers.values())

    def read_facts(self, slug: str) -> ModelFacts:
        return ModelFacts(self.world.model_bytes, KV_TOKEN_BYTES, CONTEXT, 0, "echo")

    def read_profile(self, slug: str) -> Profile | None:
        return self.world.profiles.get(slug)

    def save_profile(self, slug: str, profile: Profile) -> None:
        self.world.profiles[slug] = profile

    def note(self, event: str, **facts: object) -> None:
        self.world.note(self, event, facts)

    # -- turns -----------------------------------------------------------------------------------------------

    def _beat(self, now: float) -> None:
        self.effect()
        self._header.set(heartbeat_ns=int(now * NS), supervisord_at_ns=int(self.reconciler.processes.read_at * NS),
                         **header_words(self.reconciler))
        self._header.flush()
        warning(self.reconciler, now)

    def _read_memory(self, now: float) -> None:
        world = self.world
        self.reconciler.books.on_reading(Reading(world.used, "test", now, world.total_bytes, world.available_bytes,
                                                 world.total_bytes, 0))

    def turn(self, picks: list[int] | None) -> None:
        now = self.world.now
        for sender, message in self.read(picks):
            self.reconciler.on_frame(sender.identity, message, now)
        inbox, self._inbox = self._inbox, []
        for value in inbox:
            self.reconciler.processes.on_supervisord(value, now)
        if now >= self._next_tick or self.reconciler.somebody_leaves:
            self._next_tick = now + TICK_S
            if self.world.table is not self.table:
                raise Killed  # TableLost: the next one makes another
            self._read_memory(now)
            self.reconciler.on_tick(now)
            self._beat(now)

    def hear_supervisord(self, value: Facts | OrderDone) -> None:
        if isinstance(value, Facts):
            self._inbox = [kept for kept in self._inbox if not isinstance(kept, Facts)]
        self._inbox.append(value)

    @property
    def has_news(self) -> bool:
        return bool(self._inbox)


class FakeSupervisord:
    """Programs that are started, listed and signalled when the machine says so. It outlives control."""

    def __init__(self, world: RealWorld) -> None:
        self._world = world
        self.orders: deque[tuple[ControlProcess, str, str, tuple[str, ...]]] = deque()
        self._facts = {slug: ProcessFact(PROGRAM + slug, ProcessState.STOPPED, 0, 0, 0, 0) for slug in world.slugs}
        self._stopped: set[str] = set()  # by an operator
        self._new_signals: dict[str, str] = {}

    def carry_out(self) -> None:
        """The next order, and a list of processes after it."""
        control, verb, name, args = self.orders.popleft()
        slug, error = name.removeprefix(PROGRAM), None
        if verb == "start":
            error = self.start(slug)
        elif slug not in self._world.workers:
            error = SupervisordFault(Fault.NOT_RUNNING, name)
        elif args == ("TERM",):
            self._terminate(slug)
        else:
            self._world.bury(self._world.workers[slug], signal="SIGKILL")
        if control.alive:
            control.hear_supervisord(OrderDone(verb, name, error))
        self.list_processes()

    def start(self, slug: str) -> SupervisordFault | None:
        if slug in self._world.workers:
            return SupervisordFault(Fault.ALREADY_STARTED, slug)
        self._stopped.discard(slug)
        worker = self._world.spawn(slug)
        self._facts[slug] = self._facts[slug]._replace(state=ProcessState.RUNNING, pid=worker.pid,
                                                       start_s=int(self._world.wall_s))
        return None

    def stop(self, slug: str) -> None:
        """An operator's `stop`."""
        self._stopped.add(slug)
        self._terminate(slug)
        self._facts[slug] = self._facts[slug]._replace(state=ProcessState.STOPPING)

    def _terminate(self, slug: str) -> None:
        self._world.workers[slug].term = self._world.drained = True

    def on_exit(self, worker: WorkerProcess, status: int, signal: str) -> None:
        state = ProcessState.STOPPED if worker.slug in self._stopped else ProcessState.EXITED
        self._facts[worker.slug] = self._facts[worker.slug]._replace(
            state=state, pid=0, stop_s=int(self._world.wall_s), exit_status=status)
        if signal:
            self._new_signals[PROGRAM + worker.slug] = signal

    def list_processes(self) -> None:
        control = self._world.control
        if control is not None:
            processes = {fact.name: fact for fact in self._facts.values()}
            control.hear_supervisord(Facts(processes, int(self._world.now * NS), self._new_signals))
            self._new_signals = {}
