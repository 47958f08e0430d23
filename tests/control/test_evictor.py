"""Evictions carried out: pressure, demand and keep-alive lead to the keys, and what is told about it is true."""

from control import messages
from control.header import header_words, warning
from control.states import Phase, Priority
from tests.support.control_world import GATEWAY, GIB, World

NS = 1_000_000_000


def world_with(*loaded: str, sizes: float = 4.0, **settings) -> World:
    """Loaded models of `sizes` GiB each, unless `settings` say otherwise; the ceiling is 10 GiB."""
    world = World(*loaded, **({"memory_budget_gb": 10.0, "grace_s": 0.0, "min_residency_s": 0.0} | settings))
    world.sizes_gb.update(dict.fromkeys(loaded, sizes))
    for row in world.r.rows.values():
        world.r.books.work_out_need(row)
    world.gateway_up()
    return world


def leave(world: World, slug: str) -> None:
    """It turns its keys and goes."""
    world.gateway_says(messages.Fenced, slug)
    world.worker_says(messages.Quitting, slug)
    world.die(slug)


def test_room_is_made_for_who_waits_and_then_it_is_loaded():
    world = world_with("a", "b", "c")
    world.resident("a")
    world.resident("b")
    world.tick(5)
    world.want("c", medium=1)
    world.tick()
    assert world.fences_said() == ["a"] and "waits for room: a goes" in world.r.rows["c"].reason
    leave(world, "a")
    world.order_done("c")
    world.hello("c")
    assert world.loads_sent()[-1] == "c"


def test_who_waits_for_room_is_told_for_whom():
    world = world_with("a", "b", "c", grace_s=30.0)
    world.resident("a")
    world.resident("b")
    for slug in "ab":
        world.last_used[slug] = world.now
    world.want("c", medium=1)
    world.tick(2)
    assert not world.fences_said()
    reason = world.r.rows["c"].reason
    assert reason.startswith("waits for room: ") and "used 2 s ago, spared for 28 s more" in reason


def test_critical_takes_the_idle_and_names_the_busy():
    world = world_with("a", "b", "c", sizes=1.0)
    for slug in "abc":
        world.resident(slug)
    world.gateway_words["a"] = {"unfinished": 2}
    world.press(0.96)
    assert sorted(world.fences_said()) == ["b", "c"]
    leave(world, "b")
    leave(world, "c")
    world.tick()
    said = warning(world.r, world.now)
    assert "memory is at 96.0 %" in said and "a (2 answers in flight)" in said
    assert world.phase("a") is Phase.READY


def test_when_nothing_can_go_low_and_medium_are_refused_and_it_is_looked_at_again_at_each_completion():
    world = world_with("a", sizes=1.0)
    world.resident("a")
    world.gateway_words["a"] = {"unfinished": 1}
    world.press(0.96)
    words = header_words(world.r)
    assert words["overload"] == 1 << Priority.MEDIUM | 1 << Priority.LOW and words["pressure_level"] == 2
    world.gateway_words["a"] = {}
    world.r.on_frame(GATEWAY, messages.Idle(1, "a"), world.now)  # no time passes
    assert world.fences_said() == ["a"]
    assert header_words(world.r)["overload"] == 0


def test_nothing_is_started_or_loaded_while_memory_is_critical():
    world = world_with("a", sizes=1.0)
    world.press(0.97)
    world.want("a", high=1)
    world.tick(3)
    assert world.starts("a") == 0
    world.press(0.5)
    assert world.starts("a") == 1


def test_emergency_refuses_low_and_medium_even_while_somebody_leaves():
    world = world_with("a", sizes=1.0)
    world.resident("a")
    world.press(0.99)
    assert world.fences_said() == ["a"] and header_words(world.r)["overload"] == 0b110


def test_keep_alive_over_means_it_goes():
    world = world_with("a", sizes=1.0, keep_alive="10s")
    world.resident("a")
    world.last_used["a"] = world.now
    world.tick(9)
    assert not world.fences_said()
    world.tick(2)
    assert world.fences_said() == ["a"]


