"""What cannot be had at the moment, so that whoever asks for it is answered at once and not at a deadline.

1. A model that an operator holds, that is quarantined, or whose last process did not give its memory back; one without
   a process while supervisord, which alone starts processes, does not answer.
2. A model that can never be loaded: the least it needs is more than all models together may have, which is the ceiling
   less what processes that ended did not give back. One that is loaded all the same goes on serving.
3. A class that control has closed because memory is short. That word is believed only while control's heartbeat is
   fresh. Who waits already goes on waiting; `gateway.admission` starts nothing of the class.

Facts come from the table, read anew each time: nothing here can be out of date.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from control.states import HAS_PROCESS, Phase, Priority, is_fresh
from gateway import waiting
from gateway.refusal import Refusal

if TYPE_CHECKING:
    from control.table import ControlWords, RowControl
    from gateway.dispatcher import Dispatcher

GIB = 1024**3
NS = 1_000_000_000
ARITHMETIC = "needs"  # how the reason of a row begins that says these numbers itself
UNAVAILABLE = {
    Phase.HELD: "is held: an operator stopped it; `warden ctl start worker-{slug}` brings it back",
    Phase.QUARANTINED: "is quarantined: {reason}",
    Phase.LEAK_SUSPECTED: "cannot be loaded: the memory of its last process did not come back; a reboot frees it",
}
IN_MEMORY = (Phase.LOADING, Phase.READY, Phase.DRAINING)


class Availability:
    def __init__(self, dispatcher: Dispatcher) -> None:
        self.d = dispatcher

    def _name(self, slug: str) -> str:
        return self.d.config.by_slug[slug].name

    # -- models ----------------------------------------------------------------------------------------------

    def why_not(self, slug: str, now: float) -> Refusal | None:
        """Why a request for this model is hopeless now, or None."""
        if slug == self.d.library.leaving:
            return Refusal("model_unavailable", f"{self._name(slug)} is being deleted")
        row, control = self.d.effects.read_row(slug), self.d.effects.control_of_turn()
        if row is None:
            return None
        if row.phase in UNAVAILABLE:
            return self._not_now(slug, row, now)
        if control is None:
            return None
        most_bytes = max(0, control.ceiling_bytes - control.leaked_bytes)
        if control.ceiling_bytes and row.need_bytes > most_bytes and not self._is_in_memory(slug, row):
            return self._never(slug, row, most_bytes)
        if row.phase not in HAS_PROCESS and control.supervisord_is_silent:
            return Refusal("model_unavailable", f"{self._name(slug)} is not loaded, and nothing can be loaded: "
                           "supervisord does not answer; run `warden down`, then `warden up`")
        return None

    def _not_now(self, slug: str, row: RowControl, now: float) -> Refusal:  # 1
        state = self.d.desk.states.get(slug)
        known = state is not None and state.phase == row.phase
        reason = state.reason if known else self.d.effects.read_reason(slug) or "its log says why"
        text = UNAVAILABLE[Phase(row.phase)].format(slug=slug, reason=reason)
        wait_s = max(0.0, row.backoff_until_ns / NS - now) if row.phase == Phase.QUARANTINED else 0.0
        return Refusal("model_unavailable", f"{self._name(slug)} {text}", wait_s)

    def _never(self, slug: str, row: RowControl, most_bytes: int) -> Refusal:  # 2
        reason = self.d.effects.read_reason(slug)
        if not reason.startswith(ARITHMETIC):
            numbers = (f"it needs at least {row.need_bytes / GIB:.2f} GiB, and all models together may have "
                       f"{most_bytes / GIB:.2f} GiB")
            reason = f"{numbers} ({reason})" if reason else numbers
        return Refusal("insufficient_memory", f"{self._name(slug)} can never be loaded here: {reason}")

    def _is_in_memory(self, slug: str, row: RowControl) -> bool:
        words = self.d.effects.read_worker(slug)
        same = words is not None and words.incarnation == row.incarnation
        return row.phase == Phase.ALIVE and same and words.phase in IN_MEMORY

    # -- classes ---------------------------------------------------------------------------------------------

    def closed_bits(self, now: float) -> int:
        """One bit for each class that starts nothing now (3). Never HIGH."""
        return closed_bits(self.d.effects.control_of_turn(), now)

    def why_closed(self, slug: str, priority: Priority, now: float) -> Refusal | None:
        """Why new work of this class is not begun, or None."""
        control = self.d.effects.control_of_turn()
        if not closed_bits(control, now) >> priority & 1:
            return None
        return Refusal(
            "memory_pressure", f"memory is at {control.pressure_permille / 10:g} %: no new work of priority "
            f"{priority.name.lower()} is begun until it falls; answers in flight go on",
            waiting.retry_after_s(self.d, slug, now))


def closed_bits(control: ControlWords | None, now: float) -> int:
    if control is None or not is_fresh(control.heartbeat_ns, int(now * NS)):
        return 0
    return control.overload & ~(1 << Priority.HIGH)
