"""Where the rows of an engine stand: waiting for the batch, in it, on the way out of it, or paused.

Guarantees
1. A row is in one place at a time. Those that wait stand in the order in which they join: the higher class first, in a
   class those that were resumed, then as they came. Nobody joins before the first, so a long row is not starved.
2. The time for which a row is paused is no part of the times that its end tells.
3. Each pause is told once (`take_paused`), also one that was asked for again, or taken back before it happened.

Which of them have room in memory is `workers/kv_room.py`. Pure. Times are of one clock, in seconds.
"""

from bisect import insort
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workers.answer_row import AnswerRow
    from workers.engine import JobKey


class RowPlaces:
    """`running` by the uid that the batch gave. `leaving`: some of them, which are paused after their next token, with
    what their kept caches hold.
    """

    def __init__(self) -> None:
        self.waiting: list[AnswerRow] = []
        self.running: dict[int, AnswerRow] = {}
        self.leaving: dict[int, list[int]] = {}
        self.paused: dict[JobKey, AnswerRow] = {}
        self.uids: dict[JobKey, int] = {}
        self._told: list[tuple[JobKey, bool]] = []

    @property
    def active(self) -> int:
        return len(self.running) + len(self.waiting)

    def __contains__(self, key: "JobKey") -> bool:
        return key in self.uids or key in self.paused or self._find(key) is not None

    def wait(self, row: "AnswerRow") -> None:
        insort(self.waiting, row, key=_rank)

    def enter(self, row: "AnswerRow", uid: int) -> None:
        self.running[uid] = row
        self.uids[row.key] = uid

    def leave(self, uid: int) -> "AnswerRow":
        row = self.running.pop(uid)
        self.leaving.pop(uid, None)
        del self.uids[row.key]
        return row

    def forget(self, key: "JobKey") -> bool:
        """One that waits or is paused. False: it is neither."""
        row = self.paused.pop(key, None) or self._find(key)
        if row in self.waiting:
            self.waiting.remove(row)
        return row is not None

    def pause(self, row: "AnswerRow", now_s: float) -> None:
        """A row that has left the batch, or waits for it."""
        if row in self.waiting:
            self.waiting.remove(row)
        row.paused_s = now_s
        self.paused[row.key] = row
        self.tell_paused(row)

    def pause_waiting(self, key: "JobKey", now_s: float) -> None:
        row = self._find(key)
        if row is not None:
            self.pause(row, now_s)
        elif key in self.paused:
            self.tell_paused(self.paused[key])

    def resume(self, key: "JobKey", now_s: float) -> None:
        row = self.paused.pop(key, None)
        if row is not None:
            row.skip_time(now_s - row.paused_s)
            row.resumed = True
            self.wait(row)

    def tell_paused(self, row: "AnswerRow") -> None:
        self._told.append((row.key, row.kept))

    def take_paused(self) -> "list[tuple[JobKey, bool]]":
        told, self._told = self._told, []
        return told

    def clear(self) -> None:
        self.waiting.clear()
        for rows in (self.running, self.leaving, self.paused, self.uids):
            rows.clear()

    def _find(self, key: "JobKey") -> "AnswerRow | None":
        return next((row for row in self.waiting if row.key == key), None)


def _rank(row: "AnswerRow") -> tuple[int, bool]:
    return row.job.priority, not row.resumed
