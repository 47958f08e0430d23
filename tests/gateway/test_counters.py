"""The counters add up after every end, and the table shows what admission holds."""

import pytest

from control.states import Phase
from control.table import FOREVER, GatewayWords, RowGateway, Table
from gateway import protocol
from gateway.counters import SWEEP_EVERY_S, Publisher, keep_alive_word
from tests.support.gateway_world import BOOT, EPOCH, World, make_model
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
    states = ("queued", "running", "paused")
    inside = [getattr(g, f"{state}_{name}") for state in states for name in protocol.PRIORITIES]
    return g.finished + g.failed + g.cancelled + g.displaced + g.expired + sum(inside)


def test_every_kind_of_end_is_counted_once(table):
    world = World(max_running=1, max_queued=3, preemption=False)
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
    assert row.oldest_wait_since_ns == row.oldest_any_since_ns == int(world.now * 1e9)


def test_since_when_the_highest_class_waits_is_told_apart_from_the_oldest_of_all(table):
    """An old LOW waiter makes no fresh HIGH one look old. Who waits for a load alone is one of MEDIUM."""
    world, at = World(), {"none": 0.0}

    def since(expected: str, any_of_all: str = "low") -> None:
        row = published(world, table)[1]
        assert row.oldest_wait_since_ns == int(at[expected] * 1e9)
        assert row.oldest_any_since_ns == int(at[any_of_all] * 1e9)

    since("none", "none")
    for request_id in ("low", "load", "medium", "high"):
        world.now += 10.0
        at[request_id] = world.now
        if request_id == "load":
            world.client_says(b"c2", {"type": "load", "id": "load", "model": "a"})
        else:
            world.submit(request_id, priority=request_id)
        since("load" if request_id == "medium" else request_id)
    for leaves, left in (("high", "load"), ("low", "load")):
        world.client_says(b"c1", {"type": "cancel", "id": leaves})
        since(left, "low" if leaves == "high" else "load")
    world.d.desk.forget_client(b"c2")
    since("medium", "medium")


def test_a_request_whose_prompt_is_being_counted_does_not_wait_yet(table):
    world = World(make_model("a", context_length=10), "b")
    world.set_row("b", Phase.ALIVE)
    world.hello("b", b"wb", phase=Phase.EMPTY)
    world.turn()
    world.submit("long", model="a", prompt="word " * 10)
    _, row = published(world, table)
    assert (row.waiting_medium, row.oldest_wait_since_ns, row.oldest_any_since_ns) == (0, 0, 0)
    world.submit("short", model="a", prompt="word")
    _, row = published(world, table)
    assert row.waiting_medium == 1 and row.oldest_wait_since_ns == int(world.now * 1e9)


def test_nothing_is_written_for_a_row_that_did_not_change(table):
    world = World()
    publisher = Publisher(table, world.d, 4242)
    publisher.publish(world.now)
    before = (table.path.read_bytes()[-10_000:], table.read(GatewayWords).heartbeat_ns)
    publisher.publish(world.now + 1)
    assert table.path.read_bytes()[-10_000:] == before[0]
    assert table.read(GatewayWords).heartbeat_ns == before[1] + 1_000_000_000


def test_what_happens_to_a_model_is_published_in_that_turn_and_whatever_was_missed_at_the_next_sweep(table):
    world = World()
    world.worker_up()
    publisher = Publisher(table, world.d, 4242)
    publisher.publish(world.now)
    world.submit("r1")
    publisher.publish(world.now)  # no time has passed: no sweep
    assert table.read(RowGateway, 3).unfinished == 1
    world.d.counters.rows["a"].dispatched += 5  # nobody says so
    publisher.publish(world.now)
    assert table.read(RowGateway, 3).dispatched == 1
    publisher.publish(world.now + SWEEP_EVERY_S)
    assert table.read(RowGateway, 3).dispatched == 6


