"""A backend that fails a request: another goes on before the first piece of an answer, and nobody after it."""

import pytest

from control.routing import Kind
from control.states import Breaker, Phase
from gateway import protocol
from gateway.worker_side import ACCEPT_GIVE_UP_S, ATTEMPTS_MAX
from tests.support.gateway_world import World
from workers import protocol as jobs

OLLAMA, VICTORIA, MLX = b"ollama.1", b"victoria.1", b"w1"
ELSEWHERE = ("upstream_failed", "upstream_timeout", "model_not_found", "loop_detected", "invalid_request",
             "not_offered", "context_length_exceeded", "internal")  # such as a model there that cannot chat
CHAIN = ("ollama", "victoria", "mlx")  # the last is the one that can be tried again


def stack(chain=CHAIN, **settings) -> World:
    world = World("a", relays=["ollama", "victoria"], chain_task=chain, **settings)
    world.relay_up("ollama", ["a"])
    world.relay_up("victoria", None)
    world.worker_up("a", MLX)
    return world


def accept(world: World, who: bytes) -> jobs.Job:
    """It accepts the newest job it was sent."""
    job = world.jobs_sent(who)[-1]
    world.worker_says(who, jobs.Accept, job.job, job.attempt, incarnation=job.incarnation)
    return job


def backends(world: World) -> list[bytes]:
    return [who for who, message in world.worker_frames if isinstance(message, jobs.Job)]


def all_ended_well(world: World) -> bool:
    d, c = world.d, world.d.counters
    rows = c.rows.values()
    return (not d.requests and not d.by_id and d.admission.running_total == d.admission.queued_total == 0
            and d.admission.relayed == (0, 0) and sum(c.admitted) == c.finished + c.failed + c.cancelled
            + c.displaced + c.expired and all(row.dispatched == row.finished for row in rows))


@pytest.mark.parametrize("code", ELSEWHERE)
def test_before_the_first_piece_the_next_of_the_chain_goes_on(code):
    world = stack()
    world.submit("r")
    world.fails(OLLAMA, accept(world, OLLAMA), code)
    world.fails(VICTORIA, accept(world, VICTORIA), code)
    world.answer(MLX, accept(world, MLX))
    done = world.end_of("r")
    assert (done.route, done.reason, done.attempt) == ("ollama>victoria>mlx", "failed", 3)
    assert backends(world) == [OLLAMA, VICTORIA, MLX] and world.d.hops.hops == 2 and all_ended_well(world)


@pytest.mark.parametrize("code", ["context_length_exceeded", "invalid_request", "internal", "made up"])
def test_what_mlx_finds_wrong_with_a_request_ends_it(code):
    world = stack(("mlx", "ollama"))
    world.submit("r")
    world.fails(MLX, accept(world, MLX), code)
    assert world.end_of("r").code == (code if code in protocol.ERRORS else "internal") and all_ended_well(world)


def test_after_the_first_piece_never_another_backend():
    world = stack()
    world.submit("r")
    job = world.jobs_sent(OLLAMA)[0]
    world.relay_says(OLLAMA, job, "one ", end=False)
    world.fails(OLLAMA, job, "upstream_failed", "it broke off")
    error = world.end_of("r")
    assert (error.code, error.status, error.message) == ("upstream_failed", 502, "it broke off")
    assert backends(world) == [OLLAMA] and all_ended_well(world)


def test_an_agents_steps_are_no_piece_of_an_answer():
    world = stack(("victoria", "mlx"))
    world.submit("r")
    job = accept(world, VICTORIA)
    world.worker_says(VICTORIA, jobs.Note, job.job, job.attempt, "step", "looks it up")
    world.fails(VICTORIA, job, "upstream_timeout")
    world.answer(MLX, world.jobs_sent(MLX)[0])
    kinds = [type(event).__name__ for event in world.events("r")]
    assert kinds == ["Accepted", "Progress", "Started", "Note", "Started", "Tokens", "Done"] and all_ended_well(world)


def test_an_empty_piece_is_none():
    world = stack()
    world.submit("r")
    job = world.jobs_sent(OLLAMA)[0]
    world.relay_says(OLLAMA, job, "", end=False)
    world.fails(OLLAMA, job, "upstream_failed")
    assert backends(world) == [OLLAMA, VICTORIA]


@pytest.mark.parametrize("accepted", [False, True])
def test_a_relay_that_dies_is_not_asked_again(accepted):
    """Also where it took the job without a word: its server may have been asked already."""
    world = stack(("ollama",))
    world.submit("r")
    if accepted:
        accept(world, OLLAMA)
    world.set_row("relay-ollama", Phase.DOWN)
    world.turn()
    assert world.end_of("r").code == "upstream_failed" and all_ended_well(world)
    world.relay_up("ollama", ["a"], incarnation=2)
    assert backends(world) == [OLLAMA]


