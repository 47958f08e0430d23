"""The rows of one model, from waiting to their last token: who joins the batch, who leaves it, who comes back.

Guarantees
1. A row joins only while the whole batch at its longest fits into the share (`workers/kv_room.py`), in the order that
   `workers/row_places.py` says. What is kept of others' caches gives way first (`workers/kept_kv.py`).
2. A step takes about as long as `workers/prefill_pace.py` says, however long the prompts are.
3. A row that is paused leaves with what was computed for it. Where its cache cannot be cut back by the token that it
   goes on with (recurrent layers, sliding windows), it leaves after its next token, with the cache as it was before.
   Nothing else of it is hidden in the generator: it goes back in like a new row whose prompt is the old one and what it
   said. If its cache had to give way, that is read again.
4. A row of class HIGH, or one that has the batch to itself, says its first token before it goes into the batch
   (`MlxBatch.read_first`), if its prompt can be read in STEP_TARGET_S; the others wait for that alone. Measured with
   the 1 M model, 20 tokens beside four rows: CPU time to the first token 1.02 times that of an idle engine, and 1.94
   times by the generator alone.

One thread only.
"""

import time
from typing import Any

from control.states import Priority
from workers.answer_row import AnswerRow
from workers.engine import JobKey, Output
from workers.kept_kv import KeptKv
from workers.memory_share import Division
from workers.mlx_batch import MlxBatch, RowKv
from workers.prefill_pace import PrefillPace
from workers.row_places import RowPlaces


