"""Who would answer and why: what is said is what happens, and saying it changes nothing."""

from itertools import product

from control.states import Breaker, Phase
from gateway import protocol
from tests.support.audience_world import BACKENDS, CALLERS, FORMS, STATES, AudienceWorld, Given
from tests.support.gateway_world import World


def test_what_is_said_is_what_happens():
    for states, overloaded in product(product(STATES[:2], repeat=len(BACKENDS)), [False, True]):
        for caller, form in product(("nobody", "bot"), FORMS):
            world = AudienceWorld(Given(states, default="a", overloaded=overloaded))
            asked = {"prompt": "hi", "key": CALLERS[caller], **FORMS[form]}
            said = world.ask("route", "route", **asked)
            assert not world.jobs_sent() and not world.d.requests and not world.d.rate_limit.callers
            world.submit("r", **asked)
            if isinstance(said, protocol.Error):
                assert (said.code, said.message) == (world.end_of("r").code, world.end_of("r").message)
            elif said["chosen"] < 0:
                assert (said["code"], said["message"]) == (world.end_of("r").code, world.end_of("r").message)
            else:
                (request,) = world.d.requests.values()
                step = said["steps"][said["chosen"]]
                assert (said["route"], said["reason"]) == (request.route, request.reason)
                assert (step["backend"], step["model"]) == (request.step.backend, request.step.model)
                assert step["state"] == "open"


def test_the_state_of_each_step_with_its_reason():
    world = World("a", relays=["ollama"])
    world.relay_up("ollama", ["other"])
    world.set_row("a", Phase.HELD)
    said = world.ask("route", "r", prompt="hi", priority="low")
    assert [(step["backend"], step["state"]) for step in said["steps"]] == [
        ("mlx", "down"), ("ollama", "absent"), ("victoria", "absent")]
    assert "held" in said["steps"][0]["why"] and "ollama_model" in said["steps"][1]["why"]
    assert "not configured" in said["steps"][2]["why"]
    assert (said["model"], said["kind"], said["priority"], said["audience"], said["simple"], said["overloaded"]) == (
        "a", "task", "low", "person", True, False)
    assert (said["chosen"], said["code"]) == (-1, "model_unavailable")


def test_how_the_relays_are():
    world = World("a", relays=["ollama", "victoria"], ollama_max_running=1)
    ollama = world.relay_up("ollama", ["a"])
    world.set_row("a", Phase.HELD)
    for n in range(3):
        world.submit(f"r{n}")
    stats = world.ask("stats", "s")
    assert [[each[field] for field in ("name", "state", "running", "queued", "max_running", "models")]
            for each in stats["backends"]] == [
                ["ollama", "ready", 1, 2, 1, ["a"]], ["victoria", "starting", 0, 0, 2, []]]
    world.set_row("relay-victoria", Phase.DOWN)
    assert world.ask("stats", "s2")["backends"][1]["state"] == "stopped"
    assert (stats["hops"], stats["spilled"]) == (0, 0)
    world.relay_says(ollama, world.jobs_sent()[0], "one")
    world.set_breaker("ollama", Breaker.OPEN)
    (down, _) = world.ask("stats", "t")["backends"]
    assert (down["state"], down["reason"]) == ("down", "ollama does not answer")
