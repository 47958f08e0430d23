"""Starting, loading, crashing, holding and adopting, driven by hand: no socket, no clock, no process."""

import pytest

from control import messages
from control.adoption import adopt
from control.rows import CRASHES_MAX, QUARANTINE_S
from control.states import Phase
from tests.support.control_world import World


def test_a_wanted_model_is_started_once_welcomed_and_loaded():
    world = World("a")
    world.want("a", medium=1)
    for _ in range(20):
        world.tick()
    assert world.starts("a") == 1 and world.phase("a") is Phase.STARTING
    identity = world.hello("a")
    welcome, load = [m for who, m in world.said if who == identity]
    assert isinstance(welcome, messages.Welcome) and isinstance(load, messages.Load)
    assert welcome.incarnation == load.incarnation == world.r.rows["a"].incarnation
    world.report("a", Phase.LOADING)
    world.report("a", Phase.READY)
    assert world.phase("a") is Phase.READY and world.r.rows["a"].loads == 1
    world.waits.clear()
    world.tick()
    assert world.orders == [("start", "a")]


def test_the_table_is_written_before_anybody_is_told():
    world = World("a")
    world.want("a", high=1)
    world.log.clear()
    world.hello("a")
    assert world.log.index("write") < world.log.index("Welcome")
    assert world.log[world.log.index("Load") - 1] == "write"


def test_one_load_at_a_time_and_the_higher_class_first():
    world = World("a", "b", "c")
    world.waits = {"a": (0, 0, 3), "b": (0, 1, 0), "c": (1, 0, 0)}
    world.tick()
    assert world.orders == [("start", "c")]
    world.hello("c")
    world.report("c", Phase.LOADING)
    for _ in range(10):
        world.tick()
    assert world.orders == [("start", "c")] and world.loads_sent() == ["c"]
    world.waits["c"] = (0, 0, 0)
    world.report("c", Phase.READY)
    assert world.orders[-1] == ("start", "b")


def test_nobody_waits_and_one_process_is_kept_empty():
    world = World("a", "b", prewarm=1)
    world.last_used["b"] = 50.0
    world.tick()
    assert world.orders == [("start", "b")]
    world.hello("b")
    for _ in range(10):
        world.tick()
    assert world.orders == [("start", "b")] and world.phase("b") is Phase.EMPTY and not world.loads_sent()
    world.want("b", medium=1)
    assert world.loads_sent() == ["b"]
    world.waits.clear()
    world.report("b", Phase.LOADING)
    world.report("b", Phase.READY)
    assert world.orders[-1] == ("start", "a")  # the next likely one


def test_a_crash_backs_off_then_comes_again_when_somebody_waits():
    world = World("a")
    world.want("a", medium=1)
    world.load("a")
    world.die("a")
    assert world.phase("a") is Phase.BACKOFF and "while ready" in world.r.rows["a"].reason
    world.waits["a"] = (0, 1, 0)
    world.tick(0.5)
    assert world.starts("a") == 1
    world.tick(0.6)
    assert world.starts("a") == 2
    world.load("a")
    assert world.phase("a") is Phase.READY


def test_without_anybody_waiting_a_crashed_model_stays_down():
    world = World("a")
    world.want("a", medium=1)
    world.load("a")
    world.die("a")
    world.tick(100)
    assert world.phase("a") is Phase.DOWN and world.starts("a") == 1


def test_three_crashes_quarantine_with_the_reason_and_an_end():
    world = World("a")
    world.waits["a"] = (0, 1, 0)
    for _ in range(CRASHES_MAX):
        world.tick(61)
        world.hello("a")
        world.report("a", Phase.LOADING)
        world.report("a", Phase.LOADING, error="ValueError: no such weights")
        world.die("a")
    row = world.r.rows["a"]
    assert row.phase is Phase.QUARANTINED and "no such weights" in row.reason
    assert ("quarantine", {"model": "a", "reason": row.reason, "for_s": QUARANTINE_S}) in world.notes
    starts = world.starts("a")
    world.tick(QUARANTINE_S - 1)
    assert world.starts("a") == starts
    world.tick(2)
    assert world.starts("a") == starts + 1


def test_the_gateway_hears_of_every_row_and_every_change():
    world = World("a", "b")
    world.r.on_frame(b"gw", messages.GatewayHello(1, 77, 9), world.now)
    states = [m for who, m in world.said if who == b"gw"]
    assert {(m.slug, m.phase) for m in states} == {("a", Phase.DOWN), ("b", Phase.DOWN)}
    world.want("a", medium=1)
    world.load("a")
    world.die("a")
    phases = [m.phase for who, m in world.said if who == b"gw" and m.slug == "a"]
    assert phases[-1] == Phase.BACKOFF and Phase.READY in phases
    assert world.r.rows["a"].words()["backoff_until_ns"] == pytest.approx((world.now + 1) * 1e9, abs=0.2e9)


