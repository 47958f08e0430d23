"""One server of a relay asked in a loop of its own: what came, in order, and how it ended."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import aclosing

from tests.support.relay_fixtures import ScriptedProcess
from workers.engine import EngineJob
from workers.job_parts import CallPiece
from workers.protocol import ChatMessage, End, Remote
from workers.relay import Aside, Limits, Piece, Server, UpstreamFailed
from workers.relay_ollama import OllamaServer
from workers.relay_victoria import VictoriaServer

LIMITS = Limits(connect_s=5.0, first_byte_s=20.0, idle_s=20.0)
IMPATIENT = Limits(connect_s=0.2, first_byte_s=0.2, idle_s=0.2)
WITHIN_S = 20.0
REMOTE = Remote("llama3.2:1b", 1, "req-1")
KINDS = {"ollama": OllamaServer, "victoria": VictoriaServer}


def server_at(kind: str, url: str, limits: Limits = LIMITS, key_file: str = "") -> Server:
    return KINDS[kind](url, key_file, limits)


def server_of(upstream: ScriptedProcess, limits: Limits = LIMITS, key_file: str = "") -> Server:
    return server_at(upstream.kind, upstream.url, limits, key_file)


def chat(*texts: str, remote: Remote = REMOTE, **fields: object) -> EngineJob:
    return EngineJob(key=(1, 1, 1), messages=[ChatMessage("user", text) for text in texts or ("hello",)],
                     remote=remote, **fields)


def prompt(text: str, **fields: object) -> EngineJob:
    return EngineJob(key=(1, 1, 1), prompt=text, remote=REMOTE, **fields)


class Heard:
    """What came of one job; `failed` is the UpstreamFailed that ended it, if one did."""

    def __init__(self) -> None:
        self.parts: list[Piece | Aside | End] = []
        self.failed: UpstreamFailed | None = None

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.parts if isinstance(part, Piece))

    @property
    def thinking(self) -> str:
        return "".join(part.more.thinking for part in self.parts if isinstance(part, Piece) and part.more)

    @property
    def calls(self) -> list[CallPiece]:
        return [call for part in self.parts if isinstance(part, Piece) and part.more for call in part.more.calls]

    @property
    def asides(self) -> list[tuple[str, str]]:
        return [(part.kind, part.text) for part in self.parts if isinstance(part, Aside)]

    @property
    def end(self) -> End | None:
        """The last part, if it is one; anywhere else it would be wrong."""
        assert not any(isinstance(part, End) for part in self.parts[:-1]), "something came after the end"
        return self.parts[-1] if self.parts and isinstance(self.parts[-1], End) else None


async def listen(server: Server, job: EngineJob, heard: Heard) -> Heard:
    try:
        async with aclosing(server.answer(job)) as answer:
            async for part in answer:
                heard.parts.append(part)
    except UpstreamFailed as failed:
        heard.failed = failed
    return heard


def with_server(server: Server, what: Callable[[], Awaitable]) -> object:
    """The result of `what`, in a loop in which the server is open."""
    async def run() -> object:
        await server.open()
        try:
            async with asyncio.timeout(WITHIN_S):
                return await what()
        finally:
            await server.close()

    return asyncio.run(run())


def hear(server: Server, job: EngineJob) -> Heard:
    return with_server(server, lambda: listen(server, job, Heard()))


def probe(server: Server) -> list[str]:
    """Raises: UpstreamFailed."""
    return with_server(server, server.probe)


def refused(server: Server) -> UpstreamFailed:
    """Why it gives no sign of life."""
    try:
        probe(server)
    except UpstreamFailed as failed:
        return failed
    raise AssertionError("it gave a sign of life")


def leave(server: Server, job: EngineJob, when: Callable[[], None]) -> Heard:
    """Begin the job, cancel it as soon as `when` returns (it blocks in a thread), and wait for the task to end."""
    async def run() -> Heard:
        heard = Heard()
        task = asyncio.ensure_future(listen(server, job, heard))
        await asyncio.to_thread(when)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled() and heard.end is None
        return heard

    return with_server(server, run)


def descriptors() -> int:
    """How many files and sockets this process has open."""
    return len(os.listdir("/dev/fd"))
