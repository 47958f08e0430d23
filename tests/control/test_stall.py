"""When a worker is stuck, and which signal follows."""

import pytest

from control.rows import RowState
from control.stall import HELLO_WITHIN_S, NS, TERM_GRACE_S, Limits, next_signal, why_stalled
from control.states import Phase
from control.table import RowWorker
from tests.support.control_world import World

LIMITS = Limits(stall_s=60.0, load_deadline_s=600.0)
NOW = 10_000.0


def a_row(phase=Phase.READY) -> RowState:
    row = RowState(0, "a", phase=Phase.ALIVE, worker_phase=phase, incarnation=3, pid=42)
    row.load_deadline = NOW + 5
    return row


def words(**changes) -> RowWorker:
    return RowWorker(**dict.fromkeys(RowWorker._fields, 0) | {
        "incarnation": 3, "phase": Phase.READY, "heartbeat_ns": int(NOW * NS), "progress_ns": int(NOW * NS)} | changes)


def ago(seconds: float) -> int:
    return int((NOW - seconds) * NS)


@pytest.mark.parametrize("changes, verdict", [
    ({}, ""),
    ({"heartbeat_ns": ago(59)}, ""),
    ({"heartbeat_ns": ago(61)}, "silent"),
    ({"active": 2, "progress_ns": ago(59)}, ""),
    ({"active": 2, "progress_ns": ago(61)}, "no step"),
    ({"active": 2, "paused": 1, "progress_ns": ago(61)}, "1 jobs and no step"),
    ({"active": 2, "paused": 2, "progress_ns": ago(61)}, ""),
    ({"active": 0, "progress_ns": ago(9999)}, ""),
    ({"incarnation": 2, "heartbeat_ns": 0}, ""),  # words of another incarnation prove nothing
])
def test_verdicts(changes, verdict):
    found = why_stalled(a_row(), words(**changes), NOW, LIMITS)
    assert (verdict in found) if verdict else found == ""


def test_unreadable_words_prove_nothing():
    assert why_stalled(a_row(), None, NOW, LIMITS) == ""


def test_a_load_past_its_deadline_and_only_then():
    loading = words(phase=Phase.LOADING)
    assert why_stalled(a_row(Phase.LOADING), loading, NOW + 4, LIMITS) == ""
    assert "still loading" in why_stalled(a_row(Phase.LOADING), words(
        phase=Phase.LOADING, heartbeat_ns=int((NOW + 6) * NS)), NOW + 6, LIMITS)


def test_a_process_that_never_speaks():
    row = RowState(0, "a")
    row.on_started(NOW, "wanted")
    assert why_stalled(row, None, NOW + HELLO_WITHIN_S - 1, LIMITS) == ""
    assert "no hello" in why_stalled(row, None, NOW + HELLO_WITHIN_S + 1, LIMITS)


def test_term_then_kill_once_after_the_grace():
    row = a_row()
    assert next_signal(row, NOW) == "TERM"
    row.stalled_at = NOW
    assert next_signal(row, NOW + TERM_GRACE_S - 1) == ""
    assert next_signal(row, NOW + TERM_GRACE_S + 1) == "KILL"
    row.killed = True
    assert next_signal(row, NOW + 999) == ""


# -- and what control does about it ----------------------------------------------------------------------


def test_a_stuck_worker_is_signalled_term_then_kill_and_a_busy_one_never():
    world = World("a", stall_limit_s=60.0)
    world.want("a", medium=1)
    world.load("a")
    world.set_words("a", active=2)
    for _ in range(50):  # long work with progress
        world.set_words("a", active=2)
        world.tick(30)
    assert len(world.orders) == 1
    stuck = world.now
    for _ in range(30):
        world.set_words("a", active=2, progress_ns=int(stuck * 1e9))
        world.tick(5)
    assert world.orders[1:] == [("signal", "a", "TERM"), ("signal", "a", "KILL")]
    assert world.r.forced_kills == 1
    world.die("a")
    assert world.phase("a") is Phase.BACKOFF and "no step" in world.r.rows["a"].reason


def test_an_idle_worker_needs_no_progress_but_a_heartbeat():
    world = World("a", stall_limit_s=60.0)
    world.want("a", medium=1)
    world.load("a")
    world.set_words("a", progress_ns=0)
    world.tick(1000 * 0.05)
    assert len(world.orders) == 1
    world.tick(30)
    world.tick(TERM_GRACE_S + 1)
    assert world.orders[1:] == [("signal", "a", "TERM"), ("signal", "a", "KILL")]


def test_a_worker_that_recovers_after_term_is_left_to_finish():
    world = World("a", stall_limit_s=60.0)
    world.want("a", medium=1)
    world.load("a")
    world.set_words("a", active=1)
    world.tick(62)
    assert world.orders[1:] == [("signal", "a", "TERM")]
    for _ in range(60):
        world.set_words("a", active=1)
        world.tick(1)
    assert world.orders[1:] == [("signal", "a", "TERM")] and world.r.forced_kills == 0


def test_after_a_freeze_of_the_whole_machine_nobody_is_judged_at_once():
    world = World("a", stall_limit_s=60.0)
    world.want("a", medium=1)
    world.load("a")
    world.set_words("a", active=1)
    world.now += 100
    world.r.on_tick(world.now)  # control wakes before the worker does
    world.set_words("a", active=1)
    world.tick(20)
    assert world.orders == [("start", "a")]
