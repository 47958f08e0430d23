"""What a new control process makes of the table that an earlier one left: living workers stay as they are.

1. A process counts only if its pid and start time still name a living one.
2. A LOADING worker is read, never ordered again; its load deadline begins anew.
3. A fence that stands is left standing until its worker is known to obey nobody older (`control/three_keys.py`), and a
   process that was leaving is seen to its end.
4. Waits after crashes go on, and what an earlier process is known not to have given back stays off the ceiling. Memory
   that was being measured back at that moment counts as back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from control.rows import RowState
from control.states import WORKER_PHASES, Phase
from control.table import Row, Snapshot

if TYPE_CHECKING:
    from control.reconciler import Reconciler

NS = 1_000_000_000


def adopt(r: Reconciler, snapshot: Snapshot, now: float) -> None:
    for old in snapshot.rows:
        row = r.rows.get(old.name)
        if row is not None and old.control is not None:
            adopt_row(r, row, old, now)
        r.relays.adopt(old)
    if snapshot.control is not None:
        r.books.leaked_before = snapshot.control.leaked_bytes


def adopt_row(r: Reconciler, row: RowState, old: Row, now: float) -> None:
    words = old.control
    r.incarnation = max(r.incarnation, words.incarnation)
    row.incarnation, row.starts = words.incarnation, words.starts
    row.loads, row.evictions = words.loads, words.evictions
    row.shrink, row.pinned = words.shrink, bool(words.pinned)
    r.keys.adopt_fence(row, words.fence_id, words.fence_cleared, now)
    alive = bool(words.pid) and r.effects.is_alive(words.pid, words.start_time_us)  # 1
    if words.phase in (Phase.ALIVE, Phase.STOPPING) and alive:
        worker = old.worker
        known = worker is not None and worker.incarnation == words.incarnation
        phase = worker.phase if known and worker.phase in WORKER_PHASES else Phase.EMPTY
        row.on_welcomed(words.incarnation, words.pid, words.start_time_us, b"", phase)
        row.load_deadline = now + r.limits.load_deadline_s  # 2
        row.share_bytes, row.loaded_at = words.share_bytes, now
        row.load_s = worker.load_ms / 1000 if known else 0.0
        row.batch_max, row.context_length = words.batch_max, words.context_length
        if words.phase == Phase.STOPPING:
            row.phase, row.leaving_at = Phase.STOPPING, now  # 3
    elif words.phase == Phase.STARTING:
        row.on_started(now, "was starting when control restarted")
        row.starts, row.start_confirmed_at = words.starts, now  # the next list of processes tells the truth
        row.share_bytes = r.books.empty_bytes(row)
    elif words.phase in (Phase.BACKOFF, Phase.QUARANTINED, Phase.HELD):
        row.on_adopted(Phase(words.phase), words.backoff_until_ns / NS, words.crashes, now, old.reason)  # 4
