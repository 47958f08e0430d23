"""FAULTS rows 6-10 and 36: workers that ignore signals, get them early, crash or hang while loading, or abort."""

import os
import signal

import pytest

from control.states import Phase
from control.supervisord import ProcessState, SupervisordFault
from gateway.client import GatewayError
from tests.support.live_stack import LiveStack
from tests.support.stack_fixtures import echo_settings, shared_stack
from tests.support.supervisor_home import wait_until
from tests.support.transcripts import Transcript, in_background, order

pytestmark = pytest.mark.integration

SETTINGS = echo_settings(
    "a", "b", "stuck", "crashing", "hanging", control="stall_limit_s = 2\nload_deadline_s = 5\n") + """
[models.crashing.echo]
crash_in_load = true
[models.hanging.echo]
hang_in_load = true
"""
PATIENT = SETTINGS.replace("stall_limit_s = 2\n", "")

shared = shared_stack(SETTINGS)  # workers are judged fast: no progress for 2 s is a stall, and a load may take 5 s


@pytest.fixture(scope="module")
def stack(shared):
    """For row 6, which takes 12 s, something begins here."""
    shared.stuck = Transcript(shared, "stuck", "#tokens=40 #hang_at=3")
    return shared


# -- row 6: the worker ignores TERM, or QUIT -----------------------------------------------------------------


def test_row_06_an_eviction_that_is_ignored_never_escalates(make_stack):
    """A worker that does not even read QUIT is asked again and again, and nothing else."""
    stack = make_stack(PATIENT).up()
    stack.load("a")
    with stack.frozen("worker-a") as pid:
        asked = order(stack, "evict", "a")
        for _ in range(2):  # QUIT is said, and said again
            stack.arm("control.send.quit.before", "stop")
            stack.wait_acted("control.send.quit.before")
            os.kill(stack.pid_of("control"), signal.SIGCONT)
            (stack.failpoints / "control.send.quit.before.hit").unlink()
        row = stack.row("a")
        assert row.control.pid == pid and row.control.fence_id != row.control.fence_cleared, "asked, and not gone"
        assert stack.journal("signal_stalled") == [] and stack.control_words().forced_kills == 0
    assert asked.result(30) == "a is evicted"  # it reads now, and leaves by itself
    assert stack.control_words().forced_kills == 0


# -- rows 7 and 8: TERM to a worker --------------------------------------------------------------------------


def test_row_07_term_to_a_busy_worker_lets_its_answers_end_and_tells_new_callers(stack):
    answers = [Transcript(stack, "b", "#tokens=100 #rate=40") for _ in range(3)]
    for answer in answers:
        answer.wait_tokens()
    stack.supervisord.stop("worker-b")
    late = Transcript(stack, "b", "#tokens=30")
    for answer in answers:
        answer.check_whole(100)
    assert "held" in late.check_error("model_unavailable").message
    assert stack.supervisord.processes()["worker-b"].state is ProcessState.STOPPED
    stack.supervisord.start("worker-b")
    stack.wait_phase("b", Phase.READY)
    Transcript(stack, "b", "#tokens=30").check_whole(30)


def stop_right_after_start(stack: LiveStack, times: int) -> None:
    """Each of these processes ends soon, whatever it was doing when TERM came, and the model can be had afterwards."""
    for _ in range(times):
        try:
            stack.supervisord.start("worker-a")
        except SupervisordFault:
            pass  # control was faster
        stack.supervisord.stop("worker-a")
        wait_until("the end of the process", lambda: stack.supervisord.processes()["worker-a"].pid == 0)
        wait_until("the hold", lambda: stack.phase("a") is Phase.HELD)
    assert stack.control_words().forced_kills == 0
    stack.supervisord.start("worker-a")
    stack.wait_phase("a", Phase.READY)
    Transcript(stack, "a", "#tokens=30").check_whole(30)


def test_row_08_term_right_after_the_start_is_not_lost(make_stack):
    stop_right_after_start(make_stack(PATIENT).up(), 10)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_row_08_term_right_after_the_start_is_not_lost_in_a_hundred_times(make_stack):
    stop_right_after_start(make_stack(PATIENT).up(), 100)


# -- rows 9 and 10: loads that crash or hang -----------------------------------------------------------------


def test_row_09_a_crash_while_loading_is_tried_again_then_refused_with_its_reason(stack):
    waits = Transcript(stack, "crashing", "#tokens=30")
    wait_until("a wait after the first crash", lambda: stack.phase("crashing") is Phase.BACKOFF)
    assert not waits.ended
    Transcript(stack, "b", "#tokens=30").check_whole(30)
    refused = waits.check_error("model_unavailable")
    assert refused.status == 503 and refused.retry_after_s > 0 and "3 crashes" in refused.message
    reply = stack.ask_http("/api/generate", {"model": "crashing", "prompt": "hello"})
    assert reply.status == 503 and int(reply.headers["retry-after"]) >= 1
    assert any("crashing is quarantined: 3 crashes" in text for text in stack.get("/health")[1]["warnings"])
    assert stack.starts_of("crashing") == 3


def test_row_10_a_load_that_hangs_lives_until_its_deadline_even_if_memory_is_critical(stack):
    load = in_background(lambda: stack.load("hanging"))
    stack.wait_phase("hanging", Phase.LOADING)
    pid = stack.pid_of("worker-hanging")
    stack.press(1.0)
    try:
        with pytest.raises(GatewayError) as busy:
            order(stack, "evict", "hanging").result(30)
        assert busy.value.code == "model_busy" and "it is loading" in busy.value.message
        for slug in ("a", "b"):
            stack.wait_phase(slug, Phase.DOWN)  # who was idle has gone for want of memory
        assert stack.pid_of("worker-hanging") == pid and not stack.journal("signal_stalled", model="hanging")
        [verdict] = wait_until("the verdict", lambda: stack.journal("signal_stalled", model="hanging"))
        assert verdict["reason"] == "still loading after 5 s" and verdict["signal"] == "TERM"
        assert stack.journal("evict", model="hanging") == []
        with pytest.raises(GatewayError) as refused:
            load.result(30)
        assert (refused.value.code, refused.value.status) == ("model_unavailable", 503)
    finally:
        stack.calm()


# -- row 36: the process is aborted --------------------------------------------------------------------------


def test_row_36_an_abort_in_an_answer_is_told_to_its_caller_and_seen_in_health(stack):
    stack.load("b")
    batch = stack.row("b").worker.batch_max
    Transcript(stack, "b", "#tokens=60 #rate=40 #crash_at=30").wait_tokens().check_error("worker_crashed")
    wait_until("the cause in /health", lambda: any(
        "b is backoff" in text and "SIGABRT" in text for text in stack.get("/health")[1]["warnings"]))
    Transcript(stack, "b", "#tokens=30").check_whole(30)
    assert stack.row("b").worker.batch_max == batch // 2, "loaded into less"


# -- row 6, the other half: TERM was ignored while the tests above ran ---------------------------------------


def test_row_06_a_stalled_worker_that_ignores_term_is_killed_and_counted_and_can_be_had_again(stack):
    stack.stuck.check_error("worker_crashed")
    assert stack.stuck.ids == [0, 1, 2]
    assert [line["signal"] for line in stack.wait_journal("signal_stalled", 2, model="stuck")] == ["TERM", "KILL"]
    assert stack.control_words().forced_kills == 1
    Transcript(stack, "stuck", "#tokens=30").check_whole(30)