def test_what_the_request_asked_for_counts_up_to_the_cap():
    world = world_with("a", sizes=1.0, keep_alive="10s", keep_alive_max="60s")
    world.resident("a")
    world.last_used["a"] = used_at = world.now
    world.gateway_words["a"] = {"keep_alive_ms": 3_600_000 + 1}
    world.tick()
    assert world.written["a"]["keep_until_ns"] == int((used_at + 60) * NS)


def test_a_silent_worker_is_busy():
    world = world_with("a", sizes=1.0)
    world.resident("a")
    world.beating.clear()
    world.tick(5)
    world.press(0.96)
    assert not world.fences_said() and "its work is not known" in warning(world.r, world.now)


def test_a_silent_gateway_means_no_evictions():
    world = world_with("a", sizes=1.0)
    world.resident("a")
    world.gateway_silent = True
    world.press(0.96)
    assert not world.fences_said()


def test_a_closing_fence_is_taken_down_when_nobody_needs_the_room_any_more():
    world = world_with("a", "b", sizes=8.0)
    world.resident("a")
    world.gateway_words["a"] = {"unfinished": 1}
    world.gateway_words["b"] = {"oldest_wait_since_ns": int(world.now * NS)}
    world.want("b", high=1)
    world.tick(2)
    row = world.r.rows["a"]
    assert row.is_closing and row.is_fenced
    world.waits.pop("b")
    world.tick()
    assert row.stop is None and not row.is_fenced


def test_the_shares_of_all_stay_under_the_ceiling():
    world = world_with("a", "b", "c", "d", sizes=2.0)
    for slug in "abcd":
        world.resident(slug)
        assert world.r.books.reserved_bytes <= world.r.books.ceiling.bytes == 10 * GIB


def test_a_closing_fence_stands_until_quit_when_the_last_answer_under_it_ends():
    world = world_with("a", "b", sizes=8.0)
    world.resident("a")
    world.gateway_words["a"] = {"unfinished": 1}
    world.gateway_words["b"] = {"oldest_wait_since_ns": int(world.now * NS)}
    world.want("b", high=1)
    world.tick(2)
    row = world.r.rows["a"]
    assert row.is_closing
    world.gateway_words["a"] = {}
    world.tick()
    assert row.is_fenced and row.stop is not None
    world.gateway_says(messages.Fenced, "a")
    assert world.said_to(row.peer, messages.Quit)


def test_an_operators_wish_keeps_its_empty_process_from_being_taken_at_once():
    world = world_with("a", sizes=1.0)
    world.press(0.87)
    world.hello("a")
    world.settle("a")
    world.beating.add("a")
    world.tick()
    assert not world.fences_said()


def test_a_restart_of_the_gateway_forgets_neither_use_nor_the_keep_alive_asked_for():
    world = world_with("a", sizes=1.0, keep_alive="60s")
    world.resident("a")
    world.gateway_words["a"] = {"keep_alive_ms": 2**63 - 1, "last_end_ns": int(world.now * NS)}
    world.last_used["a"] = world.now
    world.tick()
    world.last_used["a"] = 0.0
    world.gateway_words["a"] = {}  # another gateway, whose words begin at 0
    world.tick(300)
    assert not world.fences_said() and world.written["a"]["keep_until_ns"] == 2**63 - 1


def test_when_those_who_could_go_cannot_be_asked_it_is_said_and_new_work_is_refused():
    world = world_with("a", sizes=1.0)
    world.resident("a")
    world.r.rows["a"].obeys_us = False
    world.press(0.96)
    assert header_words(world.r)["overload"] == 0b110 and "has not greeted" in warning(world.r, world.now)


def test_a_keep_alive_that_no_word_can_hold_is_for_ever():
    world = world_with("a", sizes=1.0)
    world.resident("a")
    world.last_used["a"] = world.now
    world.gateway_words["a"] = {"keep_alive_ms": 10**18 + 1}
    world.tick()
    assert world.written["a"]["keep_until_ns"] == 2**63 - 1
