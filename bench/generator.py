"""Inside a load generator's process: warms up, waits for the common start, asks at the right times, hands over.

Guarantees: each ask of the plan gives one `Heard`, in the order of the plan; the process ends by itself when the one
that started it is gone. Ctrl-C reaches every process of a terminal; here it is ignored, since the parent decides.

The pipe carries MessagePack: `Plan` in, one empty frame out when warm, the start (`time.monotonic()`, one clock for
all processes of a machine) in, `Results` out.
"""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec
import uvloop

from bench.http_load import HttpAsker
from bench.records import Ask, Heard
from bench.zmq_load import ZmqAsker

TIMER_LATE_MAX_S = 0.001  # uvloop's timers know whole milliseconds only


class Plan(msgspec.Struct, frozen=True):
    """`streams` 0: open loop. The other fields are those of `load.Target`."""

    kind: str
    address: str
    model: str
    headers: dict[str, str]
    streams: int
    asks: list[Ask]


class Results(msgspec.Struct, frozen=True):
    heard: list[Heard]
    cpu_s: float  # user and system time of this process between start and end


class Pipe(Protocol):
    """What this needs of a connection of multiprocess."""

    def recv_bytes(self) -> bytes: ...

    def send_bytes(self, data: bytes) -> None: ...

    def fileno(self) -> int: ...


class Asker(AbstractAsyncContextManager, Protocol):
    """One way to a server. Entering it connects; `hear` never raises for what a server does."""

    async def hear(self, ask: Ask, at_s: float | None, start: float) -> Heard:
        """`at_s` None: due when it is sent (closed loop)."""


encode = msgspec.msgpack.Encoder().encode
decode_plan = msgspec.msgpack.Decoder(Plan).decode
decode_start = msgspec.msgpack.Decoder(float).decode


def generate(pipe: Pipe) -> None:
    """The life of the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        plan = decode_plan(pipe.recv_bytes())
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(follow(plan, pipe))
    except (EOFError, BrokenPipeError, asyncio.CancelledError):
        pass  # the parent is gone or wants no more: nobody reads the results


async def follow(plan: Plan, pipe: Pipe) -> None:
    loop = asyncio.get_running_loop()
    async with open_asker(plan) as asker:
        pipe.send_bytes(b"")
        start = decode_start(await asyncio.to_thread(pipe.recv_bytes))
        # Nothing more is ever said to this process: what can be read from now on is the end of the parent.
        loop.add_reader(pipe.fileno(), asyncio.current_task().cancel)
        await wait_until(start)
        cpu_before_s = time.process_time()
        heard = await (closed_loop if plan.streams else open_loop)(plan, asker, start)
        cpu_s = time.process_time() - cpu_before_s
        loop.remove_reader(pipe.fileno())
        os.set_blocking(pipe.fileno(), True)  # uvloop took that away, and results may be more than a pipe holds
    pipe.send_bytes(encode(Results(heard, cpu_s)))


def open_asker(plan: Plan) -> Asker:
    if plan.kind == "zmq":
        return ZmqAsker(plan.address, plan.model)
    return HttpAsker(plan.address, plan.model, plan.headers, max(plan.streams, 1), plan.kind)


async def open_loop(plan: Plan, asker: Asker, start: float) -> list[Heard]:
    """Each at its time, whatever the others do."""
    async with asyncio.TaskGroup() as group:
        tasks = []
        for ask in plan.asks:
            await wait_until(start + ask.at_s)
            tasks.append(group.create_task(asker.hear(ask, ask.at_s, start)))
    return [task.result() for task in tasks]


async def closed_loop(plan: Plan, asker: Asker, start: float) -> list[Heard]:
    """`streams` at once; the next goes when one ends."""
    heard: dict[int, Heard] = {}

    async def stream(waiting: Iterator[tuple[int, Ask]]) -> None:
        for number, ask in waiting:
            heard[number] = await asker.hear(ask, None, start)

    waiting = iter(enumerate(plan.asks))
    async with asyncio.TaskGroup() as group:
        for _ in range(plan.streams):
            group.create_task(stream(waiting))
    return [heard[number] for number in range(len(plan.asks))]


async def wait_until(at: float) -> None:
    """Never before; what a timer cannot tell apart is spent asking again, since a latency counts from `at`."""
    while (delay_s := at - time.monotonic()) > 0:
        await asyncio.sleep(max(delay_s - TIMER_LATE_MAX_S, 0))
