"""One eviction, from the fence word to memory measured back: three parties must agree before a process leaves.

Theory
------
Whether a worker may go is known for certain only by those who act: the gateway knows what it is about to send, the
worker knows what it holds. Control's reading of the table is old by the time it acts on it (18.6 % of evictions hit a
live job when it was trusted). So control asks, and the answers are the keys:

    key 1   control writes the fence word, *then* says Fence.      From now on the gate cannot open again
    key 2   the gateway, in one turn: nothing unfinished -> gate shut, Fenced; else GateBusy
    key 3   control says Quit; the worker, empty-handed -> Quitting and exit; else Busy, for this fence for ever
    then    process gone -> its memory measured back -> the fence is cleared

1. Before Quit is said, GateBusy or silence clears the fence. A *closing* fence stays: no new work is begun, the answers
   in flight end, and the gateway is asked again until it says Fenced or the decision no longer holds.
2. After Quit was said, only Busy, the process's end or a stall verdict ends it. Quit is repeated; that is safe, because
   a worker that refused a fence refuses it for ever.
3. A new control process lets a standing fence stand until the worker has said that it obeys nobody older, or is gone: a
   Quit of the dead control process may still lie in the worker's socket. In a table made anew nobody remembers which
   fences stood, so every living worker is fenced until then.
4. Nothing here signals a process. An eviction that is refused has cost nothing.

`tests/model/` searches every interleaving of this with crashes, and shows what each rule is for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from control import measured_back, messages
from control.resident import in_flight
from control.rows import RowState
from control.states import NEVER_TERMINATE, Phase

if TYPE_CHECKING:
    from control.reconciler import Reconciler

FENCE_ANSWER_WITHIN_S = 1.0
CLOSING_ASK_EVERY_S = 0.1
QUIT_AGAIN_S = 1.0
NS = 1_000_000_000


@dataclass(slots=True)
class Stop:
    """One eviction under way. Times are monotonic seconds; None: not yet."""

    reason: str
    closing: bool
    began_at: float
    idle_s: float  # since its last dispatch or answer
    asked_at: float
    quit_at: float | None = None
    quitting_at: float | None = None
    gone_at: float | None = None
    memory: measured_back.Stopped | None = None


class ThreeKeys:
    """The reconciler's hand for evictions. `refused_by`: how many were refused, and by whom."""

    def __init__(self, reconciler: Reconciler, floor: int) -> None:
        self.r = reconciler
        self.evictions = 0
        self.refused_by = {"control": 0, "gateway": 0, "worker": 0, "nobody": 0}
        self._fences = floor

    def adopt_fence(self, row: RowState, fence_id: int, fence_cleared: int, now: float) -> None:
        """As an earlier control process left it (3)."""
        self._fences = max(self._fences, fence_id)
        row.fence_id, row.fence_cleared, row.fence_at = fence_id, fence_cleared, now

    def fence_off(self, row: RowState, now: float) -> None:
        """A living worker of which the table says nothing (3)."""
        self._fences += 1
        row.put_fence(self._fences, now)

    def why_not(self, row: RowState) -> str:
        """What keeps control from even asking; "" if nothing does."""
        if row.loading:
            return "it is loading"
        if row.effective not in (Phase.EMPTY, Phase.READY):
            return f"it is {row.effective.name.lower()}"
        if row.is_fenced:
            return "its fence stands already"
        if not (row.peer and row.obeys_us):
            return "it has not greeted this control process yet"
        if not self.r.gateway or self.r.effects.read_gateway(row.index) is None:
            return "the gateway is silent"  # whoever might hold work for it cannot be asked
        return ""

    def begin(self, row: RowState, reason: str, now: float, *, closing: bool = False) -> None:
        """Key 1. The caller has asked `why_not`."""
        assert row.effective not in NEVER_TERMINATE and not row.loading, "a model that loads is never terminated"
        self._fences += 1
        row.put_fence(self._fences, now)
        row.stop = Stop(reason, closing, now, now - row.last_used if row.last_used else -1.0, now)
        self.r.effects.write_row(row)  # the word first: see the theory
        self._say_fence(row, now)

    def _say_fence(self, row: RowState, now: float) -> None:
        row.stop.asked_at = now
        self.r.effects.to_peer(self.r.gateway, messages.Fence(
            messages.VERSION, self.r.epoch, row.slug, row.incarnation, row.fence_id))

    def give_up(self, row: RowState, why: str) -> None:
        """Take the decision back (1). Only before Quit was said."""
        assert row.stop is not None and row.stop.quit_at is None, "a Quit that was said cannot be taken back"
        row.clear_fence()
        self.r.effects.note("evict_given_up", model=row.slug, reason=why)
        self.r.operators.on_refused(row, why)
        self.r.tell([row])

    # -- the keys --------------------------------------------------------------------------------------------

    def _is_current(self, row: RowState | None, message: messages.Fenced | messages.GateBusy | messages.Busy) -> bool:
        return (row is not None and row.stop is not None and message.fence == row.fence_id
                and message.incarnation == row.incarnation)

    def on_fenced(self, message: messages.Fenced, now: float) -> None:
        """Key 2 turned."""
        row = self.r.rows.get(message.slug)
        if self._is_current(row, message) and row.stop.quit_at is None:
            self._say_quit(row, now)

    def on_gate_busy(self, message: messages.GateBusy) -> None:
        row = self.r.rows.get(message.slug)
        if self._is_current(row, message) and row.stop.quit_at is None and not row.stop.closing:
            why = in_flight(message.unfinished) if message.unfinished else "its fence is void"
            self._refuse(row, "gateway", why)

    def _say_quit(self, row: RowState, now: float) -> None:
        """Key 3 is asked. A peer that cannot be reached now is told later: its hello or its end decides."""
        if row.stop.quit_at is None:
            row.stop.quit_at, row.stop.memory = now, self.r.books.before_end(row)
        row.stop.asked_at = now
        if row.peer:
            quit_ = messages.Quit(messages.VERSION, row.incarnation, row.fence_id, self.r.epoch, row.stop.reason)
            self.r.effects.to_peer(row.peer, quit_)

    def on_busy(self, message: messages.Busy) -> None:
        """Key 3 refused."""
        row = self.r.rows.get(message.slug)
        if self._is_current(row, message) and row.phase is not Phase.STOPPING:
            self._refuse(row, "worker", message.reason)

    def count_refusal(self, row: RowState, by: str, why: str) -> None:
        self.refused_by[by] += 1
        self.r.effects.note("evict_refused", model=row.slug, incarnation=row.incarnation, by=by, reason=why)

    def _refuse(self, row: RowState, by: str, why: str) -> None:
        self.count_refusal(row, by, why)
        row.clear_fence()
        self.r.tell([row])
        self.r.operators.on_refused(row, why)

    def on_quitting(self, message: messages.Quitting, now: float) -> None:
        """Key 3 turned: the process leaves by itself."""
        row = self.r.rows.get(message.slug)
        if row is None or message.incarnation != row.incarnation or row.phase is not Phase.ALIVE:
            return
        row.on_quitting(now, row.stop.reason if row.stop else "told to leave by an earlier control process")
        if row.stop is not None:
            row.stop.quitting_at = now
        self.r.tell([row])

    # -- after the keys --------------------------------------------------------------------------------------

    def on_gone(self, row: RowState, willing: bool, now: float) -> bool:
        """Its process is no more. `willing`: it said that it leaves, to us or in the table.

        True: it left because it was asked to. The fence of any other end is cleared: no process could obey a Quit.
        """
        stop = row.stop
        if stop is None or stop.quit_at is None or not willing:
            row.clear_fence()
            self.r.operators.on_refused(row, "its process ended by itself")
            return False
        if row.phase is not Phase.STOPPING:
            row.on_quitting(now, stop.reason)
        self.evictions += 1
        stop.gone_at, stop.quitting_at = now, stop.quitting_at or now
        row.on_evicted(now, stop.reason)
        self.r.tell([row])
        self.r.operators.on_ended(row)
        self._verify(row, now)
        return True

    def _verify(self, row: RowState, now: float) -> None:
        stop = row.stop
        stop.memory = self.r.books.look_back(stop.memory)
        verdict = measured_back.decide_back(stop.memory, stop.gone_at, now)
        if verdict.outcome is measured_back.Outcome.WAITING:
            return
        self._note_evicted(row, now)
        if verdict.outcome is measured_back.Outcome.LEAKED:
            self.r.books.on_leak(stop.memory)
            row.on_leak(verdict.reason)
            self.r.effects.note("leak_suspected", model=row.slug, bytes=verdict.leaked_bytes, reason=verdict.reason)
            self._end_leak(row)  # looked at before anybody is told, since who waits for it would be refused
        else:
            row.on_memory_back(f"evicted: {stop.reason}")
        row.clear_fence()
        self.r.tell([row])
        self.r.act(now)

    def _end_leak(self, row: RowState) -> bool:
        """A model is refused only while what is missing is what it would need."""
        ends = row.phase is Phase.LEAK_SUSPECTED and self.r.books.fits_beside_leaks(row)
        if ends:
            row.move(Phase.DOWN, row.reason)
        return ends

    def on_new_process(self, row: RowState) -> None:
        """An operator started one although memory of the last is missing; that stays in the books."""
        if row.phase is Phase.LEAK_SUSPECTED:
            row.on_memory_back("started anew")

    def _note_evicted(self, row: RowState, now: float) -> None:
        stop = row.stop
        steps = {"handshake_ms": stop.quitting_at - stop.began_at, "exit_ms": stop.gone_at - stop.quitting_at,
                 "verify_ms": now - stop.gone_at, "total_ms": now - stop.began_at}
        self.r.effects.note(
            "evicted", model=row.slug, incarnation=row.incarnation, reason=stop.reason, closing=stop.closing,
            footprint_bytes=stop.memory.footprint_bytes if stop.memory else 0,
            idle_ms=round(stop.idle_s * 1000, 1), **{name: round(s * 1000, 2) for name, s in steps.items()})

    # -- time ------------------------------------------------------------------------------------------------

    def on_settled(self, row: RowState) -> None:
        """The worker obeys nobody older than us (3)."""
        row.obeys_us = True
        if row.is_fenced and row.stop is None and row.phase is Phase.ALIVE:
            row.clear_fence()
            self.r.tell([row])

    def on_tick(self, row: RowState, now: float) -> None:
        stop = row.stop
        if row.phase is Phase.VERIFY_FREE and stop is not None:
            self._verify(row, now)
        elif not row.has_process:
            if self._end_leak(row):
                self.r.tell([row])
            if row.is_fenced:
                row.clear_fence()
                self.r.tell([row])
        elif stop is None or row.phase is Phase.STOPPING:
            return
        elif stop.quit_at is not None:
            if now - stop.asked_at > QUIT_AGAIN_S:
                self._say_quit(row, now)
        elif stop.closing:
            if now - stop.asked_at > CLOSING_ASK_EVERY_S:
                self._say_fence(row, now)
        elif now - stop.asked_at > FENCE_ANSWER_WITHIN_S:
            self._refuse(row, "nobody", "the gateway did not answer")
