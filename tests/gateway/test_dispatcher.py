"""The life of a request, driven by hand: no socket, no clock, no process."""

import pytest

from control import messages
from control.states import Phase
from gateway import protocol
from gateway.fanout import UNREAD_MAX_S, Sent
from tests.support.gateway_world import EPOCH, World
from workers import protocol as jobs


def test_a_request_runs_and_ends_once():
    world = World()
    world.worker_up()
    world.submit("r1", options={"max_tokens": 3, "seed": 9})
    (job,) = world.jobs_sent()
    assert (job.prompt, job.max_tokens, job.sampling.seed, job.attempt) == ("hello", 3, 9, 1)
    world.answer(b"w1", job, tokens=3)
    kinds = [type(e).__name__ for e in world.events("r1")]
    assert kinds == ["Accepted", "Started", "Tokens", "Tokens", "Tokens", "Done"]
    done = world.end_of("r1")
    assert (done.finish_reason, done.usage.completion_tokens, done.model, done.attempt) == ("length", 3, "a", 1)
    assert world.d.admission.running_total == 0 and not world.d.requests


def test_the_model_default_and_alias_are_resolved_and_an_unknown_one_is_refused_with_a_hint():
    world = World("coder", "small")
    world.worker_up("coder", b"w1")
    world.worker_up("small", b"w2")
    world.submit("r1")
    world.submit("r2", model="small-alias:latest")
    assert [len(world.jobs_sent(w)) for w in (b"w1", b"w2")] == [1, 1]
    world.submit("r3", model="codr")
    error = world.end_of("r3")
    assert (error.code, error.status) == ("model_not_found", 404) and "coder" in error.message


@pytest.mark.parametrize("fields, names", [
    ({"prompt": None}, "none of them"),
    ({"tokens": [1]}, "prompt and tokens"),
    ({"prompt": ""}, "prompt: must not be empty"),
    ({"options": {"temperature": -1}}, "temperature"),
    ({"priority": "urgent"}, "priority"),
    ({"prompt": 7}, "prompt"),
])
def test_what_is_wrong_is_named_and_nothing_is_admitted(fields, names):
    world = World()
    world.submit("r1", **fields)
    error = world.end_of("r1")
    assert error.status == 400 and names in error.message
    assert not world.d.requests and sum(world.d.counters.admitted) == 0


def test_an_id_in_use_is_refused_and_the_first_request_goes_on():
    world = World()
    world.worker_up()
    world.submit("r1")
    world.submit("r1")
    assert world.end_of("r1").code == "duplicate_id"
    assert len(world.d.requests) == 1
    world.submit("r1", client=b"c2")  # ids are each client's own
    assert len(world.d.requests) == 2


@pytest.mark.parametrize("preemption", [True, False])
def test_sixty_at_once_then_a_high(preemption):
    """It begins at once where somebody may be paused for it; else it takes the first slot, and a place of the queue."""
    world = World(preemption=preemption)
    world.worker_up()
    for n in range(60):
        world.submit(f"m{n}")
    refused = [f"m{n}" for n in range(60) if world.ended(f"m{n}")]
    assert refused == [f"m{n}" for n in range(55, 60)]
    assert all((e := world.end_of(r)).status == 503 and e.code == "queue_full" and 1 <= e.retry_after_s <= 120
               for r in refused)
    world.submit("h", priority="high")
    if preemption:
        assert not world.ended("m54")
    else:
        displaced = world.end_of("m54")
        assert displaced.code == "displaced" and 1 <= displaced.retry_after_s <= 120
        assert len(world.jobs_sent()) == 5
        world.answer(b"w1", world.jobs_sent()[0])
    assert world.d.requests[world.jobs_sent()[-1].job].id == "h"
    c, admission = world.d.counters, world.d.admission
    assert sum(c.admitted) == 56 and (c.rejected, c.displaced, c.finished) == (5, not preemption, not preemption)
    assert (admission.running_total, sum(admission.paused), admission.queued_total) == (
        (5, 1, 50) if preemption else (5, 0, 49))


