"""Who waits, in which order: a line for each class, in it lanes of those who are alike to whoever asks who may go.

Theory
------
A ticket that waits has a *place* in the line of the class it is ordered in. In a line the smallest tag goes first, ties
by arrival; `gateway.fairness` gives the tags. A ticket that comes back unserved goes in front of all others of its
line, by arrival among its like, and pays no tag: it paid when it was taken. So does one that was paused and waits to
*resume*; it is in the line and nowhere else: it does not count as waiting, does not expire, and is nobody's victim.

A LOW ticket that waited until its `ages_at` moves to the line of MEDIUM, for good; everywhere else it stays LOW.

Who waits for a target that takes nothing keeps its tag while virtual time goes on, so when the target opens it goes
before those of its line who came later: it has waited longest.

Cost: each call O(log waiting + targets), amortised. Heaps delete lazily: a place that died is dropped when it comes up
or swept when dead ones are the most, so memory is at most twice the living plus `SWEEP_SLACK`, and a sweep is paid by
the deaths before it.

Refuses: to decide. Limits, slots and places at targets are `gateway.admission`'s. Pure: `now` in seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import heapify, heappop, heappush
from math import inf
from typing import TYPE_CHECKING

from control.states import Priority
from gateway.fairness import FairOrder

if TYPE_CHECKING:
    from gateway.admission import Ticket

SWEEP_SLACK = 64
CAME_BACK = -inf  # the tag of a ticket that came back
NEW, RESUMES, RESUMES_LAST = range(3)  # the last: it was paused as often as may be
Lane = tuple[str, Priority, bool, int]  # what decides whether it may go: target, own class, called back, one of these


class Place:
    """A ticket's place in a line; dead as soon as the ticket left it."""

    __slots__ = ("alive", "behind", "kind", "lane", "left", "stamp", "tag", "ticket")

    def __init__(self, ticket: Ticket, kind: Priority, tag: float, stamp: int, behind: int, left: int,
                 lane: Lane | None = None) -> None:
        self.ticket = ticket
        self.kind = kind  # the class it is ordered in
        self.lane = lane
        self.tag = tag
        self.stamp = stamp  # no two places have the same
        self.behind = behind  # how many waited in the line when it came
        self.left = left  # how many had ever left the line then
        self.alive = True

    @property
    def resumes(self) -> bool:
        return self.lane[-1] != NEW

    def goes_before(self, other: Place) -> bool:
        """In the same line: the smaller tag, ties by arrival."""
        return self.tag < other.tag or (self.tag == other.tag and self.ticket.seq < other.ticket.seq)


class LazyHeap:
    """Places, the smallest key first."""

    __slots__ = ("_items", "live")

    def __init__(self) -> None:
        self._items: list[tuple] = []
        self.live = 0

    def __len__(self) -> int:
        """Entries in memory, dead ones too."""
        return len(self._items)

    def push(self, place: Place, *key: float) -> None:
        heappush(self._items, (*key, place.stamp, place))  # stamps differ, so places are never compared
        self.live += 1

    def first(self) -> Place | None:
        items = self._items
        while items and not items[0][-1].alive:
            heappop(items)
        return items[0][-1] if items else None

    def on_death(self) -> None:
        """One of the places inside has died."""
        self.live -= 1
        if len(self._items) > 2 * self.live + SWEEP_SLACK:
            self._items = [item for item in self._items if item[-1].alive]
            heapify(self._items)


class Line:
    """The waiting tickets that are ordered in one class."""

    __slots__ = ("_lanes", "_left", "_youngest", "fair", "inside", "kind", "waiting")

    def __init__(self, kind: Priority, step: float) -> None:
        self.kind = kind
        self.fair = FairOrder(step)
        self._lanes: dict[Lane, LazyHeap] = {}  # only with somebody in it
        self._youngest = LazyHeap()  # of those whose place another may take
        self._left = 0
        self.inside = self.waiting = 0  # all; without those who resume

    def enter(self, ticket: Ticket, stamp: int, *, came_back: bool = False, resumes: bool = False) -> Place:
        """`stamp` is new for each place. One that came back or resumes goes in front, by arrival among its like."""
        in_front = came_back or resumes
        tag = CAME_BACK if in_front else self.fair.enter(ticket.caller)
        standing = RESUMES_LAST if resumes and ticket.spent else RESUMES if resumes else NEW
        key = (ticket.target, ticket.priority, ticket.called_back, standing)
        place = Place(ticket, self.kind, tag, stamp, 0 if in_front else self.inside, self._left, key)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = LazyHeap()
        lane.push(place, tag, ticket.seq)
        self.inside += 1
        self.waiting += not resumes
        if not (resumes or ticket.begun):
            self._youngest.push(place, -ticket.seq)
        return place

    def leave(self, place: Place, *, taken: bool = False) -> None:
        """The ticket left the line; `taken`: to run."""
        ticket = place.ticket
        place.alive = False
        lane = self._lanes[place.lane]
        lane.on_death()
        if not lane.live:
            del self._lanes[place.lane]
        if not (place.resumes or ticket.begun):
            self._youngest.on_death()
        self.inside -= 1
        self.waiting -= not place.resumes
        self._left += 1
        if place.tag != CAME_BACK:
            (self.fair.take if taken else self.fair.leave)(ticket.caller, place.tag)

    def first(self, is_eligible: Callable[[str, Priority, bool, int], bool]) -> Place | None:
        """The place that goes next among the lanes that are eligible, which is asked with what a `Lane` is made of."""
        best = None
        for key, lane in self._lanes.items():
            if is_eligible(*key):
                place = lane.first()
                if best is None or place.goes_before(best):
                    best = place
        return best

    def youngest(self) -> Place | None:
        """The last to arrive of those whose place another may take."""
        return self._youngest.first()

    def count(self, is_counted: Callable[[str], bool]) -> int:
        """How many wait for the targets that are counted."""
        return sum(lane.live for (target, *_), lane in self._lanes.items() if is_counted(target))

    def ahead_of(self, place: Place, is_counted: Callable[[str], bool]) -> int:
        """About how many of this line go before `place`: the least of three estimates.

        All others at the targets that are counted; those who were there when it came, less those who left (exact for
        one caller; too low by those who came later and left first); one ticket of each caller for each round until its
        own (never too low).
        """
        callers = max(1, self.fair.callers_waiting)
        rounds = max(0, int(max(place.tag, self.fair.virtual_time) - self.fair.virtual_time))
        return max(0, min(self.count(is_counted) - 1, place.behind - (self._left - place.left),
                          (rounds + 1) * callers - 1))


