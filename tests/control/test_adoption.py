"""A new control process takes over what it finds: living workers, fences, waits, pins, and what was missed before."""

from control.adoption import adopt
from control.header import warning
from control.states import Phase
from tests.support.control_world import GIB, World


def world_with_a_loaded() -> World:
    world = World("a", "b", memory_budget_gb=10.0)
    world.sizes_gb["a"] = 4.0
    world.r.books.work_out_need(world.r.rows["a"])
    world.gateway_up()
    world.resident("a")
    return world


def test_a_living_model_keeps_its_share_its_pin_and_its_counts():
    world = world_with_a_loaded()
    old = world.r.rows["a"]
    old.pinned, old.evictions, old.shrink = True, 3, 1
    world.r.tell([old])
    world.control_restarts()
    row = world.r.rows["a"]
    assert row is not old and world.phase("a") is Phase.READY and row.pinned
    assert (row.share_bytes, row.batch_max, row.context_length) == (old.share_bytes, old.batch_max, old.context_length)
    assert (row.evictions, row.shrink, row.loads) == (3, 1, 1)
    assert world.r.books.reserved_bytes == old.share_bytes > 4 * GIB


def test_who_loads_is_read_and_never_ordered_again():
    world = world_with_a_loaded()
    world.want("b", medium=1)
    world.hello("b")
    world.set_words("b", phase=Phase.LOADING)
    world.report("b", Phase.LOADING)
    before = world.loads_sent().count("b")
    world.control_restarts()
    assert world.r.rows["b"].loading and world.r.rows["b"].share_bytes > 0
    world.hello("b", incarnation=world.r.rows["b"].incarnation, phase=Phase.LOADING, pid=world.r.rows["b"].pid)
    world.tick(8)
    assert world.loads_sent().count("b") == before


def test_it_asks_nobody_to_leave_who_has_not_said_that_he_obeys_it():
    world = world_with_a_loaded()
    world.control_restarts()
    world.gateway_up()
    row = world.r.rows["a"]
    assert "has not greeted" in world.r.keys.why_not(row)
    world.hello("a", incarnation=row.incarnation, phase=Phase.READY, pid=row.pid)
    assert "has not greeted" in world.r.keys.why_not(row)
    world.settle("a")
    assert world.r.keys.why_not(row) == ""


def test_the_dead_are_dead_and_their_share_is_free():
    world = world_with_a_loaded()
    world.dead.add(world.r.rows["a"].pid)
    world.control_restarts()
    assert world.phase("a") is Phase.DOWN and world.r.books.reserved_bytes == 0


def test_what_did_not_come_back_before_is_still_missing():
    world = world_with_a_loaded()
    left = world.snapshot()
    control = left.control or world.control_words(leaked_bytes=2 * GIB)
    adopt(world.r, left._replace(control=control), world.now)
    assert world.r.books.leaked_bytes == 2 * GIB and "2.0 GiB did not come back" in warning(world.r, world.now)
