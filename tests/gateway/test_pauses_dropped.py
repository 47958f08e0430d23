"""A pause that is dropped: the answer waits as others do, and its next job begins behind its tokens."""

from control import messages
from control.states import Phase
from gateway import protocol
from gateway.preemption import PAUSED_MAX_S
from gateway.slots import QUIET_S
from gateway.waiting import PROGRESS_EVERY_S
from tests.support.gateway_world import World
from tests.support.pause_scene import heartbeat, job_of, paused, positions, says, token, told
from workers import protocol as jobs

FENCE = 7
WHY = "evicted: b needs room"


def test_after_a_time_it_is_dropped_and_goes_on_from_its_tokens_as_if_nothing_had_been():
    world = paused()
    before = world.d.requests[job_of(world, "low").job].ticket.deadline
    while not told(world, jobs.Cancel):
        heartbeat(world, 1.0)
    ran_s = world.now - 100.0
    assert ran_s >= PAUSED_MAX_S and sum(world.d.admission.paused) == 1
    says(world, "low", jobs.Fail, "cancelled", "")
    d = world.d
    assert not any(d.admission.paused) and d.admission.queued == (0, 0, 1) and not world.ended("low")
    request = d.requests[job_of(world, "low").job]
    ticket = request.ticket
    assert ticket.deadline == before + ran_s and ticket.begun
    assert ticket.waits_since == world.now and request.attempts_before == 1, "it had no fault in it"
    token(world, "high", end=True)
    job = job_of(world, "low")
    assert (job.attempt, job.emitted, job.sampling.seed) == (2, [100, 101], 5)
    says(world, "low", jobs.Accept)
    token(world, "low", end=True)
    assert positions(world, "low") == [0, 1, 2] and d.pauses.continuations == 1
    assert len([event for event in world.events("low") if isinstance(event, protocol.Started)]) == 1
    assert world.end_of("low").timings.queue_ms == 0.0


def test_one_that_may_not_be_paused_again_goes_on_within_the_longest_pause_though_high_is_always_about():
    """It leaves the only slot to HIGH, which seldom has it: but not for ever."""
    world = paused()
    token(world, "high", end=True)
    began, number = world.now, 0
    while not (dropped := told(world, jobs.Cancel)) and world.now - began < 2 * PAUSED_MAX_S:
        number += 1
        world.submit(f"h{number}", priority="high")
        token(world, f"h{number}", end=True)
        heartbeat(world, QUIET_S / 2)
    assert dropped and len(told(world, jobs.Resume)) == 1 and world.now - began <= PAUSED_MAX_S + QUIET_S
    says(world, "low", jobs.Fail, "cancelled", "")
    assert job_of(world, "low").attempt == 2


def test_a_frame_of_the_attempt_that_was_dropped_changes_nothing():
    world = paused()
    first = job_of(world, "low")
    while not told(world, jobs.Cancel):
        heartbeat(world, 1.0)
    says(world, "low", jobs.Fail, "cancelled", "")
    token(world, "high", end=True)
    dropped = world.d.counters.dropped_frames
    for frame in ((jobs.Fail, first.job, 1, "cancelled", ""), (jobs.Paused, first.job, 1, True),
                  (jobs.Step, 1, [jobs.Item(first.job, 1, 2, [9], "x", None)])):
        world.worker_says(b"w1", *frame)
    assert world.d.counters.dropped_frames == dropped + 3 and positions(world, "low") == [0, 1]


def test_if_the_word_of_its_worker_was_lost_a_beat_without_the_job_says_the_same():
    world = paused()
    says(world, "low", jobs.Accept)
    while not told(world, jobs.Cancel):
        heartbeat(world, 1.0)
    world.worker_says(b"w1", jobs.Beat, "a", Phase.READY, [job_of(world, "high").job], 1)
    assert not world.ended("low") and world.d.admission.queued == (0, 0, 1)


