"""What is paused is never in the way of HIGH, and goes on: the real classes, with models that do not fit together."""

import pytest

from control.states import Phase
from gateway import protocol
from tests.model.real_world import RealWorld

TOKENS = 40


def begun(world: RealWorld, slug: str, *, tokens: int = TOKENS) -> str:
    """A LOW answer that has said three tokens."""
    name = world.client.submit(slug, tokens, priority="low")
    world.answers_last = True
    world.let_run(4, until=lambda: any(isinstance(event, protocol.Started) for event in world.client.events[name]))
    for _ in range(3):
        world.workers[slug].engine.step()
    world.let_run(0.3)
    assert said(world, name) == [0, 1, 2]
    return name


def said(world: RealWorld, name: str) -> list[int]:
    return [id for event in world.client.events[name] if isinstance(event, protocol.Tokens) for id in event.ids]


def asks(world: RealWorld, slug: str, tokens: int = 1) -> str:
    """A HIGH one; what can be done without finishing an answer is done."""
    name = world.client.submit(slug, tokens, priority="high")
    world.let_run(0.3)
    return name


def ends_well(world: RealWorld, *names: str) -> None:
    world.answers_last = False
    world.let_run(90, until=lambda: not world.client.waiting)
    for name in names:
        assert isinstance(world.client.end_of(name), protocol.Done), world.story()
    world.settle()


def phase(world: RealWorld, slug: str) -> Phase | None:
    return world.workers[slug].runtime.phase if slug in world.workers else None


def test_high_waits_for_a_model_whose_room_is_held_by_nothing_but_a_paused_answer():
    """HIGH of c has all slots, so what is paused at a cannot go on; HIGH of b needs the memory of a."""
    world = RealWorld(slugs=("a", "b", "c"), model_gb=10, max_running=2)
    world.let_run(1)
    warm = world.client.submit("c")
    world.let_run(4, until=lambda: not world.client.waiting)
    low = begun(world, "a")
    first, second = asks(world, "c"), asks(world, "c")
    assert world.seen["preempted"] == 1 and world.row("a").share_bytes
    third = asks(world, "b")
    world.let_run(20, until=lambda: phase(world, "b") is Phase.READY)
    assert phase(world, "b") is Phase.READY and phase(world, "a") is None, world.story()
    assert world.seen["pause_dropped"] == 1 and world.client.end_of(low) is None
    ends_well(world, warm, first, second, third, low)
    assert said(world, low) == list(range(TOKENS))


def test_a_closing_model_ends_what_runs_there_and_drops_what_is_paused_and_high_is_first():
    world = RealWorld()
    world.let_run(1)
    lows = [begun(world, "a") for _ in range(2)]
    here, there = asks(world, "a"), asks(world, "b")
    world.let_run(5)
    assert world.seen["preempted"] == 1 and not world.seen["pause_dropped"], "others of it run"
    world.answers_last = False
    world.let_run(60, until=lambda: world.client.end_of(there) is not None)
    assert isinstance(world.client.end_of(there), protocol.Done) and world.client.end_of(lows[1]) is None
    ends_well(world, here, there, *lows)
    assert [said(world, low) for low in lows] == [list(range(TOKENS))] * 2 and world.seen["pause_dropped"] == 1


@pytest.mark.parametrize("dies", ["a", "gateway", "control"])
def test_whoever_dies_while_an_answer_is_paused_each_request_ends_once(dies):
    world = RealWorld()
    world.let_run(1)
    lows = [begun(world, "a") for _ in range(2)]
    high = asks(world, "a")
    assert world.seen["preempted"] == 1
    world.bury(next(each for each in world.processes if each.kind == dies), signal="SIGKILL")
    world.answers_last = False
    world.let_run(90, until=lambda: not world.client.waiting)
    if dies != "gateway":  # its clients ask again
        assert all(world.client.end_of(name) is not None for name in (*lows, high))
    world.settle()


def test_an_operator_who_stops_a_worker_gets_its_paused_answer_finished_too():
    world = RealWorld()
    world.let_run(1)
    lows = [begun(world, "a") for _ in range(2)]
    high = asks(world, "a")
    world.supervisord.stop("a")
    world.let_run(1)
    assert phase(world, "a") is Phase.DRAINING and sum(world.gateway.dispatcher.admission.paused) == 1
    world.answers_last = False
    world.let_run(20, until=lambda: not world.client.waiting)
    assert [said(world, low) for low in lows] == [list(range(TOKENS))] * 2
    assert all(isinstance(world.client.end_of(name), protocol.Done) for name in (*lows, high))
