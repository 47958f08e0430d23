"""Who waits at a relay, or for one: nobody waits for ever there, however the relay or the load behaves."""

import pytest

from control.routing import Kind
from control.states import Breaker, Phase
from gateway import protocol
from gateway.keys import Key, hash_of
from gateway.worker_side import CLOCK_GAP_S, RELAY_SILENT_S
from tests.support.gateway_world import World
from workers import protocol as jobs

OLLAMA = b"ollama.1"


def stack(**settings) -> World:
    world = World("a", relays=["ollama", "victoria"], **settings)
    world.relay_up("ollama", ["a"])
    world.relay_up("victoria", None)
    world.worker_up("a", b"a")
    return world


def pass_steps(world: World, seconds: float, *beats: bytes) -> None:
    """In steps of a second; who is in `beats` says so in each."""
    for _ in range(round(seconds)):
        for identity in beats:
            held = [r.ticket.id for r in world.d.requests.values() if r.worker == identity]
            world.worker_says(identity, jobs.Beat, world.d.gates.by_identity[identity].slug, Phase.READY, held, 0)
        world.pass_time(1.0)


def relayed(world: World, request_id: str = "r", **fields) -> jobs.Job:
    """A request that the relay to Ollama has accepted."""
    world.set_row("a", Phase.QUARANTINED)
    world.turn()
    world.submit(request_id, **fields)
    return accept(world, OLLAMA)


def accept(world: World, who: bytes) -> jobs.Job:
    job = world.jobs_sent(who)[-1]
    world.worker_says(who, jobs.Accept, job.job, job.attempt, incarnation=job.incarnation)
    return job


def test_a_relay_that_falls_silent_fails_what_it_has_and_late_words_change_nothing():
    world = stack(chain_task=["mlx", "ollama"])
    job = relayed(world)
    pass_steps(world, RELAY_SILENT_S)
    assert not world.ended("r")
    pass_steps(world, 1)
    assert world.end_of("r").code == "upstream_timeout" and "silent" in world.end_of("r").message
    world.relay_says(OLLAMA, job, "late")
    assert world.d.admission.relayed == (0, 0) and not world.d.requests


def test_before_the_first_piece_the_next_of_the_chain_takes_over_from_a_silent_relay():
    world = stack(chain_task=["mlx", "ollama", "victoria"])
    relayed(world)
    pass_steps(world, RELAY_SILENT_S + 1, b"victoria.1")
    assert world.sent_to(b"victoria.1") == ["r"]


def test_a_cancel_of_what_a_silent_relay_has_ends_too():
    world = stack()
    relayed(world)
    world.client_says(b"c1", {"type": "cancel", "id": "r"})
    pass_steps(world, RELAY_SILENT_S + 1)
    assert isinstance(world.end_of("r"), protocol.Done) and world.end_of("r").finish_reason == "cancelled"


def test_after_a_gap_in_our_own_time_a_relay_has_as_long_again():
    world = stack()
    relayed(world)
    world.pass_time(RELAY_SILENT_S + CLOCK_GAP_S)
    pass_steps(world, RELAY_SILENT_S - 1)
    assert not world.ended("r")
    pass_steps(world, 2)
    assert world.ended("r")


def test_who_spilled_and_still_waits_comes_back_before_newcomers_pass_it_for_ever():
    world = stack(max_running=1, ollama_max_running=1, aging_s=30.0)
    for n in range(4):
        world.submit(f"r{n}", model="a")
    world.overload(Kind.TASK)
    world.turn()
    assert world.d.admission.relayed == (1, 2) and world.d.admission.queued_total == 0
    accept(world, b"a")
    accept(world, OLLAMA)
    world.overload()
    pass_steps(world, 29, OLLAMA, b"a")
    assert world.d.admission.queued_total == 0, "not while it may yet have its turn there"
    pass_steps(world, 3, OLLAMA, b"a")
    assert world.d.admission.relayed == (1, 0) and world.d.admission.queued_total == 2
    world.overload(Kind.TASK)
    world.turn()
    assert world.d.admission.queued_total == 2, "once is enough"
    world.submit("newcomer", model="a", demanding=True)
    world.answer(b"a", world.jobs_sent(b"a")[-1])
    assert world.sent_to(b"a")[-1] in ("r2", "r3"), "it has its old place in the line"


def test_the_time_that_a_failed_relay_took_is_no_time_in_a_queue():
    world = stack(chain_task=["ollama", "mlx"], queue_deadline_s=60.0)
    world.submit("r", model="a")
    job = accept(world, OLLAMA)
    pass_steps(world, 120, OLLAMA, b"a")
    world.d.worker_side.on_frame(OLLAMA, jobs.encode(jobs.Fail(jobs.VERSION, job.epoch, 1, job.job, job.attempt,
                                                               "upstream_timeout", "as scripted")), world.now)
    world.turn()  # which looks for deadlines before it hands anything out
    assert world.sent_to(b"a") == ["r"] and not world.ended("r")


def test_a_full_queue_still_lets_simple_work_go_where_a_slot_is_free():
    world = stack(max_running=1, max_queued=0, ollama_max_running=2)
    world.overload(Kind.TASK)
    for n in range(3):
        world.submit(f"r{n}", model="a")
    assert world.d.admission.relayed[0] == 2 and len(world.sent_to(OLLAMA)) == 2


@pytest.mark.parametrize(("asked", "code"), [({}, ""), ({"model": "a"}, "model_not_allowed")])
def test_a_key_for_victoria_alone_is_answered_by_her_unless_it_names_a_model_that_is_not_its_own(asked, code):
    world = stack(chain_task=["mlx", "ollama"])
    world.d.callers.set_keys([Key("v", hash_of("warden-v"), models=["victoria"])])
    world.submit("r", key="warden-v", kind="chat", victoria=True, **asked)
    if code:
        assert world.end_of("r").code == code and not world.jobs_sent()
    else:
        assert world.sent_to(b"victoria.1") == ["r"]
    world.submit("task", key="warden-v")
    assert world.end_of("task").code == "model_not_allowed", "nor the same model at Ollama"


def test_explaining_while_a_breaker_changes_harms_nobody():
    world, looks = stack(), []

    def read_worker(slug: str):
        looks.append(slug)
        world.set_breaker("ollama", Breaker(len(looks) % 2))
        return world.worker_words.get(slug)

    world.set_row("a", Phase.QUARANTINED)
    world.turn()
    world.read_worker = read_worker
    for n in range(4):
        world.client_says(b"c1", {"type": "route", "id": f"q{n}", "model": "a", "prompt": "x"})
        assert world.ended(f"q{n}")
