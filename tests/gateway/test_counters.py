"""The counters add up after every end, and the table shows what admission holds."""

import pytest

from control.states import Phase
from control.table import GatewayWords, RowGateway, Table
from gateway.counters import Publisher
from tests.support.gateway_world import BOOT, EPOCH, World
from workers import protocol as jobs


@pytest.fixture
def table(tmp_path):
    table = Table.create(tmp_path / "table", BOOT)
    table.name_row(3, "a")
    yield table
    table.close()


def published(world, table) -> tuple[GatewayWords, RowGateway]:
    Publisher(table, world.d, 4242).publish(world.now)
    return table.read(GatewayWords), table.read(RowGateway, 3)


def sum_of_ends(g: GatewayWords) -> int:
    waiting = g.queued_high + g.queued_medium + g.queued_low + g.running_high + g.running_medium + g.running_low
    return g.finished + g.failed + g.cancelled + g.displaced + g.expired + waiting


def test_every_kind_of_end_is_counted_once(table):
    world = World(max_running=1, max_queued=3)
    world.worker_up()
    for n, priority in enumerate(("medium", "low", "low", "low")):
        world.submit(f"r{n}", priority=priority, deadline_s=10 if n == 1 else 300)
    world.submit("refused", priority="low")
    world.submit("high", priority="high")
    world.client_says(b"c1", {"type": "cancel", "id": "r2"})
    gateway, row = published(world, table)
    assert (gateway.rejected, gateway.displaced, gateway.cancelled) == (1, 1, 1)
    assert (row.waiting_high, row.waiting_medium, row.waiting_low, row.gate) == (1, 0, 1, 1)
    world.worker_says(b"w1", jobs.Beat, "a", Phase.READY, [], 1)
    world.answer(b"w1", world.jobs_sent()[0])
    world.answer(b"w1", world.jobs_sent()[1], end=False)
    world.set_row("a", Phase.BACKOFF)
    world.pass_time(11)
    gateway, row = published(world, table)
    assert (gateway.finished, gateway.failed, gateway.expired) == (1, 1, 1)
    assert gateway.admitted_high + gateway.admitted_medium + gateway.admitted_low == 5 == sum_of_ends(gateway)
    assert row.dispatched == row.finished == 2 and row.gate == 0
    assert (gateway.epoch, gateway.pid, row.epoch) == (EPOCH, 4242, EPOCH)


def test_a_retry_keeps_dispatched_and_finished_of_the_row_together(table):
    world = World()
    world.worker_up()
    world.submit("r1")
    world.set_row("a", Phase.BACKOFF)
    world.turn()
    gateway, row = published(world, table)
    assert (row.dispatched, row.finished, gateway.retried, gateway.queued_medium) == (1, 1, 1, 1)
    assert row.oldest_wait_since_ns == int(world.now * 1e9)


def test_nothing_is_written_for_a_row_that_did_not_change(table):
    world = World()
    publisher = Publisher(table, world.d, 4242)
    publisher.publish(world.now)
    before = (table.path.read_bytes()[-10_000:], table.read(GatewayWords).heartbeat_ns)
    publisher.publish(world.now + 1)
    assert table.path.read_bytes()[-10_000:] == before[0]
    assert table.read(GatewayWords).heartbeat_ns == before[1] + 1_000_000_000
