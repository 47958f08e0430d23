"""Two models that do not fit together, served by the real classes over a fake wire, table, clock and supervisord.

The machine (`real_machine.py`) moves everything: nothing happens, arrives or passes here by itself. `let_run` is the
other way round: everybody does what there is to do and time goes on, as in a stack that is left alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import NamedTuple

from control import messages
from control.states import Phase
from control.table import RowControl
from control.three_keys import ThreeKeys
from gateway import protocol
from gateway.second_key import SecondKey
from tests.model.real_control import ControlProcess, FakeSupervisord
from tests.model.real_gateway import GatewayProcess
from tests.model.real_watch import Broken, Watch
from tests.model.real_wire import ALL, FakeTable, Killed, Process, Wire
from tests.model.real_worker import WorkerProcess
from tests.support.gateway_world import make_config
from workers.third_key import ThirdKey

GIB = 1024**3
RESTART_S = 0.05
MEMORY_BACK_S = 0.2
ROUNDS_MAX = 120
STEP_S = 0.25
FAULTY_S, QUARANTINE_S, ANSWER_WITHIN_S = 60.0, 310.0, 120.0
SETTINGS = {"prewarm": 1, "grace_s": 2.0, "min_residency_s": 1.0, "max_running": 3, "max_queued": 8,
            "stall_limit_s": 20.0, "load_deadline_s": 30.0}


class Variant(NamedTuple):
    """The parts that hold the keys: those of the product, or one that is broken on purpose."""

    three_keys: Callable = ThreeKeys
    second_key: Callable = SecondKey
    third_key: Callable = ThirdKey


class Client(Process):
    """Asks whichever gateway lives, and hears what becomes of it. It never dies."""

    def __init__(self, world: RealWorld) -> None:
        super().__init__(world, "client")
        self.asked: dict[str, GatewayProcess] = {}
        self.events: dict[str, list[object]] = {}

    def ask(self, kind: str, **fields: object) -> str:
        """Returns its id; "" if no gateway is there."""
        gateway = self.world.gateway
        if gateway is None:
            return ""
        name = f"r{len(self.asked)}"
        self.asked[name], self.events[name] = gateway, []
        self.say({"type": kind, "id": name, **fields})
        return name

    def submit(self, slug: str, tokens: int = 1, **fields: object) -> str:
        return self.ask("submit", model=slug, prompt="x", options={"max_tokens": tokens}, **fields)

    def order(self, verb: str, slug: str) -> None:
        """As `warden ctl` does: straight to control, and the answer is not looked at."""
        if self.world.control is not None:
            self.world.wire.put(self, self.world.control, messages.Ask(messages.VERSION, 1, verb, slug))

    def say(self, message: dict) -> None:
        if self.world.gateway is not None:
            self.world.wire.put(self, self.world.gateway, protocol.encode(message))

    def hear(self, event: object) -> None:
        if event.id in self.events:
            self.events[event.id].append(event)
            self.world.watch.on_event(self.events[event.id])

    def end_of(self, name: str) -> object | None:
        return next((event for event in self.events[name] if isinstance(event, protocol.TERMINAL)), None)

    @property
    def waiting(self) -> list[str]:
        """What the living gateway owes an answer to."""
        return [name for name, gateway in self.asked.items() if gateway.alive and self.end_of(name) is None]


class RealWorld:
    def __init__(self, variant: Variant = Variant(), slugs: tuple[str, ...] = ("a", "b"), model_gb: float = 16,
                 **settings: float) -> None:
        self.now, self.used = 100.0, 0.2
        self.total_bytes, self.model_bytes = 32 * GIB, int(model_gb * GIB)
        self.variant, self.slugs = variant, list(slugs)
        self.config = make_config(*slugs, batch_size=2, **SETTINGS | settings)
        self.numbers = count(1000)
        self.peers: dict[bytes, Process] = {}
        self.wire, self.watch = Wire(), Watch(self)
        self.profiles: dict = {}
        self._late: list[tuple[float, int]] = []  # memory of the dead that is not back: until when, and how much
        self.journal: list[str] = []
        self.seen: Counter[str] = Counter()
        self.stopped = ""  # the kind of process that takes no turn while others do
        self.answers_last = False  # engines load and obey, and finish no answer
        self.sound = True  # no turn ended in an error
        self.drained = False  # some worker was told TERM: a job that crosses that is tried again, and counts as lost
        self.workers: dict[str, WorkerProcess] = {}
        self.table: FakeTable | None = None
        self.control: ControlProcess | None = None
        self.gateway: GatewayProcess | None = None
        self.supervisord = FakeSupervisord(self)
        self.client = Client(self)
        self.restart_the_dead()

    # -- facts -----------------------------------------------------------------------------------------------

    @property
    def wall_s(self) -> float:
        return 1_700_000_000 + self.now

    @property
    def available_bytes(self) -> int:
        """A process gives its memory back a moment after its end."""
        self._late = [(at, size) for at, size in self._late if at > self.now]
        held = sum(worker.footprint_bytes for worker in self.workers.values()) + sum(size for _, size in self._late)
        return self.total_bytes - 2 * GIB - held

    def row(self, slug: str) -> RowControl | None:
        return self.table.read(RowControl, self.slugs.index(slug)) if self.table is not None else None

    @property
    def processes(self) -> list[Process]:
        everybody = [self.control, self.gateway, *self.workers.values()]
        return [each for each in everybody if each is not None]

    def note(self, who: Process, event: str, facts: dict) -> None:
        self.journal.append(f"{self.now:.2f} {who} {event} {facts}")
        self.seen[f"{event} by {facts['by']}" if "by" in facts else event] += 1

    # -- life and death --------------------------------------------------------------------------------------

    def make_table(self) -> FakeTable:
        self.table = FakeTable(next(self.numbers), self.slugs)
        return self.table

    def spawn(self, slug: str) -> WorkerProcess:
        self.workers[slug] = WorkerProcess(self, slug)
        return self.workers[slug]

    def restart_the_dead(self) -> None:
        """supervisord brings control and the gateway back, which takes a moment."""
        if self.control is None:
            self.now += RESTART_S
            self.control = ControlProcess(self)
        if self.gateway is None and self.table is not None:
            self.now += RESTART_S
            self.gateway = GatewayProcess(self)
            self.watch.on_new_gateway()

    def bury(self, dead: Process, *, status: int = -1, signal: str = "") -> None:
        """It is no more; its memory is back, and what was said to it is lost."""
        dead.alive, dead.died_at = False, self.now
        self.wire.bury(dead)
        if dead is self.control:
            self.control = None
        elif dead is self.gateway:
            self.gateway = None
        elif isinstance(dead, WorkerProcess):
            del self.workers[dead.slug]
            self._late.append((self.now + MEMORY_BACK_S, dead.footprint_bytes))
            self.supervisord.on_exit(dead, status, signal)

    def turn(self, process: Process, picks: list[int] | None = ALL, **more: object) -> None:
        """One turn of its loop; it may end in it."""
        self.sound = False
        try:
            process.turn(picks, **more)
        except Killed:
            willing = isinstance(process, WorkerProcess) and process.leaving
            status = process.runtime.exit_code if willing else -1
            self.bury(process, status=status, signal="" if willing else "SIGKILL")
        self.sound = True

    # -- left alone ------------------------------------------------------------------------------------------

    def let_run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Nobody dies from outside, and everything takes its course."""
        end = self.now + seconds
        self.restart_the_dead()
        while self.now < end and not until():
            self.now += min(STEP_S, seconds)
            self.supervisord.list_processes()
            self._do_all_there_is()

    def _do_all_there_is(self) -> None:
        """At one moment of the clock, until nobody has anything to say."""
        for _ in range(ROUNDS_MAX):
            while self.supervisord.orders:
                self.supervisord.carry_out()
            for process in self.processes:
                if process.alive and process.kind != self.stopped:
                    self.turn(process)
            self.restart_the_dead()
            for worker in self.workers.values():
                if worker.kind != self.stopped:
                    worker.engine.obey()
                    worker.engine.finish_load()
                    if not self.answers_last:
                        worker.engine.step()
            self.watch.check()
            if self._is_quiet:
                return
        raise Broken("they_come_to_rest", f"{self.journal[-20:]}")

    @property
    def _is_quiet(self) -> bool:
        working = any(worker.leaving or worker.engine.has_orders or not self.answers_last and worker.engine.has_jobs
                      for worker in self.workers.values() if worker.kind != self.stopped)
        news = self.control.has_news and self.stopped != "control"
        return self.wire.is_quiet(self.stopped) and not working and not self.supervisord.orders and not news

    # -- the end ---------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """No more faults: in the end everybody was answered, no fence stands and every model can be had."""
        self.used = 0.2
        for worker in self.workers.values():
            worker.effects_left = None
        self.let_run(1)
        for slug in self.slugs:
            self.client.ask("unpin", model=slug)
            if self.row(slug).phase == Phase.HELD:
                self.supervisord.start(slug)
        self.let_run(FAULTY_S, until=lambda: not self.client.waiting)
        if any(self.row(slug).phase in (Phase.QUARANTINED, Phase.BACKOFF) for slug in self.slugs):
            self.let_run(QUARANTINE_S, until=self._nobody_waits_for_crashes)
        last = [self.client.submit(slug) for slug in self.slugs]
        self.let_run(ANSWER_WITHIN_S, until=lambda: not self.client.waiting)
        self.let_run(5, until=lambda: not self._fences)
        for name in last:
            if not isinstance(self.client.end_of(name), protocol.Done):
                raise Broken("serves_or_is_down", f"{name} ended in {self.client.end_of(name)}\n{self.story()}")
        if self.client.waiting:
            raise Broken("one_terminal_event", f"none for {self.client.waiting}\n{self.story()}")
        if self._fences:
            raise Broken("serves_or_is_down", f"fences stand: {self._fences}\n{self.story()}")

    def _nobody_waits_for_crashes(self) -> bool:
        return not any(self.row(slug).phase in (Phase.QUARANTINED, Phase.BACKOFF) for slug in self.slugs)

    @property
    def _fences(self) -> list[str]:
        return [slug for slug in self.slugs if self.row(slug).fence_id != self.row(slug).fence_cleared]

    def story(self) -> str:
        return "\n".join(self.journal[-60:])
