"""FAULTS rows 13 and 15-18: jobs that arrive, and processes that stop or die, between the steps of an eviction or load.

Where it matters a failpoint holds control at the step in question, so that nothing depends on speed.
"""

import os
import signal

import pytest

from control.states import Phase
from gateway.client import GatewayError
from tests.support.live_stack import LiveStack
from tests.support.supervisor_home import wait_until
from tests.support.transcripts import Caller, Transcript, calling, order

pytestmark = pytest.mark.integration

SETTINGS = """
[control]
prewarm = 0
[limits]
max_running = 8
[models.a]
engine = "echo"
[models.b]
engine = "echo"
"""
BEFORE_THE_WORD, AFTER_THE_WORD = "control.fence.ALIVE.before", "control.fence.ALIVE.after"
BEFORE_QUIT = "control.send.quit.before"
SHORT_S, LONG_S = 4.0, 60.0  # how long control stands still with a fence up


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    stack = LiveStack(tmp_path_factory.mktemp("steps"), SETTINGS).up()
    yield stack
    stack.end()


@pytest.fixture
def stack(shared):
    """Memory is not short, a and b are loaded and idle, no failpoint is armed."""
    for left in shared.failpoints.iterdir():
        left.unlink()
    shared.calm()
    shared.load("a", "b")
    return shared


def go_on(stack: LiveStack, program: str = "control") -> None:
    os.kill(stack.pid_of(program), signal.SIGCONT)


def is_shut(stack: LiveStack, slug: str) -> bool:
    row = stack.row(slug)
    return row.control.fence_id != row.control.fence_cleared and not row.gateway.gate


# -- row 13: a job arrives between choice and fence ----------------------------------------------------------


def test_row_13_a_job_that_is_faster_than_the_fence_word_is_answered_and_the_model_stays(stack):
    evictions, starts = stack.control_words().evictions, stack.starts_of("a")
    stack.arm(BEFORE_THE_WORD, "stop")
    told = order(stack, "evict", "a")
    stack.wait_acted(BEFORE_THE_WORD)
    answer = Transcript(stack, "a", "#tokens=100 #rate=40").wait_tokens()
    go_on(stack)
    with pytest.raises(GatewayError) as busy:
        told.result(30)
    assert busy.value.code == "model_busy" and "1 answer in flight" in busy.value.message
    assert not answer.ended
    answer.check_whole(100)
    assert (stack.control_words().evictions, stack.starts_of("a")) == (evictions, starts)
    assert stack.journal("evict_refused", model="a", by="gateway")
    Transcript(stack, "a", "#tokens=30").check_whole(30)


def test_row_13_a_job_that_comes_after_the_fence_word_waits_for_another_process(stack):
    starts = stack.starts_of("a")
    stack.arm(AFTER_THE_WORD, "stop")
    told = order(stack, "evict", "a")
    stack.wait_acted(AFTER_THE_WORD)
    wait_until("the gate to be shut by the word alone", lambda: is_shut(stack, "a"))
    dispatched = stack.row("a").gateway.dispatched
    answer = Transcript(stack, "a", "#tokens=30").wait_accepted()
    Transcript(stack, "b", "#tokens=30").check_whole(30)
    assert not answer.ids and stack.row("a").gateway.dispatched == dispatched
    go_on(stack)
    assert told.result(30) == "a is evicted"
    answer.check_whole(30)
    assert stack.starts_of("a") == starts + 1


# -- rows 15 and 16: the gateway dies or stands still --------------------------------------------------------


