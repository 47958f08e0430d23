"""Who waits, who runs, who is turned away. The one place that decides it; it knows tickets, not requests.

Theory
------
A ticket (`gateway.tickets`) is one request's wish for a place at its target (a model). It ends in exactly one way:
refused at submit, displaced, cancelled or expired while it waits, or taken by `next` and finished. Here are the limits
and the choice; `gateway.queue` keeps those who wait in order, `gateway.fairness` makes it fair between callers.

Order (the numbers stand again in the code)
1. Only *eligible* tickets count: their target has a free place. Who waits for a load holds a queue place, no slot,
   and blocks nobody.
2. Strict by class among those: HIGH, MEDIUM, LOW. Others than HIGH hold at most `max_running - reserved_high` slots.
3. A LOW ticket that waited `aging_s` is ordered as MEDIUM, for good, never as HIGH. It is still counted as LOW.
4. In a class, first what came back (`requeue`): it had its turn already and lost it without its fault. By arrival.
5. Then fair between callers, ties by arrival. One caller alone is plain FIFO.
   One slot more than there are is kept for who was called back: its parent waits for it, and holds up others.
6. A class may be closed (memory is short): its tickets wait on. An aged one needs both MEDIUM and LOW open. Never HIGH.

Queue limit
7. A newcomer that would start at once is not refused: it takes no queue place from anybody.
8. A full queue: a newcomer displaces the youngest ticket of the lowest class below its own (classes as in 3).
9. If there is none, it is refused, with the time after which it should come back.

Guarantees
* Never more than `max_running` run, and one that was called back; never more than its places at a target when `next`
  hands a ticket out.
* `submit` never makes the queue longer than `max_queued`, but for the one ticket of (7), which `next` takes at once.
  What comes back may: refusing it would take back an answer already promised, and there are at most `max_running`.
* Bounded waiting: under any load of MEDIUM tickets an eligible LOW one goes within `aging_s` and then (k + 2) *
  max(1, max_queued) further ones of MEDIUM and those that come back, where k counts the tickets its own caller has in
  MEDIUM when it ages. Under endless HIGH work nothing bounds it but its deadline.
* Each call costs O(log waiting + targets), amortised: aging and expiry are paid once for each ticket.

Refuses: to stop what runs (see preemption, later), to look at deadlines in `next` (call `expire` first), and to go on
after a bug: a ticket submitted twice, or a place given back twice, raises. Pure: `now` is monotonic seconds.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Literal

from control.states import Priority
from gateway.queue import Place, Queue
from gateway.service_rate import ServiceRate
from gateway.tickets import Queued, QueuedDisplacing, QueueFull, Ticket

__all__ = ["Admission", "Limits", "Queued", "QueuedDisplacing", "QueueFull", "Ticket"]

Counts = tuple[int, int, int]  # high, medium, low


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


class Admission:
    """See the module. `rate` is what the retry times are worked out from; whoever finishes jobs feeds it."""

    def __init__(self, limits: Limits, rate: ServiceRate | None = None) -> None:
        self.limits = limits
        self.rate = rate if rate is not None else ServiceRate()
        self._tickets: dict[int, Ticket] = {}  # all that wait or run
        self._places: dict[str, int] = {}  # by target
        self._closed = 0  # one bit for each class
        self._running_on: dict[str, int] = defaultdict(int)  # by target
        self._running, self._queued = [0, 0, 0], [0, 0, 0]  # by own class
        self._queue = Queue(step=1 / max(1, limits.max_queued))
        self._arrivals = 0

    # -- in --------------------------------------------------------------------------------------------------

    def submit(self, ticket: Ticket, now: float) -> Queued | QueuedDisplacing | QueueFull:
        """Let a new ticket wait, if there is room. Its deadline becomes at most `queue_deadline_s` from now."""
        if ticket.seq or ticket.id in self._tickets:
            raise ValueError(f"ticket {ticket.id} was submitted before")
        self._queue.age(now)  # (3)
        self._arrivals += 1
        ticket.seq = self._arrivals
        if ticket.priority is Priority.LOW:
            ticket.ages_at = ticket.arrived + self.limits.aging_s
        kind, victim = self._kind(ticket, now), None
        if self.queued_total >= self.limits.max_queued and not self.starts_at_once(ticket, ticket.target, now):
            victim = self._choose_victim(kind)
            if victim is None:
                return QueueFull(self._retry_after_s(kind, now))  # (9)
            self._drop(victim)
        ticket.deadline = min(ticket.deadline, now + self.limits.queue_deadline_s)
        self._enter(ticket, kind)
        position = self.position(ticket.id)
        if victim is None:
            return Queued(position)
        return QueuedDisplacing(position, victim.ticket, self._retry_after_s(victim.kind, now))

    def requeue(self, ticket: Ticket, now: float) -> None:
        """A ticket that ran comes back unserved: in front of its class (4), with its arrival and its deadline."""
        self._free_place(ticket.id)
        self._enter(ticket, self._kind(ticket, now), came_back=True)

    def set_places(self, target: str, places: int) -> None:
        """How many tickets `target` may hold at once from now on; 0: none (not READY, or its gate is shut)."""
        if places < 0:
            raise ValueError(f"places of {target}: {places}; must be at least 0")
        self._places[target] = places

    def set_closed(self, bits: int) -> None:
        """Which classes start nothing from now on (6): bit 1 << Priority for each."""
        if bits & 1 << Priority.HIGH:
            raise ValueError(f"bits {bits:#b} close HIGH, which is never closed")
        self._closed = bits

    # -- out -------------------------------------------------------------------------------------------------

    def next(self, now: float) -> Ticket | None:
        """Take the ticket that goes next and count it as running; None: nobody can start."""
        self._queue.age(now)  # (3)
        place = self._choose()
        if place is None:
            return None
        ticket = place.ticket
        self._queue.leave(place, taken=True)
        self._queued[ticket.priority] -= 1
        self._running[ticket.priority] += 1
        self._running_on[ticket.target] += 1
        return ticket

    def finish(self, ticket_id: int) -> None:
        """Give a running place back. Raises KeyError if this ticket holds none: it was given back before."""
        self._free_place(ticket_id)

    def cancel(self, ticket_id: int) -> Literal["queued", "running"] | None:
        """Queued: it has left. Running: nothing changed, `finish` it when the worker confirms. None: not known."""
        ticket = self._tickets.get(ticket_id)
        if ticket is None:
            return None
        if ticket.place is None:
            return "running"
        self._drop(ticket.place)
        return "queued"

    def expire(self, now: float) -> list[Ticket]:
        """Remove and return the tickets whose deadline in the queue has come, the earliest first."""
        self._queue.age(now)  # (3)
        expired = []
        while (place := self._queue.late(now)) is not None:
            self._drop(place)
            expired.append(place.ticket)
        return expired

    def next_deadline(self) -> float | None:
        """When time alone gives `expire` or `next` something to do: a deadline, or a LOW ticket that ages."""
        return self._queue.next_moment()

    def extend_deadlines(self, seconds: float) -> None:
        """The machine slept that long and nobody could be served: deadlines and aging did not run meanwhile."""
        for ticket in self._tickets.values():
            ticket.deadline += seconds
            ticket.ages_at += seconds
        self._queue.watch_anew(ticket.place for ticket in self._tickets.values() if ticket.place is not None)

    # -- the decisions ---------------------------------------------------------------------------------------

    def _choose(self) -> Place | None:
        for line in self._queue.lines:  # (2)
            if not line.waiting or not self._is_open(line.kind) or not self._has_slot(line.kind, called_back=True):
                continue
            others_too = self._has_slot(line.kind, called_back=False)
            place = line.first(self._is_eligible if others_too else self._is_eligible_back)  # (1), there (4), (5)
            if place is not None:
                return place
        return None

    def _has_slot(self, kind: Priority, *, called_back: bool) -> bool:
        high, medium, low = self._running
        others, most = medium + low, self.limits.max_running - self.limits.reserved_high
        slots = self.limits.max_running + (called_back or others > most)  # the one more takes no slot from HIGH
        return high + others < slots and (kind is Priority.HIGH or others < most + called_back)  # (2)

    def _is_open(self, kind: Priority) -> bool:
        return not self._closed >> kind & 1  # (6)

    def _is_eligible(self, target: str, own: Priority, called_back: bool) -> bool:
        return self._is_open(own) and self._has_place(target)

    def _is_eligible_back(self, target: str, own: Priority, called_back: bool) -> bool:
        return called_back and self._is_eligible(target, own, called_back)

    def _has_place(self, target: str) -> bool:
        return self._running_on.get(target, 0) < self._places.get(target, 0)

    def _kind(self, ticket: Ticket, now: float) -> Priority:
        """The class a ticket is ordered in (3)."""
        return Priority.MEDIUM if ticket.ages_at <= now else ticket.priority

    def starts_at_once(self, ticket: Ticket, target: str, now: float) -> bool:
        """Would it, at this target? It waits elsewhere, or nowhere yet."""
        kind = self._kind(ticket, now)
        may = self._has_slot(kind, called_back=ticket.called_back) and self._is_open(kind) and self._is_eligible(
            target, ticket.priority, ticket.called_back)
        return may and self._choose() is None  # (7)

    def _choose_victim(self, newcomer: Priority) -> Place | None:
        for line in reversed(self._queue.lines[newcomer + 1:]):  # (8)
            if line.waiting:
                return line.youngest()
        return None

    def _retry_after_s(self, kind: Priority, now: float) -> float:
        """As if it came again as the last of its class."""
        return self.rate.retry_after_s(sum(line.waiting for line in self._queue.lines[:kind + 1]), 0.0, now)

    # -- bookkeeping -----------------------------------------------------------------------------------------

    def _enter(self, ticket: Ticket, kind: Priority, *, came_back: bool = False) -> None:
        self._tickets[ticket.id] = ticket
        self._queued[ticket.priority] += 1
        self._queue.enter(ticket, kind, came_back=came_back)

    def _drop(self, place: Place) -> None:
        """Its ticket leaves without running."""
        self._queue.leave(place)
        self._queued[place.ticket.priority] -= 1
        del self._tickets[place.ticket.id]

    def _free_place(self, ticket_id: int) -> None:
        ticket = self._tickets.get(ticket_id)
        if ticket is None or ticket.place is not None:
            raise KeyError(f"ticket {ticket_id} holds no running place")
        del self._tickets[ticket_id]
        self._running[ticket.priority] -= 1
        self._running_on[ticket.target] -= 1

    # -- read side -------------------------------------------------------------------------------------------

    @property
    def running(self) -> Counts:
        return tuple(self._running)

    @property
    def queued(self) -> Counts:
        """By the tickets' own class: an aged LOW one still counts as LOW."""
        return tuple(self._queued)

    @property
    def running_total(self) -> int:
        return sum(self._running)

    @property
    def queued_total(self) -> int:
        return sum(self._queued)

    @property
    def has_room(self) -> bool:
        """May one more wait, without taking a place from anybody?"""
        return self.queued_total < self.limits.max_queued

    def running_on(self, target: str) -> int:
        return self._running_on.get(target, 0)

    def waiting(self, target: str) -> Counts:
        """How many HIGH, MEDIUM, LOW wait for `target`."""
        return self._queue.waiting(target)

    def waiting_since(self, target: str) -> tuple[float | None, float | None, float | None]:
        """When the oldest HIGH, MEDIUM, LOW that waits for `target` arrived; None: none waits."""
        return self._queue.waiting_since(target)

    def position(self, ticket_id: int) -> int:
        """About how many go before a waiting ticket (`Line.ahead_of`); 0 if it runs. Raises KeyError if not known.

        Tickets for other targets that take nothing now are not counted: they block nobody.
        """
        place = self._tickets[ticket_id].place
        if place is None:
            return 0

        def goes_before(target: str) -> bool:
            return target == place.ticket.target or self._places.get(target, 0) > 0

        above = sum(line.count(goes_before) for line in self._queue.lines[:place.kind])
        return above + self._queue.lines[place.kind].ahead_of(place, goes_before)