def test_what_a_model_is_used_for_and_since_when(table):
    world = World()
    world.worker_up()
    row = published(world, table)[1]
    assert (row.unfinished, row.last_end_ns, row.keep_alive_ms, row.last_class) == (0, 0, 0, 0)
    world.submit("r1", priority="low", keep_alive_s=2.5)
    row = published(world, table)[1]
    assert (row.unfinished, row.last_end_ns, row.keep_alive_ms, row.last_class) == (1, 0, 2501, 3)
    assert row.last_dispatch_ns == int(world.now * 1e9)
    world.now += 3.0
    world.answer(b"w1", world.jobs_sent()[0])
    row = published(world, table)[1]
    assert (row.unfinished, row.last_end_ns, row.keep_alive_ms) == (0, int(world.now * 1e9), 2501)
    world.submit("r2")
    row = published(world, table)[1]
    assert (row.keep_alive_ms, row.last_class) == (0, 2), "the newest request decides, also by asking nothing"


def test_a_request_that_waits_asks_nothing_of_the_model_yet(table):
    world = World()
    world.submit("r1", keep_alive_s=-1)
    assert published(world, table)[1].keep_alive_ms == 0
    world.worker_up()
    assert published(world, table)[1].keep_alive_ms == FOREVER


def test_a_load_counts_as_use_and_says_how_long_the_model_stays(table):
    world = World()
    world.client_says(b"c1", {"type": "load", "id": "l1", "model": "a", "keep_alive_s": 60})
    assert published(world, table)[1].keep_alive_ms == 0
    world.now += 2.0
    world.worker_up()
    row = published(world, table)[1]
    assert (row.keep_alive_ms, row.last_dispatch_ns, row.dispatched) == (60_001, int(world.now * 1e9), 0)
    world.client_says(b"c1", {"type": "load", "id": "l2", "model": "a", "keep_alive_s": 0})
    assert published(world, table)[1].keep_alive_ms == 1
    world.client_says(b"c1", {"type": "load", "id": "l3", "model": "a"})
    assert published(world, table)[1].keep_alive_ms == 0


def test_what_was_asked_is_forgotten_with_the_worker(table):
    world = World()
    world.worker_up()
    world.submit("r1", keep_alive_s=-1)
    world.answer(b"w1", world.jobs_sent()[0])
    world.hello("a", b"w1", phase=Phase.READY)  # the same worker again
    assert published(world, table)[1].keep_alive_ms == FOREVER
    world.worker_up("a", b"w2", incarnation=2)
    row = published(world, table)[1]
    assert (row.keep_alive_ms, row.last_class) == (0, 0) and row.last_end_ns


@pytest.mark.parametrize(("asked_s", "word"), [(None, 0), (0, 1), (0.0015, 2), (1e15, 10**18 + 1), (-0.5, FOREVER)])
def test_the_word_for_keep_alive(asked_s, word):
    assert keep_alive_word(asked_s) == word


def test_the_fence_that_was_seen_is_published(table):
    world = World()
    world.worker_up()
    world.set_row("a", Phase.ALIVE, 1, fence=9)
    world.turn()
    row = published(world, table)[1]
    assert (row.fence_seen, row.gate) == (9, 0)


@pytest.mark.parametrize(("phase", "evictions", "lost"), [(Phase.DOWN, 1, 2), (Phase.BACKOFF, 0, 0)])
def test_jobs_lost_to_an_eviction_are_told_from_those_lost_to_a_crash(table, phase, evictions, lost):
    world = World()
    world.worker_up()
    world.submit("r1")
    world.submit("r2")
    world.set_row("a", phase, evictions=evictions)
    world.turn()
    assert published(world, table)[0].lost_to_eviction == lost and not world.d.gates.by_slug
    world.client_says(b"c1", {"type": "stats", "id": "s"})
    assert protocol.decode_stats(world.end_of("s").value).lost_to_eviction == lost
