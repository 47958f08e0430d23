"""The engine thread: the only thread that touches the engine, from `prepare` to the last step.

It takes commands from a queue and posts what happened to the I/O thread. When nothing is active it sleeps on the
queue; while jobs run it looks at the queue between two steps, so a new job joins at the next one.

Limits: when BACKLOG_POSTS_MAX posts lie unread (the gateway is stopped, say) it pauses before the next step, so
that nothing grows without bound. Any exception out of `load` or `step` is posted and ends the thread; the runtime
then ends the process, because nothing after it is promised. A reason that begins with OUT_OF_MEMORY tells control to
load the model into less next time.
"""

import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import NamedTuple

from control.states import Breaker
from workers.engine import Engine, EngineJob, JobKey, JobRefused, LoadPlan, MemoryFacts, ModelFacts, Output
from workers.protocol import NoteKind

BACKLOG_POSTS_MAX = 256
MEMORY_EVERY_S = 0.25
TIDY_AFTER_S = 0.5  # with nothing to do: the next of requests that follow each other does not wait for the disk
LAST_TIDY_S = 0.2
ROOM_LOOK_EVERY_S = 1.0
OUT_OF_MEMORY = "out of memory: "
OUT_OF_MEMORY_TEXTS = (  # in lower case, of MLX's RuntimeErrors: what Metal's command buffers, its allocator, CUDA say
    "insufficient memory", "outofmemory", "out of memory", "unable to allocate", "maximum allowed buffer size",
    "resource limit", "failed to allocate")


class Outputs(NamedTuple):
    outputs: list[Output]


class Loaded(NamedTuple):
    facts: ModelFacts
    load_ms: int


class LoadFailed(NamedTuple):
    reason: str


class JobRejected(NamedTuple):
    key: JobKey
    code: str
    message: str


class PausedNow(NamedTuple):
    """`kept`: what was computed for it stands."""

    key: JobKey
    kept: bool


class ShortOf(NamedTuple):
    """The job is the first that waits for memory in the batch."""

    key: JobKey


class Noted(NamedTuple):
    """What a relay's server does for a job, for people."""

    key: JobKey
    kind: NoteKind
    text: str


class Changed(NamedTuple):
    """A relay's server came, went, or has other models. `problem` for people."""

    breaker: str
    problem: str


class Fatal(NamedTuple):
    reason: str
    trace: str


Post = Outputs | Loaded | LoadFailed | JobRejected | PausedNow | ShortOf | Noted | Changed | Fatal


