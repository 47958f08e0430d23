"""An eviction needs three keys: what each may refuse, what silence means, what a new control process settles."""

import pytest

from control import messages
from control.header import warning
from control.rows import RowState
from control.states import Phase
from control.three_keys import FENCE_ANSWER_WITHIN_S, QUIT_AGAIN_S
from tests.support.control_world import GATEWAY, GIB, World, evict, fenced, world_with


def quit_said(world: World, slug: str = "a") -> list[messages.Quit]:
    return world.said_to(world.r.rows[slug].peer, messages.Quit)


def test_the_fence_word_is_written_before_the_fence_is_said():
    world = world_with("a")
    world.log.clear()
    row = fenced(world)
    assert world.log == ["write", "Fence"]
    assert world.written["a"]["fence_id"] == row.fence_id != world.written["a"]["fence_cleared"]


def test_quit_is_said_only_after_fenced_and_names_the_fence_and_the_epoch():
    world = world_with("a")
    row = fenced(world)
    assert not quit_said(world)
    world.gateway_says(messages.Fenced, "a")
    [order] = quit_said(world)
    assert (order.fence, order.incarnation, order.control_epoch) == (row.fence_id, row.incarnation, world.r.epoch)


@pytest.mark.parametrize("wrong", ["fence", "incarnation", "model"])
def test_a_fenced_of_something_else_turns_no_key(wrong):
    world = world_with("a", "b")
    row = fenced(world)
    message = messages.Fenced(1, 7, "b" if wrong == "model" else "a", row.incarnation + (wrong == "incarnation"),
                              row.fence_id + (wrong == "fence"))
    world.r.on_frame(GATEWAY, message, world.now)
    assert not quit_said(world) and not quit_said(world, "b")


def test_a_busy_gateway_costs_nothing_and_the_fence_is_cleared():
    world = world_with("a")
    row = fenced(world)
    world.gateway_says(messages.GateBusy, "a", 2)
    assert not row.is_fenced and row.stop is None and row.effective is Phase.READY
    assert world.r.keys.refused_by["gateway"] == 1
    [facts] = [facts for event, facts in world.notes if event == "evict_refused"]
    assert facts["by"] == "gateway" and "2 answers in flight" in facts["reason"]


def test_a_closing_fence_stays_while_answers_end_and_asks_again():
    world = world_with("a")
    row = fenced(world, closing=True)
    world.gateway_says(messages.GateBusy, "a", 2)
    assert row.is_fenced
    said = len(world.fences_said())
    world.r.keys.on_tick(row, world.now + 1)
    assert len(world.fences_said()) == said + 1
    world.gateway_says(messages.Fenced, "a")
    assert quit_said(world)


def test_a_silent_gateway_is_not_waited_for_and_not_taken_for_a_yes():
    world = world_with("a")
    row = fenced(world)
    world.r.keys.on_tick(row, world.now + FENCE_ANSWER_WITHIN_S + 0.1)
    assert not row.is_fenced and not quit_said(world)
    world.gateway_says(messages.Fenced, "a")  # it comes after all: that fence is void
    assert not quit_said(world)


def test_the_worker_may_refuse_and_stays():
    world = world_with("a")
    row = fenced(world)
    world.gateway_says(messages.Fenced, "a")
    world.worker_says(messages.Busy, "a", "1 jobs")
    assert not row.is_fenced and row.effective is Phase.READY and world.r.keys.refused_by["worker"] == 1


def test_quit_is_said_again_and_never_taken_back():
    world = world_with("a")
    row = fenced(world)
    world.gateway_says(messages.Fenced, "a")
    for n in range(1, 4):
        world.r.keys.on_tick(row, world.now + n * (QUIT_AGAIN_S + 0.1))
    assert len({order.fence for order in quit_said(world)}) == 1 and len(quit_said(world)) == 4
    assert row.is_fenced
    with pytest.raises(AssertionError):
        world.r.keys.give_up(row, "too late")


def test_it_leaves_and_its_share_is_free_when_its_memory_is_measured_back():
    world = world_with("a")
    row = world.r.rows["a"]
    row.share_bytes = 4 * GIB
    world.set_words("a", footprint_bytes=4 * GIB)
    world.available_gb = 20.0
    world.read_memory()
    evict(world)
    assert row.phase is Phase.STOPPING and world.phase("a") is Phase.STOPPING
    world.die("a")
    assert row.phase is Phase.VERIFY_FREE and row.is_fenced and world.r.books.reserved_bytes == 4 * GIB
    world.available_gb = 23.5
    world.tick()
    assert row.phase is Phase.DOWN and not row.is_fenced and world.r.books.reserved_bytes == 0
    assert row.evictions == world.r.keys.evictions == 1
    [facts] = [facts for event, facts in world.notes if event == "evicted"]
    assert facts["model"] == "a" and facts["footprint_bytes"] == 4 * GIB


