"""The third key of an eviction: whether this worker obeys control's Quit. It is asked last, and can always say no.

    VOID      not of the incarnation this process is, or not of the newest control process that welcomed it: no answer,
              since nobody waits for one. From the Report that answers a Welcome on, no older Quit can be obeyed.
    REFUSED   it has something to do, or it refused this fence before: Busy. A refused fence, and every smaller one,
              stays refused for ever, so that control may repeat a Quit whose answer it missed, and a delayed one that
              comes after the refusal stops nobody.
    OBEYED    empty-handed: Quitting, and the process exits 0. Said again if asked again.

Something to do is a job in hand (accepted, its last output not handed on), a load, or anything inside the engine. The
last says more than the first only while the engine has not yet let go of a job that was cancelled or whose gateway is
gone. No answer is lost with such a job; but its step still runs, and a process should not leave in the middle of one,
and where the two counts differ this worker does not know what it has, which reads as busy. Such a step is over within
about a second; if it never ends, `RowWorker.active` shows the job, and control sees a worker without progress.

Pure. The state is the largest fence refused.
"""

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from control.messages import Quit


class Turn(Enum):
    VOID = "void"
    REFUSED = "refused"
    OBEYED = "obeyed"


class Verdict(NamedTuple):
    """`reason`: why it is void or refused, for people."""

    turn: Turn
    reason: str = ""


class Hands(NamedTuple):
    """What a worker has to do: `jobs` in hand, `held` jobs inside the engine, `loading`."""

    jobs: int
    held: int
    loading: bool

    def why_busy(self) -> str:
        """"" if empty-handed."""
        if self.jobs:
            return f"{self.jobs} jobs"
        if self.loading:
            return "loading"
        return f"the engine has not let go of {self.held} jobs" if self.held else ""


class ThirdKey:
    """`switched_off`: every Quit that is not void is obeyed. For a bench that shows what is lost then."""

    def __init__(self, switched_off: bool = False) -> None:
        self.switched_off = switched_off
        self.refused_fence = 0

    def decide_quit(self, order: "Quit", incarnation: int, control_epoch: int, hands: Hands) -> Verdict:
        """`incarnation` is this worker's, `control_epoch` the newest that welcomed it (0: none of this table)."""
        if order.incarnation != incarnation or not incarnation:
            return Verdict(Turn.VOID, f"of incarnation {order.incarnation}; this is {incarnation}")
        if order.control_epoch != control_epoch or not control_epoch:
            return Verdict(Turn.VOID, f"of control epoch {order.control_epoch}; the newest is {control_epoch}")
        if self.switched_off:
            return Verdict(Turn.OBEYED)
        busy = hands.why_busy()
        if not busy and order.fence <= self.refused_fence:
            busy = f"fence {self.refused_fence} was refused before"
        if busy:
            self.refused_fence = max(self.refused_fence, order.fence)
            return Verdict(Turn.REFUSED, busy)
        return Verdict(Turn.OBEYED)
