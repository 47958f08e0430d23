"""What a caller is told while it waits."""

import pytest

from control import messages
from control.states import Phase
from control.table import RowWorker
from gateway import protocol, waiting
from tests.support.gateway_world import World


def words(**changes) -> RowWorker:
    return RowWorker(**dict.fromkeys(RowWorker._fields, 0) | changes)


@pytest.mark.parametrize("phase, reason", [
    (Phase.STARTING, "starting"), (Phase.LOADING, "loading"), (Phase.BACKOFF, "backoff"), (Phase.DOWN, "loading")])
def test_the_reason_is_the_models_phase(phase, reason):
    world = World()
    world.d.on_control(messages.ModelState(1, 1, "a", 1, phase, ""), world.now)
    world.submit("r1")
    world.pass_time(2.5)
    progress = [e for e in world.events("r1") if isinstance(e, protocol.Progress)]
    assert [p.reason for p in progress] == [reason]


@pytest.mark.parametrize("phase, reason, said", [
    (Phase.EMPTY, "waits for room: b goes", "memory"), (Phase.DOWN, "waits for room: b is pinned", "memory"),
    (Phase.EMPTY, "its process is up", "loading"), (Phase.LOADING, "waits for room: no longer", "loading")])
def test_waiting_for_memory_is_said_with_the_detail_for_people(phase, reason, said):
    world = World()
    world.d.on_control(messages.ModelState(1, 1, "a", 1, phase, reason), world.now)
    world.submit("r1")
    world.pass_time(2.5)
    assert [(p.reason, p.detail) for p in world.events("r1") if isinstance(p, protocol.Progress)] == [(said, reason)]


def test_a_loaded_model_says_queued():
    world = World(max_running=1)
    world.worker_up()
    world.submit("r1")
    world.submit("r2")
    world.pass_time(2.5)
    assert [e.reason for e in world.events("r2") if isinstance(e, protocol.Progress)] == ["queued"]


def test_progress_of_the_load_shortens_the_estimate():
    world = World()
    world.submit("r1")
    remaining = []
    for permille in (0, 500, 900):
        world.worker_words["a"] = words(phase=Phase.LOADING, load_progress_permille=permille, load_ms=20_000)
        remaining.append(waiting.load_remaining_s(world.d, "a"))
    assert remaining == pytest.approx([20.0, 10.0, 2.0])
    world.worker_up()
    assert waiting.load_remaining_s(world.d, "a") == 0.0


def test_times_of_a_done_add_up():
    world = World()
    world.submit("r1")
    world.now += 4.0
    world.worker_up()
    world.now += 1.0
    world.answer(b"w1", world.jobs_sent()[0], tokens=2)
    timings = world.end_of("r1").timings
    assert timings.queue_ms == pytest.approx(4000) and timings.load_ms == pytest.approx(4000)
    assert timings.total_ms == pytest.approx(5000) and timings.decode_ms == 2.0