def test_memory_that_does_not_come_back_is_taken_off_the_ceiling_and_said():
    world = world_with("a", total_gb=32)
    world.sizes_gb["a"] = 25
    world.set_words("a", footprint_bytes=10 * GIB)
    world.available_gb = 12.0
    world.read_memory()
    row = world.r.rows["a"]
    world.r.books.work_out_need(row)
    evict(world)
    world.die("a")
    world.tick(16)
    assert row.phase is Phase.LEAK_SUSPECTED and not row.is_fenced
    assert world.r.books.leaked_bytes == 10 * GIB and "10.0 GiB of a" in warning(world.r, world.now)
    world.available_gb = 22.0
    world.tick()
    assert row.phase is Phase.DOWN and world.r.books.leaked_bytes == 0 and warning(world.r, world.now) == ""


def memory_missing(world: World, size_gb: float, footprint_gb: float, available_gb: float) -> RowState:
    """`a` is waited for, and of its last process nothing came back in time."""
    world.sizes_gb["a"] = size_gb
    world.set_words("a", footprint_bytes=int(footprint_gb * GIB))
    world.available_gb = available_gb
    world.read_memory()
    world.waits["a"] = (0, 1, 0)
    evict(world)
    world.die("a")
    world.said.clear()
    world.tick(16)
    return world.r.rows["a"]


@pytest.mark.parametrize("size_gb, settings", [
    (5, {}),  # it fits beside what is missing
    (18, {"memory_budget_gb": 20.0}),  # or all that is promised is there without it
])
def test_memory_that_others_took_meanwhile_refuses_nobody_whom_it_does_not_concern(size_gb, settings):
    world = world_with("a", total_gb=64, **settings)
    row = memory_missing(world, size_gb, 10, available_gb=30)
    told = [message.phase for message in world.said_to(GATEWAY, messages.ModelState)]
    assert row.phase is Phase.STARTING and Phase.LEAK_SUSPECTED not in told, "its waiters would be answered 503"
    assert [facts["model"] for event, facts in world.notes if event == "leak_suspected"] == ["a"]


def test_what_leaked_is_not_taken_for_memory_that_is_there():
    world = world_with("a", total_gb=32)
    row = memory_missing(world, 25, 10, available_gb=20)
    books = world.r.books
    assert books.ceiling.bytes < 30 * GIB, "what is available and what leaked are more together"
    world.tick(5)
    assert row.phase is Phase.LEAK_SUSPECTED and books.leaked_bytes == 10 * GIB


def test_an_end_by_itself_clears_the_fence_and_counts_no_eviction():
    world = world_with("a")
    row = fenced(world)
    world.gateway_says(messages.Fenced, "a")
    world.die("a")
    assert not row.is_fenced and world.r.keys.evictions == 0 and row.phase in (Phase.BACKOFF, Phase.DOWN)


def test_a_stop_that_the_worker_only_wrote_into_the_table_counts():
    world = world_with("a")
    fenced(world)
    world.gateway_says(messages.Fenced, "a")
    world.set_words("a", phase=Phase.DRAINING)  # Quitting was lost with a connection
    world.die("a")
    assert world.r.keys.evictions == 1 and world.phase("a") is Phase.DOWN


@pytest.mark.parametrize("phase", [Phase.LOADING, Phase.DRAINING])
def test_who_loads_or_drains_is_not_even_asked(phase):
    world = World("a")
    world.gateway_up()
    world.want("a", medium=1)
    world.order_done("a")
    world.hello("a")
    world.settle("a")
    world.set_words("a", phase=phase)
    world.report("a", phase)
    row = world.r.rows["a"]
    assert phase.name.lower() in world.r.keys.why_not(row)
    with pytest.raises(AssertionError):
        world.r.keys.begin(row, "by mistake", world.now)


def test_nobody_is_asked_while_the_gateway_is_silent():
    world = world_with("a")
    world.gateway_silent = True
    assert "gateway is silent" in world.r.keys.why_not(world.r.rows["a"])
