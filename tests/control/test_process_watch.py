"""Orders that fail, ends before the hello, deaths and holds, driven by hand: no process, no clock."""

import pytest

from control.adoption import adopt
from control.states import Phase
from control.supervisord import Fault, ProcessState, SupervisordFault, SupervisordGone
from tests.support.control_world import World


def test_a_drained_worker_is_down_and_stopped_means_held_until_started():
    world = World("a")
    world.want("a", medium=1)
    world.load("a")
    world.report("a", Phase.DRAINING)
    world.die("a")
    assert world.phase("a") is Phase.DOWN and not world.r.rows["a"].crashes
    world.facts("a", ProcessState.STOPPED, start=10, stop=20)
    assert world.phase("a") is Phase.HELD
    world.waits["a"] = (1, 0, 0)
    world.tick(1000)
    assert world.starts("a") == 1
    world.facts("a", ProcessState.RUNNING, pid=77, start=30)
    assert world.phase("a") is Phase.STARTING
    world.waits.clear()
    world.hello("a", pid=77)
    assert world.loads_sent() == ["a", "a"]  # an operator's start loads, though nobody waits


def test_never_started_is_not_held():
    world = World("a")
    world.facts("a", ProcessState.STOPPED)
    assert world.phase("a") is Phase.DOWN


def test_old_news_about_the_process_just_ordered_is_not_believed():
    world = World("a")
    world.want("a", medium=1)
    world.now += 5
    world.facts("a", ProcessState.EXITED, start=10, stop=20, status=1)  # supervisord is slow: not spawned yet
    world.order_done("a")
    world.facts("a", ProcessState.EXITED, start=10, stop=20, status=1, age=0.5)  # asked before it was
    assert world.phase("a") is Phase.STARTING


def test_an_exit_before_the_hello_is_a_crash():
    world = World("a")
    world.want("a", medium=1)
    world.order_done("a")
    world.now += 2
    world.facts("a", ProcessState.EXITED, start=101, stop=102, status=2)
    assert world.phase("a") is Phase.BACKOFF and "status 2" in world.r.rows["a"].reason


@pytest.mark.parametrize("age", [0.0, 0.5])
def test_the_process_just_seen_to_end_is_not_taken_for_an_operators_start(age):
    world = World("a")
    world.want("a", medium=1)
    world.load("a")
    pid = world.r.rows["a"].pid
    world.die("a")
    world.now += 0.01
    world.facts("a", ProcessState.RUNNING, pid=pid, start=10, age=age)  # not reaped yet
    assert world.phase("a") is Phase.BACKOFF
    world.facts("a", ProcessState.RUNNING, pid=pid + 1, start=12)
    assert world.phase("a") is Phase.STARTING and world.r.rows["a"].wanted_by == "an operator"


@pytest.mark.parametrize("error, phase", [
    (SupervisordFault(Fault.ALREADY_STARTED, "ALREADY_STARTED"), Phase.STARTING),
    (SupervisordFault(Fault.SPAWN_ERROR, "SPAWN_ERROR"), Phase.BACKOFF),
    (SupervisordGone("no answer"), Phase.BACKOFF),
])
def test_an_order_that_fails(error, phase):
    world = World("a")
    world.want("a", medium=1)
    world.order_done("a", error)
    assert world.phase("a") is phase
    assert len(world.r.rows["a"].crashes) == isinstance(error, SupervisordFault) * (phase is Phase.BACKOFF)


def test_nothing_that_ended_is_started_before_supervisord_was_asked_whether_an_operator_stopped_it():
    world = World("a", prewarm=1)
    world.supervisord_silent = True
    world.want("a", medium=1)
    world.load("a")
    world.report("a", Phase.DRAINING)
    world.die("a")
    world.waits["a"] = (1, 0, 0)
    world.facts("a", ProcessState.STOPPING, pid=5000, start=10, age=0.5)  # read before its end
    world.tick(0.5)
    assert world.starts("a") == 1 and world.phase("a") is Phase.DOWN
    world.facts("a", ProcessState.STOPPED, start=10, stop=20)
    world.tick(5)
    assert world.starts("a") == 1 and world.phase("a") is Phase.HELD


def test_what_drained_for_another_reason_comes_again_when_wanted():
    world = World("a")
    world.want("a", medium=1)
    world.load("a")
    world.report("a", Phase.DRAINING)
    world.die("a")
    world.waits["a"] = (1, 0, 0)
    world.tick(0.5)
    world.facts("a", ProcessState.EXITED, start=10, stop=20)
    assert world.starts("a") == 2


def test_a_worker_that_could_do_its_work_is_not_quarantined_however_often_it_is_killed():
    world = World("a")
    for _ in range(10):
        world.waits["a"] = (0, 1, 0)
        world.tick(2)
        world.load("a")
        world.set_words("a", finished=3)
        world.die("a")
        assert world.phase("a") is Phase.BACKOFF and len(world.r.rows["a"].crashes) == 1


def test_a_hold_outlives_control():
    world = World("a", prewarm=1)
    world.want("a", medium=1)
    world.load("a")
    world.report("a", Phase.DRAINING)
    world.die("a")
    world.facts("a", ProcessState.STOPPED, start=10, stop=20)
    left_behind, starts = world.snapshot(), world.starts("a")
    world.r = world.make_reconciler(epoch=501)
    adopt(world.r, left_behind, world.now)
    world.waits["a"] = (1, 0, 0)
    world.tick(30)
    assert world.phase("a") is Phase.HELD and world.starts("a") == starts


def test_a_new_control_starts_nothing_before_supervisord_was_asked():
    world = World("a", prewarm=1)
    world.supervisord_silent = True
    world.r = world.make_reconciler(epoch=501)
    world.waits["a"] = (1, 0, 0)
    world.tick(5)
    assert world.starts("a") == 0
    world.supervisord_lists()
    assert world.starts("a") == 1


@pytest.mark.parametrize("fact, phase", [
    ({"state": ProcessState.RUNNING, "pid": 5000, "start": 10}, Phase.STARTING),
    ({"state": ProcessState.EXITED, "start": 10, "stop": 20, "status": 1}, Phase.BACKOFF),
    ({"state": ProcessState.STOPPED}, Phase.BACKOFF),
    ({"state": ProcessState.STOPPED, "start": 10, "stop": 20}, Phase.HELD),
])
def test_a_start_that_control_did_not_live_to_see(fact, phase):
    world = World("a")
    world.want("a", medium=1)
    left_behind = world.snapshot()
    world.r = world.make_reconciler(epoch=501)
    adopt(world.r, left_behind, world.now)
    world.now += 0.5
    world.facts("a", **fact)
    assert world.phase("a") is phase and world.r.rows["a"].starts == 1
    if phase is Phase.BACKOFF:
        world.tick(2)
        world.tick()
        assert world.starts("a") == 2


def test_an_operators_term_that_a_worker_did_not_hear_is_said_again_once_it_has_greeted():
    world = World("a")
    world.want("a", medium=1)
    stopping = {"state": ProcessState.STOPPING, "pid": 5000, "start": 10}
    world.facts("a", **stopping)
    assert len(world.orders) == 1, "it would be lost again"
    world.load("a")
    world.facts("a", **stopping)
    world.facts("a", **stopping | {"pid": 4999})  # news of another process
    assert world.orders[1:] == [("signal", "a", "TERM")]
    world.report("a", Phase.DRAINING)
    world.facts("a", **stopping)
    assert len(world.orders) == 2, "it heard"
