"""What many streams at once cost the gateway and the http process: memory while they are open, CPU for each token.

The echo engine answers, so no model takes part. Streams are held open from this process, over HTTP as browsers do it,
each at a slow rate; meanwhile the memory of the two processes (resident) is looked at several times a second. What
counts is the most that was seen while the gateway itself said that so many run; the memory afterwards is the least
within SETTLE_S. For the speed every stream answers as fast as it is asked, and CPU time is that of the two processes.

Refused: streams that are never all open, or are not answered.
"""

import asyncio
import resource
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from typing import NamedTuple

from bench.http_load import HttpAsker
from bench.machine import family
from bench.program import BenchFailed
from bench.records import Ask, Heard
from bench.stack import Stack
from gateway.client import GatewayClient

ROWS_MAX = 256  # of one worker
RUNNING_MAX = 1024  # of the product
DESCRIPTORS = 4096  # of this process: one for each stream
LOOKS_PER_S = 4
SETTLE_S = 3.0
MIB = 2**20
PROGRAMS = {"gateway": ["-m", "gateway"], "http": ["-m", "gateway.http"]}
US_PER_S = 1_000_000.0


class Memory(NamedTuple):
    """MiB of each process, resident. `open` 0: before any stream of the round, or (`after`) when all have ended."""

    open: int
    after: bool
    gateway_mib: float
    http_mib: float


class Speed(NamedTuple):
    """Of so many streams at once. CPU in microseconds for each token, of all processes of that program."""

    streams: int
    tokens_per_s: float
    gateway_us: float
    http_us: float


def models_for(streams: int) -> dict[str, str]:
    """Echo workers with room for so many, for `Stack.started`."""
    return {f"echo{number}": f'engine = "echo"\nbatch_size = {ROWS_MAX}' for number in range(-(-streams // ROWS_MAX))}


def raise_descriptors() -> None:
    """Of this process alone: called when the stack has started, so that it is measured with the limit that it has."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < DESCRIPTORS:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(DESCRIPTORS, hard), hard))


class Processes:
    """Those of one stack that are looked at, by program."""

    def __init__(self, stack: Stack) -> None:
        """Raises: BenchFailed: one of them does not run."""
        found = [(process, process.cmdline()) for process in family(stack.pids())]
        self._by_program = {name: [process for process, words in found if words[-2:] == last]
                            for name, last in PROGRAMS.items()}
        missing = [name for name, processes in self._by_program.items() if not processes]
        if missing:
            raise BenchFailed(f"no process of this stack is its {missing[0]}")

    def resident_mib(self) -> dict[str, float]:
        return {name: sum(one.memory_info().rss for one in of) / MIB for name, of in self._by_program.items()}

    def cpu_s(self) -> dict[str, float]:
        return {name: sum(sum(one.cpu_times()[:2]) for one in of) for name, of in self._by_program.items()}


class Streams:
    """Asks the echo workers of a stack, in turn. `async with Streams(url, models) as streams`."""

    def __init__(self, url: str, models: Sequence[str]) -> None:
        self._askers = [HttpAsker(url, model, {}) for model in models]
        self._entered = AsyncExitStack()

    async def __aenter__(self) -> "Streams":
        for asker in self._askers:
            await self._entered.enter_async_context(asker)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._entered.aclose()

    async def hear(self, streams: int, tokens: int, rate: float = 0.0) -> list[Heard]:
        """All at once. `rate`: tokens a second of each; 0: as fast as they are asked. Raises: BenchFailed."""
        ask = Ask(0.0, "medium", f"#tokens={tokens} #rate={rate:g}", tokens)
        start = time.monotonic()
        heard = await asyncio.gather(*(self._askers[number % len(self._askers)].hear(ask, None, start)
                                       for number in range(streams)))
        failed = [one.detail for one in heard if one.outcome != "done"]
        if failed:
            raise BenchFailed(f"{len(failed)} of {streams} streams were not answered: {failed[0]}")
        return heard


async def measure_memory(stack: Stack, models: Sequence[str], counts: Sequence[int], hold_s: float) -> list[Memory]:
    """Before, with each of `counts` open for about `hold_s`, and afterwards. Raises: BenchFailed."""
    processes = Processes(stack)
    found = [memory_of(0, False, [processes.resident_mib()])]
    async with GatewayClient(stack.clients) as client:
        for count in counts:
            async with Streams(stack.url, models) as streams:
                hearing = asyncio.create_task(streams.hear(count, max(2, round(hold_s)), 1.0))
                looks, most = [], 0
                while not hearing.done():
                    running = sum((await client.stats()).running)
                    most = max(most, running)
                    looks += [processes.resident_mib()] if running >= count else []
                    await asyncio.wait([hearing], timeout=1 / LOOKS_PER_S)
                hearing.result()
            if not looks:
                raise BenchFailed(f"of {count} streams only {most} were open at once; give a longer --hold")
            found.append(memory_of(count, False, looks))
    looks = []
    for _ in range(round(min(SETTLE_S, hold_s) * LOOKS_PER_S)):
        await asyncio.sleep(1 / LOOKS_PER_S)
        looks.append(processes.resident_mib())
    return [*found, memory_of(0, True, looks)]


def memory_of(count: int, after: bool, looks: Sequence[dict[str, float]]) -> Memory:
    """The most of each; afterwards the least."""
    choose = min if after else max
    return Memory(count, after, *(choose(look[name] for look in looks) for name in PROGRAMS))


async def measure_speed(stack: Stack, models: Sequence[str], count: int, tokens: int) -> Speed:
    """`tokens`: of all streams together, about. Raises: BenchFailed."""
    processes = Processes(stack)
    async with Streams(stack.url, models) as streams:
        await streams.hear(count, 1)  # connections
        before = processes.cpu_s()
        heard = await streams.hear(count, max(1, tokens // count))
        cpu_s = {name: after - before[name] for name, after in processes.cpu_s().items()}
    said = sum(one.tokens for one in heard)
    return Speed(count, said / max(one.end_s for one in heard), *(cpu_s[name] / said * US_PER_S for name in PROGRAMS))
