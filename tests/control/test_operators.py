"""What people ask of control: each question gets exactly one answer, and none goes around the three keys."""

import pytest

from control import messages
from control.states import Phase
from tests.support.control_world import World

TOOL = b"tool"


def world_with_a_loaded(**settings) -> World:
    world = World("a", "b", **settings)
    world.gateway_up()
    world.resident("a")
    return world


def ask(world: World, verb: str, model: str = "a", number: int = 1) -> None:
    world.r.on_frame(TOOL, messages.Ask(1, number, verb, model), world.now)


def told(world: World) -> list[tuple[int, str, str]]:
    return [(answer.id, answer.code, answer.text) for answer in world.said_to(TOOL, messages.Told)]


def test_an_unknown_model_is_told_with_what_was_perhaps_meant():
    world = World("coder", "tiny")
    ask(world, "pin", "codr")
    [(_, code, text)] = told(world)
    assert code == "model_not_found" and "did you mean coder" in text


def test_a_relay_that_is_not_configured_is_no_more_than_unknown():
    world = World("a")
    ask(world, "load", "relay-ollama")
    assert told(world) == [(1, "model_not_found", 'model "relay-ollama" not found')]


@pytest.mark.parametrize("name", ["a", "a-alias", "worker-a"])
def test_a_model_has_its_name_its_aliases_and_the_name_of_its_process(name):
    world = world_with_a_loaded()
    ask(world, "pin", name)
    assert told(world) == [(1, "", "a is pinned")] and world.written["a"]["pinned"]


def test_load_starts_a_model_that_nobody_waits_for():
    world = world_with_a_loaded()
    ask(world, "load", "b")
    assert world.starts("b") == 1 and told(world)[0][1] == ""


def test_load_of_a_loaded_model_says_so():
    world = world_with_a_loaded()
    ask(world, "load")
    assert told(world) == [(1, "", "a is loaded")]


def test_load_ends_a_quarantine_but_no_hold():
    world = World("a", "b")
    for slug, end in (("a", lambda row: row.on_crash(world.now, "it fell")), ("b", lambda row: row.on_hold(world.now))):
        for _ in range(3):
            row = world.r.rows[slug]
            row.on_started(world.now, "test")
            end(row)
    world.tick()
    ask(world, "load", "a")
    assert world.starts("a") == 1
    ask(world, "load", "b", 2)
    assert told(world)[-1][1] == "model_unavailable" and "warden ctl start worker-b" in told(world)[-1][2]


def test_unload_goes_through_the_keys_as_soon_as_it_is_idle():
    world = world_with_a_loaded()
    world.gateway_words["a"] = {"unfinished": 1}
    ask(world, "unload")
    assert told(world) == [(1, "", "a will be unloaded: 1 answer in flight")] and not world.fences_said()
    world.gateway_words["a"] = {"last_end_ns": int((world.now + 0.05) * 1e9)}  # the end of that answer is no new use
    world.tick()
    assert world.fences_said() == ["a"]


def test_a_request_that_comes_after_the_unload_takes_it_back():
    world = world_with_a_loaded()
    world.gateway_words["a"] = {"unfinished": 1}
    ask(world, "unload")
    world.now += 1
    world.last_used["a"] = world.now
    world.gateway_words["a"] = {"last_end_ns": int(world.now * 1e9)}
    world.set_words("a")
    world.tick()
    assert not world.fences_said()


def test_unload_of_a_pinned_model_is_refused_with_the_remedy():
    world = world_with_a_loaded()
    ask(world, "pin")
    ask(world, "unload", number=2)
    assert told(world)[1][1] == "invalid_request" and "warden unpin a" in told(world)[1][2]


def test_evict_is_answered_when_the_process_is_gone():
    world = world_with_a_loaded()
    ask(world, "evict")
    assert told(world) == []
    world.gateway_says(messages.Fenced, "a")
    world.worker_says(messages.Quitting, "a")
    world.die("a")
    assert told(world) == [(1, "", "a is evicted")]


@pytest.mark.parametrize("by", ["gateway", "worker", "its end"])
def test_evict_that_is_refused_is_answered_once_with_the_reason(by):
    world = world_with_a_loaded()
    ask(world, "evict")
    if by == "gateway":
        world.gateway_says(messages.GateBusy, "a", 3)
    else:
        world.gateway_says(messages.Fenced, "a")
        if by == "worker":
            world.worker_says(messages.Busy, "a", "2 jobs")
        else:
            world.die("a")
    world.tick(3)
    [(number, code, text)] = told(world)
    assert (number, code) == (1, "model_busy") and text.startswith("a is not evicted: ")


def test_evict_asks_grace_and_residency_nothing_but_spares_the_pinned():
    world = world_with_a_loaded(grace_s=1000.0, min_residency_s=1000.0)
    world.last_used["a"] = world.now
    ask(world, "evict")
    assert world.fences_said() == ["a"]
    world.gateway_says(messages.GateBusy, "a", 1)
    ask(world, "pin", number=2)
    ask(world, "evict", number=3)
    assert told(world)[-1] == (3, "model_busy", "a is not evicted: it is pinned")


def test_unpin():
    world = world_with_a_loaded()
    ask(world, "pin")
    ask(world, "unpin", number=2)
    assert not world.r.rows["a"].pinned and told(world)[-1] == (2, "", "a is no longer pinned")
    assert world.phase("a") is Phase.READY


def test_evict_of_a_process_without_a_model_leaves_it_alone():
    world = world_with_a_loaded(prewarm=1)
    world.tick()
    world.order_done("b")
    world.hello("b")
    world.settle("b")
    ask(world, "evict", "b")
    assert told(world) == [(1, "", "b is not loaded")] and not world.fences_said()


def test_an_unload_says_whose_wish_it_was():
    world = world_with_a_loaded()
    ask(world, "unload")
    assert world.r.rows["a"].stop.reason == "unloaded by an operator"
