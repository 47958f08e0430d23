"""The thread in which a relay's requests run: an event loop in the place of the engine thread.

`Runtime` uses it as it uses `EngineThread`: orders go in (`add`, `remove`), posts come out (`take`), and the facts in
the attributes are read without a lock. Every job is a task; a cancel ends the task, which closes its connection.

Besides, it probes the server (`workers/breaker.py` says when) and tells the models it has. While the breaker is not
closed a job is refused at once, so that the gateway goes on to the next backend of the chain. A task that ends by an
error of our own fails its job and no other.

Limits: `jobs_max` at once is the runtime's to keep. When BACKLOG_POSTS_MAX posts lie unread, tasks wait before they
read on, so the server waits too and nothing grows without bound. A silent gateway is no progress that fails.

A loop that hangs reads no answer, keeps no time limit and obeys no order, while the I/O thread still beats. So it is
asked at each `take` whether it turns, and if it has not for TURN_MAX_S the process ends (`Fatal`), to be started again.
"""

import asyncio
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import aclosing, suppress

from control.states import Breaker as BreakerState
from workers.breaker import FAILURES_MAX, WINDOW_S, Breaker
from workers.engine import EngineJob, JobKey, LoadPlan, MemoryFacts, ModelFacts, Output
from workers.engine_thread import (
    BACKLOG_POSTS_MAX,
    Changed,
    Fatal,
    JobRejected,
    Loaded,
    Noted,
    Outputs,
    Post,
    name_problem,
)
from workers.job_parts import CallPiece, More
from workers.protocol import End
from workers.relay import PIECE_MAX_CHARS, Aside, Piece, Server, UpstreamFailed

ROOM_LOOK_EVERY_S = 0.02
TURN_MAX_S = 10.0
LOOK_MAX_S = 1.0
LOGPROBS_MAX = 64  # tokens in a frame, each with its tops


class Pulse:
    """Does the loop still turn? `ask` puts a call into it from another thread; that call has TURN_MAX_S to come.

    From one look to the next at most LOOK_MAX_S counts, so a process that was stopped is not taken for one that hangs.
    """

    def __init__(self, ask: Callable[[Callable[[], None]], object]) -> None:
        self._ask, self._came = ask, True
        self._waited_s = self._looked_at = 0.0

    def is_lost(self, now: float) -> bool:
        """Asked by the other thread again and again; `now` in seconds."""
        if self._came:
            self._came, self._waited_s = False, 0.0
            self._ask(self._come)
        else:
            self._waited_s += min(now - self._looked_at, LOOK_MAX_S)
        self._looked_at = now
        return self._waited_s > TURN_MAX_S

    def _come(self) -> None:
        self._came = True