def test_a_hello_from_another_boot_changes_nothing():
    world = World("a")
    world.want("a", medium=1)
    world.r.on_frame(b"w", messages.Hello(1, 78, "a", 5, 50), world.now)
    assert world.phase("a") is Phase.STARTING and not world.said


def test_a_new_control_adopts_a_loading_worker_and_never_orders_the_load_again():
    world = World("a", "b")
    world.waits["a"] = (0, 1, 0)
    world.tick()
    world.hello("a", pid=5500)
    world.report("a", Phase.LOADING)
    world.set_words("a")
    incarnation, left_behind = world.r.rows["a"].incarnation, world.snapshot()
    world.r = world.make_reconciler(epoch=501)
    adopt(world.r, left_behind, world.now)
    world.waits["b"] = (1, 0, 0)
    for _ in range(10):
        world.tick()
    assert world.phase("a") is Phase.LOADING and world.orders == [("start", "a")]
    world.hello("a", incarnation, Phase.LOADING, pid=5500)
    world.set_words("a", phase=Phase.READY)
    world.tick()
    assert world.phase("a") is Phase.READY and world.loads_sent() == ["a"]
    assert world.orders == [("start", "a"), ("start", "b")]


def test_a_new_control_finds_the_dead_dead_and_gives_higher_incarnations():
    world = World("a")
    world.want("a", medium=1)
    world.load("a")
    old, left_behind = world.r.rows["a"], world.snapshot()
    world.dead.add(old.pid)
    world.r = world.make_reconciler(epoch=501)
    adopt(world.r, left_behind, world.now)
    assert world.phase("a") is Phase.DOWN
    world.want("a", medium=1)
    world.hello("a")
    assert world.r.rows["a"].incarnation > old.incarnation


def test_a_table_made_anew_takes_the_living_workers_in_as_they_are():
    world = World("a")
    world.want("a", medium=1)
    world.load("a")
    incarnation = world.r.rows["a"].incarnation
    world.r = world.make_reconciler(epoch=501)  # nothing to adopt
    world.r.incarnation = incarnation + 100  # its floor is the wall clock
    world.hello("a", incarnation, Phase.READY, pid=5000)
    assert (world.phase("a"), world.r.rows["a"].incarnation) == (Phase.READY, incarnation)
    world.die("a")
    world.waits["a"] = (0, 1, 0)
    world.tick(2)
    world.hello("a")
    assert world.r.rows["a"].incarnation > incarnation + 100


def test_a_new_control_keeps_a_quarantine():
    world = World("a")
    world.waits["a"] = (0, 1, 0)
    for _ in range(CRASHES_MAX):
        world.tick(61)
        world.load("a")
        world.waits["a"] = (0, 1, 0)
        world.die("a")
    left_behind, until = world.snapshot(), world.r.rows["a"].not_before
    world.r = world.make_reconciler(epoch=501)
    adopt(world.r, left_behind, world.now)
    assert world.phase("a") is Phase.QUARANTINED and world.r.rows["a"].not_before == pytest.approx(until)
    starts = world.starts("a")
    world.tick(60)
    assert world.starts("a") == starts


def test_an_old_incarnation_and_an_unknown_model_are_refused():
    world = World("a")
    world.want("a", medium=1)
    world.load("a")
    old = world.r.rows["a"].incarnation
    world.die("a")
    world.want("a", medium=1)
    world.tick(2)
    world.load("a")
    for slug, incarnation in (("a", old), ("zzz", 0)):
        identity = world.hello(slug, incarnation, Phase.READY)
        assert isinstance([m for who, m in world.said if who == identity][-1], messages.Refused)


def test_a_load_that_was_lost_is_said_again():
    world = World("a")
    world.want("a", medium=1)
    world.hello("a")
    world.set_words("a")
    world.tick(12)
    assert len(world.loads_sent()) == 3
    world.set_words("a", phase=Phase.LOADING)
    world.tick(20)
    assert len(world.loads_sent()) == 3


def test_words_that_are_no_legal_transition_are_counted_and_change_nothing():
    world = World("a")
    world.want("a", medium=1)
    world.load("a")
    world.report("a", Phase.LOADING)
    world.report("a", 200)
    world.report("a", Phase.EMPTY, incarnation=3)
    assert world.phase("a") is Phase.READY and world.r.refused_words == 2


def test_a_load_that_cannot_be_said_is_said_again():
    world = World("a")
    world.want("a", medium=1)
    world.deaf.add(b"a.5000")
    world.hello("a")
    assert not world.loads_sent() and world.r.rows["a"].loading
    world.deaf.clear()
    world.tick(6)
    assert world.loads_sent() == ["a"]
