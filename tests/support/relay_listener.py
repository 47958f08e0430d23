"""The thread of a relay with its other two sides played: a server fed by the test, and who takes what is posted.

`make` is a fixture: `make(probe_every_s)` gives a `Listener` whose thread runs, over a `FakeServer`.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from control.states import Breaker as State
from tests.support.supervisor_home import wait_until
from workers.engine import EngineJob
from workers.engine_thread import Changed, JobRejected, Outputs, Post
from workers.protocol import End, Remote
from workers.relay import Piece, UpstreamFailed
from workers.relay_thread import RelayThread

OFTEN_S, NEVER_S = 0.02, 3600.0
WITHIN_S = 10.0
END = End("stop", 3, 2, 1.0, 2.0)


class FakeServer:
    """`answers[prompt]` says what a job is answered with; whoever is not in it gets two words and an end."""

    name = "fake"
    url = "http://fake"

    def __init__(self) -> None:
        self.problem, self.models = "", ["a"]
        self.probed, self.asked, self.closed = 0, [], []
        self.answers: dict[str, Callable[[], AsyncIterator]] = {}
        self.breaks: BaseException | None = None
        self.is_closed = False

    async def open(self) -> None:
        if isinstance(self.breaks, OSError):
            raise self.breaks

    async def probe(self) -> list[str]:
        self.probed += 1
        if self.breaks is not None:
            raise self.breaks
        if self.problem:
            raise UpstreamFailed("upstream_failed", self.problem)
        return list(self.models)

    async def answer(self, job: EngineJob) -> AsyncIterator:
        self.asked.append(job.key)
        try:
            async for part in self.answers.get(job.prompt, two_words)():
                yield part
        finally:
            self.closed.append(job.key)

    async def close(self) -> None:
        self.is_closed = True


async def two_words() -> AsyncIterator:
    for part in (Piece("one "), Piece("two"), END):
        yield part


async def forever() -> AsyncIterator:
    yield Piece("one ")
    await asyncio.Event().wait()


async def a_flood() -> AsyncIterator:
    while True:
        yield Piece("x")


def failing(code: str = "upstream_failed", is_its_fault: bool = True) -> Callable[[], AsyncIterator]:
    async def answer() -> AsyncIterator:
        yield Piece("one ")
        raise UpstreamFailed(code, "what the caller wrote: a secret", is_its_fault=is_its_fault)

    return answer


class Listener:
    """The I/O thread's place: collects what is posted."""

    def __init__(self, server: FakeServer, probe_every_s: float) -> None:
        self.server = server
        self.posts: list[Post] = []
        self._news = threading.Event()
        self.thread = RelayThread(server, probe_every_s, self._news.set)

    def add(self, number: int, prompt: str = "x") -> tuple[int, ...]:
        key = (7, number, 1)
        self.thread.add(EngineJob(key, prompt=prompt, remote=Remote("m", 1, f"r{number}")))
        return key

    def until(self, what: str, look: Callable[[], object]) -> object:
        """Take posts until `look` is true."""
        def take() -> object:
            self.posts += self.thread.take()
            return look()

        return wait_until(what, take, WITHIN_S)

    def outputs(self, key: tuple[int, ...]) -> list:
        return [out for post in self.posts if isinstance(post, Outputs) for out in post.outputs if out.key == key]

    def of(self, kind: type) -> list:
        return [post for post in self.posts if isinstance(post, kind)]

    def wait_end(self, key: tuple[int, ...]) -> list:
        return self.until("its end", lambda: (outs := self.outputs(key)) and outs[-1].end and outs)

    def wait_rejected(self, key: tuple[int, ...]) -> JobRejected:
        return self.until("its failure", lambda: next((post for post in self.of(JobRejected) if post.key == key), None))

    def wait_idle(self) -> None:
        self.until("no job in hand", lambda: self.thread.held == 0)

    def wait_breaker(self, state: State) -> None:
        self.until(f"{state.name}", lambda: self.thread.breaker is state)

    def wait_changed(self, breaker: str) -> Changed:
        return self.until(f"word of {breaker}", lambda: next(
            (post for post in self.of(Changed) if post.breaker == breaker), None))


@pytest.fixture
def make() -> Iterator[Callable[..., Listener]]:
    """`make(probe_every_s)` -> a started thread; they end with the test, by an error of their server."""
    made: list[Listener] = []

    def start(probe_every_s: float = OFTEN_S, server: FakeServer | None = None) -> Listener:
        made.append(Listener(server or FakeServer(), probe_every_s))
        made[-1].thread.start()
        return made[-1]

    yield start
    for listener in made:
        listener.server.breaks = RuntimeError("the test is over")
        listener.server.answers["end"] = failing()
        listener.add(9999, "end")  # it fails, so the server is looked at, which ends the thread
        if listener.thread.breaker is State.CLOSED:
            wait_until("the end of the thread", lambda thread=listener.thread: thread.ended)
