"""Where a request goes and when it goes elsewhere, in a stack whose relays and workers are moved by hand."""

import pytest

from control.routing import Kind
from control.states import Breaker, Phase
from gateway import protocol
from tests.support.gateway_world import World, make_model
from workers import protocol as jobs

LONG = "x" * 500


def stack(*slugs, models=("a",), up: str = "a ollama victoria", **settings) -> World:
    """MLX with model a, Ollama which has it too, and Victoria; those of `up` are ready."""
    world = World(*slugs or ("a",), relays=["ollama", "victoria"], **settings)
    for name in up.split():
        if name in ("ollama", "victoria"):
            world.relay_up(name, models if name == "ollama" else None)
        else:
            world.worker_up(name, name.encode())
    return world


def sent_to(world: World, name: str) -> list[str]:
    return world.sent_to(b"a" if name == "a" else f"{name}.1".encode())


@pytest.mark.parametrize(("kind", "fields", "down", "expected"), [
    ("task", {}, "", "a"), ("task", {}, "a", "ollama"), ("task", {}, "a ollama", "victoria"),
    ("chat", {}, "", "a"), ("chat", {"victoria": True}, "", "victoria"), ("chat", {"victoria": True}, "victoria", "a"),
    ("batch", {}, "a", "ollama"), ("agent", {}, "a ollama", "victoria"),
])
def test_the_first_of_the_chain_that_can_answer_is_given_it(kind, fields, down, expected):
    world = stack()
    take_down(world, down)
    world.submit("r", kind=kind, **fields)
    assert sent_to(world, expected) == ["r"] and len(world.jobs_sent()) == 1


def take_down(world: World, names: str) -> None:
    for name in names.split():
        if name == "a":
            world.set_row("a", Phase.QUARANTINED)
        else:
            world.set_breaker(name, Breaker.OPEN)
    world.turn()


@pytest.mark.parametrize(("kind", "fields", "down", "code", "word"), [
    ("chat", {}, "a", "model_unavailable", "quarantined"),
    ("task", {}, "a ollama victoria", "model_unavailable", "quarantined"),
    ("chat", {"victoria": True}, "a victoria", "upstream_failed", "victoria does not answer"),
    ("batch", {"victoria": True}, "a ollama", "model_unavailable", "quarantined"),
])
def test_who_nobody_answers_hears_why_of_the_first_and_of_the_others(kind, fields, down, code, word):
    world = stack()
    take_down(world, down)
    world.submit("r", kind=kind, **fields)
    assert world.end_of("r").code == code and word in world.end_of("r").message and not world.jobs_sent()
    assert all(name in world.end_of("r").message for name in down.split() if name != "a")


@pytest.mark.parametrize(("reason", "told"), [
    ("", "the relay to victoria is not ready"), ("ready", "the relay to victoria is not ready"),
    ("an operator stopped it", "the relay to victoria is not ready: an operator stopped it")])
def test_a_relay_that_does_not_run_says_why(reason, told):
    world = stack(up="a ollama")
    world.reasons["relay-victoria"] = reason
    assert world.d.hops.why_down("victoria") == told


def test_victoria_who_asks_us_is_not_asked_in_turn_and_a_second_hop_is_a_loop():
    world = stack(up="ollama victoria")
    take_down(world, "a ollama")
    world.submit("first", hop=1)
    assert world.end_of("first").code == "model_unavailable"
    world.submit("second", hop=2)
    assert (world.end_of("second").code, world.end_of("second").status) == ("loop_detected", 508)
    assert not world.jobs_sent()


def test_every_answer_names_its_way():
    world = stack(make_model("a", ollama_model="a:1b"))
    take_down(world, "a")
    world.submit("r", session="s")
    (job,) = world.jobs_sent()
    assert (job.remote.model, job.remote.hop, job.remote.session) == ("a:1b", 1, "s")
    world.relay_says(b"ollama.1", job, "one ", "two")
    handed_on, started, done = *world.events("r")[1:3], world.end_of("r")
    assert handed_on.reason == protocol.HANDED_ON, "before anything of it is sent elsewhere"
    assert (started.route, started.reason, started.model) == ("mlx>ollama", "down", "a:1b")
    assert (done.route, done.reason, done.model) == ("mlx>ollama", "down", "a:1b")
    assert [event.text for event in world.events("r") if isinstance(event, protocol.Tokens)] == ["one ", "two"]


