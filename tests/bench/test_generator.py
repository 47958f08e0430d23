"""bench/generator.py: who is asked when, by an asker that the test holds; and the pipe to the parent."""

import asyncio
import signal
import time
from contextlib import asynccontextmanager

import msgspec
import multiprocess
import pytest
import uvloop

from bench.generator import Plan, Results, closed_loop, encode, follow, generate, open_asker, open_loop, wait_until
from bench.http_load import HttpAsker
from bench.records import Ask, Heard
from bench.zmq_load import ZmqAsker

WITHIN_S = 5.0
NOBODY = "ipc:///nowhere/at/all"


class HeldAsker:
    """Answers the prompts that are released, and knows who waits."""

    def __init__(self, *released: str) -> None:
        self.asked: list[str] = []
        self.at_once = 0
        self.at_once_max = 0
        self._released = {name: asyncio.Event() for name in "abcdef"}
        for name in released:
            self.release(name)

    def release(self, name: str) -> None:
        self._released[name].set()

    async def hear(self, ask, at_s, start):
        self.asked.append(ask.prompt)
        self.at_once += 1
        self.at_once_max = max(self.at_once, self.at_once_max)
        await self._released[ask.prompt].wait()
        self.at_once -= 1
        return Heard(ask.klass, -1.0 if at_s is None else at_s, 0.0, 0.0, 0.0, 1, detail=ask.prompt)


def plan(prompts: str, streams: int = 0, kind: str = "zmq", address: str = NOBODY) -> Plan:
    return Plan(kind, address, "", {}, streams, [Ask(0.0, "high", prompt, 1) for prompt in prompts])


def run(scenario):
    return asyncio.run(asyncio.wait_for(scenario, WITHIN_S))


async def asked(asker: HeldAsker, count: int) -> None:
    while len(asker.asked) < count:
        await asyncio.sleep(0)


def test_in_an_open_loop_nobody_waits_for_another():
    async def scenario():
        asker = HeldAsker()
        running = asyncio.create_task(open_loop(plan("abc"), asker, time.monotonic()))
        await asked(asker, 3)
        for name in "cba":
            asker.release(name)
        return await running

    assert [one.detail for one in run(scenario())] == ["a", "b", "c"]


def test_in_a_closed_loop_the_next_goes_when_one_ends():
    async def scenario():
        asker = HeldAsker("c", "d", "e")
        running = asyncio.create_task(closed_loop(plan("abcde", streams=2), asker, time.monotonic()))
        await asked(asker, 2)
        assert asker.asked == ["a", "b"]
        asker.release("b")
        await asked(asker, 5)
        asker.release("a")
        return asker.at_once_max, await running

    at_once_max, heard = run(scenario())
    assert at_once_max == 2
    assert [one.detail for one in heard] == ["a", "b", "c", "d", "e"]
    assert {one.at_s for one in heard} == {-1.0}, "a closed loop gives no time at which it was due"


def test_nothing_goes_before_its_time():
    at = time.monotonic() + 0.003
    run(wait_until(at))
    assert time.monotonic() >= at


def test_each_kind_of_target_has_its_asker():
    async def scenario():
        assert isinstance(open_asker(plan("a", kind="zmq")), ZmqAsker)
        return open_asker(plan("a", streams=3, kind="http", address="http://h"))

    asker = run(scenario())
    assert isinstance(asker, HttpAsker)
    assert asker.warm_connections == 3


def test_a_plan_and_results_survive_the_pipe():
    sent = plan("ab", streams=1)
    assert msgspec.msgpack.decode(encode(sent), type=Plan) == sent
    results = Results([Heard("high", 0.0, 0.0, None, 1.0, 3, (0.1, 0.2), "error", "cut", False)], 0.5)
    assert msgspec.msgpack.decode(encode(results), type=Results) == results


@pytest.fixture
def pipe():
    ours, theirs = multiprocess.Pipe()
    yield ours, theirs
    ours.close()
    theirs.close()


class Server:
    """Answers every POST with `answer`, or, if that is empty, keeps it waiting."""

    def __init__(self, answer: bytes = b"") -> None:
        self.answer = answer
        self.posted = asyncio.Event()

    async def serve(self, reader, writer):
        if (await reader.readuntil(b"\r\n\r\n")).startswith(b"POST"):
            self.posted.set()
            writer.write(self.answer)
            await (writer.drain() if self.answer else reader.read())
        writer.close()


@asynccontextmanager
async def following(server: Server, pipe):
    """A generator at work: the task that follows a plan of one ask. Its loop is uvloop, as in its process."""
    ours, theirs = pipe
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        address = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        running = asyncio.create_task(follow(plan("a", 1, "http", address), theirs))
        assert await asyncio.to_thread(ours.recv_bytes) == b""
        ours.send_bytes(encode(time.monotonic()))
        await server.posted.wait()
        yield running


def uvrun(scenario):
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(asyncio.wait_for(scenario, WITHIN_S))


def test_a_generator_whose_parent_is_gone_stops(pipe):
    async def scenario():
        async with following(Server(), pipe) as running:
            pipe[0].close()
            await asyncio.wait([running])
            return running.cancelled()

    assert uvrun(scenario())


def test_results_that_are_more_than_a_pipe_holds_arrive_whole(pipe):
    frame = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
    answer = b"HTTP/1.1 200 OK\r\n\r\n" + frame * 40_000 + b"data: [DONE]\n\n"

    async def scenario():
        async with following(Server(answer), pipe) as running:
            running.add_done_callback(lambda _: pipe[1].close())  # or a reader would wait for what never comes
            # follow() blocks this loop while it sends, so somebody else must read
            received = asyncio.get_running_loop().run_in_executor(None, pipe[0].recv_bytes)
            await running
            return msgspec.msgpack.decode(await received, type=Results)

    [heard] = uvrun(scenario()).heard
    assert (heard.outcome, heard.tokens, len(heard.gaps_s)) == ("done", 40_000, 39_999)


def test_a_generator_whose_parent_is_gone_before_it_began_says_nothing(pipe):
    ours, theirs = pipe
    ours.close()
    before = signal.getsignal(signal.SIGINT)
    try:
        assert generate(theirs) is None
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN, "the parent decides"
    finally:
        signal.signal(signal.SIGINT, before)  # or every process that a later test starts would ignore it, too
