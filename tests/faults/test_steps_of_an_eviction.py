"""FAULTS rows 13 and 15-18: jobs that arrive, and processes that stop or die, between the steps of an eviction or load.

Where it matters a failpoint holds control at the step in question, so that nothing depends on speed.
"""

import os
import signal
import time
from concurrent.futures import Future

import pytest

from control.states import Phase
from gateway.client import GatewayError
from tests.support.armed import has_acted
from tests.support.live_stack import LiveStack
from tests.support.stack_fixtures import echo_settings, shared_stack
from tests.support.supervisor_home import wait_until
from tests.support.transcripts import Caller, Transcript, calling, order

pytestmark = pytest.mark.integration

BEFORE_THE_WORD, AFTER_THE_WORD = "control.fence.ALIVE.before", "control.fence.ALIVE.after"
BEFORE_QUIT = "control.send.quit.before"
SHORT_S, LONG_S = 4.0, 60.0  # how long control stands still with a fence up


shared = shared_stack(echo_settings("a", "b"))


@pytest.fixture
def stack(shared):
    begin_anew(shared)
    return shared


def begin_anew(stack: LiveStack) -> None:
    """Memory is not short, a and b are loaded and idle, no failpoint is armed."""
    for left in stack.failpoints.iterdir():
        left.unlink()
    stack.calm()
    stack.load("a", "b")


def go_on(stack: LiveStack, program: str = "control") -> None:
    os.kill(stack.pid_of(program), signal.SIGCONT)


def is_shut(stack: LiveStack, slug: str) -> bool:
    row = stack.row(slug)
    return row.control.fence_id != row.control.fence_cleared and not row.gateway.gate


def evict_until_at(stack: LiveStack, step: str) -> Future[str]:
    """Have `a` evicted until somebody is at that failpoint; gives what the operator is told in the end.

    A control process that has just started refuses until it has heard of everybody: then it is asked again. So it is
    after an eviction that did without this step: a process can be gone before its Quitting is read.
    """
    asked: list[Future[str]] = []

    def look() -> bool:
        if has_acted(stack.failpoints, step):
            return True
        if not asked or asked[-1].done():
            if asked and asked[-1].exception() is None:
                stack.load("a")
            asked.append(order(stack, "evict", "a"))
        return False

    wait_until(f"somebody at {step}", look)
    return asked[-1]


def is_down_once_evicted(stack: LiveStack) -> None:
    """As above, with nobody in the way."""
    def look() -> bool:
        try:
            return bool(order(stack, "evict", "a").result(30))
        except GatewayError as refused:  # control may have just started
            assert refused.code in ("model_busy", "gateway_unavailable")
            return False

    wait_until("a to be evicted", look)


# -- row 13: a job arrives between choice and fence ----------------------------------------------------------


def test_row_13_a_job_that_is_faster_than_the_fence_word_is_answered_and_the_model_stays(stack):
    evictions, starts = stack.control_words().evictions, stack.starts_of("a")
    stack.arm(BEFORE_THE_WORD, "stop")
    told = evict_until_at(stack, BEFORE_THE_WORD)
    answer = Transcript(stack, "a", "#tokens=100 #rate=40").wait_tokens()
    go_on(stack)
    with pytest.raises(GatewayError) as busy:
        told.result(30)
    assert busy.value.code == "model_busy" and "1 answer in flight" in busy.value.message
    assert not answer.ended
    answer.check_whole(100)
    assert (stack.control_words().evictions, stack.starts_of("a")) == (evictions, starts)
    stack.wait_journal("evict_refused", model="a", by="gateway")
    Transcript(stack, "a", "#tokens=30").check_whole(30)


def test_row_13_a_job_that_comes_after_the_fence_word_waits_for_another_process(stack):
    starts = stack.starts_of("a")
    stack.arm(AFTER_THE_WORD, "stop")
    told = evict_until_at(stack, AFTER_THE_WORD)
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
    evict_until_at(stack, BEFORE_QUIT)
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

OF_AN_EVICTION = ("fence.ALIVE", "send.fence", "send.quit", "fence.STOPPING", "fence.VERIFY_FREE", "row.DOWN")
OF_A_LOAD = ("row.STARTING", "send.welcome", "row.ALIVE", "send.load")
LONG_TIMES = 20


