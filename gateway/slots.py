"""Who holds a slot, who was paused, and whether one more may go: the counts behind `gateway.admission`.

1. At most `max_running` hold a slot; others than HIGH at most `max_running - reserved_high`. One slot more than there
   are is kept for who was called back: its parent waits for it, and holds up others.
2. At a target at most as many as it has places. Whoever resumes has places of its own to look at: a model that ends
   what it has, and begins nothing, still takes back what was paused there.
3. At a target that is *held* nothing below HIGH goes: a HIGH job waits there for memory, and gets it first.
4. What may not be paused again does not take the last slot, or the last place at a target, within QUIET_S of HIGH: the
   next of HIGH would have to wait for it. Who can be paused takes it instead. This binds it only while it is paused,
   which has an end (`gateway.preemption`, 9): what was dropped goes in its turn.
5. A paused ticket holds neither slot nor place. It is counted until it holds one again or has ended.

Each call costs O(1). Pure.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from control.states import Priority

if TYPE_CHECKING:
    from gateway.tickets import Ticket

Counts = tuple[int, int, int]  # high, medium, low
QUIET_S = 2.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Raises ValueError, naming field and limit, if nobody but HIGH, or nobody at all, could ever run."""

    max_running: int = 5
    max_queued: int = 50
    reserved_high: int = 0
    aging_s: float = 30.0
    queue_deadline_s: float = 300.0

    def __post_init__(self) -> None:
        if self.max_running < 1:
            raise ValueError(f"max_running: {self.max_running}; must be at least 1")
        if self.max_queued < 0:
            raise ValueError(f"max_queued: {self.max_queued}; must be at least 0")
        if not 0 <= self.reserved_high < self.max_running:
            raise ValueError(f"reserved_high: {self.reserved_high}; must be 0..max_running - 1")


class Holders:
    """The tickets in one of the two states, by id, and how many of each class and at each target."""

    __slots__ = ("by_class", "by_id", "firm_on", "name", "on")

    def __init__(self, name: str) -> None:
        self.name = name
        self.by_id: dict[int, Ticket] = {}
        self.by_class = [0, 0, 0]
        self.on: dict[str, int] = defaultdict(int)
        self.firm_on: dict[str, int] = defaultdict(int)  # of those, who gives way to nobody

    def add(self, ticket: Ticket) -> None:
        self.by_id[ticket.id] = ticket
        self.by_class[ticket.priority] += 1
        self.on[ticket.target] += 1
        self.firm_on[ticket.target] += ticket.spent or ticket.priority is Priority.HIGH

    @property
    def counts(self) -> Counts:
        return tuple(self.by_class)

    def find(self, ticket_id: int) -> Ticket:
        """Raises KeyError if it is not here."""
        if ticket_id not in self.by_id:
            raise KeyError(f"ticket {ticket_id} holds no {self.name} place")
        return self.by_id[ticket_id]

    def remove(self, ticket: Ticket) -> None:
        del self.by_id[ticket.id]
        self.by_class[ticket.priority] -= 1
        self.on[ticket.target] -= 1
        self.firm_on[ticket.target] -= ticket.spent or ticket.priority is Priority.HIGH


class Slots:
    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.running, self.paused = Holders("running"), Holders("paused")
        self.held: set[str] = set()  # targets (3)
        self._high_at, self._is_quiet = -inf, True
        self._places: dict[str, int] = {}
        self._resume_places: dict[str, int] = {}

    def set_places(self, target: str, places: int, resume_places: int) -> None:
        """Raises ValueError for less than none."""
        if min(places, resume_places) < 0:
            raise ValueError(f"places of {target}: {places}, {resume_places}; must be at least 0")
        self._places[target], self._resume_places[target] = places, resume_places

    # -- may one more go -------------------------------------------------------------------------------------

    def has_slot(self, kind: Priority, *, called_back: bool) -> bool:
        """`kind`: the class it is ordered in."""
        return self._fits(kind, called_back, 0)

    def slots_missing(self, *, called_back: bool) -> int:
        """How many others must give theirs up before one of class HIGH fits; all of them and one, if that is too few.

        It may be two: one that was called back stands in the slot beside the others only while they fill theirs.
        """
        others = sum(self.running.by_class[Priority.MEDIUM:])
        return next((fewer for fewer in range(others + 1) if self._fits(Priority.HIGH, called_back, fewer)), others + 1)

    def _fits(self, kind: Priority, called_back: bool, fewer: int) -> bool:
        """(1), if so many of MEDIUM and LOW were gone."""
        high, medium, low = self.running.by_class
        others, most = medium + low - fewer, self.limits.max_running - self.limits.reserved_high
        slots = self.limits.max_running + (called_back or others > most)  # the one more takes no slot from HIGH
        return high + others < slots and (kind is Priority.HIGH or others < most + called_back)

    def has_place(self, target: str, own: Priority, *, resumes: bool) -> bool:
        """Of `own` class."""
        places = self._resume_places if resumes else self._places
        if target in self.held and own is not Priority.HIGH:
            return False  # 3
        return self.running.on.get(target, 0) < places.get(target, 0)  # 2

    def see_high(self, waiting: int, now: float) -> None:
        """So many of HIGH wait. To be asked in each turn."""
        if waiting or self.running.by_class[Priority.HIGH]:
            self._high_at = now
        self._is_quiet = now - self._high_at >= QUIET_S

    def leaves_one(self, target: str) -> bool:
        """May one more that gives way to nobody go to `target`? (4)"""
        places, firm = self._places.get(target, 0), self.running.firm_on
        if self._is_quiet:
            return True
        if places and firm.get(target, 0) + 1 >= places:
            return False
        return sum(firm.values()) + 1 < self.limits.max_running

    def places_missing(self, target: str) -> int:
        """How many must leave it before one more fits."""
        return max(0, self.running.on.get(target, 0) + 1 - self._places.get(target, 0))

    def is_open(self, target: str) -> bool:
        """Does it take anything new?"""
        return self._places.get(target, 0) > 0
