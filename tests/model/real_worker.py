"""The worker process around the real Runtime, in the order of `workers/loop.py`, with an engine that is moved by hand.

`ScriptedEngine` has the face of `workers.engine_thread.EngineThread`: orders lie in a queue until it obeys them, and
what it did lies in another until the process looks.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from control import messages
from control.states import Breaker, Phase
from control.table import ControlWords, GatewayWords, RowWorker
from tests.model.real_wire import FakeTable, FakeWriter, Killed, Process
from workers import protocol as jobs
from workers.engine import EngineJob, JobKey, LoadPlan, MemoryFacts, ModelFacts, Output
from workers.engine_thread import Loaded, Outputs, PausedNow, Post
from workers.row_words import row_words
from workers.runtime import Runtime

if TYPE_CHECKING:
    from tests.model.real_world import RealWorld

TICK_S = 0.1
FOOTPRINT_EVERY_S = 1.0
EMPTY_FOOTPRINT_BYTES = 40 * 2**20
BATCH = 2
LOAD_S = 0.15


class ScriptedEngine:
    models, breaker = None, Breaker.CLOSED

    def __init__(self, world: RealWorld) -> None:
        self._world = world
        self.steps, self.progress_at, self.load_progress = 0, world.now, 0.0
        self.memory, self.ended = MemoryFacts(), False
        self.loading = self.in_memory = False
        self._began_at = 0.0
        self._orders: deque[tuple[str, object]] = deque()
        self._jobs: dict[JobKey, list[int]] = {}  # tokens made, tokens wanted
        self._paused: dict[JobKey, list[int]] = {}
        self._posts: list[Post] = []
        self._active = self._ordered = self._obeyed = 0

    # -- what the I/O thread sees ----------------------------------------------------------------------------

    def load(self, plan: LoadPlan) -> None:
        self._orders.append(("load", plan))

    def add(self, job: EngineJob) -> None:
        self._ordered += 1
        self._orders.append(("add", job))

    def remove(self, key: JobKey) -> None:
        self._ordered += 1
        self._orders.append(("remove", key))

    def pause(self, key: JobKey) -> None:
        self._ordered += 1
        self._orders.append(("pause", key))

    def resume(self, key: JobKey) -> None:
        self._ordered += 1
        self._orders.append(("resume", key))

    def trim(self) -> None:
        pass

    @property
    def held(self) -> int:
        return max(self._active, int(self._ordered != self._obeyed))

    def take(self) -> list[Post]:
        posts, self._posts = self._posts, []
        return posts

    # -- moved by hand ---------------------------------------------------------------------------------------

    @property
    def has_orders(self) -> bool:
        """Something to do or to tell right now, besides its jobs; a load takes time."""
        return bool(self._posts or self._orders and not self.loading)

    @property
    def has_jobs(self) -> bool:
        return bool(self._jobs)

    def obey(self) -> None:
        """All orders; a load takes until it is finished."""
        while self._orders and not self.loading:
            what, about = self._orders.popleft()
            if what == "load":
                self.loading = self.in_memory = True
                self._began_at = self._world.now
                continue
            self._obeyed += 1
            self._carry_out(what, about)
            self._active = len(self._jobs) + len(self._paused)
        self.progress_at = self._world.now

    def _carry_out(self, what: str, about: EngineJob | JobKey) -> None:
        if what == "add":
            self._jobs[about.key] = [len(about.emitted), about.max_tokens or 1]
        elif what == "remove":
            self._jobs.pop(about, None)
            self._paused.pop(about, None)
        elif what == "resume" and about in self._paused:
            self._jobs[about] = self._paused.pop(about)
        elif what == "pause" and about in self._jobs | self._paused:
            self._paused |= {about: self._jobs.pop(about)} if about in self._jobs else {}
            self._posts.append(PausedNow(about, kept=True))

    def finish_load(self) -> None:
        """Not at once: in LOAD_S whoever looks at memory has seen what it takes."""
        if self.loading and self._world.now - self._began_at >= LOAD_S:
            self.loading, self.load_progress = False, 1.0
            self._posts.append(Loaded(ModelFacts(4096, 100), 100))
            self.progress_at = self._world.now

    def step(self) -> None:
        """One token for each job."""
        self.obey()
        if self.loading or not self._jobs:
            return
        outputs = []
        for key, (made, wanted) in list(self._jobs.items()):
            end = jobs.End("length", 1, wanted, 1.0, 1.0) if made + 1 == wanted else None
            outputs.append(Output(key, made, [made], "t", end))
            self._jobs[key][0] += 1
            if end:
                del self._jobs[key]
        self._active = len(self._jobs) + len(self._paused)
        self.steps += 1
        self.progress_at = self._world.now
        self._posts.append(Outputs(outputs))


class WorkerProcess(Process):
    """Implements `effects.Effects`. `leaving`: its last words are said, and it ends at its next turn."""

    def __init__(self, world: RealWorld, slug: str) -> None:
        self.pid = next(world.numbers)
        super().__init__(world, f"{slug}.{self.pid}")
        self.slug = slug
        self.term = self.leaving = False
        self.engine = ScriptedEngine(world)
        self.runtime = Runtime(slug, self.pid, self.pid * 10, BATCH, self.engine, self, world.variant.third_key())
        self._table: FakeTable | None = None  # waits for one
        self._writer: FakeWriter | None = None
        self._outbox: deque[tuple[str, bytes]] = deque()
        self._meets_gateway = False
        self._next_tick = 0.0
        self._footprint, self._footprint_at = 0, float("-inf")

    def rank(self, sender: Process) -> int:
        return int(sender.identity.startswith(b"gateway"))

    @property
    def footprint_bytes(self) -> int:
        return self.world.model_bytes if self.engine.in_memory else EMPTY_FOOTPRINT_BYTES

    # -- effects ---------------------------------------------------------------------------------------------

    def to_control(self, message: object) -> None:
        self.effect()
        if isinstance(message, messages.Quitting):
            self.world.watch.on_quitting(self)
        if self.world.control is not None:
            self.world.wire.put(self, self.world.control, message)

    def to_gateway(self, message: object) -> None:
        if self._meets_gateway and not (self._outbox and isinstance(message, jobs.Beat)):
            self._outbox.append(jobs.encode(message))

    def drop_unsent(self) -> None:
        self._outbox.clear()

    def ask_count(self, count: jobs.Count) -> None:
        """Nobody asks here."""

    def meet_gateway(self, incarnation: int) -> None:
        self._meets_gateway = True

    def write_row(self, now: float) -> None:
        if not self.runtime.incarnation:
            return
        self.effect()
        if self._writer is None:
            self._writer = self._table.writer(RowWorker, self.world.slugs.index(self.slug))
        if now - self._footprint_at > FOOTPRINT_EVERY_S:
            self._footprint, self._footprint_at = self.footprint_bytes, now
        self._writer.set(**row_words(self.runtime, now, self._footprint))
        self._writer.flush()

    def note(self, event: str, **facts: object) -> None:
        self.world.note(self, event, facts)

    # -- turns -----------------------------------------------------------------------------------------------

    def turn(self, picks: list[int] | None) -> None:
        now = self.world.now
        if self.leaving:
            raise Killed
        if self._table is None:
            if self.world.table is None:
                return
            self._open_table()
        if self.term:
            self.runtime.drain("TERM", now)
        for sender, message in self.read(picks):
            if self.rank(sender):
                self.runtime.on_gateway(jobs.decode_to_worker(message), now)
            else:
                self.runtime.on_control(message, now)
        for post in self.engine.take():
            self.runtime.on_engine(post, now)
        self._flush()
        if now >= self._next_tick:
            self._next_tick = now + TICK_S
            self._tick(now)
        if self.runtime.exit_code is not None:
            self.write_row(now)
            self._flush()
            self.leaving = True

    def _tick(self, now: float) -> None:
        if self.world.table not in (self._table, None):
            self._open_table()
            self.runtime.control_epoch = 0
        control, gateway = self._table.read(ControlWords), self._table.read(GatewayWords)
        self.runtime.on_tick(now, control.epoch if control else 0, gateway.epoch if gateway else 0,
                             control.pressure_level if control else 0)
        self.write_row(now)
        self._flush()

    def _open_table(self) -> None:
        self._table, self._writer = self.world.table, None
        self.runtime.boot_id = self._table.boot_id

    def _flush(self) -> None:
        while self._outbox and self.world.gateway is not None:
            self.effect()
            self.world.wire.put(self, self.world.gateway, self._outbox.popleft())

    @property
    def is_loading(self) -> bool:
        return self.runtime.phase is Phase.LOADING
