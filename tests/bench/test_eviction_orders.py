"""bench/eviction_orders.py: who is ordered away, how orders end, and that only the stack's own processes are killed."""

import asyncio
import subprocess
import sys
import time
from random import Random
from types import SimpleNamespace

import pytest

from bench.eviction_orders import EVICTED, REFUSED, Operator, choose_victim, works
from control.states import Phase
from control.table import ControlWords, RowControl, RowGateway, RowWorker, Table
from gateway.client import GatewayError

NS_PER_S = 1_000_000_000
WITHIN_S = 10.0


class FakeClient:
    """Answers the orders as the test says; an exception is raised. `over` is set when there is no answer left."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.ordered = []
        self.over = asyncio.Event()

    async def evict(self, model):
        self.ordered.append(model)
        if not self.answers:
            self.over.set()
            await asyncio.Event().wait()
        answer = self.answers.pop(0)
        if answer is not None:
            raise answer


@pytest.fixture
def table(tmp_path):
    made = Table.create(tmp_path / "table", 7)
    yield made
    made.close()


def put(table, kind, row, **words):
    writer = table.writer(kind, row)
    writer.set(**words)
    writer.flush()


def write_model(table, index, *, phase=Phase.READY, idle_ms=10, fence=0, pid=0, now_ns=None):
    """A model that works, unless the test says otherwise."""
    now_ns = now_ns or time.monotonic_ns()
    table.name_row(index, f"m{index}")
    put(table, RowControl, index, incarnation=3, phase=int(Phase.ALIVE), pid=pid, fence_id=fence)
    put(table, RowGateway, index, incarnation=3, last_dispatch_ns=now_ns - 10 * NS_PER_S,
        last_end_ns=now_ns - idle_ms * 1_000_000)
    put(table, RowWorker, index, incarnation=3, phase=int(phase), heartbeat_ns=now_ns)


def test_only_a_model_that_works_is_ordered_away(table):
    now_ns = time.monotonic_ns()
    for index, words in enumerate([{}, {"phase": Phase.LOADING}, {"idle_ms": 101}, {"fence": 9}]):
        write_model(table, index, now_ns=now_ns, **words)
    rows = table.snapshot().rows
    assert [works(row, now_ns) for row in rows] == [True, False, False, False]
    assert choose_victim(rows, set(), Random(1), now_ns) == "m0"
    assert choose_victim(rows, {"m0"}, Random(1), now_ns) == ""
    assert not works(rows[0]._replace(gateway=None), now_ns), "what cannot be read is not ordered away"


def operate(table, client, scenario, kills_percent=0.0, pids=()):
    """Runs the operator until `scenario(operator)` ends."""
    stack = SimpleNamespace(table_path=table.path, pids=lambda: list(pids))

    async def run():
        operator = Operator(stack, client, Random(1), kills_percent)
        lane = asyncio.create_task(operator.order_for_ever())
        try:
            async with asyncio.timeout(WITHIN_S):
                await scenario(operator)
        finally:
            lane.cancel()
            operator.close()
        return operator

    return asyncio.run(run())


def test_each_order_is_counted_by_its_end(table):
    for index in range(3):
        write_model(table, index, idle_ms=-60_000)  # as recent as can be, for the whole test
    busy, gone = GatewayError("model_busy", "", status=409), GatewayError("gateway_unavailable", "")
    client = FakeClient(None, busy, None, gone, busy)
    operator = operate(table, client, lambda operator: client.over.wait())
    assert operator.outcomes == {EVICTED: 2, REFUSED: 2, "gateway_unavailable": 1}
    assert len(client.ordered) == 6 and set(client.ordered) == {"m0", "m1", "m2"}
    assert operator.kills == []


def sleeper():
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])


async def all_kills(client):
    """Until no kill is planned any more."""
    await client.over.wait()
    before = {task for task in asyncio.all_tasks() if "_kill_soon" not in str(task.get_coro())}
    await until(lambda: asyncio.all_tasks() <= before)


async def until(true):
    while not true():
        await asyncio.sleep(0)


def test_kills_keep_up_with_the_evictions_and_hit_our_own_only(table):
    with sleeper() as ours, sleeper() as foreign:
        try:
            write_model(table, 0, idle_ms=-60_000, pid=ours.pid)
            put(table, ControlWords, None, pid=foreign.pid, heartbeat_ns=time.monotonic_ns())
            client = FakeClient(*[None] * 100)
            operator = operate(table, client, lambda _: until(lambda: ours.poll() is not None), 100.0, [ours.pid])
            assert {(kill.kind, kill.model, kill.pid, kill.incarnation) for kill in operator.kills} == {
                ("worker", "m0", ours.pid, 3)}
            assert foreign.poll() is None, "not started by this stack's supervisord"
        finally:
            ours.kill()
            foreign.kill()


def test_control_is_killed_too_but_not_twice_in_a_row(table):
    with sleeper() as control:
        try:
            write_model(table, 0, idle_ms=-60_000)
            put(table, ControlWords, None, pid=control.pid, heartbeat_ns=time.monotonic_ns())
            client = FakeClient(*[None] * 200)
            operator = operate(table, client, lambda _: all_kills(client), 100.0, [control.pid])
            assert control.wait(WITHIN_S)
            assert [(kill.kind, kill.model, kill.pid) for kill in operator.kills] == [("control", "", control.pid)]
        finally:
            control.kill()
