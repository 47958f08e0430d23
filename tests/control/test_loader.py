"""Loads carried out: into a share that is free, once, and never from files that cannot be measured."""

from control import messages
from control.budget import Profile
from control.states import Phase
from tests.support.control_world import GIB, World, evict

MIB = 1024**2


def world_with(*slugs: str, **settings) -> World:
    world = World(*slugs, **settings)
    world.gateway_up()
    return world


def loads(world: World) -> list[messages.Load]:
    return [message for _, message in world.said if isinstance(message, messages.Load)]


def work_out(world: World) -> None:
    for row in world.r.rows.values():
        world.r.books.work_out_need(row)


def test_a_load_says_its_share_and_the_books_count_it():
    world = world_with("a", memory_budget_gb=10.0)
    world.sizes_gb["a"] = 4.0
    work_out(world)
    world.want("a", medium=1)
    world.hello("a")
    [load] = loads(world)
    assert 4 * GIB < load.share_bytes == world.r.books.reserved_bytes == world.written["a"]["share_bytes"] < 10 * GIB
    assert 0 < load.runtime_bytes < load.share_bytes and load.batch_max >= 1 and load.row_tokens > 0


def test_after_a_death_for_want_of_memory_it_is_loaded_into_less():
    world = world_with("a", memory_budget_gb=10.0, max_running=8)
    world.want("a", medium=1)
    world.hello("a")
    world.settle("a")
    world.report("a", Phase.EMPTY, error="out of memory: Metal said so")
    world.die("a")
    assert world.r.rows["a"].shrink == 1
    world.tick(3)
    world.hello("a")
    first, second = loads(world)[0], loads(world)[-1]
    assert second.batch_max == first.batch_max // 2


def test_a_model_that_can_never_fit_says_the_arithmetic_and_is_not_started():
    world = world_with("a", memory_budget_gb=2.0)
    world.sizes_gb["a"] = 4.0
    work_out(world)
    world.want("a", medium=1)
    world.tick(2)
    assert world.starts("a") == 0 and world.r.rows["a"].need_bytes > 2 * GIB
    assert "weights 4.0 GiB x 1.02" in world.r.rows["a"].reason and "2.0 GiB" in world.r.rows["a"].reason


def test_an_operators_start_of_what_never_fits_ends_in_leaving_with_the_reason():
    world = world_with("a", memory_budget_gb=2.0)
    world.sizes_gb["a"] = 4.0
    work_out(world)
    world.hello("a")
    world.settle("a")
    world.tick()
    assert world.fences_said() == ["a"] and not loads(world)
    world.gateway_says(messages.Fenced, "a")
    [order] = [message for _, message in world.said if isinstance(message, messages.Quit)]
    assert "needs at least" in order.reason


def test_files_that_cannot_be_measured_are_quarantined_and_never_loaded():
    world = world_with("a")
    world.facts_refused["a"] = "model.safetensors: its header is damaged; fetch the model again"
    world.want("a", medium=1)
    world.tick()
    assert world.phase("a") is Phase.QUARANTINED and world.starts("a") == 0
    assert "its header is damaged" in world.r.rows["a"].reason


def test_preload_goes_in_order_and_only_while_there_is_room_for_it():
    world = world_with("a", "b", preload=("a", "b"), preload_below_percent=70.0)
    world.used = 0.75
    world.tick(2)
    assert world.starts("a") == world.starts("b") == 0
    world.used = 0.5
    world.tick()
    assert world.starts("a") == 1 and world.starts("b") == 0


def test_a_load_is_said_again_while_nothing_came_of_it():
    world = world_with("a")
    world.want("a", medium=1)
    world.hello("a")
    world.tick(6)
    assert len({load.load_id for load in loads(world)}) == 1 and len(loads(world)) == 2


def test_a_model_that_was_loaded_is_nobodys_wish_any_more():
    world = world_with("a", preload=("a",))
    world.tick()
    world.load("a")
    assert world.r.rows["a"].wanted_by == "" and world.r.rows["a"].loads == 1


def test_files_that_grow_are_measured_anew_and_never_loaded_beyond_what_is_free():
    world = world_with("a", "b", memory_budget_gb=10.0)
    world.facts_refused["a"] = "model.safetensors: its header is damaged; fetch the model again"
    world.tick()
    assert world.phase("a") is Phase.QUARANTINED
    world.facts_refused.clear()  # the download is done
    world.sizes_gb["a"] = 12.0
    world.tick(2)
    assert world.phase("a") is Phase.DOWN and world.r.rows["a"].need_bytes > 12 * GIB
    world.want("a", medium=1)
    world.tick(3)
    assert world.starts("a") == 0 and "needs at least" in world.r.rows["a"].reason


