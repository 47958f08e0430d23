"""When MLX counts as overloaded, for which kind of work, and how long it goes on counting as that."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.header import header_words
from control.pressure_level import Level
from control.routing import Kind
from control.spill import STAYS_S, Spill
from control.table import GatewayWords
from tests.support.control_world import World

OTHERS = {Kind.CHAT, Kind.BATCH, Kind.AGENT}
ALL = set(Kind)


def words(running: int = 0, queued: int = 0, **others: int) -> GatewayWords:
    return GatewayWords(**dict.fromkeys(GatewayWords._fields, 0) | {
        "running_medium": running, "queued_low": queued, **others})


def kinds(bits: int) -> set[Kind]:
    return {kind for kind in Kind if bits & kind.bit}


def seen(said: GatewayWords | None, level: Level = Level.NORMAL, **limits: int) -> set[Kind]:
    return kinds(Spill(**{"max_running": 5, "spill_after_queued": 3} | limits).see(said, level, 100.0))


@pytest.mark.parametrize(("running", "queued", "overloaded"), [
    (0, 0, set()), (4, 0, set()), (5, 0, OTHERS), (6, 0, OTHERS), (0, 1, OTHERS), (4, 1, OTHERS), (5, 3, OTHERS),
    (0, 3, OTHERS), (0, 4, ALL), (5, 4, ALL), (5, 50, ALL)])
def test_all_slots_busy_or_anything_queued_and_for_tasks_more_than_3_queued(running, queued, overloaded):
    assert seen(words(running, queued)) == overloaded


def test_all_classes_count_together_and_relays_do_not():
    by_class = words(0, 0, running_high=2, running_medium=2, running_low=1)
    assert seen(by_class) == OTHERS
    assert seen(words(0, 0, queued_high=2, queued_medium=1, queued_low=1)) == ALL
    assert seen(words(0, 0, paused_low=5, relay_running=9, relay_queued=9)) == set()


def test_who_waits_for_a_load_waits_behind_nobody_but_many_of_them_are_a_queue():
    def seen_with(queued: int, for_loads: int) -> set[Kind]:
        return kinds(Spill(5, 3).see(words(0, queued), Level.NORMAL, 100.0, for_loads))

    assert seen_with(1, 1) == seen_with(3, 3) == set()
    assert seen_with(3, 2) == OTHERS and seen_with(4, 4) == {Kind.TASK}
    assert seen_with(0, 2) == set(), "orders to load are no requests"


def test_the_limits_are_configuration():
    assert seen(words(1, 0), max_running=1) == OTHERS
    assert seen(words(0, 1), spill_after_queued=0) == ALL
    assert seen(words(0, 10), spill_after_queued=10) == OTHERS
    world = World("a", max_running=2, spill_after_queued=0)
    assert (world.r.spill.max_running, world.r.spill.spill_after_queued) == (2, 0)


@pytest.mark.parametrize("level", Level)
def test_memory_that_is_critical_overloads_every_kind(level):
    assert seen(words(), level) == (ALL if level >= Level.CRITICAL else set())


def test_a_silent_gateway_says_nothing():
    assert seen(None) == set() and seen(None, Level.CRITICAL) == ALL


def test_it_begins_at_once_and_ends_when_it_was_over_for_a_while():
    spill = Spill(5, 3)
    assert spill.see(words(5, 4), Level.NORMAL, 100.0) == 15
    assert spill.see(words(0, 0), Level.NORMAL, 100.0 + STAYS_S - 0.1) == 15
    assert spill.see(words(0, 0), Level.NORMAL, 100.0 + STAYS_S) == 0
    assert spill.see(words(5, 4), Level.NORMAL, 100.0 + STAYS_S + 0.1) == 15


def test_each_kind_ends_by_itself():
    spill = Spill(5, 3)
    spill.see(words(5, 4), Level.NORMAL, 100.0)
    assert kinds(spill.see(words(5, 3), Level.NORMAL, 100.0 + STAYS_S)) == OTHERS


def test_a_queue_that_comes_and_goes_keeps_it():
    """The first task that leaves the queue does not bring the next one back into it."""
    spill, now = Spill(5, 3), 100.0
    for turn in range(100):
        now += 0.1
        assert spill.see(words(5, 4 if turn % 10 == 0 else 3), Level.NORMAL, now) == 15


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(0, 6), st.integers(0, 6)), max_size=30))
def test_what_is_overloaded_now_always_counts_and_what_was_not_for_long_never(moments):
    spill, now, last = Spill(5, 3), 100.0, {}
    for wait_s, running, queued in moments:
        now += wait_s
        at_once = seen(words(running, queued))
        last |= dict.fromkeys(at_once, now)
        bits = kinds(spill.see(words(running, queued), Level.NORMAL, now))
        assert at_once <= bits == {kind for kind, at in last.items() if now - at < STAYS_S} and spill.bits == sum(
            kind.bit for kind in bits)


def test_control_publishes_it_for_whoever_routes():
    world = World("a")
    world.gateway_up()
    world.all_words = {"running_medium": 5, "queued_medium": 4}
    world.tick()
    assert header_words(world.r)["spill"] == 15
    world.all_words = {}
    world.tick(STAYS_S / 2)
    assert header_words(world.r)["spill"] == 15
    world.tick(STAYS_S)
    assert header_words(world.r)["spill"] == 0
    world.press(0.96)
    assert header_words(world.r)["spill"] == 15
