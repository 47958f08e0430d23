"""A worker's answers to control, gateway and engine, driven by hand: no socket, no thread, no clock."""

import pytest

from control import messages
from control.states import Breaker, Phase
from control.table import RowWorker
from tests.support.worker_world import BOOT, END, GATEWAY, PLAN, World
from workers import protocol as jobs
from workers.counting import Done
from workers.engine import LoadPlan, ModelFacts, Output
from workers.engine_thread import Changed, Fatal, JobRejected, Loaded, LoadFailed, Noted, Outputs
from workers.job_parts import CallPiece, More
from workers.row_words import row_words
from workers.runtime import EXIT_FATAL, EXIT_LOAD_FAILED


def test_before_its_welcome_it_only_says_hello():
    world = World()
    for _ in range(30):
        world.tick(0.1)
    assert {type(m) for m in world.control} == {messages.Hello} and not world.gateway and not world.met
    assert 2 <= len(world.control) <= 4
    hello = world.control[0]
    assert (hello.slug, hello.pid, hello.start_time_us, hello.incarnation) == ("a", 42, 420, 0)


def test_a_welcome_from_another_boot_is_not_for_it():
    world = World()
    world.welcome(boot=BOOT + 1)
    assert world.r.incarnation == 0


def test_the_way_to_ready():
    world = World()
    world.welcome()
    assert world.met == [7] and world.r.phase is Phase.EMPTY
    world.load()
    assert world.engine.did == [LoadPlan(*PLAN)] and world.r.phase is Phase.LOADING
    world.load()  # said twice: done once
    assert world.engine.did == [LoadPlan(*PLAN)]
    world.r.on_engine(Loaded(ModelFacts(512, 100), 25), world.now)
    told = [m if isinstance(m, int) else m.phase for m in world.control]
    assert told == [each for each in (Phase.EMPTY, Phase.LOADING, Phase.LOADING, Phase.READY) for _ in "ab"], (
        "each phase stands in the table before control hears of it")
    hello = world.last(jobs.Hello)
    assert (hello.phase, hello.context_length, hello.load_ms, hello.batch_max) == (Phase.READY, 512, 25, 2)


def test_orders_for_another_incarnation_are_not_for_it():
    world = World()
    world.welcome(incarnation=7)
    world.r.on_control(messages.Load(1, 6, 3, 5), world.now)
    assert not world.quit(1, incarnation=6) and not world.engine.did and world.r.exit_code is None


def test_jobs_are_taken_only_while_ready_and_only_as_many_as_the_batch():
    world = World()
    world.welcome()
    world.r.on_gateway(jobs.Welcome(1, BOOT, GATEWAY), world.now)
    world.job(1)
    assert (world.last(jobs.Refuse).code, world.r.hand.jobs) == ("not_ready", set())
    world = World().ready()
    for number in (1, 2, 3):
        world.job(number)
    assert world.count(jobs.Accept) == 2 and world.last(jobs.Refuse).job == 3
    assert world.engine.did[1:] == [("add", (GATEWAY, 1, 1)), ("add", (GATEWAY, 2, 1))]
    world.job(4, epoch=GATEWAY - 1)
    world.job(5, incarnation=6)
    assert world.count(jobs.Refuse) == 1 and world.r.hand.accepted == 2


def test_one_frame_for_the_whole_batch():
    world = World().ready()
    world.job(1)
    world.job(2)
    both = [Output((GATEWAY, 1, 1), 0, [5], "a"), Output((GATEWAY, 2, 1), 0, [6], "b", END)]
    world.r.on_engine(Outputs(both), world.now)
    assert world.count(jobs.Step) == 1
    step = world.last(jobs.Step)
    told = [(item.job, item.ids, item.text, item.end is not None) for item in step.items]
    assert told == [(1, [5], "a", False), (2, [6], "b", True)]
    assert world.r.hand.jobs == {(GATEWAY, 1, 1)} and world.r.hand.finished == 1 and world.r.hand.tokens_out == 2


def test_a_call_that_is_too_long_for_any_frame_fails_its_job_and_not_the_batch():
    world = World().ready()
    world.job(1)
    world.job(2)
    long = More(calls=[CallPiece(0, "c", "f", "x" * jobs.FRAME_MAX_BYTES)])
    world.r.on_engine(Outputs([Output((GATEWAY, 1, 1), 0, [5], "", more=long),
                               Output((GATEWAY, 2, 1), 0, [6], "b")]), world.now)
    assert (world.last(jobs.Fail).job, world.last(jobs.Fail).code) == (1, "internal")
    assert [item.job for item in world.last(jobs.Step).items] == [2] and world.r.hand.jobs == {(GATEWAY, 2, 1)}
    assert ("remove", (GATEWAY, 1, 1)) in world.engine.did


