"""workers/jobs_in_hand.py through the runtime: pauses, what counts as in hand meanwhile, and what is said of them."""

from control import messages
from control.states import Phase
from tests.support.worker_world import BOOT, END, GATEWAY, World
from workers import protocol as jobs
from workers.engine_thread import PausedNow, ShortOf
from workers.row_words import row_words

ONE, TWO = (GATEWAY, 1, 1), (GATEWAY, 2, 1)


def order(world: World, kind: type, number: int, epoch: int = GATEWAY) -> None:
    world.r.on_gateway(kind(1, epoch, 7, number, 1), world.now)


def paused_world() -> World:
    """A full batch of two, one of which is paused."""
    world = World().ready()
    world.job(1)
    world.job(2)
    order(world, jobs.Pause, 1)
    return world


def test_a_pause_gives_its_place_back_the_moment_it_is_heard():
    world = paused_world()
    assert world.engine.did[-1] == ("pause", ONE) and not world.count(jobs.Paused)
    world.job(3)
    assert world.count(jobs.Accept) == 3 and world.engine.did[-1] == ("add", (GATEWAY, 3, 1))
    world.job(4)
    assert world.last(jobs.Refuse).job == 4


def test_paused_is_said_when_the_engine_says_so_and_again_when_asked_again():
    world = paused_world()
    world.r.on_engine(PausedNow(ONE, True), world.now)
    assert world.last(jobs.Paused) == jobs.Paused(jobs.VERSION, GATEWAY, 7, 1, 1, True)
    order(world, jobs.Pause, 1)
    world.r.on_engine(PausedNow(ONE, False), world.now)
    assert world.count(jobs.Paused) == 2 and not world.last(jobs.Paused).kept


def test_a_paused_job_is_in_hand():
    world = paused_world()
    world.output(2, 0, END)
    assert row_words(world.r, world.now, 0)["paused"] == 1 and row_words(world.r, world.now, 0)["active"] == 1
    [answer] = [each for each in world.quit(1) if isinstance(each, messages.Busy)]
    assert answer.reason == "1 jobs"
    world.r.drain("TERM", world.now)
    assert world.r.phase is Phase.DRAINING and world.r.exit_code is None
    world.tick(1.0)
    assert world.last(jobs.Beat).jobs == [1]
    order(world, jobs.Resume, 1)
    assert world.engine.did[-1] == ("resume", ONE)
    world.output(1, 0, END)
    assert world.r.exit_code == 0


def test_a_resumed_job_has_a_place_again():
    world = paused_world()
    order(world, jobs.Resume, 1)
    assert not world.r.hand.paused
    world.job(3)
    assert world.last(jobs.Refuse).job == 3
    order(world, jobs.Resume, 2)
    assert world.engine.did[-1] == ("resume", ONE), "of one that is not paused nothing is asked"


def test_a_paused_job_can_be_cancelled_and_is_dropped_with_its_gateway():
    world = paused_world()
    order(world, jobs.Cancel, 1)
    assert world.engine.did[-1] == ("remove", ONE) and world.last(jobs.Fail).code == "cancelled"
    assert world.r.hand.jobs == {TWO} and not world.r.hand.paused
    world.r.on_engine(PausedNow(ONE, True), world.now)
    assert not world.count(jobs.Paused)
    world = paused_world()
    world.r.on_gateway(jobs.Welcome(1, BOOT, GATEWAY + 1), world.now)
    assert ("remove", ONE) in world.engine.did and not world.r.hand.jobs | world.r.hand.paused


def test_a_job_that_ended_before_its_pause_is_over():
    world = paused_world()
    world.output(1, 0, END)
    assert world.r.hand.jobs == {TWO} and not world.r.hand.paused and world.r.hand.finished == 1


def test_orders_for_jobs_that_are_not_in_hand_or_of_another_gateway_do_nothing():
    world = World().ready()
    world.job(1)
    for number, epoch in ((2, GATEWAY), (1, GATEWAY - 1)):
        order(world, jobs.Pause, number, epoch)
        order(world, jobs.Resume, number, epoch)
    assert [did[0] for did in world.engine.did[1:]] == ["add"]


def test_who_waits_for_memory_is_told():
    world = World().ready()
    world.job(1)
    world.r.on_engine(ShortOf(ONE), world.now)
    world.r.on_engine(ShortOf(TWO), world.now)
    assert world.count(jobs.Short) == 1 and world.last(jobs.Short).job == 1


def test_class_and_emitted_ids_reach_the_engine():
    world = World().ready()
    world.r.on_gateway(jobs.Job(1, GATEWAY, 7, 1, 2, None, "x", None, jobs.Sampling(), 5, [], priority=0,
                                emitted=[4, 5]), world.now)
    [job] = world.engine.jobs
    assert (job.key, job.priority, job.emitted) == ((GATEWAY, 1, 2), 0, [4, 5])