def moments(steps: tuple[str, ...]) -> list[str]:
    """Every state that a death can leave behind, once: what comes after one step is what comes before the next."""
    return [f"control.{step}.before" for step in steps] + [f"control.{steps[-1]}.after"]


def all_moments(steps: tuple[str, ...]) -> list[str]:
    return [f"control.{step}.{moment}" for step in steps for moment in ("before", "after")]


def wait_settled(stack: LiveStack, epoch: int) -> None:
    """Until a control process newer than `epoch` has settled what the dead one left behind."""
    wait_until("another control process", lambda: stack.control_words().epoch > epoch)
    wait_until("no fence", lambda: all(
        (row := stack.row(slug)) and row.control.fence_id == row.control.fence_cleared for slug in ("a", "b")))


def die_in_an_eviction(stack: LiveStack, step: str) -> None:
    epoch = stack.control_words().epoch
    with calling(Caller(stack, ("b",), 40, rate_per_s=200)):
        stack.arm(step, "kill")
        evict_until_at(stack, step)
        Transcript(stack, "a", "#tokens=30").check_whole(30)
        wait_settled(stack, epoch)
    assert stack.gateway_words().lost_to_eviction == 0 == stack.gateway_words().retried


def die_in_a_load(stack: LiveStack, step: str) -> None:
    is_down_once_evicted(stack)
    starts, epoch = stack.starts_of("a"), stack.control_words().epoch
    with calling(Caller(stack, ("b",), 40, rate_per_s=200)):
        stack.arm(step, "kill")
        answer = Transcript(stack, "a", "#tokens=30")
        stack.wait_acted(step)
        answer.check_whole(30)
        wait_settled(stack, epoch)
    assert stack.starts_of("a") == starts + 1, "started once, and loaded once"
    assert stack.gateway_words().retried == 0


@pytest.mark.parametrize("step", moments(OF_AN_EVICTION))
def test_row_17_control_dies_at_a_step_of_an_eviction(stack, step):
    die_in_an_eviction(stack, step)


@pytest.mark.parametrize("step", moments(OF_A_LOAD))
def test_row_17_control_dies_at_a_step_of_a_load(stack, step):
    die_in_a_load(stack, step)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("step", all_moments(OF_AN_EVICTION))
def test_row_17_control_dies_at_a_step_of_an_eviction_twenty_times(stack, step):
    for _ in range(LONG_TIMES):
        begin_anew(stack)
        die_in_an_eviction(stack, step)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("step", all_moments(OF_A_LOAD))
def test_row_17_control_dies_at_a_step_of_a_load_twenty_times(stack, step):
    for _ in range(LONG_TIMES):
        begin_anew(stack)
        die_in_a_load(stack, step)


# -- row 18: control stands still between Fenced and Quit ----------------------------------------------------


def stand_still(stack: LiveStack, seconds: float) -> None:
    """Meanwhile `a` cannot be had, and is shut at every look; everybody else is served."""
    stack.arm(BEFORE_QUIT, "stop")
    evict_until_at(stack, BEFORE_QUIT)
    dispatched, until = stack.row("a").gateway.dispatched, time.monotonic() + seconds
    answer = Transcript(stack, "a", "#tokens=30").wait_accepted()

    def look() -> bool:
        assert is_shut(stack, "a") and stack.row("a").gateway.dispatched == dispatched and not answer.ids
        return time.monotonic() > until

    with calling(Caller(stack, ("b",), 30)) as callers:
        wait_until("the time to be over", look, seconds + 20)
        heard = callers[0].answered("b")
        wait_until("b to answer on", lambda: callers[0].answered("b") > heard)
    go_on(stack)
    answer.check_whole(30)
    assert stack.gateway_words().lost_to_eviction == 0


def test_row_18_the_gate_stays_shut_while_control_stands_still_between_fenced_and_quit(stack):
    stand_still(stack, SHORT_S)


@pytest.mark.long
@pytest.mark.timeout(300)
def test_row_18_the_gate_stays_shut_for_a_minute_of_it(stack):
    stand_still(stack, LONG_S)