def test_a_relay_that_takes_a_job_without_a_word_is_given_up_and_not_asked_again():
    world = stack(("ollama", "mlx"))
    world.submit("r")
    for _ in range(8):
        world.pass_time(ACCEPT_GIVE_UP_S / 5)
        for slug, who in (("relay-ollama", OLLAMA), ("relay-victoria", VICTORIA), ("a", MLX)):
            world.worker_says(who, jobs.Beat, slug, Phase.READY, [], 1)
    world.answer(MLX, accept(world, MLX))
    assert world.end_of("r").route == "ollama>mlx" and backends(world) == [OLLAMA, MLX]
    (cancel,) = world.cancels_sent()
    assert cancel.attempt == 1 and all_ended_well(world)


def test_an_end_that_was_lost_is_not_asked_for_again():
    world = stack(("ollama", "mlx"))
    world.submit("r")
    accept(world, OLLAMA)
    world.worker_says(OLLAMA, jobs.Beat, "relay-ollama", Phase.READY, [], 1)
    assert backends(world) == [OLLAMA, MLX]


def test_what_spilled_and_was_failed_there_comes_back_and_says_so():
    """Every hop is visible, also the one back."""
    world = stack(("mlx", "ollama"))
    world.overload(*Kind)
    world.submit("r")
    world.fails(OLLAMA, accept(world, OLLAMA), "upstream_failed")
    world.answer(MLX, accept(world, MLX))
    done = world.end_of("r")
    assert (done.route, done.reason) == ("mlx>ollama>mlx", "failed") and backends(world) == [OLLAMA, MLX]


def test_what_a_relay_refused_before_it_began_may_go_there_again():
    world = stack(("ollama",))
    world.submit("r")
    job = world.jobs_sent(OLLAMA)[0]
    world.worker_says(OLLAMA, jobs.Refuse, job.job, job.attempt, "not_ready", "")
    world.turn()
    world.relay_says(OLLAMA, world.jobs_sent(OLLAMA)[-1], "one")
    assert world.end_of("r").attempt == 1 and backends(world) == [OLLAMA, OLLAMA] and all_ended_well(world)


def test_a_cancelled_request_goes_nowhere():
    world = stack()
    world.submit("r")
    job = accept(world, OLLAMA)
    world.client_says(b"c1", {"type": "cancel", "id": "r"})
    world.fails(OLLAMA, job, "upstream_failed")
    assert world.end_of("r").finish_reason == "cancelled" and backends(world) == [OLLAMA] and all_ended_well(world)


def test_who_was_failed_by_all_hears_of_all():
    world = stack(("ollama", "victoria"))
    world.submit("r")
    world.fails(OLLAMA, accept(world, OLLAMA), "upstream_failed", "answered 500")
    world.fails(VICTORIA, accept(world, VICTORIA), "upstream_timeout", "was silent for 120 s")
    error = world.end_of("r")
    assert error.code == "upstream_timeout" and "was silent" in error.message and "answered 500" in error.message


def test_who_waits_for_the_last_of_its_chain_hears_of_the_others_when_that_vanishes_too():
    """The model is gone from Ollama, so that step does not even count any more."""
    world = stack(("victoria", "ollama"), ollama_max_running=1)
    world.set_row("a", Phase.QUARANTINED)
    world.submit("other", kind="batch")
    world.submit("r")
    world.fails(VICTORIA, accept(world, VICTORIA), "upstream_failed", "answered 500")
    assert not world.ended("r") and world.d.admission.relayed == (1, 1)
    world.hello("relay-ollama", OLLAMA, batch=2, models=["another"])
    world.turn()
    error = world.end_of("r")
    assert error.code == "upstream_failed" and "victoria: answered 500" in error.message


def test_a_breaker_that_opens_sends_on_who_waits_there():
    world = stack(("ollama", "mlx"), ollama_max_running=1)
    world.submit("runs")
    world.submit("waits")
    world.set_breaker("ollama", Breaker.OPEN)
    world.turn()
    assert world.sent_to(MLX) == ["waits"] and not world.ended("runs")
    world.set_breaker("ollama", Breaker.HALF_OPEN)
    world.submit("next")
    assert world.sent_to(MLX) == ["waits", "next"]
    world.set_breaker("ollama", Breaker.CLOSED)
    world.relay_says(OLLAMA, world.jobs_sent(OLLAMA)[0], "one")
    world.submit("then")
    assert world.sent_to(OLLAMA) == ["runs", "then"]


def test_a_worker_after_a_relay_has_all_its_attempts_and_then_the_chain_goes_on():
    world = stack(("ollama", "mlx", "victoria"))
    world.submit("r")
    world.fails(OLLAMA, accept(world, OLLAMA), "upstream_failed")
    for incarnation in range(1, ATTEMPTS_MAX + 1):
        who = b"w%d" % incarnation
        world.worker_up("a", who, incarnation)
        assert world.sent_to(who) == ["r"]
        world.set_row("a", Phase.BACKOFF, incarnation)
        world.turn()
    assert backends(world)[-1] == VICTORIA and len(backends(world)) == 2 + ATTEMPTS_MAX
    world.relay_says(VICTORIA, world.jobs_sent(VICTORIA)[0], "one")
    assert world.end_of("r").route == "ollama>mlx>victoria" and all_ended_well(world)
