"""Is a worker stuck? The only reason for which this product ever signals a worker.

A stall is no eviction: it is judged by lack of progress past a limit, never by memory. The verdicts

1. silent: its heartbeat is older than the stall limit (stopped, or its I/O thread is stuck);
2. no progress: it has jobs that are not paused, and its engine has done no step, prefill chunks included, for the
   stall limit;
3. load deadline: it has been loading for longer than the deadline;
4. no hello: its process was started and never spoke;
5. it said that it leaves, and is still there after the stall limit.

TERM goes first; KILL follows TERM_GRACE_S later and is counted, because killing a big wired model may leak memory on
macOS until reboot. Pure: `now` in monotonic seconds.
"""

from typing import NamedTuple

from control.rows import RowState
from control.states import Phase
from control.table import RowWorker

TERM_GRACE_S = 10.0
HELLO_WITHIN_S = 60.0
NS = 1_000_000_000


class Limits(NamedTuple):
    stall_s: float
    load_deadline_s: float


def why_stalled(row: RowState, words: RowWorker | None, now: float, limits: Limits) -> str:
    """The first verdict that holds; "" if none does. Unreadable words are no proof of anything."""
    if row.phase is Phase.STARTING:
        if row.start_ordered_at is not None and now - row.start_ordered_at > HELLO_WITHIN_S:
            return f"no hello within {HELLO_WITHIN_S:g} s of its start"  # 4
        return ""
    if row.phase is Phase.STOPPING:
        return f"still there {limits.stall_s:g} s after it left" if now - row.leaving_at > limits.stall_s else ""  # 5
    if row.phase is not Phase.ALIVE or words is None or words.incarnation != row.incarnation:
        return ""
    silent_s = now - words.heartbeat_ns / NS
    if silent_s > limits.stall_s:
        return f"silent for {silent_s:.0f} s"  # 1
    idle_s = now - words.progress_ns / NS
    if words.active > words.paused and idle_s > limits.stall_s:
        return f"{words.active - words.paused} jobs and no step for {idle_s:.0f} s"  # 2
    if row.loading and row.load_deadline and now > row.load_deadline:
        return f"still loading after {limits.load_deadline_s:g} s"  # 3
    return ""


def next_signal(row: RowState, now: float) -> str:
    """For a stalled row: "TERM", then after the grace "KILL" once, else ""."""
    if row.stalled_at is None:
        return "TERM"
    if now - row.stalled_at > TERM_GRACE_S and not row.killed:
        return "KILL"
    return ""