class MlxRows:
    """At most `rows_max` in the batch. `short`: the first that waits for memory in it. `steps_run`: decode steps."""

    def __init__(self, batch: MlxBatch, kept: KeptKv, share: Division, rows_max: int, pace: PrefillPace) -> None:
        self.places = RowPlaces()
        self.pace = pace
        self.short: JobKey | None = None
        self.steps_run = 0
        self._batch, self._kept, self._share, self._rows_max = batch, kept, share, rows_max

    def inside(self) -> list[int]:
        """How many tokens those in the batch have reserved."""
        return [row.reserved_tokens for row in self.places.running.values()]

    # -- orders ------------------------------------------------------------------------------------------------

    def remove(self, key: JobKey) -> None:
        uid = self.places.uids.get(key)
        if uid is not None:
            self._leave(uid)
            self._take_out([uid])
        elif self.places.forget(key):
            self._kept.unpin(key)

    def pause(self, key: JobKey) -> None:
        places, now_s = self.places, time.perf_counter()
        uid = places.uids.get(key)
        if uid is None:
            places.pause_waiting(key, now_s)
        if uid is None or uid in places.leaving:
            return
        row, kv = places.running[uid], self._batch.copy_out(uid)
        row.kept = self._kept.keep(kv, key)
        is_read = len(kv.tokens) >= len(row.given)
        if is_read and row.kept and not kv.trims:
            places.leaving[uid] = kv.tokens  # (3)
            return
        if is_read:
            row.given = kv.tokens
        self._batch.leave(places.leave(uid))
        self._batch.remove([uid])
        places.pause(row, now_s)

    def resume(self, key: JobKey) -> None:
        uid = self.places.uids.get(key)
        if uid in self.places.leaving:
            del self.places.leaving[uid]
            self._kept.unpin(key)
            self.places.tell_paused(self.places.running[uid])
        self.places.resume(key, time.perf_counter())

    # -- one step ----------------------------------------------------------------------------------------------

    def step(self, beside: list[int], *, is_closed: bool) -> list[Output]:
        """`beside`: reservations of others in the same memory. `is_closed`: nobody may join now."""
        self.pace.aim(beside=any(row.tokens for row in self.places.running.values()))
        first = self._join(beside, is_closed)
        if first is not None:
            return first
        return self._advance() if self.places.running else []

    def _join(self, beside: list[int], is_closed: bool) -> list[Output] | None:
        """Those at the front of the waiting that fit beside the running ones join them. What the first of them says, if
        it says its first token at once; those behind it join with the next step then.
        """
        places, inside = self.places, self.inside() + beside
        free = self._rows_max - len(places.running) + len(places.leaving)
        waiting = [] if is_closed else places.waiting[: max(0, free)]
        joining = waiting[: self._share.room.choose_joining(inside, [row.reserved_tokens for row in waiting])]
        is_short = len(places.waiting) > len(joining) < free and not places.leaving
        self.short = places.waiting[len(joining)].key if is_short else None
        self._kept.give_way(inside + [row.reserved_tokens for row in joining])
        is_alone = len(joining) == 1 and not places.running
        for row in joining:
            places.waiting.remove(row)
            kv = self._kept.find(row.given, row.key)
            unread = len(row.given) - (len(kv.tokens) if kv is not None else 0)
            is_high = row.job.priority == Priority.HIGH
            if not row.tokens and self.pace.may_go_first(unread, is_high=is_high, is_alone=is_alone):
                return self._say_first(row, kv)
            self._insert(row, kv)
        return None

    def _say_first(self, row: AnswerRow, kv: RowKv | None) -> list[Output]:
        """A row's first token, and the row into the batch with it (4)."""
        self._note_joined(row, kv)
        started_s = time.perf_counter()
        first = self._batch.read_first(row, kv)
        now_s = time.perf_counter()
        self.pace.on_chunk(len(row.given) - row.prefilled, now_s - started_s, first.transient_bytes,
                           self._share.free_bytes(self._batch.held_bytes), behind=row.prefilled)
        if first.part is not None:
            self._kept.keep(first.part)
        output, goes_on = row.tell(first.token, first.reason, first.chance, now_s)
        whole = [*first.kv.tokens, first.token]
        if not goes_on:
            self._kept.keep(first.kv)
        elif first.reason is None:
            row.given = whole
            self._insert(row, first.kv)
        else:
            row.shift(whole)
            self._insert(row, None)
        return [output] if output is not None else []

    def _insert(self, row: AnswerRow, kv: RowKv | None) -> None:
        """Into the batch: for the first time, after a pause, or after its context was full."""
        self._note_joined(row, kv)
        if kv is None and (kv := self._batch.begin(row.given)) is not None:
            row.prefilled = len(kv.tokens)
        self.places.enter(row, self._batch.insert(row, kv))

    def _note_joined(self, row: AnswerRow, kv: RowKv | None) -> None:
        row.prefilled = len(kv.tokens) if kv is not None else 0
        if not row.joined_s:
            row.joined_s = time.perf_counter()
            row.cached_tokens = min(row.prefilled, len(row.prompt.tokens))

    def _advance(self) -> list[Output]:
        """One step of the generator."""
        running = self.places.running
        prompting = [row for row in running.values() if len(row.given) - row.prefilled > 1]
        behind = max((row.prefilled for row in prompting), default=0)
        most = max(1, self.pace.choose_chunk(behind) // max(1, len(prompting)))
        chunk_tokens = self._batch.choose_chunk(most, [len(row.given) - row.prefilled for row in prompting])
        started_s = time.perf_counter()
        prompts, responses, transient_bytes = self._batch.advance(chunk_tokens)
        now_s = time.perf_counter()
        if prompts:
            tokens = self._note_progress(prompts)
            for kv in self._batch.parts(prompts):
                self._kept.keep(kv)
            free_bytes = self._share.free_bytes(self._batch.held_bytes)
            self.pace.on_chunk(tokens, now_s - started_s, transient_bytes, free_bytes, behind=behind,
                               beside=bool(responses))
        else:
            self.pace.on_decode(now_s - started_s)
        return self._tell(responses, now_s) if responses else []

    def _note_progress(self, prompts: list) -> int:
        """Note how far the prompts are. Returns how many tokens were read, padding included."""
        longest = 0
        for prompt in prompts:
            row, (done, total) = self.places.running[prompt.uid], prompt.progress
            read = len(row.given) - total + done  # what it went in with is none of the total
            if not prompt.end_of_prompt:  # there only its last token was left, and is counted as a decode step
                longest = max(longest, read - row.prefilled)
            row.prefilled = read
        return longest * len(prompts)  # the rows are padded to the longest

    def _tell(self, responses: list, now_s: float) -> list[Output]:
        """What the tokens of one decode step say."""
        self.steps_run += 1
        outputs, stopped = [], []  # the latter: rows that are over, and the generator does not know
        running, leaving = self.places.running, self.places.leaving
        chances = self._batch.read_chances(responses, running)
        for response in responses:
            uid, reason = response.uid, response.finish_reason
            row = running[uid]
            output, goes_on = row.tell(response.token, reason, chances.get(uid), now_s)
            if output is not None:
                outputs.append(output)
            if not (goes_on and reason is None):
                self._on_left(row, uid, response, goes_on, stopped)
            elif uid in leaving:
                self._pause_now(row, uid, response.token, now_s)
        if stopped:
            self._take_out(stopped)
        return outputs

    def _on_left(self, row: AnswerRow, uid: int, response: Any, goes_on: bool, stopped: list[int]) -> None:
        """A row that is over, or whose context is full."""
        is_leaving = uid in self.places.leaving
        self._leave(uid)
        if goes_on:
            row.shift(self._batch.left_by(response).tokens)
            if is_leaving:
                row.kept = False  # that cache is of no use to what is left of its context
                self.places.pause(row, time.perf_counter())
            else:
                self._insert(row, self._kept.find(row.given))
        elif response.finish_reason is None:
            stopped.append(uid)
        else:
            self._kept.keep(self._batch.left_by(response))

    def _pause_now(self, row: AnswerRow, uid: int, token: int, now_s: float) -> None:
        """A row whose cache was kept as it was before its last token."""
        row.given = [*self.places.leaving[uid], token]
        self._batch.leave(self.places.leave(uid))
        self._batch.remove([uid])
        self.places.pause(row, now_s)

    def _leave(self, uid: int) -> None:
        row = self.places.leave(uid)
        self._batch.leave(row)
        self._kept.unpin(row.key)

    def _take_out(self, uids: list[int]) -> None:
        """Rows that the generator does not know to be over."""
        if not self._kept.shared:
            self._batch.remove(uids)
            return
        for kv in self._batch.take_out(uids).values():
            self._kept.keep(kv)
