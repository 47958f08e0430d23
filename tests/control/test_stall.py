"""When a worker is stuck, and which signal follows."""

import pytest

from control.rows import RowState
from control.stall import HELLO_WITHIN_S, NS, TERM_GRACE_S, Limits, next_signal, why_stalled
from control.states import Phase
from control.table import RowWorker

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
