"""What is asked of admission, a ticket, and what admission answers. Pure: values only."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from control.states import Priority

if TYPE_CHECKING:
    from gateway.queue import Place


class Ticket:
    """One request's wish for a place. `deadline` is when it expires in the queue; both times are on `now`'s clock.

    `called_back`: asked on behalf of a request of ours that another server answers. `begun`: its caller has a part of
    the answer, so nobody else takes its place in the queue. `spent`: it was paused as often as may be.
    """

    __slots__ = ("ages_at", "arrived", "begun", "called_back", "caller", "deadline", "id", "place", "priority", "seq",
                 "spent", "target", "waits_since")

    def __init__(self, id: int, priority: Priority, target: str, caller: str, arrived: float, deadline: float, *,
                 called_back: bool = False) -> None:
        self.id = id
        self.priority = priority
        self.target = target
        self.caller = caller
        self.arrived = arrived
        self.deadline = deadline
        self.called_back = called_back
        self.begun = self.spent = False
        self.waits_since = arrived  # later for one that ran, if its time did not count as waiting
        self.ages_at = inf  # when it begins to count as MEDIUM; -inf: it does
        self.seq = 0  # order of arrival, given by submit
        self.place: Place | None = None  # where it waits; None while it runs, or is paused and may not resume


@dataclass(frozen=True, slots=True)
class Queued:
    """`position`: about how many go first."""

    position: int


@dataclass(frozen=True, slots=True)
class QueuedDisplacing:
    """`victim` left the queue for the newcomer; it should hear so and come back after `retry_after_s`."""

    position: int
    victim: Ticket
    retry_after_s: float


@dataclass(frozen=True, slots=True)
class QueueFull:
    retry_after_s: float