def test_while_its_worker_has_not_confirmed_it_is_not_resumed():
    world = paused()
    while not told(world, jobs.Cancel):
        heartbeat(world, 1.0)
    token(world, "high", end=True)
    assert not told(world, jobs.Resume) and sum(world.d.admission.paused) == 1
    says(world, "low", jobs.Fail, "cancelled", "")
    assert job_of(world, "low").emitted == [100, 101]


def test_its_caller_hears_what_a_dropped_one_waits_for():
    world = paused()
    while not told(world, jobs.Cancel):
        heartbeat(world, 1.0)
    says(world, "low", jobs.Fail, "cancelled", "")
    heartbeat(world, PROGRESS_EVERY_S)
    assert news(world).detail == "it goes on in its turn"
    world.d.on_control(messages.ModelState(messages.VERSION, 5, "a", 1, Phase.DOWN, WHY), world.now)
    world.set_row("a", Phase.DOWN)
    world.turn()
    heartbeat(world, PROGRESS_EVERY_S)
    assert (news(world).reason, news(world).detail) == (protocol.PAUSED, WHY)


def news(world: World) -> protocol.Progress:
    return [event for event in world.events("low") if isinstance(event, protocol.Progress)][-1]


def test_its_worker_dies_while_it_is_dropped_and_it_goes_on_elsewhere():
    world = paused()
    while not told(world, jobs.Cancel):
        heartbeat(world, 1.0)
    world.set_row("a", Phase.BACKOFF)
    world.turn()
    world.worker_up("a", b"w2", incarnation=2)
    token(world, "high", end=True, identity=b"w2")
    assert job_of(world, "low").emitted == [100, 101]


def test_a_dropped_one_is_nobodys_victim_and_ends_in_time():
    world = paused(max_queued=1)
    while not told(world, jobs.Cancel):
        heartbeat(world, 1.0)
    says(world, "low", jobs.Fail, "cancelled", "")
    world.submit("another", priority="high")
    assert world.end_of("another").code == "queue_full" and not world.ended("low")
    heartbeat(world, 400.0)
    error = world.end_of("low")
    assert error.code == "queue_deadline" and "paused" in error.message


def test_a_dropped_one_whose_model_cannot_be_had_any_more_ends_in_an_error():
    world = paused()
    while not told(world, jobs.Cancel):
        heartbeat(world, 1.0)
    says(world, "low", jobs.Fail, "cancelled", "")
    world.set_row("a", Phase.QUARANTINED)
    world.turn()
    error = world.end_of("low")
    assert error.code in protocol.ERRORS and "paused" in error.message


def fence(world: World) -> object:
    """Control asks for the memory; what it is answered."""
    world.set_row("a", Phase.ALIVE, 1, fence=FENCE)
    world.d.on_control(messages.Fence(messages.VERSION, 5, "a", 1, FENCE), world.now)
    world.turn()
    return [m for m in world.control_frames if isinstance(m, messages.Fenced | messages.GateBusy)][-1]


def test_a_fence_drops_what_is_paused_when_nothing_else_runs_there_and_is_answered_when_that_is_confirmed():
    world = paused()
    assert fence(world).unfinished == 2 and not told(world, jobs.Cancel)
    token(world, "high", end=True)
    assert not told(world, jobs.Resume), "behind a fence nothing is resumed"
    assert fence(world).unfinished == 1 and told(world, jobs.Cancel) == [(jobs.Cancel, "low")]
    assert fence(world).unfinished == 1
    says(world, "low", jobs.Fail, "cancelled", "")
    assert [m.slug for m in world.control_frames if isinstance(m, messages.Idle)][-1:] == ["a"]
    assert isinstance(fence(world), messages.Fenced) and world.d.admission.waiting("a") == (0, 0, 1)
    world.set_row("a", Phase.ALIVE, 1, fence=FENCE, cleared=FENCE)
    world.turn()
    assert job_of(world, "low").emitted == [100, 101]