class Queue:
    """The three lines, and what time does to those who stand in them."""

    __slots__ = ("_aging", "_by_target", "_deadlines", "_stamps", "lines")

    def __init__(self, step: float) -> None:
        self.lines = tuple(Line(kind, step) for kind in Priority)
        self._by_target: dict[str, tuple[LazyHeap, ...]] = {}  # by the tickets' own class, the oldest first
        self._aging, self._deadlines = LazyHeap(), LazyHeap()
        self._stamps = 0

    def enter(self, ticket: Ticket, kind: Priority, *, came_back: bool = False, resumes: bool = False) -> None:
        """The ticket begins to wait, ordered in class `kind`."""
        if kind is not ticket.priority:
            ticket.ages_at = -inf  # for good
        self._stamps += 1
        place = ticket.place = self.lines[kind].enter(ticket, self._stamps, came_back=came_back, resumes=resumes)
        self._watch(place)
        if resumes:
            return
        by_class = self._by_target.get(ticket.target)
        if by_class is None:
            by_class = self._by_target[ticket.target] = tuple(LazyHeap() for _ in Priority)
        by_class[ticket.priority].push(place, ticket.waits_since)

    def leave(self, place: Place, *, taken: bool = False) -> None:
        """The ticket waits no longer; `taken`: it runs."""
        ticket = place.ticket
        self.lines[place.kind].leave(place, taken=taken)
        ticket.place = None
        if place.kind is Priority.LOW:
            self._aging.on_death()
        if not place.resumes:
            self._deadlines.on_death()
            self._by_target[ticket.target][ticket.priority].on_death()

    def age(self, now: float) -> None:
        """Move the LOW tickets that waited long enough to the line of MEDIUM."""
        while (place := self._aging.first()) is not None and place.ticket.ages_at <= now:
            self.leave(place)
            self.enter(place.ticket, Priority.MEDIUM, came_back=place.tag == CAME_BACK, resumes=place.resumes)

    def late(self, now: float) -> Place | None:
        """The place with the earliest deadline, if that has come."""
        place = self._deadlines.first()
        return place if place is not None and place.ticket.deadline <= now else None

    def next_moment(self) -> float | None:
        """The next deadline or aging."""
        expires, ages = self._deadlines.first(), self._aging.first()
        moments = [expires.ticket.deadline] if expires else []
        return min(moments + ([ages.ticket.ages_at] if ages else []), default=None)

    def watch_anew(self, places: Iterable[Place]) -> None:
        """Deadlines and aging times of these, all that wait, were changed."""
        self._aging, self._deadlines = LazyHeap(), LazyHeap()
        for place in places:
            self._watch(place)

    def _watch(self, place: Place) -> None:
        if not place.resumes:
            self._deadlines.push(place, place.ticket.deadline)
        if place.kind is Priority.LOW:
            self._aging.push(place, place.ticket.ages_at)

    def waiting(self, target: str) -> tuple[int, int, int]:
        """How many HIGH, MEDIUM, LOW wait for `target`."""
        heaps = self._by_target.get(target)
        return tuple(heap.live for heap in heaps) if heaps else (0, 0, 0)

    def waiting_since(self, target: str) -> tuple[float | None, float | None, float | None]:
        """Since when the oldest HIGH, MEDIUM, LOW waits for `target`; None: none waits."""
        heaps = self._by_target.get(target)
        firsts = [heap.first() for heap in heaps] if heaps else [None] * len(Priority)
        return tuple(place.ticket.waits_since if place is not None else None for place in firsts)