class RelayThread:
    """Facts: `steps` counts pieces; `models` what the server has, None before it said so; `breaker` of control.states;
    the others as in `EngineThread`.
    """

    def __init__(self, server: Server, probe_every_s: float, wake: Callable[[], None]) -> None:
        self.steps = 0
        self.progress_at = time.monotonic()
        self.load_progress = 1.0
        self.ended = False
        self.memory = MemoryFacts()
        self.models: list[str] | None = None
        self._server, self._wake = server, wake
        self._breaker = Breaker(probe_every_s)
        self._failed = asyncio.Event()  # a request did: the next probe is nearer than it was
        self._posts: deque[Post] = deque()
        self._tasks: dict[JobKey, asyncio.Task[None]] = {}
        self._ordered = self._obeyed = 0
        self._loop = asyncio.new_event_loop()
        self._pulse = Pulse(self._loop.call_soon_threadsafe)
        self._thread = threading.Thread(target=self._life, name="relay", daemon=True)

    @property
    def breaker(self) -> BreakerState:
        return self._breaker.state

    # -- called by the I/O thread ----------------------------------------------------------------------------

    def start(self) -> None:
        self._thread.start()

    def load(self, plan: LoadPlan) -> None:
        """There is nothing to load; whether the server answers is the breaker's matter."""
        self._post(Loaded(ModelFacts(0, 0), 1))

    def add(self, job: EngineJob) -> None:
        self._order(lambda: self._begin(job))

    def remove(self, key: JobKey) -> None:
        self._order(lambda: self._cancel(key))

    def pause(self, key: JobKey) -> None:
        """A server's answer goes on; nobody can pause it."""

    def resume(self, key: JobKey) -> None:
        """Nothing was paused."""

    def trim(self) -> None:
        """Nothing is kept for speed."""

    def tidy(self) -> None:
        """There is nothing to keep."""

    @property
    def held(self) -> int:
        on_its_way = self._ordered != self._obeyed
        return max(len(self._tasks), int(on_its_way))

    def take(self) -> list[Post]:
        posts = []
        while self._posts:
            posts.append(self._posts.popleft())
        if not self.ended and self._pulse.is_lost(time.monotonic()):
            self.ended = True
            posts.append(Fatal(f"its loop has not turned for {TURN_MAX_S:g} s", self._where()))
        return posts

    def _where(self) -> str:
        """What the thread is doing now, as lines of source."""
        frame = sys._current_frames().get(self._thread.ident)
        return "".join(traceback.format_stack(frame)) if frame else ""

    def _order(self, what: Callable[[], None]) -> None:
        self._ordered += 1
        self._loop.call_soon_threadsafe(self._obey, what)

    # -- the thread itself -----------------------------------------------------------------------------------

    def _life(self) -> None:
        try:
            self._loop.run_until_complete(self._run())
        except BaseException as problem:  # broad: whatever ends this thread must end the process, with its reason
            self.ended = True
            self._post(Fatal(name_problem(problem), traceback.format_exc()))

    async def _run(self) -> None:
        await self._server.open()
        try:
            while True:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._failed.wait(), self._breaker.probe_in_s(time.monotonic()))
                self._failed.clear()
                if not self._breaker.probe_in_s(time.monotonic()):
                    await self._probe()
        finally:
            await self._server.close()

    async def _probe(self) -> None:
        was_closed, problem, models = self.breaker is BreakerState.CLOSED, "", self.models
        self._breaker.on_probe_begun(time.monotonic())
        try:
            models = await self._server.probe()
        except UpstreamFailed as failed:
            problem = failed.message
        self._breaker.on_probe(problem, time.monotonic())
        is_closed = self.breaker is BreakerState.CLOSED
        changed, self.models = (was_closed, self.models) != (is_closed, models), models
        if changed:
            self._post(Changed(self.breaker.name.lower(), problem and f"{problem} ({self._server.url})"))

    def _obey(self, what: Callable[[], None]) -> None:
        what()
        self._obeyed += 1

    def _begin(self, job: EngineJob) -> None:
        if self.breaker is not BreakerState.CLOSED:
            self._post(JobRejected(job.key, "upstream_failed", self._breaker.why))
            return
        task = self._loop.create_task(self._serve(job))
        self._tasks[job.key] = task
        task.add_done_callback(lambda done: self._on_done(job.key, done))

    def _on_done(self, key: JobKey, task: asyncio.Task[None]) -> None:
        del self._tasks[key]
        if not task.cancelled() and (problem := task.exception()) is not None:
            self._post(JobRejected(key, "internal", name_problem(problem)))

    def _cancel(self, key: JobKey) -> None:
        task = self._tasks.get(key)
        if task is not None:
            task.cancel()

    async def _serve(self, job: EngineJob) -> None:
        try:
            await self._relay(job)
        except UpstreamFailed as failed:
            if failed.is_its_fault:
                self._on_failure()
            self._post(JobRejected(job.key, failed.code, failed.message))

    def _on_failure(self) -> None:
        """The server's own words are for that caller only: the journal and other callers get ours."""
        was_closed = self.breaker is BreakerState.CLOSED
        problem = f"{self._server.name} failed {FAILURES_MAX} requests within {WINDOW_S:g} s"
        self._breaker.on_failure(problem, time.monotonic())
        self._failed.set()
        if was_closed and self.breaker is not BreakerState.CLOSED:
            self._post(Changed(self.breaker.name.lower(), problem))

    async def _relay(self, job: EngineJob) -> None:
        """Each piece is a token of its own to the gateway, without an id."""
        position, has_ended = 0, False
        async with aclosing(self._server.answer(job)) as answer:
            async for part in answer:
                self.steps += 1
                self.progress_at = time.monotonic()
                while len(self._posts) >= BACKLOG_POSTS_MAX:
                    await asyncio.sleep(ROOM_LOOK_EVERY_S)
                match part:
                    case Piece():
                        for text, more in cut(part):
                            self._post(Outputs([Output(job.key, position, [], text, None, more)]))
                            position += 1
                    case Aside():
                        self._post(Noted(job.key, part.kind, part.text[:PIECE_MAX_CHARS]))
                    case End():
                        self._post(Outputs([Output(job.key, position, [], "", part)]))
                        has_ended = True
        if not has_ended:
            raise UpstreamFailed("upstream_failed", f"{self._server.name} broke off its answer")

    def _post(self, post: Post) -> None:
        self._posts.append(post)
        self._wake()


def cut(piece: Piece) -> list[Piece]:
    """In parts that each fit into a frame and say something; none if there is nothing."""
    more = piece.more
    if more is None or not (more.thinking or more.calls or more.logprobs):
        return [Piece(text) for text in _slices(piece.text)]
    size = len(piece.text) + len(more.thinking) + sum(len(call.arguments) for call in more.calls)
    if size <= PIECE_MAX_CHARS and len(more.logprobs) <= LOGPROBS_MAX:
        return [piece]
    parts = [Piece("", More(thinking=text)) for text in _slices(more.thinking)]
    parts += [Piece(text) for text in _slices(piece.text)]
    parts += [Piece("", More(logprobs=more.logprobs[begin : begin + LOGPROBS_MAX]))
              for begin in range(0, len(more.logprobs), LOGPROBS_MAX)]
    for call in more.calls:
        first, *rest = _slices(call.arguments) or [""]
        parts += [Piece("", More(calls=[CallPiece(call.index, call.id, call.name, first)])),
                  *(Piece("", More(calls=[CallPiece(call.index, arguments=text)])) for text in rest)]
    return parts


def _slices(text: str) -> list[str]:
    return [text[begin : begin + PIECE_MAX_CHARS] for begin in range(0, len(text), PIECE_MAX_CHARS)]
