"""From a frame to a place in a queue: who asks, what he may, how much, and how fair that is among many."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control.states import Phase
from gateway import protocol
from gateway.keys import Key, hash_of
from tests.support.gateway_world import World, make_model

ANN = "warden-ann"


def world_of(*keys: Key, up: bool = True, **settings) -> World:
    world = World("a", **settings)
    world.d.callers.set_keys(keys)
    if up:
        world.worker_up()
    return world


def serve_all(world: World) -> list[str]:
    """One after the other, as they are given out. The order of the requests."""
    done = 0
    while done < len(jobs := world.jobs_sent()):
        world.answer(b"w1", jobs[done])
        done += 1
    return world.sent_to(b"w1")


# -- keys, classes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("most", protocol.PRIORITIES)
@pytest.mark.parametrize("asked", protocol.PRIORITIES)
def test_a_keys_class_is_a_ceiling_and_whoever_is_held_down_hears_it(most, asked):
    world = world_of(Key("ann", hash_of(ANN), max_priority=most))
    world.submit("r", key=ANN, priority=asked)
    lower = max(asked, most, key=protocol.PRIORITIES.index)
    accepted = world.events("r")[0]
    assert (accepted.priority, accepted.clamped) == (lower, asked if asked != lower else "")
    world.answer(b"w1", world.jobs_sent()[0])
    assert world.end_of("r").priority == lower


def test_a_wrong_key_is_refused_before_anything_else_is_looked_at():
    world = world_of(Key("ann", hash_of(ANN)), require_key=True)
    http = world.http()
    for request_id, fields, code in (("none", {}, "unauthorized"), ("wrong", {"key": "warden-x"}, "unauthorized"),
                                     ("junk", {"key": "ollama"}, "unauthorized"), ("right", {"key": ANN}, "")):
        world.submit(request_id, client=http, model="a", **fields)
        assert [e.code for e in world.events(request_id) if isinstance(e, protocol.Error)] == ([code] if code else [])
    world.submit("model too", client=http, key="warden-x", model="unheard of")
    assert world.end_of("model too").code == "unauthorized"
    assert world.ask("list", "l", client=http).code == "unauthorized"
    assert sum(world.d.counters.admitted) == 1 and world.d.counters.rejected == 4


def test_whoami_says_what_a_key_allows_and_what_is_left():
    world = world_of(Key("ann", hash_of(ANN), "agent", "low", ["a-alias", "moondream"], rate=3))
    world.submit("r", key=ANN)
    assert world.ask("whoami", "w", key=ANN) == {
        "name": "ann", "audience": "agent", "max_priority": "low", "models": ["a", "moondream"], "rate_limit": 3,
        "rate_window_s": 90.0, "rate_remaining": 2}
    assert world.ask("whoami", "nobody")["audience"] == "person"


# -- rate ----------------------------------------------------------------------------------------------------


def test_the_limit_is_said_with_each_answer_and_who_waits_as_told_goes_on():
    world = world_of(rate_limit_max=2)
    for n in range(3):
        world.submit(f"r{n}")
    assert [world.events(f"r{n}")[0].rate for n in range(2)] == [
        protocol.RateInfo(2, 1, 90.0), protocol.RateInfo(2, 0, 90.0)]
    refused = world.end_of("r2")
    assert (refused.code, refused.status, refused.retry_after_s) == ("rate_limited", 429, 90.0)
    assert refused.rate == protocol.RateInfo(2, 0, 90.0) and world.d.counters.rate_limited == 1
    world.pass_time(89.9)
    world.submit("early")
    assert world.end_of("early").code == "rate_limited"
    world.pass_time(0.11)
    world.submit("as told")
    assert not world.ended("as told")


def test_only_requests_for_an_answer_count():
    world = world_of(rate_limit_max=1)
    for n in range(20):
        for question, fields in (("list", {}), ("show", {"model": "a"}), ("stats", {}), ("whoami", {}),
                                 ("route", {"prompt": "x"}), ("load", {"model": "a"})):
            assert not isinstance(world.ask(question, f"{question}{n}", **fields), protocol.Error)
        world.submit(f"wrong{n}", model="unheard of")
        world.submit(f"two kinds{n}", tokens=[1])
    world.client_says(b"c1", {"type": "cancel", "id": "nothing"})
    world.submit("first")
    world.submit("second")
    assert not world.ended("first") and world.end_of("second").code == "rate_limited"
    assert not isinstance(world.ask("list", "still"), protocol.Error)


def test_each_caller_has_a_rate_of_its_own_and_users_of_one_key_share_theirs():
    world = world_of(Key("ann", hash_of(ANN), rate=1), rate_limit_max=1)
    http = world.http()
    for caller, key, expected in (("10.0.0.1", "", True), ("10.0.0.1", "", False), ("10.0.0.2", "", True),
                                  ("user eva", "", True), ("user eva", ANN, True), ("user tom", ANN, False),
                                  ("10.0.0.1", ANN, False)):
        request_id = f"r{len(world.client_frames)}"
        world.submit(request_id, client=http, caller=caller, key=key)
        assert world.ended(request_id) != expected
    for client in (b"c1", b"c2"):  # what a raw caller says of himself changes nothing
        for caller in ("x", "y"):
            world.submit(f"{client} {caller}", client=client, caller=caller)
        assert not world.ended(f"{client} x") and world.ended(f"{client} y")


# -- the queue -----------------------------------------------------------------------------------------------


def test_two_requests_are_not_behind_anothers_forty():
    world = world_of(max_running=1)
    http = world.http()
    for n in range(41):
        world.submit(f"greedy{n}", client=http, caller="10.0.0.1")
    for n in range(2):
        world.submit(f"modest{n}", client=http, caller="10.0.0.2")
    positions = [world.events(f"modest{n}")[0].position for n in range(2)]
    order = serve_all(world)
    assert [order.index(f"modest{n}") for n in range(2)] == [1, 3]  # the first was running, then they take turns
    assert all(0 <= said <= 4 for said in positions)
    assert not world.d.requests and all(isinstance(world.end_of(f"greedy{n}"), protocol.Done) for n in range(41))


@settings(max_examples=40, deadline=None)
@given(order=st.permutations(["greedy"] * 40 + ["modest"] * 2), running=st.integers(1, 5),
       who=st.sampled_from(["address", "user", "key", "connection"]))
def test_whoever_callers_are_and_whenever_they_come_the_second_is_not_behind_all_forty(order, running, who):
    """Fair share is between people, not connections: http brings both of them over one."""
    world = world_of(Key("greedy", hash_of("warden-greedy")), Key("modest", hash_of("warden-modest")),
                     max_running=running, up=False)
    world.http()
    for n, each in enumerate(order):
        fields = {"address": {"caller": {"greedy": "10.0.0.1", "modest": "10.0.0.2"}[each]},
                  "user": {"caller": f"user {each}"}, "key": {"key": f"warden-{each}"},
                  "connection": {"client": each.encode()}}[who]
        world.submit(f"{each}{n}", **({"client": b"http"} | fields))
    world.worker_up()
    served = serve_all(world)
    assert len(served) == 42
    assert [n for n, each in enumerate(served) if each.startswith("modest")][1] <= 3


def test_a_frame_that_cannot_be_read_is_answered_with_its_id_where_there_is_one():
    world = world_of()
    world.client_says(b"c1", {"type": "submit", "id": "r", "prompt": "x", "hop": -1})
    world.client_says(b"c1", {"type": "submit", "id": "s", "prompt": "x", "kind": "chore"})
    assert "hop" in world.end_of("r").message and "kind" in world.end_of("s").message
    world.d.on_client(b"c1", b"\xc1", world.now)
    world.flush()
    assert world.end_of("").code == "invalid_request" and world.d.counters.dropped_frames == 3


# -- who was called back -------------------------------------------------------------------------------------


def test_a_call_back_finds_a_slot_in_a_full_house_and_only_one_does():
    """Victoria, asked by a request of ours, asks us: with all slots taken she would wait for ever."""
    world = World("a", relays=["victoria"], max_running=2, victoria_max_running=1)
    world.worker_up()
    victoria = world.relay_up("victoria", None)
    world.submit("parent", kind="chat", victoria=True)
    for n in range(4):
        world.submit(f"others{n}")
    world.submit("inner", hop=1)
    world.submit("inner too", hop=1)
    assert world.sent_to(b"w1") == ["others0", "others1", "inner"]
    world.answer(b"w1", world.jobs_sent(b"w1")[2])
    assert world.sent_to(b"w1")[3:] == ["inner too"]
    world.relay_says(victoria, world.jobs_sent(victoria)[0], "one")
    assert isinstance(world.end_of("parent"), protocol.Done)


def test_a_hop_header_gives_nobody_a_slot_while_nothing_of_ours_is_elsewhere():
    world = World("a", relays=["victoria"], max_running=1)
    world.worker_up()
    for n in range(2):
        world.submit(f"high{n}", priority="high")
    world.submit("anybody", priority="low", hop=1)
    assert world.sent_to(b"w1") == ["high0"]
    world.answer(b"w1", world.jobs_sent(b"w1")[0])
    assert world.sent_to(b"w1") == ["high0", "high1"]


def test_one_who_waits_hears_of_memory_only_where_memory_is_why():
    world = World(make_model("a", ollama_model="a"), relays=["ollama"], ollama_max_running=1)
    world.relay_up("ollama", ["a"])
    world.set_row("a", Phase.QUARANTINED)
    for n in range(2):
        world.submit(f"r{n}")
    world.control_words["overload"] = 0b110
    world.pass_time(2.5)
    (progress,) = [event for event in world.events("r1") if isinstance(event, protocol.Progress)]
    assert (progress.reason, progress.detail) == ("queued", "")


WORDS = st.sampled_from(["", "a", "tiny", "A-alias:latest", "document", "fast", "\r\n", "é" * 40, "warden-x", "../x"])
ANY_SUBMIT = st.fixed_dictionaries({}, optional={
    "model": WORDS, "category": WORDS, "caller": WORDS, "key": WORDS, "session": WORDS, "hop": st.integers(-1, 3),
    "kind": st.sampled_from(["chat", "task", "batch", "agent"]), "victoria": st.booleans(), "demanding": st.booleans(),
    "priority": st.sampled_from(protocol.PRIORITIES), "deadline_s": st.floats(0.001, 100), "max_steps": st.just(3),
    "prompt": st.none() | st.text(max_size=5), "tokens": st.none() | st.lists(st.integers(0, 9), max_size=3),
    "messages": st.none() | st.lists(st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "tool"]), "content": st.text(max_size=5)},
        optional={"images": st.lists(st.just("eA=="), max_size=2)}), max_size=3)})


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(ANY_SUBMIT, st.sampled_from(["submit", "route"])), max_size=8), st.booleans(), st.booleans())
def test_whatever_is_asked_it_ends_once_and_breaks_nothing(asked, need_key, down):
    world = World("a", make_model("tiny", audience="agents"), relays=["ollama", "victoria"], require_key=need_key,
                  categories={"fast": "tiny"}, max_running=1, max_queued=2, rate_limit_max=5)
    world.http()
    for backend in ("ollama", "victoria"):
        if not down:
            world.relay_up(backend, ["a", "moondream"])
    for n, (fields, what) in enumerate(asked):
        for client in (b"http", b"raw"):
            world.client_says(client, {"type": what, "id": f"{client}{n}", **fields})
    world.pass_time(1000.0)
    for who, job in [(who, job) for who, job in world.worker_frames if hasattr(job, "remote")]:
        if job.job in world.d.requests:
            world.relay_says(who, job, "one")
    world.pass_time(1000.0)
    assert not world.d.requests and all(world.end_of(f"{client}{n}") for n in range(len(asked)) for client in (
        b"http", b"raw"))