class EngineThread:
    """Facts that the I/O thread reads without a lock (each is one reference, replaced whole): `steps`,
    `progress_at` (monotonic seconds of the last sign of work), `load_progress` (0..1), `memory`, `ended` (the last
    post is there), `held` (how many jobs are inside the engine, paused ones too, or 1 while an order about a job is on
    its way to it: rather a moment too long than too short)."""

    models, breaker = None, Breaker.CLOSED  # what only a relay has to say

    def __init__(self, engine: Engine, wake: Callable[[], None]) -> None:
        self.steps = 0
        self.progress_at = time.monotonic()
        self.load_progress = 0.0
        self.ended = False
        self.memory = MemoryFacts()
        self._engine = engine
        self._wake = wake
        self._commands: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._posts: deque[Post] = deque()
        self._room = threading.Event()
        self._room.set()
        self._memory_at = 0.0
        self._loading = False
        self._ordered = self._obeyed = self._inside = 0
        self._short: JobKey | None = None
        self._trim_ordered = False
        self._thread = threading.Thread(target=self._life, name="engine", daemon=True)

    # -- called by the I/O thread ----------------------------------------------------------------------------

    def start(self) -> None:
        self._thread.start()

    def load(self, plan: LoadPlan) -> None:
        self._commands.put(lambda: self._load(plan))

    def add(self, job: EngineJob) -> None:
        self._ordered += 1
        self._commands.put(lambda: self._add(job))

    def remove(self, key: JobKey) -> None:
        self._ordered += 1
        self._commands.put(lambda: self._remove(key))

    def pause(self, key: JobKey) -> None:
        self._ordered += 1
        self._commands.put(lambda: self._pause(key))

    def resume(self, key: JobKey) -> None:
        self._ordered += 1
        self._commands.put(lambda: self._resume(key))

    def trim(self) -> None:
        """Between two steps; asked again before it was done, it is done once."""
        if not self._trim_ordered:
            self._trim_ordered = True
            self._commands.put(self._trim)

    def tidy(self, within_s: float = LAST_TIDY_S) -> None:
        """Before the process ends: what is not on disk yet may go there, the newest first. No longer than `within_s`,
        since the memory is wanted: what is half written then is removed by the next process.
        """
        tidied = threading.Event()

        def tidy_all() -> None:
            while self._engine.idle():
                pass
            tidied.set()

        if not self.ended and self._inside == 0:
            self._commands.put(tidy_all)
            tidied.wait(within_s)

    @property
    def held(self) -> int:
        on_its_way = self._ordered != self._obeyed  # read first: what was obeyed before it shows in `_inside`
        return max(self._inside, int(on_its_way))

    def take(self) -> list[Post]:
        """Everything posted since the last call, in order."""
        posts = []
        while self._posts:
            posts.append(self._posts.popleft())
        if not self._room.is_set():
            self._room.set()
        return posts

    # -- the thread itself -----------------------------------------------------------------------------------

    def _life(self) -> None:
        try:
            self._engine.prepare()
            self._read_memory()
            while True:
                self._obey()
                self._step()
        except BaseException as problem:  # broad: whatever ends this thread must end the process, with its reason
            reason = name_problem(problem)
            self.ended = True
            self._post(LoadFailed(reason) if self._loading else Fatal(reason, traceback.format_exc()))

    def _obey(self) -> None:
        """Carry out what is asked; sleep only when there is nothing to step, and nothing to tidy."""
        tidies = True
        while True:
            try:
                command = self._commands.get(not self._engine.active, TIDY_AFTER_S if tidies else None)
            except Empty:
                if self._engine.active:
                    return
                tidies = self._engine.idle()
                continue
            tidies = True
            self.progress_at = time.monotonic()
            command()
            self.progress_at = time.monotonic()

    def _step(self) -> None:
        while not self._room.wait(ROOM_LOOK_EVERY_S):
            self.progress_at = time.monotonic()  # it could go on: whoever does not read is stuck, not this engine
        outputs = self._engine.step()
        self._inside = self._engine.active + self._engine.paused
        self.steps += 1
        self.progress_at = time.monotonic()
        if self.progress_at - self._memory_at > MEMORY_EVERY_S:
            self._read_memory()
        if outputs:
            self._post(Outputs(outputs))
        self._tell_paused()
        if self._engine.short != self._short:
            self._short = self._engine.short
            if self._short is not None:
                self._post(ShortOf(self._short))

    def _tell_paused(self) -> None:
        """Who is short of memory is told again after a pause: it may not have been enough."""
        for key, kept in self._engine.take_paused():
            self._post(PausedNow(key, kept))
            self._short = None

    def _read_memory(self) -> None:
        self._memory_at = time.monotonic()
        self.memory = self._engine.memory()

    def _load(self, plan: LoadPlan) -> None:
        started = time.monotonic()
        self._loading = True
        facts = self._engine.load(self._on_load_progress, plan)
        self._loading = False
        self.load_progress = 1.0
        self._read_memory()
        self._post(Loaded(facts, max(1, round((time.monotonic() - started) * 1000))))

    def _on_load_progress(self, done: float) -> None:
        self.load_progress = done
        self.progress_at = time.monotonic()

    def _add(self, job: EngineJob) -> None:
        try:
            self._engine.add(job)
        except JobRefused as refused:
            self._post(JobRejected(job.key, refused.code, refused.message))
        self._on_obeyed()

    def _remove(self, key: JobKey) -> None:
        self._engine.remove(key)
        self._on_obeyed()

    def _pause(self, key: JobKey) -> None:
        self._engine.pause(key)
        self._tell_paused()
        self._on_obeyed()

    def _resume(self, key: JobKey) -> None:
        self._engine.resume(key)
        self._on_obeyed()

    def _on_obeyed(self) -> None:
        self._inside = self._engine.active + self._engine.paused
        self._obeyed += 1

    def _trim(self) -> None:
        self._trim_ordered = False
        self._engine.trim()

    def _post(self, post: Post) -> None:
        self._posts.append(post)
        if len(self._posts) >= BACKLOG_POSTS_MAX:
            self._room.clear()
        self._wake()


def name_problem(problem: BaseException) -> str:
    """One line for control and for people; it begins with OUT_OF_MEMORY if that was the matter.

    MLX has no exception of its own for it: a RuntimeError whose text says so. Python's is MemoryError.
    """
    text = str(problem).lower()
    said = isinstance(problem, RuntimeError) and any(phrase in text for phrase in OUT_OF_MEMORY_TEXTS)
    prefix = OUT_OF_MEMORY if said or isinstance(problem, MemoryError) else ""
    return f"{prefix}{type(problem).__name__}: {' '.join(str(problem).split())}"  # one line, whatever was raised
