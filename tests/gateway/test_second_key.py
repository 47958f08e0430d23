"""Key 2: what the gateway answers to a Fence, and that nothing is dispatched after it said Fenced."""

import pytest

from control import messages
from control.states import Phase
from gateway import protocol
from gateway.__main__ import KEYS_OFF, key_is_off
from tests.support.gateway_world import EPOCH, World
from workers import protocol as jobs

FENCE = 7
FENCED = messages.Fenced(messages.VERSION, EPOCH, "a", 1, FENCE)


def busy(unfinished: int, fence: int = FENCE, incarnation: int = 1) -> messages.GateBusy:
    return messages.GateBusy(messages.VERSION, EPOCH, "a", incarnation, fence, unfinished)


def put_fence(world: World, fence: int = FENCE, **more: int) -> None:
    world.set_row("a", Phase.ALIVE, 1, fence=fence, **more)


def ask(world: World, fence: int = FENCE, *, incarnation: int = 1, control_epoch: int = 5) -> object:
    """The answer to one Fence."""
    world.d.on_control(messages.Fence(messages.VERSION, control_epoch, "a", incarnation, fence), world.now)
    return world.control_frames[-1]


def idles(world: World) -> list[str]:
    return [m.slug for m in world.control_frames if isinstance(m, messages.Idle)]


def test_an_idle_model_is_fenced_and_nothing_is_dispatched_in_the_same_turn():
    world = World()
    world.worker_up()
    world.d.start_turn(world.now)  # the gate is open, by the row as it was
    put_fence(world)
    assert ask(world) == FENCED
    world.d.on_client(b"c1", protocol.encode({"type": "submit", "id": "r1", "prompt": "x"}), world.now)
    world.flush()
    assert not world.jobs_sent() and not world.ended("r1") and world.d.admission.queued_total == 1
    world.turn()
    assert not world.jobs_sent()


def test_a_job_sent_before_the_fence_was_heard_of_protects_the_model():
    world = World()
    world.worker_up()
    world.d.start_turn(world.now)
    put_fence(world)
    world.d.on_client(b"c1", protocol.encode({"type": "submit", "id": "r1", "prompt": "x"}), world.now)
    assert len(world.jobs_sent()) == 1
    assert ask(world) == busy(1)


def test_a_fence_asked_again_is_answered_anew():
    world = World()
    world.worker_up()
    world.submit("r1")
    world.submit("r2")
    put_fence(world)
    assert ask(world) == busy(2)
    world.submit("r3")
    first, second = world.jobs_sent()
    world.answer(b"w1", first)
    assert ask(world) == busy(1) and not idles(world)
    world.answer(b"w1", second)
    assert idles(world) == ["a"]
    assert ask(world) == ask(world) == FENCED
    assert len(world.jobs_sent()) == 2, "who came meanwhile waits"
    put_fence(world, cleared=FENCE)
    world.turn()
    assert len(world.jobs_sent()) == 3


@pytest.mark.parametrize("row", [
    {"fence": FENCE + 1}, {"fence": FENCE, "cleared": FENCE}, {"fence": FENCE - 1}, {"fence": 0}])
def test_a_fence_that_does_not_stand_changes_nothing(row):
    world = World()
    world.worker_up()
    world.set_row("a", Phase.ALIVE, 1, **row)
    assert ask(world) == busy(0) and "a" in world.d.opened_at
    world.rows.clear()
    assert ask(world) == busy(0)


def test_a_fence_about_another_incarnation_changes_nothing():
    world = World()
    world.worker_up()
    put_fence(world)
    assert ask(world, incarnation=2) == busy(0, incarnation=2) and "a" in world.d.opened_at


@pytest.mark.parametrize("newer", ["in the table", "in a message", "in a fence"])
def test_a_control_process_that_was_replaced_is_not_obeyed(newer):
    world = World()
    world.worker_up()
    put_fence(world)
    if newer == "in the table":
        world.control_words["epoch"] = 6
    elif newer == "in a message":
        world.d.on_control(messages.ModelState(messages.VERSION, 6, "a", 1, Phase.READY), world.now)
    else:
        ask(world, FENCE + 1, control_epoch=6)
    assert ask(world, control_epoch=5) == busy(0) and "a" in world.d.opened_at
    assert ask(world, control_epoch=6) == FENCED


def test_in_a_table_made_anew_a_control_process_with_a_smaller_epoch_is_obeyed():
    world = World()
    world.worker_up()
    put_fence(world)
    world.d.second_key.hear(6)
    assert ask(world, control_epoch=5) == busy(0)
    world.d.second_key.forget_control()
    assert ask(world, control_epoch=5) == FENCED
    assert ask(world, control_epoch=4) == busy(0)


def test_a_fence_that_is_given_up_delays_who_waits_until_the_next_turn_only():
    world = World()
    world.worker_up()
    world.submit("r1")
    put_fence(world)
    assert ask(world) == busy(1)
    world.submit("r2")
    world.turn()
    assert len(world.jobs_sent()) == 1
    put_fence(world, cleared=FENCE)
    world.d.start_turn(world.now)
    world.d.pump(world.now)
    assert len(world.jobs_sent()) == 2


def test_a_model_without_a_worker_is_fenced():
    world = World()
    put_fence(world)
    assert ask(world) == FENCED


def test_jobs_of_a_worker_whose_loss_was_not_noticed_count():
    world = World()
    world.worker_up()
    world.submit("r1")
    world.set_row("a", Phase.ALIVE, 2, fence=FENCE)
    assert ask(world, incarnation=2) == busy(1, incarnation=2)


def test_the_newest_fence_seen_standing_is_remembered():
    world = World()
    world.worker_up()
    assert not world.d.second_key.fences_seen
    put_fence(world)
    world.turn()
    assert world.d.second_key.fences_seen == {"a": FENCE}
    put_fence(world, cleared=FENCE)
    world.turn()
    assert world.d.second_key.fences_seen == {"a": FENCE}


@pytest.mark.parametrize(("fence", "words", "expected"), [
    (0, {}, []), (FENCE, {}, ["a"]), (0, {"pressure_level": 2}, ["a"])])
def test_control_is_woken_when_the_last_job_ends_under_a_fence_or_pressure(fence, words, expected):
    world = World()
    world.worker_up()
    world.submit("r1")
    world.submit("r2")
    put_fence(world, fence)
    world.control_words |= words
    first, second = world.jobs_sent()
    world.answer(b"w1", first)
    assert not idles(world)
    world.worker_says(b"w1", jobs.Refuse, second.job, 1, "not_ready", "draining")
    assert idles(world) == expected


def test_with_the_key_switched_off_fenced_is_said_whatever_is_unfinished_and_the_gate_stays_open():
    world = World()
    world.d.switch_key_off()
    world.worker_up()
    world.submit("r1")
    put_fence(world)
    assert ask(world) == FENCED
    world.turn()
    world.submit("r2")
    assert len(world.jobs_sent()) == 2


@pytest.mark.parametrize(("value", "is_off"), [
    (None, False), ("", False), ("worker", False), ("gates", False), ("gate", True), ("worker,gate", True)])
def test_only_a_test_can_switch_it_off(value, is_off):
    assert key_is_off({} if value is None else {KEYS_OFF: value}) == is_off