@pytest.mark.parametrize(("known", "asked", "expected"), [
    (["a:latest"], "a", "a:latest"), (["A-Alias"], "a", "A-Alias"),
    (["other"], "a", None), (None, "a", None), ([], "a", None),
])
def test_what_ollama_calls_a_model_without_a_mapping(known, asked, expected):
    world = stack(models=known)
    take_down(world, "a victoria")
    world.submit("r", model=asked)
    if expected is None:
        assert world.end_of("r").code == "model_unavailable"
    else:
        assert [job.remote.model for job in world.jobs_sent()] == [expected]


IMAGES = {"prompt": None, "messages": [{"role": "user", "content": "what is it?", "images": ["aW1n"]}]}


@pytest.mark.parametrize(("fields", "models", "expected"), [
    ({}, ["moondream:latest", "llava:7b"], "moondream"),
    ({"category": "document"}, ["moondream", "llava:7b"], "llava:7b"),
    ({"kind": "chat"}, ["moondream"], "moondream"), ({"category": "Document"}, None, "llava:7b"),
    ({}, ["a"], None), ({"category": "document"}, ["moondream"], None),
])
def test_images_go_to_the_model_of_ollama_that_reads_them_whatever_the_load(fields, models, expected):
    world = stack(models=models)
    world.submit("r", **IMAGES, **fields)
    if expected is None:
        error = world.end_of("r")
        assert (error.code, error.status) == ("not_offered", 501) and "images" in error.message
    else:
        (job,) = world.jobs_sent()
        assert job.remote.model == expected and job.messages[0].images == ["aW1n"]


def test_token_ids_go_to_no_other_server():
    world = stack()
    take_down(world, "a")
    world.submit("r", prompt=None, tokens=[1, 2])
    assert world.end_of("r").code == "model_unavailable" and not world.jobs_sent()


# -- spilling ------------------------------------------------------------------------------------------------


def test_under_load_simple_work_is_answered_by_the_relay_and_complex_work_by_mlx_and_none_is_lost():
    world = stack(max_running=2, ollama_max_running=2)
    world.overload(*Kind)
    for n in range(20):
        world.submit(f"s{n}")
        world.submit(f"c{n}", prompt=LONG)
    while world.d.requests:
        who, job = next((who, job) for who, job in world.worker_frames
                        if isinstance(job, jobs.Job) and job.job in world.d.requests)
        world.relay_says(who, job, "one") if job.remote else world.answer(who, job)
        world.turn()
    assert sorted(sent_to(world, "a")) == sorted(f"c{n}" for n in range(20))
    assert sorted(sent_to(world, "ollama")) == sorted(f"s{n}" for n in range(20))
    assert {world.end_of(f"s{n}").reason for n in range(20)} == {"overloaded"} and world.d.hops.spilled == 20
    spills = [facts for event, facts in world.notes if event == "spill"]
    assert len(spills) == 20 and (spills[0]["model"], spills[0]["to"]) == ("a", "ollama")


def test_without_load_all_is_answered_by_mlx():
    world = stack()
    for n in range(20):
        world.submit(f"s{n}")
    assert len(sent_to(world, "a")) == 5 and not sent_to(world, "ollama") and world.d.admission.queued_total == 15


def test_what_control_says_of_load_counts_only_while_control_lives():
    world = stack()
    world.overload(*Kind)
    world.control_words["heartbeat_ns"] = int((world.now - 10) * 1e9)
    world.submit("r")
    assert sent_to(world, "a") == ["r"]


def test_a_full_queue_of_ollama_costs_nobody_what_waits_for_mlx_well():
    """Neither who waits already nor a newcomer, and no batch at Ollama loses its place to a spilled task."""
    world = stack(max_running=1, ollama_max_running=1, max_queued=3)
    for n in range(4):
        world.submit(f"s{n}")
    world.overload(*Kind)
    for n in range(4):
        world.submit(f"b{n}", kind="batch", priority="low")
    world.turn()
    assert world.d.admission.relayed == (1, 3)
    assert world.d.admission.queued_total == 3
    assert not any(world.ended(f"{kind}{n}") for kind in "sb" for n in range(4) if (kind, n) != ("b", 3))