def test_cancel_ends_the_job_and_what_the_engine_still_says_of_it_is_dropped():
    world = World().ready()
    world.job(1)
    world.r.on_gateway(jobs.Cancel(1, GATEWAY, 7, 1, 1), world.now)
    assert ("remove", (GATEWAY, 1, 1)) in world.engine.did and world.last(jobs.Fail).code == "cancelled"
    world.output(1, 0, END)
    assert world.count(jobs.Step) == 0 and world.r.hand.finished == 1


def test_a_job_that_the_engine_rejects_fails_and_leaves():
    world = World().ready()
    world.job(1)
    world.r.on_engine(JobRejected((GATEWAY, 1, 1), "context_length_exceeded", "600 > 512"), world.now)
    assert world.last(jobs.Fail).code == "context_length_exceeded" and not world.r.hand.jobs


def test_a_newer_gateway_drops_the_jobs_before_the_hello_that_opens_the_gate():
    world = World().ready()
    world.job(1)
    world.r.on_gateway(jobs.Welcome(1, BOOT, GATEWAY + 1), world.now)
    assert ("remove", (GATEWAY, 1, 1)) in world.engine.did and world.unsent_dropped == 2 and not world.r.hand.jobs
    assert world.last(jobs.Hello).epoch_known == GATEWAY + 1
    world.job(2, epoch=GATEWAY)
    assert not world.r.hand.jobs


def test_term_drains_what_is_answered_and_takes_nothing_new():
    world = World().ready()
    world.job(1)
    world.r.drain("TERM", world.now)
    assert world.last(jobs.Hello).phase == Phase.DRAINING and world.r.exit_code is None
    world.job(2)
    assert world.last(jobs.Refuse).job == 2
    world.output(1, 0)
    assert world.r.exit_code is None
    world.output(1, 1, END)
    assert world.r.exit_code == 0


def test_term_with_empty_hands_ends_at_once():
    world = World()
    world.r.drain("TERM", world.now)
    assert world.r.exit_code == 0


@pytest.mark.parametrize("post, code", [
    (LoadFailed("ValueError: no"), EXIT_LOAD_FAILED), (Fatal("ValueError: no", "trace"), EXIT_FATAL)])
def test_what_breaks_the_engine_ends_the_process(post, code):
    world = World()
    world.welcome()
    world.load()
    world.r.on_engine(post, world.now)
    assert world.r.exit_code == code
    assert world.last(messages.Report).error == "ValueError: no"


def test_a_new_control_is_greeted_with_the_incarnation_it_has():
    world = World().ready()
    world.control.clear()
    world.tick(1, epoch=6)
    assert (world.control[0].incarnation, world.control[0].phase) == (7, Phase.READY)
    world.welcome(epoch=6)
    world.control.clear()
    world.tick(2, epoch=6)
    assert not world.control and world.met == [7]


def test_a_new_gateway_is_greeted_and_beats_come_with_progress():
    world = World().ready()
    world.gateway.clear()
    world.tick(1, gateway=GATEWAY + 1)
    assert world.count(jobs.Hello) == 1
    assert world.last(jobs.Beat).phase == Phase.READY
    world.tick(0.1, gateway=GATEWAY + 1)
    assert world.count(jobs.Beat) == 1


def test_its_words_are_true_words_of_the_table():
    world = World().ready()
    world.job(1)
    words = row_words(world.r, world.now, 12345)
    assert set(words) == set(RowWorker._fields) and words["breaker"] == Breaker.CLOSED
    assert (words["phase"], words["active"], words["accepted"], words["incarnation"]) == (Phase.READY, 1, 1, 7)
    assert (words["heartbeat_ns"], words["footprint_bytes"]) == (100_000_000_000, 12345)


def test_what_the_engine_still_says_for_an_older_gateway_is_not_taken_for_a_job_of_the_new_one():
    world = World().ready()
    world.job(1)
    world.r.on_gateway(jobs.Welcome(1, BOOT, GATEWAY + 1), world.now)
    world.job(1, epoch=GATEWAY + 1)  # a gateway numbers its jobs from 1
    world.output(1, 0)  # posted by a step that was under way
    assert world.count(jobs.Step) == 0
    world.r.on_engine(Outputs([Output((GATEWAY + 1, 1, 1), 0, [5], "a")]), world.now)
    assert world.last(jobs.Step).items[0].text == "a"


def test_a_cancel_for_a_job_it_does_not_know_is_answered_so_that_the_slot_is_freed():
    world = World().ready()
    world.r.on_gateway(jobs.Cancel(1, GATEWAY, 7, 9, 1), world.now)
    assert (world.last(jobs.Fail).job, world.last(jobs.Fail).code) == (9, "cancelled")


def test_progress_is_counted_from_the_moment_there_is_something_to_do():
    world = World().ready()
    world.now += 1000
    world.job(1)
    assert row_words(world.r, world.now, 0)["progress_ns"] == int(world.now * 1e9)


