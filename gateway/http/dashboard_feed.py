"""The feed of the dashboard: one reading a second for all who listen, and a memory of the last hour.

Each http process has its own. The table is read every second, also while nobody looks (some 100 us), so that the charts
have a past. The journals are read only while somebody listens, in a thread: first the newest decisions, then those that
come.

Bounded: LISTENERS_MAX who listen, BEHIND_MAX readings that wait for one of them (the bytes are shared; who is further
behind is let go and may come again), DECISIONS_MAX decisions kept.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from control.config import Config
from control.decisions import decision_of
from control.log_files import Follower, LogLine
from control.overview import overview
from control.table import Snapshot
from gateway import VERSION
from gateway.http.dashboard import (
    History,
    Sample,
    Sampler,
    first_event,
    second_event,
    show,
    show_decision,
    unreadable,
)
from gateway.http.errors import Problem
from gateway.http.reserved import hiding
from gateway.http.streams import sse

LISTENERS_MAX = 32
BEHIND_MAX = 10
DECISIONS_MAX = 200
EVERY_S = 1.0
JOURNALS_WITHIN_S = 1.0  # the first event waits so long for the decisions of before
PROGRAMS = ("control", "gateway")  # who decides


def decides(line: LogLine) -> bool:
    return decision_of(line.fields) is not None


class Listener:
    """One who listens. `left`: nobody reads on; `news` wakes the reader."""

    def __init__(self) -> None:
        self.left = False
        self.news = asyncio.Event()
        self._waiting: deque[bytes] = deque()

    def take(self, event: bytes) -> None:
        if len(self._waiting) >= BEHIND_MAX:
            self.leave()
        else:
            self._waiting.append(event)
            self.news.set()

    def leave(self) -> None:
        self.left = True
        self.news.set()

    async def events(self) -> AsyncIterator[bytes]:
        """Until it is left."""
        while not self.left:
            while self._waiting and not self.left:
                yield self._waiting.popleft()
            self.news.clear()
            if not self.left:
                await self.news.wait()


class Feed:
    """`read` gives the table, `logs` is the folder of the journals. `hide`: see `reserved.hiding`."""

    def __init__(self, config: Config, read: Callable[[], Snapshot | str], logs: Path) -> None:
        self._config, self._read, self._logs = config, read, logs
        self.hide = hiding(config)
        self._sampler, self._history = Sampler(), History()
        self._sample: Sample | None = None
        self._decisions: deque[dict] = deque(maxlen=DECISIONS_MAX)
        self._fresh: list[dict] = []  # decisions that were not sent yet
        self._listeners: set[Listener] = set()
        self._somebody, self._told = asyncio.Event(), asyncio.Event()  # listens; has the decisions of before
        self._over = False

    async def run(self, note: Callable[..., None]) -> None:
        """Until it is cancelled; nobody is left listening to what does not come. A turn that fails is told to `note`,
        and the next one begins: a line that nobody expected must not end the dashboard.
        """
        try:
            while True:
                turns = asyncio.create_task(self._turns())
                try:
                    await asyncio.wait((turns,))
                finally:
                    turns.cancel()
                note("feed_failed", reason=str(turns.exception()), exc_info=turns.exception())
                await asyncio.sleep(EVERY_S)
        finally:
            self.stop()

    async def _turns(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tell())
            tasks.create_task(self._follow())

    def stop(self) -> None:
        """Everybody's stream ends well, and there are no new ones."""
        self._over = True
        for listener in self._listeners:
            listener.leave()

    @contextmanager
    def listening(self) -> Iterator[Listener]:
        """Raises: Problem `queue_full`, `gateway_unavailable`."""
        if self._over:
            raise Problem("gateway_unavailable", "this process is stopping; ask again")
        if len(self._listeners) >= LISTENERS_MAX:
            raise Problem("queue_full", f"{LISTENERS_MAX} pages look at this dashboard already, and no more may; "
                          "close one")
        listener = Listener()
        self._listeners.add(listener)
        self._somebody.set()
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            if not self._listeners:
                self._somebody.clear()

    async def first(self) -> bytes:
        """For a new listener: all that is known."""
        try:
            async with asyncio.timeout(JOURNALS_WITHIN_S):
                await self._told.wait()
        except TimeoutError:
            pass  # a slow disk: they come with the next events
        if self._sample is None:
            self._look(time.time())
        return sse(first_event(second_event(self._read_now(), self._sample, list(self._decisions)), self._history,
                               self._config, VERSION))

    # -- every second

    async def _tell(self) -> None:
        due_at = time.monotonic()
        while True:
            shown = self._look(time.time())
            if self._listeners:
                event = sse(second_event(shown, self._sample, self._fresh))
                for listener in tuple(self._listeners):
                    listener.take(event)
            self._fresh = []
            due_at = max(due_at + EVERY_S, time.monotonic())  # no seconds are made up for after a sleep
            await asyncio.sleep(due_at - time.monotonic())

    def _look(self, now_s: float) -> dict:
        shown = self._read_now()
        self._sample = self._sampler.sample(shown, now_s)
        self._history.add(self._sample)
        return shown

    def _read_now(self) -> dict:
        found = self._read()
        if isinstance(found, str):
            return unreadable(found)
        return show(overview(found, time.monotonic_ns()), self._config, self.hide)

    # -- the journals

    async def _follow(self) -> None:
        while True:
            await self._somebody.wait()
            try:
                await self._follow_for_now()
            except OSError:
                await asyncio.sleep(EVERY_S)  # a disk that cannot be read: everything else goes on

    async def _follow_for_now(self) -> None:
        """While somebody listens. Raises: OSError."""
        follower = await asyncio.to_thread(Follower, self._logs, PROGRAMS)
        try:
            lines = await asyncio.to_thread(follower.last, DECISIONS_MAX, decides)
            self._decisions.clear()
            self._keep(lines)
            self._told.set()
            while self._listeners:
                self._fresh += self._keep(await asyncio.to_thread(follower.read))
                await asyncio.sleep(EVERY_S)
        finally:
            self._told.clear()
            follower.close()

    def _keep(self, lines: list[LogLine]) -> list[dict]:
        """The newest of them that are decisions."""
        found = [(decision, line.at_s) for line in lines if (decision := decision_of(line.fields)) is not None]
        new = [show_decision(*each, self._config, self.hide) for each in found[-DECISIONS_MAX:]]
        self._decisions.extend(new)
        return new

