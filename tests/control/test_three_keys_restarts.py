"""Three keys across deaths: what a new control process settles, what is late or lost, and ends that others begin."""

from control import messages
from control.adoption import adopt
from control.header import warning
from control.states import Phase
from control.supervisord import ProcessState
from tests.support.control_world import GIB, World, evict, fenced, world_with


def test_a_standing_fence_stays_until_the_worker_obeys_nobody_older():
    world = world_with("a")
    old = fenced(world)
    world.gateway_says(messages.Fenced, "a")
    fence = old.fence_id
    world.control_restarts()
    row = world.r.rows["a"]
    assert row.fence_id == fence and row.is_fenced and world.phase("a") is Phase.READY
    world.tick(5)
    assert row.is_fenced  # the old Quit may still be on its way
    world.hello("a", incarnation=row.incarnation, phase=Phase.READY, pid=row.pid)
    world.tick()
    assert row.is_fenced
    world.settle("a")
    assert not row.is_fenced


def test_a_standing_fence_is_cleared_when_its_process_is_gone():
    world = world_with("a")
    fenced(world)
    world.gateway_says(messages.Fenced, "a")
    world.control_restarts()
    world.set_words("a", phase=Phase.DRAINING)
    world.die("a")
    assert not world.r.rows["a"].is_fenced and world.phase("a") is Phase.DOWN


def test_a_process_that_was_leaving_is_seen_to_its_end():
    world = world_with("a")
    evict(world)
    world.control_restarts()
    assert world.phase("a") is Phase.STOPPING
    world.die("a")
    assert world.phase("a") is Phase.DOWN and not world.r.rows["a"].is_fenced


def test_fences_grow_beyond_those_of_the_control_process_before():
    world = world_with("a")
    before = fenced(world).fence_id
    world.control_restarts()
    world.gateway_up()
    world.hello("a", incarnation=world.r.rows["a"].incarnation, phase=Phase.READY, pid=world.r.rows["a"].pid)
    world.settle("a")
    assert fenced(world).fence_id > before


def test_in_a_table_made_anew_a_living_worker_is_fenced_until_it_obeys():
    world = World("a")
    world.gateway_up()
    world.hello("a", incarnation=900, phase=Phase.READY)
    row = world.r.rows["a"]
    assert row.is_fenced and world.written["a"]["fence_id"] != world.written["a"]["fence_cleared"]
    world.settle("a")
    assert not row.is_fenced


def test_a_fence_that_stands_long_is_warned_about():
    world = world_with("a")
    fenced(world)
    world.gateway_says(messages.Fenced, "a")
    assert warning(world.r, world.now) == ""
    assert "the fence of a stands for 60 s" in warning(world.r, world.now + 60)


def test_a_hello_of_a_dead_process_that_comes_late_changes_nothing():
    world = world_with("a")
    fenced(world)
    world.gateway_says(messages.Fenced, "a")
    row = world.r.rows["a"]
    world.dead.add(4444)
    world.hello("a", pid=4444)  # it said so before it died; another connection was read first
    assert row.is_fenced and row.pid != 4444 and world.phase("a") is Phase.READY


def test_a_report_that_was_lost_is_asked_for_again():
    world = world_with("a")
    fenced(world)
    world.control_restarts()
    row = world.r.rows["a"]
    identity = world.hello("a", incarnation=row.incarnation, phase=Phase.READY, pid=row.pid)
    world.tick(5)
    assert len(world.said_to(identity, messages.Welcome)) >= 4 and row.is_fenced
    world.settle("a")
    said = len(world.said_to(identity, messages.Welcome))
    world.tick(5)
    assert not row.is_fenced and len(world.said_to(identity, messages.Welcome)) == said


def test_a_row_that_was_torn_in_mid_write_counts_as_fenced():
    world = world_with("a")
    left = world.snapshot()
    torn = left._replace(rows=tuple(row._replace(control=None) for row in left.rows))
    incarnation, pid = world.r.rows["a"].incarnation, world.r.rows["a"].pid
    world.r = world.make_reconciler(world.r.epoch + 1)
    adopt(world.r, torn, world.now)
    world.read_memory()
    world.hello("a", incarnation=incarnation, phase=Phase.READY, pid=pid)
    assert world.r.rows["a"].is_fenced
    world.settle("a")
    assert not world.r.rows["a"].is_fenced


def world_whose_memory_is_missing() -> World:
    world = world_with("a")
    world.sizes_gb["a"] = 25
    world.set_words("a", footprint_bytes=10 * GIB)
    world.available_gb = 12.0
    world.read_memory()
    evict(world)
    world.die("a")
    world.tick()
    assert world.phase("a") is Phase.VERIFY_FREE
    return world


def test_a_process_that_an_operator_starts_meanwhile_waits_until_the_memory_of_the_last_is_looked_at():
    world = world_whose_memory_is_missing()
    world.facts("a", ProcessState.RUNNING, pid=5999, start=10)
    world.hello("a", pid=5999)
    assert world.phase("a") is Phase.VERIFY_FREE and world.r.rows["a"].is_fenced
    world.available_gb = 23.0
    world.tick()
    world.hello("a", pid=5999)
    assert world.phase("a") is Phase.EMPTY and not world.r.rows["a"].is_fenced


def test_an_operator_may_start_a_process_although_memory_leaked():
    world = world_whose_memory_is_missing()
    world.tick(20)
    assert world.phase("a") is Phase.LEAK_SUSPECTED
    world.facts("a", ProcessState.RUNNING, pid=5999, start=10)
    assert world.phase("a") is Phase.STARTING and world.r.books.leaked_bytes == 10 * GIB
    world.hello("a", pid=5999)
    assert world.phase("a") is Phase.EMPTY
