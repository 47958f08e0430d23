"""What cannot be had is said at once: held models, those that can never fit, and classes closed for want of memory."""

import pytest

from control import messages
from control.states import Phase
from control.table import RowWorker
from gateway import protocol
from gateway.availability import GIB
from tests.support.gateway_world import World

MEDIUM_AND_LOW = 0b110


def press(world: World, bits: int = MEDIUM_AND_LOW, **words: int) -> None:
    world.control_words = {"overload": bits, "pressure_permille": 962, "pressure_level": 2, **words}
    world.turn()


def is_too_big(world: World, phase: Phase = Phase.DOWN) -> None:
    world.set_row("a", phase, need_bytes=5 * GIB)
    world.control_words = {"ceiling_bytes": 4 * GIB}
    world.reasons["a"] = "weights 4.9 GiB + ..."


# -- classes

def test_new_work_of_a_closed_class_is_refused_with_the_reading_and_a_time():
    world = World()
    world.worker_up()
    press(world)
    for priority in ("medium", "low"):
        world.submit(priority, priority=priority)
        error = world.end_of(priority)
        assert (error.code, error.status) == ("memory_pressure", 503) and 1 <= error.retry_after_s <= 120
        assert "96.2 %" in error.message and priority in error.message
    world.submit("h", priority="high")
    assert len(world.jobs_sent()) == 1 and world.d.counters.rejected == 2


def test_who_waits_goes_on_waiting_and_starts_when_the_class_is_opened():
    world = World(max_running=1)
    world.worker_up()
    world.submit("runs")
    world.submit("waits")
    press(world)
    world.answer(b"w1", world.jobs_sent()[0])
    assert len(world.jobs_sent()) == 1 and not world.ended("waits")
    world.pass_time(2.5)
    progress = [e for e in world.events("waits") if isinstance(e, protocol.Progress)][-1]
    assert progress.reason == "memory" and "96.2 %" in progress.detail
    press(world, 0)
    assert len(world.jobs_sent()) == 2


def test_a_control_process_that_is_silent_is_not_believed():
    world = World()
    world.worker_up()
    press(world, heartbeat_ns=int((world.now - 4) * 1e9))
    world.submit("r1")
    assert len(world.jobs_sent()) == 1


def test_high_is_never_closed():
    world = World()
    world.worker_up()
    press(world, 0b111)
    world.submit("h", priority="high")
    assert len(world.jobs_sent()) == 1


# -- models that can never fit

def test_a_model_that_can_never_fit_is_refused_with_the_numbers_at_submit_in_the_queue_and_at_load():
    world = World()
    world.submit("queued")
    world.client_says(b"c1", {"type": "load", "id": "loads", "model": "a"})
    is_too_big(world)
    world.turn()
    world.submit("new")
    world.client_says(b"c1", {"type": "load", "id": "loads again", "model": "a"})
    for request_id in ("queued", "loads", "new", "loads again"):
        error = world.end_of(request_id)
        assert (error.code, error.status, error.retry_after_s) == ("insufficient_memory", 507, 0.0), request_id
        assert "5.00 GiB" in error.message and "4.00 GiB" in error.message and "weights 4.9 GiB" in error.message
    assert not world.d.requests and world.d.desk.waiting_for_load("a")[0] == 0


@pytest.mark.parametrize(("reason", "message"), [
    ("needs at least 5.0 GiB (weights 4.9 GiB)", "needs at least 5.0 GiB (weights 4.9 GiB)"),
    ("", "it needs at least 5.00 GiB, and all models together may have 4.00 GiB"),
    ("down", "it needs at least 5.00 GiB, and all models together may have 4.00 GiB (down)")])
def test_the_numbers_are_said_once(reason, message):
    world = World()
    is_too_big(world)
    world.reasons["a"] = reason
    world.submit("r1")
    assert world.end_of("r1").message == f"a can never be loaded here: {message}"


@pytest.mark.parametrize(("leaked_gib", "left"), [(2, "4.00 GiB"), (7, "0.00 GiB")])
def test_what_was_leaked_cannot_be_had_either(leaked_gib, left):
    world = World()
    is_too_big(world)
    world.control_words = {"ceiling_bytes": 6 * GIB, "leaked_bytes": leaked_gib * GIB}
    world.submit("r1")
    assert world.end_of("r1").code == "insufficient_memory" and f"may have {left}" in world.end_of("r1").message


@pytest.mark.parametrize("words", [
    {"ceiling_bytes": 0}, {"ceiling_bytes": 5 * GIB}, {"ceiling_bytes": 7 * GIB, "leaked_bytes": 2 * GIB}])
def test_without_a_ceiling_or_below_it_the_model_is_waited_for(words):
    world = World()
    is_too_big(world)
    world.control_words = words
    world.submit("r1")
    assert not world.ended("r1")


@pytest.mark.parametrize(("phase", "incarnation", "served"), [
    (Phase.READY, 1, True), (Phase.LOADING, 1, True), (Phase.EMPTY, 1, False), (Phase.READY, 9, False)])
def test_one_that_is_loaded_all_the_same_goes_on_serving(phase, incarnation, served):
    world = World()
    world.worker_up()
    is_too_big(world, Phase.ALIVE)
    world.worker_words["a"] = RowWorker(**dict.fromkeys(RowWorker._fields, 0) | {
        "phase": phase, "incarnation": incarnation})
    world.submit("r1")
    assert bool(world.jobs_sent()) == served and world.ended("r1") != served


# -- models that cannot be had now

def test_the_reason_of_a_quarantine_is_controls_word_or_else_the_tables():
    world = World()
    world.set_row("a", Phase.QUARANTINED, backoff_until_ns=int((world.now + 42) * 1e9))
    world.reasons["a"] = "3 crashes in 5 min"
    world.submit("r1")
    assert "3 crashes in 5 min" in world.end_of("r1").message
    assert world.end_of("r1").retry_after_s == pytest.approx(42), "the table says until when, before any message does"
    world.d.on_control(messages.ModelState(1, 1, "a", 1, Phase.QUARANTINED, "3 crashes, the last: -9"), world.now)
    world.submit("r2")
    assert "the last: -9" in world.end_of("r2").message


def test_memory_that_did_not_come_back_is_said():
    world = World()
    world.set_row("a", Phase.LEAK_SUSPECTED)
    world.submit("r1")
    assert "a reboot frees it" in world.end_of("r1").message