def test_three_chats_and_five_tasks_then_a_fourth_chat_goes_first():
    world = World()
    world.worker_up()
    for n in range(3):
        world.submit(f"chat{n}", priority="high")
    for n in range(5):
        world.submit(f"task{n}")
    assert len(world.jobs_sent()) == 5
    world.submit("chat3", priority="high")
    assert [world.asked[pause.job] for _, pause in world.worker_frames if isinstance(pause, jobs.Pause)] == ["task1"]
    assert world.d.requests[world.jobs_sent()[-1].job].id == "chat3"


def test_who_waits_is_dispatched_before_a_newcomer_is_measured_against_the_queue():
    world = World(max_queued=2)
    for n in range(2):
        world.submit(f"r{n}")
    world.set_row("a", Phase.ALIVE, 1)
    world.hello("a", b"w1")
    world.d.start_turn(world.now)
    for n in range(2, 4):
        world.d.on_client(b"c1", protocol.encode({"type": "submit", "id": f"r{n}", "prompt": "x"}), world.now)
    world.flush()
    assert len(world.jobs_sent()) == 4 and not any(world.ended(f"r{n}") for n in range(4))


def test_a_cancelled_answer_whose_worker_dies_is_cancelled_and_not_tried_again():
    world = World()
    world.worker_up()
    world.submit("r1")
    world.client_says(b"c1", {"type": "cancel", "id": "r1"})
    world.set_row("a", Phase.BACKOFF)
    world.turn()
    world.worker_up("a", b"w2", incarnation=2)
    assert world.end_of("r1").finish_reason == "cancelled" and len(world.jobs_sent()) == 1


def test_no_job_goes_through_a_shut_gate():
    shut = {
        "no row": lambda w: w.rows.clear(),
        "fence": lambda w: w.set_row("a", Phase.ALIVE, 1, fence=3, cleared=2),
        "another incarnation": lambda w: w.set_row("a", Phase.ALIVE, 2),
        "loading": lambda w: w.hello("a", b"w1", phase=Phase.LOADING),
        "old epoch": lambda w: w.hello("a", b"w1", known=EPOCH - 1),
        "silence": lambda w: w.pass_time(3.5),
    }
    for name, shutting in shut.items():
        world = World()
        world.worker_up()
        shutting(world)
        world.turn()
        world.submit("r1")
        assert not world.jobs_sent(), name
        assert world.d.admission.queued_total == 1


def test_a_cleared_fence_opens_the_gate_again_and_time_alone_does_not():
    world = World()
    world.worker_up()
    world.set_row("a", Phase.ALIVE, 1, fence=3, cleared=2)
    world.turn()
    world.submit("r1")
    for _ in range(200):
        world.worker_says(b"w1", jobs.Beat, "a", Phase.READY, [], 1)
        world.pass_time(1.0)
    assert not world.jobs_sent()
    world.set_row("a", Phase.ALIVE, 1, fence=3, cleared=3)
    world.turn()
    assert len(world.jobs_sent()) == 1


def test_a_waiting_request_wakes_control_and_is_told_its_position():
    world = World()
    world.submit("r1")
    world.submit("r2")
    assert [m.slug for m in world.control_frames if isinstance(m, messages.Want)] == ["a", "a"]
    world.pass_time(2.5)
    progress = [e for e in world.events("r2") if isinstance(e, protocol.Progress)]
    assert progress and progress[0].position == 1 and 1 <= progress[0].estimate_s <= 120


def test_malformed_frames_are_answered_where_possible_and_counted():
    world = World()
    deep, no_text = b"\x83\xa4type\xa4stop\xa1x" + b"\x91" * 5000 + b"\xc0", b"\x81\xa2\xff\xfe\x01"
    wrong = protocol.encode({"type": "submit", "id": "x", "tokens": "no"})
    others = [protocol.encode(each) for each in ({"type": "shout"}, [1, 2, 3])]
    for frame in (b"", b"\xc1", deep, no_text, b"\x93\x01", wrong, *others):
        world.d.on_client(b"c1", frame, world.now)
        world.d.worker_side.on_frame(b"w1", frame, world.now)
    world.flush()
    assert world.d.counters.dropped_frames == 16
    assert world.end_of("x").code == "invalid_request"


