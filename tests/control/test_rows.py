"""A row's legal life, and how long it stays away after a crash."""

import pytest

from control.rows import BACKOFF_MAX_S, CRASH_WINDOW_S, CRASHES_MAX, QUARANTINE_S, RowState
from control.states import IllegalTransition, Phase
from control.table import RowControl


def ready_row() -> RowState:
    row = RowState(0, "a")
    row.on_started(10.0, "wanted")
    row.on_welcomed(3, 42, 420, b"peer", Phase.EMPTY)
    row.on_worker_phase(Phase.LOADING)
    row.on_worker_phase(Phase.READY)
    return row


def test_the_plain_life():
    row = ready_row()
    assert (row.effective, row.incarnation, row.pid, row.starts) == (Phase.READY, 3, 42, 1)
    row.on_worker_phase(Phase.DRAINING)
    row.on_orderly_end(20.0, "drained")
    assert (row.effective, row.pid, row.peer, row.reason) == (Phase.DOWN, 0, b"", "drained")


def test_an_illegal_change_raises_and_changes_nothing():
    row = ready_row()
    for change in (lambda: row.on_worker_phase(Phase.LOADING), lambda: row.on_started(1.0, "x"),
                   lambda: row.move(Phase.LEAK_SUSPECTED, "x")):
        with pytest.raises(IllegalTransition):
            change()
        assert row.effective is Phase.READY and row.pid == 42


def test_a_load_is_under_way_from_the_order_to_ready():
    row = RowState(0, "a")
    row.on_started(10.0, "wanted")
    row.on_welcomed(3, 42, 420, b"peer", Phase.EMPTY)
    assert not row.loading
    row.load_sent_at = 11.0
    assert row.loading
    row.on_worker_phase(Phase.READY)  # LOADING was over between two looks
    assert not row.loading and row.load_sent_at is None


def test_backoff_doubles_and_the_third_crash_in_the_window_quarantines():
    row, now, waits = ready_row(), 1000.0, []
    for _ in range(CRASHES_MAX):
        row.on_crash(now, "killed")
        waits.append(row.not_before - now)
        assert "killed" in row.reason
        assert not row.on_time(row.not_before - 0.1)
        if row.phase is Phase.BACKOFF:
            now = row.not_before
            assert row.on_time(now) and row.phase is Phase.DOWN
            row.on_started(now, "again")
    assert waits == [1.0, 2.0, QUARANTINE_S] and row.phase is Phase.QUARANTINED
    assert row.on_time(now + QUARANTINE_S) and row.phase is Phase.DOWN


def test_crashes_far_apart_never_quarantine_and_the_wait_is_bounded():
    row, now = ready_row(), 1000.0
    for _ in range(20):
        row.on_crash(now, "killed")
        assert row.phase is Phase.BACKOFF and row.not_before - now <= BACKOFF_MAX_S
        now += CRASH_WINDOW_S + 1
        row.on_time(now)
        row.on_started(now, "again")


def test_a_hold_forgets_who_wanted_it():
    row = ready_row()
    row.wanted_by = "preload"
    row.on_hold(20.0)
    row.on_hold(20.0)
    assert (row.phase, row.wanted_by) == (Phase.HELD, "")
    row.on_started(50.0, "started by an operator")
    assert row.phase is Phase.STARTING


def test_its_words_fit_the_table():
    assert set(ready_row().words()) <= set(RowControl._fields)
    assert ready_row().words()["phase"] == Phase.ALIVE
