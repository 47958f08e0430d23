"""A model that is reserved for agents never answers a person, and none a key that is not for it: all combinations.

Every dialect of http, every form of a name, every chain, every backend up, down or failing, with and without load.
"""

import asyncio
from itertools import product

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control import messages
from gateway import protocol
from tests.support import audience_world
from tests.support.audience_world import AGENTS, CALLERS, CHAINS, FORMS, STATES, AudienceWorld, Given, is_ended_once
from tests.support.world_http import make_world_app

SOME_STATES = [("up",) * 4, ("down", "up", "up", "up"), ("fails", "up", "up", "up"), ("fails", "up", "fails", "up"),
               ("down", "up", "down", "down"), ("up", "fails", "up", "fails"), ("down",) * 4, ("fails",) * 4]
ALL = st.builds(Given, st.tuples(*[st.sampled_from(STATES)] * 4), st.sampled_from(sorted(CHAINS)),
                st.sampled_from(["", "a", "b", "tiny"]), st.booleans())


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("chains", CHAINS)
def test_nobody_is_answered_by_what_is_not_for_him(caller, chains):
    for states, default, overloaded in product(SOME_STATES, ["a", "tiny"], [False, True]):
        world = AudienceWorld(Given(states, chains, default, overloaded))
        world.ask_all(caller)
        assert world.wrongly_answered(caller) == [], (states, default, overloaded)
        assert is_ended_once(world)


@settings(max_examples=60, deadline=None)
@given(ALL, st.sampled_from(sorted(CALLERS)))
def test_nor_in_any_other_combination(given, caller):
    world = AudienceWorld(given)
    world.ask_all(caller)
    assert world.wrongly_answered(caller) == [] and is_ended_once(world)


def test_the_traps_are_traps():
    """An agent, who may, is answered by the reserved model in every one of these ways."""
    names = set()
    for states, chains in product(SOME_STATES, CHAINS):
        world = AudienceWorld(Given(states, chains, "tiny", overloaded=True))
        world.ask_all("bot")
        names |= set(world.answered_by)
    assert names >= {"tiny", "a", "b", "tiny:0.5b", "victoria"}


@pytest.mark.parametrize("form", ["name", "capitals", "tag", "alias", "category", "none"])
def test_whoever_asks_for_it_is_told_so(form):
    world = AudienceWorld(Given(default="tiny"))
    for caller in CALLERS:
        world.submit(caller, key=CALLERS[caller], **FORMS[form])
        world.play()
        end = world.end_of(caller)
        if caller == "bot":
            assert isinstance(end, protocol.Done)
        elif caller in AGENTS and form == "none":  # who named nothing is answered by what the key is for
            assert end.model == "victoria"
        elif caller in AGENTS:
            assert (end.code, end.status) == ("model_not_allowed", 403)
        else:
            assert (end.code, end.status) == ("model_reserved", 403)


@pytest.mark.parametrize("images", [{}, {"category": "document"}])
def test_images_are_read_by_no_reserved_model_either(images):
    message = {"role": "user", "content": "what is it?", "images": ["aW1n"]}
    for caller in CALLERS:
        world = AudienceWorld(Given())
        world.submit("r", key=CALLERS[caller], model="a", messages=[message], prompt=None, **images)
        world.play()
        assert world.wrongly_answered(caller) == []
        if caller != "bot":
            assert world.end_of("r").code == ("model_reserved" if caller not in AGENTS else "model_not_allowed")


@pytest.mark.parametrize("question", ["show", "load", "unload", "evict", "pin", "unpin"])
def test_it_can_be_neither_seen_nor_moved_by_people(question):
    world = AudienceWorld(Given())
    for caller, key in CALLERS.items():
        for name in ("tiny", "TINY:latest", "small:1b"):
            world.client_says(b"c1", {"type": question, "id": f"{caller} {name}", "key": key, "model": name})
            errors = [event.code for event in world.events(f"{caller} {name}") if isinstance(event, protocol.Error)]
            code = "model_not_allowed" if caller in AGENTS else "model_reserved"
            assert errors == ([] if caller == "bot" else [code])
    asked = [each for each in world.control_frames if isinstance(each, messages.Ask)]
    assert len(asked) == (0 if question in ("show", "load") else 3)  # the agent's own alone


def test_it_is_in_no_persons_list_and_in_no_hint_or_report():
    world = AudienceWorld(Given(default="a"))
    for caller, key in CALLERS.items():
        listed = {model["name"] for model in world.ask("list", f"list {caller}", key=key)}
        assert listed == ({"a", "b", "tiny"} if caller == "bot" else {"a"} if "a" in caller.split() else {"a", "b"})
        world.submit(f"hint {caller}", key=key, model="tinyy")
        assert ("did you mean tiny" in world.end_of(f"hint {caller}").message) == (caller == "bot")
        route = world.ask("route", f"route {caller}", key=key, prompt="x", kind="agent")
        open_steps = [step["model"] for step in route["steps"] if step["state"] == "open"]
        assert ("tiny" in open_steps) == (caller == "bot")


# -- through the dialects of http ----------------------------------------------------------------------------


def asks(form: str, kind: str) -> list[tuple[str, dict, dict]]:
    """Path, body and headers of this form of a name in each dialect, where the dialect has it."""
    fields = FORMS[form]
    model, category = fields.get("model"), fields.get("category")
    head = ({"x-warden-kind": kind} if kind else {}) | ({"x-warden-category": category} if category else {})
    named = {"model": model} if model else {}
    messages = [{"role": "user", "content": "hi"}]
    grouped = {"category": category} if category else {}
    return [
        ("/api/generate", {"prompt": "hi", "stream": False, **named, **grouped}, head),
        ("/api/chat", {"messages": messages, **named, **grouped}, head),
        ("/v1/chat/completions", {"messages": messages, **named}, head),
        ("/v1/chat/completions", {"messages": messages, "stream": True, **named}, head),
        ("/chat/send", {"content": "hi", "use_victoria": not kind, **named,
                        **({"mode": category} if category else {})}, head),
        ("/chat/stream", {"content": "hi", "use_victoria": kind == "agent", **named}, head),
    ]


async def ask_over_http(world: AudienceWorld, caller: str) -> set[int]:
    transport = httpx.ASGITransport(make_world_app(world), client=("127.0.0.1", 5000))
    key = CALLERS[caller]
    headers = {"authorization": f"Bearer {key}"} if key else {}
    statuses = set()
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:11435", headers=headers) as http:
        for form, kind in product(FORMS, ("", "agent")):  # none: what the dialect says
            for path, body, head in asks(form, kind):
                reply = await http.post(path, json=body, headers=head)
                statuses.add(reply.status_code)
                says = reply.headers.get("x-warden-model", "").lower().removesuffix(":latest")
                assert caller in AGENTS or reply.status_code >= 400 or says not in audience_world.RESERVED
        for path in ("/api/tags", "/v1/models", "/models"):
            listed = (await http.get(path)).text
            assert ("tiny" in listed) == (caller == "bot"), (path, listed)
    return statuses


@pytest.mark.parametrize("caller", CALLERS)
def test_in_every_dialect(caller):
    seen = set()
    for setting in (Given(), Given(("fails", "up", "fails", "up"), "agents first", "tiny"),
                    Given(("down", "up", "up", "up"), "as they come", "", True), Given(SOME_STATES[4], "ollama alone")):
        world = AudienceWorld(setting)
        seen |= asyncio.run(ask_over_http(world, caller))
        assert world.wrongly_answered(caller) == [] and not world.d.requests
    assert seen & {200} and (seen & {403} or caller == "bot") and 401 not in seen
