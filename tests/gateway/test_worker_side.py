"""What workers say, and what becomes of the jobs of a worker that is lost."""

from control.states import Phase
from gateway import protocol
from tests.support.gateway_world import BOOT, EPOCH, World, make_model
from workers import protocol as jobs


def test_each_acceptance_is_told_with_its_attempt_and_route():
    world = World()
    world.submit("r1")
    world.now += 3.0
    for incarnation, identity in ((1, b"w1"), (2, b"w2")):
        world.worker_up("a", identity, incarnation)
        job = world.jobs_sent(identity)[0]
        world.worker_says(identity, jobs.Accept, job.job, job.attempt, incarnation=incarnation)
        world.set_row("a", Phase.BACKOFF, incarnation)
        world.turn()
    started = [e for e in world.events("r1") if isinstance(e, protocol.Started)]
    assert [(e.model, e.route, e.attempt) for e in started] == [("a", "mlx", 1), ("a", "mlx", 2)]
    assert started[0].queue_ms == started[0].load_ms == 3000


def test_the_first_of_an_answer_says_that_it_was_accepted():
    """A worker that answers at once does not say so besides; one that says it all the same is heard once."""
    world = World()
    world.worker_up()
    world.submit("r1")
    (job,) = world.jobs_sent()
    world.worker_says(b"w1", jobs.Step, 1, [jobs.Item(job.job, job.attempt, 0, [1], "x")])
    world.worker_says(b"w1", jobs.Step, 2, [jobs.Item(job.job, job.attempt, 1, [2], "y")])
    assert [type(e).__name__ for e in world.events("r1")] == ["Accepted", "Started", "Tokens", "Tokens"]


def test_frames_of_another_worker_attempt_or_epoch_change_nothing_and_are_counted():
    world = World("a", "b")
    world.worker_up("a", b"w1")
    world.worker_up("b", b"w2")
    world.submit("r1", model="a")
    (job,) = world.jobs_sent()
    item = jobs.Item(job.job, job.attempt, 0, [1], "x", jobs.End("stop", 1, 1, 0, 0))
    world.worker_says(b"w2", jobs.Step, 1, [item])
    world.worker_says(b"w1", jobs.Step, 1, [jobs.Item(job.job, job.attempt + 1, 0, [1], "x", item.end)])
    world.worker_says(b"w1", jobs.Step, 1, [item], epoch=EPOCH - 1)
    world.worker_says(b"w1", jobs.Step, 1, [item], incarnation=9)
    world.worker_says(b"stranger", jobs.Step, 1, [item])
    assert not world.ended("r1") and world.d.counters.dropped_frames == 5


def test_a_gap_in_the_positions_ends_in_an_error_never_in_a_wrong_answer():
    world = World()
    world.worker_up()
    world.submit("r1")
    (job,) = world.jobs_sent()
    world.worker_says(b"w1", jobs.Step, 1, [jobs.Item(job.job, 1, 0, [1], "x", None)])
    world.worker_says(b"w1", jobs.Step, 2, [jobs.Item(job.job, 1, 2, [3], "z", None)])
    assert world.end_of("r1").code == "internal"
    assert [c.job for c in world.cancels_sent()] == [job.job]


def test_a_worker_that_dies_before_a_token_costs_an_attempt_not_the_answer():
    world = World()
    world.worker_up()
    world.submit("r1")
    (first,) = world.jobs_sent()
    world.worker_says(b"w1", jobs.Accept, first.job, 1)
    world.set_row("a", Phase.BACKOFF, 1)
    world.turn()
    assert world.d.admission.queued_total == 1 and not world.ended("r1")
    world.worker_up("a", b"w2", incarnation=2)
    second = world.jobs_sent(b"w2")[0]
    assert (second.job, second.attempt, second.sampling) == (first.job, 2, first.sampling)
    world.answer(b"w2", second)
    assert world.end_of("r1").attempt == 2 and world.d.counters.retried == 1


def test_a_prompt_that_kills_two_workers_ends_in_worker_crashed():
    world = World()
    world.submit("r1")
    for incarnation in (1, 2):
        world.worker_up("a", b"w%d" % incarnation, incarnation=incarnation)
        world.set_row("a", Phase.BACKOFF, incarnation)
        world.turn()
    assert world.end_of("r1").code == "worker_crashed" and len(world.jobs_sent()) == 2


def test_a_death_after_a_token_ends_in_an_error_never_in_a_clean_end():
    world = World()
    world.worker_up()
    world.submit("r1")
    world.answer(b"w1", world.jobs_sent()[0], tokens=2, end=False)
    world.hello("a", b"w2", incarnation=2)  # the new incarnation is proof enough
    world.flush()
    error = world.end_of("r1")
    assert (error.code, error.status) == ("worker_crashed", 500) and "after token 2" in error.message
    assert world.d.admission.running_total == 0


def test_not_started_is_no_attempt_and_keeps_the_place():
    world = World(max_running=1)
    world.worker_up()
    world.submit("r1")
    world.submit("r2")
    (job,) = world.jobs_sent()
    world.worker_says(b"w1", jobs.Refuse, job.job, 1, "not_ready", "draining")
    assert len(world.jobs_sent()) == 1, "not to the same worker in the same turn: it has just said no"
    world.turn()
    again = world.jobs_sent()[1]
    assert (again.job, again.attempt) == (job.job, 1)


def test_an_engine_refusal_reaches_the_caller_with_its_code():
    world = World()
    world.worker_up()
    world.submit("r1")
    (job,) = world.jobs_sent()
    world.worker_says(b"w1", jobs.Accept, job.job, 1)
    world.worker_says(b"w1", jobs.Fail, job.job, 1, "context_length_exceeded", "600 tokens; the context holds 512")
    error = world.end_of("r1")
    assert (error.code, error.status) == ("context_length_exceeded", 400) and "600" in error.message