def test_who_spilled_comes_back_only_into_a_free_slot():
    """Its place at Ollama is worth more than one at the end of a queue here, whatever control says or does not say."""
    world = stack(max_running=1, ollama_max_running=1, max_queued=3)
    for n in range(4):
        world.submit(f"c{n}", prompt=LONG)
    world.overload(*Kind)
    for n in range(4):
        world.submit(f"s{n}")
    world.overload()
    world.turn()
    assert world.d.admission.relayed == (1, 3) and world.d.hops.hops == 0
    for _ in range(4):
        world.answer(b"a", next(job for job in world.jobs_sent(b"a") if job.job in world.d.requests))
        world.turn()
    assert sent_to(world, "a") == ["c0", "c1", "c2", "c3", "s1"] and world.d.admission.relayed == (1, 2)
    assert not any(world.ended(f"s{n}") for n in range(4))


def test_whoever_lost_its_place_to_one_that_moved_is_told_once_and_forgotten():
    """Both move in the same look; the second, whom the first displaces, could start at once where it would go."""
    world = stack("a", "b", models=("a", "b"), up="ollama", max_queued=1, ollama_max_running=1)
    world.set_row("b", Phase.QUARANTINED)
    world.submit("runs", model="b")
    world.submit("high", model="a", priority="high", kind="batch")
    world.submit("low", model="b", priority="low", kind="batch")
    assert world.d.admission.queued_total == 1 and world.d.admission.relayed == (1, 1)
    world.set_row("a", Phase.QUARANTINED)
    world.set_row("b", Phase.ALIVE, 1)
    world.hello("b", b"b")
    world.turn()
    assert world.end_of("low").code == "displaced" and world.sent_to(b"b") == []
    assert world.d.admission.relayed == (1, 1) and not world.ended("high") and len(world.d.requests) == 2


def test_complex_work_leaves_only_when_mlx_is_down_for_its_model():
    world = stack("a", "b", models=("a", "b"), up="a ollama")
    world.overload(*Kind)
    world.submit("r", model="b", prompt=LONG)
    world.pass_time(1.0)
    assert not world.jobs_sent()
    world.set_row("b", Phase.QUARANTINED)
    world.turn()
    assert sent_to(world, "ollama") == ["r"] and world.d.requests[world.jobs_sent()[0].job].reason == "down"
    assert world.d.hops.hops == 1


def test_short_memory_sends_simple_work_to_ollama_and_lets_what_waits_wait():
    world = stack(max_running=1)
    world.submit("runs", prompt=LONG)
    world.submit("waits", prompt=LONG)
    world.control_words["overload"] = 0b110
    world.turn()
    world.submit("simple")
    world.submit("complex", prompt=LONG)
    assert sent_to(world, "ollama") == ["simple"] and not world.ended("waits")
    assert world.end_of("complex").code == "memory_pressure"


def test_a_move_keeps_deadline_and_arrival():
    world = stack(ollama_max_running=1, max_running=1)
    for name in ("runs", "r"):
        world.submit(name, prompt=LONG, deadline_s=30)
    world.pass_time(1)
    request = world.d.by_id[b"c1", "r"]
    arrived, deadline = request.ticket.arrived, request.ticket.deadline
    world.set_row("a", Phase.QUARANTINED)
    world.turn()
    assert request.ticket.target == "relay-ollama"
    assert (request.ticket.arrived, request.ticket.deadline) == (arrived, deadline) and deadline == world.now + 29


def test_embeddings_are_asked_of_a_model_that_gives_them_and_of_no_relay():
    world = World(make_model("a"), make_model("b", engine="mlx", embeddings="mean"), relays=("ollama",))
    world.relay_up("ollama", ["a", "b"])
    for model in "ab":
        world.submit(model, model=model, prompt=None, inputs=["x"])
    assert world.end_of("a").code == "not_offered"
    assert world.end_of("a").message.startswith("inputs: the model a gives no embeddings; engine echo has none")
    assert not world.ended("b") and not world.jobs_sent()