def test_two_models_that_fit_together_both_stay():
    world = world_with("a", "b", memory_budget_gb=20.0, max_running=8)
    world.kv_bytes["a"] = world.kv_bytes["b"] = 200_000
    world.sizes_gb.update(a=4.0, b=4.0)
    work_out(world)
    world.r.rows["b"].last_used = world.now - 60
    world.want("a", medium=1)
    world.hello("a")
    assert world.r.rows["a"].share_bytes + world.r.rows["b"].need_bytes <= 20 * GIB
    assert loads(world)[0].batch_max > 1


def test_who_cannot_fit_beside_the_pinned_is_told_so():
    world = world_with("a", "b", memory_budget_gb=10.0)
    world.sizes_gb.update(a=8.0, b=4.0)
    work_out(world)
    world.resident("a")
    world.r.rows["a"].pinned = True
    world.want("b", medium=1)
    world.tick(2)
    assert world.r.rows["b"].reason.startswith("waits for room: it needs") and "pinned" in world.r.rows["b"].reason
    world.waits.pop("b")
    world.tick(2)
    assert world.r.rows["b"].reason == "nobody waits for it any more"


def test_a_preload_that_is_held_back_says_why():
    world = world_with("a", preload=("a",), preload_below_percent=70.0)
    world.used = 0.75
    world.tick(2)
    assert "less than 70 % of memory is used; 75.0 %" in world.r.rows["a"].reason


def test_a_process_is_started_only_where_it_fits_however_little_its_model_was_measured_to_take():
    world = world_with("big", "tiny", memory_budget_gb=0.5)
    world.sizes_gb["big"] = 0.4
    world.profiles["tiny"] = Profile(22 * MIB, 22 * MIB, 0.0)
    work_out(world)
    world.resident("big")
    world.settle("big")
    books = world.r.books
    assert 22 * MIB < books.free_bytes() < books.empty_bytes(world.r.rows["tiny"])
    world.want("tiny", medium=2)
    world.tick(2)
    assert world.starts("tiny") == 0 and books.reserved_bytes <= books.ceiling.bytes
    assert world.r.rows["tiny"].reason.startswith(messages.WAITS_FOR_ROOM)


def test_who_is_waited_for_again_while_it_starts_is_not_told_that_nobody_waits():
    world = world_with("a", "b", memory_budget_gb=10.0)
    world.sizes_gb.update(a=6.0, b=6.0)
    work_out(world)
    world.resident("a")
    world.want("b", medium=1)
    world.tick(2)
    row = world.r.rows["b"]
    assert row.phase is Phase.STARTING and row.reason.startswith(messages.WAITS_FOR_ROOM)
    world.waits.pop("b")
    world.tick(2)
    assert row.reason == "nobody waits for it any more"
    world.die("a")  # so there is room now, and nothing to explain but that it starts
    world.want("b", medium=2)
    world.tick(2)
    assert row.phase is Phase.STARTING and row.reason == "wanted again: 2 waiting, the highest MEDIUM"
    world.waits.pop("b")
    world.tick(2)
    assert row.phase is Phase.STARTING and row.reason == "nobody waits for it any more"


def test_a_model_that_was_used_and_left_is_prewarmed_and_the_spare_process_leaves():
    world = world_with("a", "b", prewarm=1)

    def comes_up(slug: str) -> None:
        world.order_done(slug)
        world.hello(slug)
        world.settle(slug)
        world.beating.add(slug)

    world.tick()
    comes_up("a")  # the first that is configured
    world.resident("b")
    world.last_used["b"] = world.now
    evict(world, "b")
    world.die("b")
    world.tick()
    assert world.starts("b") == 2
    comes_up("b")
    assert world.r.rows["b"].reason == "prewarmed: the most recently used of those not loaded"
    world.tick()
    assert world.fences_said() == ["b", "a"] and not loads(world)[1:]
    world.gateway_says(messages.Fenced, "a")
    world.worker_says(messages.Quitting, "a")
    world.die("a")
    world.tick(30.0)
    assert world.phase("a") is Phase.DOWN and world.phase("b") is Phase.EMPTY and world.starts("a") == 1