def test_a_job_that_the_worker_has_no_more_frees_its_slot():
    world = World()
    world.worker_up()
    for request_id in ("begun", "not begun", "in hand"):
        world.submit(request_id)
    begun, not_begun, in_hand = world.jobs_sent()
    world.answer(b"w1", begun, tokens=1, end=False)
    for job in (not_begun, in_hand):
        world.worker_says(b"w1", jobs.Accept, job.job, 1)
    world.worker_says(b"w1", jobs.Beat, "a", Phase.READY, [in_hand.job], 5)
    assert world.end_of("begun").code == "internal" and not world.ended("in hand")
    assert [j.attempt for j in world.jobs_sent() if j.job == not_begun.job] == [1, 2]
    assert world.d.admission.running_total == 2


def test_a_beat_from_before_the_acceptance_costs_nothing():
    world = World()
    world.worker_up()
    world.submit("r1")
    world.worker_says(b"w1", jobs.Beat, "a", Phase.READY, [], 5)
    assert len(world.jobs_sent()) == 1 and world.d.admission.running_total == 1


def test_a_cancel_that_could_not_be_sent_is_sent_later():
    world = World()
    world.worker_up()
    world.submit("r1")
    world.deaf_workers.add(b"w1")
    world.client_says(b"c1", {"type": "cancel", "id": "r1"})
    assert not world.cancels_sent()
    world.deaf_workers.clear()
    world.turn()
    world.turn()
    assert len(world.cancels_sent()) == 1


def test_in_a_table_made_anew_a_dead_worker_is_believed_dead_when_it_is_silent_too():
    world = World()
    world.worker_up()
    world.submit("r1")
    world.set_row("a", Phase.DOWN, incarnation=0)
    world.turn()
    assert world.d.gates.by_slug
    world.pass_time(7.0)
    assert not world.d.gates.by_slug and world.d.admission.queued_total == 1


def test_a_worker_that_owes_an_accept_gets_no_more_and_the_job_goes_back():
    world = World()
    world.worker_up()
    world.submit("r1")
    world.worker_says(b"w1", jobs.Beat, "a", Phase.READY, [], 1)
    world.pass_time(1.5)
    world.submit("r2")
    world.turn()
    assert len(world.jobs_sent()) == 1 and world.d.gates.by_slug["a"].suspect
    for _ in range(5):
        world.worker_says(b"w1", jobs.Beat, "a", Phase.READY, [], 1)
        world.pass_time(1.0)
    assert [c.attempt for c in world.cancels_sent()] == [1]
    world.turn()
    attempts = sorted((j.job, j.attempt) for j in world.jobs_sent())
    first = world.jobs_sent()[0].job
    assert attempts == [(first, 1), (first, 2), (first + 1, 1)]


def vectors_said(world, job, position, *vectors, end=False):
    last = jobs.End("stop", 9, 0, 1.0, 0.0) if end else None
    world.worker_says(b"w1", jobs.Step, position, [
        jobs.Item(job.job, job.attempt, position, [], "", last, jobs.More(vectors=list(vectors)))])


def test_vectors_are_handed_on_in_order_and_a_crash_after_the_first_is_told():
    world = World(make_model("a", engine="mlx", embeddings="last"))
    world.worker_up()
    for request_id in ("r1", "r2"):
        world.submit(request_id, prompt=None, inputs=["x", [1, 2], "y"])
    first, second = world.jobs_sent()
    assert first.inputs == ["x", [1, 2], "y"]
    vectors_said(world, first, 0, b"aaaa", b"bbbb")
    vectors_said(world, first, 2, b"cccc", end=True)
    told = [event.vectors for event in world.events("r1") if isinstance(event, protocol.Vectors)]
    assert told == [[b"aaaa", b"bbbb"], [b"cccc"]] and world.end_of("r1").usage.prompt_tokens == 9
    vectors_said(world, second, 0, b"aaaa")
    world.set_row("a", Phase.DOWN)
    world.turn()
    assert world.end_of("r2").code == "worker_crashed"


def test_a_worker_of_another_version_gets_no_job_and_the_journal_names_it_once():
    """It would pass over what it does not know of a job: an answer without its schema, say."""
    world = World("a")
    world.set_row("a", Phase.ALIVE)
    hello = jobs.Hello(jobs.VERSION - 1, BOOT, EPOCH, "a", 1, 4242, Phase.READY, 8)
    for _ in range(3):
        world.d.worker_side.on_frame(b"old", jobs.encode(hello), world.now)
        world.turn()
    world.submit("q")
    assert not world.jobs_sent() and not world.d.gates.by_slug
    [facts] = [facts for event, facts in world.notes if event == "worker_of_another_version"]
    assert (facts["model"], facts["speaks"], facts["needs"]) == ("a", jobs.VERSION - 1, jobs.VERSION)
    world.worker_up("a", b"new", incarnation=2)
    assert [job.job for job in world.jobs_sent()] and not world.ended("q")


def test_the_lines_about_a_request_bear_the_id_that_its_caller_knows():
    world = World()
    world.worker_up()
    world.submit("r1", trace="mine")
    (job,) = world.jobs_sent()
    world.worker_says(b"w1", jobs.Accept, job.job, job.attempt)
    world.worker_says(b"w1", jobs.Step, 1, [jobs.Item(job.job, 1, 0, [1], "x", None)])
    world.set_row("a", Phase.BACKOFF, 1)
    world.turn()
    told = dict(world.notes)
    assert told["worker_lost"]["requests"] == ["mine"]
    assert told["request_failed"] == {"request_id": "mine", "model": "a", "code": "worker_crashed", "status": 500}
