"""Key 2 of an eviction: is anything unfinished here, and if not, is the gate shut from this very turn on?

Theory
------
Control has written the fence into the row before it asks (`control/three_keys.py` has the whole protocol). Only the
gateway knows what it has sent and what it is about to send, so the answer is worked out here, in one turn, from the row
read in that turn and from the jobs in hand. Nothing of an earlier answer counts: a Fence that comes again is answered
by what is true then.

1. An old message changes nothing: of a control process older than the newest heard of since this table was made, of a
   fence that does not stand in the row, or of another incarnation than the row's. GateBusy with 0 unfinished.
2. A fence that stands shuts the gate at once, so that no later dispatch of the same turn slips through. From the next
   turn on `gateway.gate` sees the word in the row; if it was cleared meanwhile the gate opens again by itself.
3. Jobs that were sent and have not ended protect the model: GateBusy with their number. Whichever incarnation they were
   sent to, since one that is lost is unfinished until its loss was noticed here. Paused ones count.
4. Where nothing else is left, what is paused is dropped (`gateway.pauses`), so that it holds nobody up: its worker is
   told, and once that has confirmed, there is nothing unfinished. The answer goes on from its tokens when it can.
5. Else Fenced.

Jobs that wait for the model stay in the queue and count as wanting it. When its last unfinished job ends while a fence
stands or memory is short, control is woken by Idle.

`is_off` is for a bench that shows what the key is for: Fenced is said whatever is unfinished.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from control import messages

if TYPE_CHECKING:
    from control.table import RowControl
    from gateway.dispatcher import Dispatcher


class SecondKey:
    def __init__(self, dispatcher: Dispatcher) -> None:
        self.d = dispatcher
        self.is_off = False
        self.fences_seen: dict[str, int] = {}  # by slug: the newest that was seen standing
        self._newest_control = 0

    def hear(self, control_epoch: int) -> None:
        """Some control process spoke."""
        self._newest_control = max(self._newest_control, control_epoch)

    def forget_control(self) -> None:
        """The table was made anew, so epochs begin anew: by a clock that was set back they may be smaller."""
        self._newest_control = 0

    def see(self, slug: str, row: RowControl) -> None:
        """A row was read; a fence may stand on it."""
        if row.fence_id != row.fence_cleared:
            self.fences_seen[slug] = max(row.fence_id, self.fences_seen.get(slug, 0))
            self.d.counters.touched.add(slug)

    def on_fence(self, fence: messages.Fence, now: float) -> None:
        unfinished = self._unfinished(fence, now)
        about = (messages.VERSION, self.d.epoch, fence.slug, fence.incarnation, fence.fence)
        self.d.effects.to_control(
            messages.Fenced(*about) if unfinished is None else messages.GateBusy(*about, unfinished))  # 5

    def _unfinished(self, fence: messages.Fence, now: float) -> int | None:
        """None: nothing, and the gate is shut."""
        words = self.d.effects.read_control()
        self.hear(max(fence.control_epoch, words.epoch if words is not None else 0))
        row = self.d.effects.read_row(fence.slug)
        if row is None or fence.control_epoch < self._newest_control or row.incarnation != fence.incarnation or (
                row.fence_id != fence.fence or row.fence_cleared >= fence.fence):
            return 0  # 1
        self.see(fence.slug, row)
        if self.is_off:
            return None
        self.d.shut_gate(fence.slug)  # 2
        self.d.pauses.drop_wanted(fence.slug, now)  # 4
        unfinished = self.d.admission.unfinished_on(fence.slug)
        held = sum(bool(request.worker) and request.ticket.target == fence.slug for request in self.d.requests.values())
        assert held == unfinished, f"{held} jobs of {fence.slug} are held and {unfinished} counted"
        return unfinished or None  # 3

    def on_job_left(self, slug: str) -> None:
        """A job that was sent has ended or came back."""
        if self.d.admission.unfinished_on(slug):
            return
        row, words = self.d.effects.read_row(slug), self.d.effects.read_control()
        if (row is not None and row.fence_id != row.fence_cleared) or (words is not None and words.pressure_level):
            self.d.effects.to_control(messages.Idle(messages.VERSION, slug))