def test_row_15_the_gate_stays_shut_when_the_gateway_dies_between_fenced_and_quit(stack):
    stack.arm(BEFORE_QUIT, "stop")
    order(stack, "evict", "a")
    stack.wait_acted(BEFORE_QUIT)
    epoch, incarnation = stack.gateway_words().epoch, stack.row("a").control.incarnation
    killed = stack.kill("gateway")
    wait_until("another gateway", lambda: stack.pid_of("gateway") not in (0, killed))
    wait_until("its words", lambda: stack.gateway_words().epoch > epoch and stack.row("a").gateway.epoch > epoch)
    answer = Transcript(stack, "a", "#tokens=30").wait_accepted()
    Transcript(stack, "b", "#tokens=30").check_whole(30)  # so it has greeted the workers
    assert is_shut(stack, "a") and stack.row("a").gateway.dispatched == 0 and not answer.ids
    go_on(stack)
    answer.check_whole(30)
    assert stack.row("a").control.incarnation > incarnation, "answered by another process than the one that was told"
    assert stack.gateway_words().lost_to_eviction == 0


def test_row_16_while_the_gateway_stands_still_nothing_is_evicted_and_answers_go_on_afterwards(stack):
    evictions = stack.control_words().evictions
    pids = {slug: stack.pid_of(f"worker-{slug}") for slug in ("a", "b")}
    answer = Transcript(stack, "a", "#tokens=200 #rate=40").wait_tokens()
    with stack.frozen("gateway"):
        stack.press(0.96)
        beat_ns = stack.gateway_words().heartbeat_ns
        wait_until("control to have seen it silent for long", lambda: (
            stack.control_words().heartbeat_ns - beat_ns > 5e9))
        assert stack.control_words().evictions == evictions and stack.control_words().forced_kills == 0
        assert {slug: stack.pid_of(f"worker-{slug}") for slug in pids} == pids
    answer.check_whole(200)
    stack.wait_phase("b", Phase.DOWN)  # now that the gateway can be asked


# -- row 17: control dies at each step -----------------------------------------------------------------------

OF_AN_EVICTION = [f"control.{step}.{moment}" for step in (
    "fence.ALIVE", "send.fence", "send.quit", "fence.STOPPING", "fence.VERIFY_FREE", "row.DOWN")
    for moment in ("before", "after")]
OF_A_LOAD = [f"control.{step}.{moment}" for step in (
    "row.STARTING", "send.welcome", "row.ALIVE", "send.load") for moment in ("before", "after")]


def control_dies(stack: LiveStack, step: str) -> None:
    """Wait until it died at `step` and another one has settled what it left behind."""
    stack.wait_acted(step)
    stack.wait_ready()
    wait_until("no fence", lambda: all(
        (row := stack.row(slug)) and row.control.fence_id == row.control.fence_cleared for slug in ("a", "b")))


def die_in_an_eviction(stack: LiveStack, step: str) -> None:
    stack.arm(step, "kill")
    with calling(Caller(stack, ("b",), 40, rate_per_s=200)):
        with stack.client() as client:
            try:
                client.evict("a")
            except GatewayError as cut:  # the one it asked is dead
                assert cut.code in ("gateway_unavailable", "model_busy")
        control_dies(stack, step)
        Transcript(stack, "a", "#tokens=30").check_whole(30)
    assert stack.gateway_words().lost_to_eviction == 0 == stack.gateway_words().retried


def die_in_a_load(stack: LiveStack, step: str) -> None:
    with stack.client() as client:
        client.evict("a")
    starts = stack.starts_of("a")
    stack.arm(step, "kill")
    with calling(Caller(stack, ("b",), 40, rate_per_s=200)):
        answer = Transcript(stack, "a", "#tokens=30")
        control_dies(stack, step)
        answer.check_whole(30)
    assert stack.starts_of("a") == starts + 1, "started once, and loaded once"


@pytest.mark.parametrize("step", OF_AN_EVICTION)
def test_row_17_control_dies_at_a_step_of_an_eviction(stack, step):
    die_in_an_eviction(stack, step)


@pytest.mark.parametrize("step", OF_A_LOAD)
def test_row_17_control_dies_at_a_step_of_a_load(stack, step):
    die_in_a_load(stack, step)