def test_a_refused_hello_lets_answers_finish():
    world = World().ready()
    world.job(1)
    world.r.on_control(messages.Refused(1, "not configured any more"), world.now)
    assert world.r.exit_code is None
    world.output(1, 0, END)
    assert world.r.exit_code == 0
    idle = World().ready()
    idle.r.on_control(messages.Refused(1, "not configured any more"), idle.now)
    assert idle.r.exit_code == 1


def test_after_quit_nothing_is_taken():
    world = World().ready()
    world.quit(9)
    world.job(1)
    assert world.count(jobs.Accept) == 0 and world.last(jobs.Refuse).code == "not_ready"


# -- what only a relay has to say

def test_a_note_goes_to_the_gateway_while_its_job_is_in_hand_and_is_no_part_of_the_answer():
    world = World().ready()
    world.job(1)
    world.r.on_engine(Noted((GATEWAY, 1, 1), "step", "reading files"), world.now)
    note = world.last(jobs.Note)
    assert (note.epoch, note.incarnation, note.job, note.attempt, note.kind, note.text) == (
        GATEWAY, 7, 1, 1, "step", "reading files")
    assert world.count(jobs.Step) == 0 and world.r.hand.tokens_out == 0
    world.r.on_engine(Noted((GATEWAY, 2, 1), "step", "of another"), world.now)
    world.output(1, 0, END)
    world.r.on_engine(Noted((GATEWAY, 1, 1), "step", "too late"), world.now)
    assert world.count(jobs.Note) == 1


def test_when_its_server_comes_or_goes_row_and_gateway_hear_of_it_at_once():
    world = World().ready()
    world.engine.models = ["phi3.5:3.8b"]
    world.gateway.clear()
    world.r.on_engine(Changed("closed", ""), world.now)
    assert world.last(jobs.Hello).models == ["phi3.5:3.8b"] and world.last(jobs.Hello).phase == Phase.READY
    world.engine.breaker = Breaker.OPEN
    assert row_words(world.r, world.now, 0)["breaker"] == Breaker.OPEN
    world.control.clear()
    world.r.on_engine(Changed("open", "connection refused"), world.now)
    assert isinstance(world.control[0], int) and isinstance(world.control[1], messages.Report), "the row first"
    assert world.control[1].error == "connection refused"
    world.r.on_engine(Changed("closed", ""), world.now)
    assert world.control[-1].error == ""


def test_a_server_that_is_seen_before_the_welcome_is_told_of_after_it():
    world = World()
    world.engine.models = ["m"]
    world.r.on_engine(Changed("closed", ""), world.now)
    assert not world.control and not world.gateway
    world.welcome()
    assert world.last(jobs.Hello).models == ["m"]


def test_a_worker_of_a_model_names_no_models_and_a_job_may_name_a_remote():
    world = World().ready()
    assert world.last(jobs.Hello).models is None
    remote = jobs.Remote("phi3.5:3.8b", 1, "req-1", "session", 7)
    world.r.on_gateway(jobs.Job(1, GATEWAY, 7, 1, 1, None, "x", None, jobs.Sampling(), 5, [], remote), world.now)
    assert world.engine.jobs[-1].remote == remote


@pytest.mark.parametrize(("slug", "context"), [("a", 512), ("b", 2048)])
def test_a_count_is_answered_also_for_another_model(slug, context):
    world = World().ready()
    asked = jobs.Count(1, GATEWAY, 7, 3, slug, None, "x")
    for epoch, incarnation in ((GATEWAY, 7), (GATEWAY - 1, 7), (GATEWAY, 6)):
        world.r.on_gateway(jobs.Count(1, epoch, incarnation, 3, slug, None, "x"), world.now)
    assert world.counts == [asked]
    world.r.on_counted(Done(asked, 5, 2048, ids=[1]))
    assert world.last(jobs.Counted) == jobs.Counted(jobs.VERSION, GATEWAY, 7, 3, 5, context, ids=[1])
    world.r.on_gateway(jobs.Welcome(1, BOOT, GATEWAY + 1), world.now)
    world.r.on_counted(Done(asked, 5, 2048))
    assert world.count(jobs.Counted) == 1


def test_a_job_may_end_in_a_refusal_between_two_steps_of_others():
    world = World().ready()
    for number in (1, 2):
        world.job(number)
    refused = Output((GATEWAY, 1, 1), 0, [], "", failed=("context_length_exceeded", "inputs[3]: too long"))
    world.r.on_engine(Outputs([refused, Output((GATEWAY, 2, 1), 0, [4], "t")]), world.now)
    assert world.last(jobs.Fail) == jobs.Fail(jobs.VERSION, GATEWAY, 7, 1, 1, *refused.failed)
    assert [item.job for item in world.last(jobs.Step).items] == [2] and world.r.hand.jobs == {(GATEWAY, 2, 1)}