def test_cancel_while_queued_and_while_running():
    world = World(max_running=1)
    world.worker_up()
    world.submit("running")
    world.submit("queued")
    world.client_says(b"c1", {"type": "cancel", "id": "queued"})
    assert world.end_of("queued").finish_reason == "cancelled"
    world.client_says(b"c1", {"type": "cancel", "id": "running"})
    assert not world.ended("running") and world.d.admission.running_total == 1
    (cancel,) = world.cancels_sent()
    world.worker_says(b"w1", jobs.Fail, cancel.job, cancel.attempt, "cancelled", "")
    assert world.end_of("running").finish_reason == "cancelled"
    assert world.d.admission.running_total == 0 and world.d.counters.cancelled == 2


def test_a_vanished_client_frees_its_queued_and_running_places():
    world = World(max_running=1)
    world.worker_up()
    world.submit("r1", client=b"gone")
    world.submit("r2", client=b"gone")
    world.submit("r3", client=b"stays")
    world.deaf_clients[b"gone"] = Sent.GONE
    (job,) = world.jobs_sent()
    world.worker_says(b"w1", jobs.Step, 1, [jobs.Item(job.job, 1, 0, [1], "x", None)])
    assert [c.job for c in world.cancels_sent()] == [job.job]
    world.worker_says(b"w1", jobs.Fail, job.job, 1, "cancelled", "")
    assert world.d.requests[world.jobs_sent()[-1].job].id == "r3"
    world.deaf_clients.clear()  # it was only stopped: it hears that its requests were given up
    world.pass_time(2.0)
    assert {world.end_of(r).code for r in ("r1", "r2")} == {"slow_reader"} and world.d.counters.cancelled == 2


def test_a_client_that_does_not_read_is_cut_and_others_go_on():
    world = World()
    world.worker_up()
    world.submit("slow", client=b"slow")
    world.submit("fine", client=b"fine")
    world.deaf_clients[b"slow"] = Sent.FULL
    slow, fine = world.jobs_sent()
    world.worker_says(b"w1", jobs.Step, 1, [jobs.Item(slow.job, 1, 0, [1], "x", None),
                                            jobs.Item(fine.job, 1, 0, [1], "x", None)])
    assert not world.cancels_sent()
    world.pass_time(UNREAD_MAX_S + 1)
    assert [c.job for c in world.cancels_sent()] == [slow.job]
    assert any(isinstance(e, protocol.Tokens) for e in world.events("fine"))


def test_a_deadline_in_the_queue_is_504_once():
    world = World()
    world.submit("r1", deadline_s=10)
    world.pass_time(9)
    assert not world.ended("r1")
    world.pass_time(2)
    world.pass_time(20)
    assert (world.end_of("r1").code, world.end_of("r1").status) == ("queue_deadline", 504)
    assert world.d.counters.expired == 1 and world.d.counters.failed == 0


@pytest.mark.parametrize("phase", [Phase.HELD, Phase.QUARANTINED])
def test_a_model_that_cannot_be_had_is_answered_at_once(phase):
    world = World()
    world.submit("waiting")
    world.set_row("a", phase, backoff_until_ns=int((world.now + 42) * 1e9))
    world.d.on_control(messages.ModelState(1, 1, "a", 1, phase, "the reason for people"), world.now)
    world.turn()
    world.submit("new")
    for request in ("waiting", "new"):
        error = world.end_of(request)
        assert (error.code, error.status) == ("model_unavailable", 503)
        assert error.retry_after_s == pytest.approx(42 if phase is Phase.QUARANTINED else 0)  # a hold has no end
        assert ("the reason for people" if phase is Phase.QUARANTINED else "warden ctl start") in error.message


def test_without_supervisord_only_what_has_a_process_is_waited_for():
    world = World("a", "b", "c")
    world.worker_up("a")
    world.set_row("b", Phase.DOWN)
    world.set_row("c", Phase.STARTING)
    world.supervisord_at = world.now - 11.0
    for slug in "abc":
        world.submit(slug, model=slug)
    error = world.end_of("b")
    assert (error.code, error.status) == ("model_unavailable", 503) and "supervisord" in error.message
    assert not world.ended("a") and not world.ended("c")


def test_a_stopping_gateway_leaves_nobody_without_a_word():
    world = World()
    world.worker_up()
    world.submit("r1")
    world.submit("r2")
    world.d.stop(world.now)
    world.fanout.flush(world.now)
    assert {world.end_of(r).code for r in ("r1", "r2")} == {"gateway_unavailable"}
