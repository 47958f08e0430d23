"""Who waits, runs, is paused or turned away. The one place that decides it; it knows tickets, not requests.

Theory
------
A ticket (`gateway.tickets`) is one request's wish for a place at its target (a model). It ends in exactly one way:
refused at submit, displaced, cancelled or expired while it waits, or taken by `next` and finished. Between `next` and
its end it may be paused and taken again. Here is the choice; `gateway.slots` counts who holds what, `gateway.queue`
keeps those who wait in order, `gateway.fairness` makes it fair between callers; `gateway.preemption`: who is paused.

Order (the numbers stand again in the code)
1. Only *eligible* tickets count: their target has a free place. Who waits for a load holds a queue place, no slot,
   and blocks nobody.
2. Strict by class among those: HIGH, MEDIUM, LOW. Others than HIGH hold at most `max_running - reserved_high` slots.
3. A LOW ticket that waited `aging_s` is ordered as MEDIUM, for good, never as HIGH. It is still counted as LOW.
4. In a class, first what came back (`requeue`) or was paused: it had its turn already and lost it without its fault.
   By arrival.
5. Then fair between callers, ties by arrival. One caller alone is plain FIFO.
   One slot more than there are is kept for who was called back: its parent waits for it, and holds up others.
6. A class may be closed (memory is short): its tickets wait on. An aged one needs both MEDIUM and LOW open. Never HIGH,
   and never what was paused: it gives memory back by ending.

Queue limit
7. A newcomer that would start at once is not refused: it takes no queue place from anybody.
8. A full queue: a newcomer displaces the youngest ticket of the lowest class below its own (classes as in 3), but none
   that has begun its answer.
9. If there is none, it is refused, with the time after which it should come back.

Paused
10. A paused ticket holds no slot, no place and no place of the queue. It waits in front of its line (4) to be taken by
    `next` like any other; until then it does not expire and is not displaced. One that is *parked* (cancelled, or on
    its way back to the queue) is not taken. For one that may not be paused again see `gateway.slots` (4).

Guarantees
* Never more than `max_running` run, and one that was called back; never more than its places at a target when `next`
  hands a ticket out.
* `submit` never makes the queue longer than `max_queued`, but for the one ticket of (7), which `next` takes at once.
  What comes back may: refusing it would take back an answer already promised, and nothing new of its class and target
  is begun before it.
* Bounded waiting: under any load of MEDIUM tickets an eligible LOW one goes within `aging_s` and then (k + 2) *
  max(1, max_queued) further ones of MEDIUM and those that come back or resume, where k counts the tickets its own
  caller has in MEDIUM when it ages. Under endless HIGH work nothing bounds it but its deadline. What is paused goes
  before all of its class that never ran, and is not paused for ever (`gateway.pauses`): then it waits as others do.
* Each call costs O(log waiting + targets), amortised: aging and expiry are paid once for each ticket.

Refuses: to look at deadlines in `next` (call `expire` first), and to go on after a bug: a ticket submitted twice, or a
place given back twice, raises. Pure: `now` is monotonic seconds.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

from control.states import Priority
from gateway.queue import NEW, RESUMES_LAST, Place, Queue
from gateway.service_rate import ServiceRate
from gateway.slots import Counts, Limits, Slots
from gateway.tickets import Queued, QueuedDisplacing, QueueFull, Ticket

__all__ = ["Admission", "Counts", "Limits", "Queued", "QueuedDisplacing", "QueueFull", "Ticket"]


class Admission:
    """See the module. `rate` is what the retry times are worked out from; whoever finishes jobs feeds it."""

    def __init__(self, limits: Limits, rate: ServiceRate | None = None) -> None:
        self.limits = limits
        self.rate = rate if rate is not None else ServiceRate()
        self.slots = Slots(limits)
        self._tickets: dict[int, Ticket] = {}  # all that wait, run or are paused
        self._closed = 0  # one bit for each class
        self._queued = [0, 0, 0]  # by own class
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
        """A ticket that ran or was paused comes back: in front of its class (4), with its arrival and its deadline."""
        self.finish(ticket.id)
        self._enter(ticket, self._kind(ticket, now), came_back=True)

    def pause(self, ticket_id: int, now: float, *, last: bool = False) -> None:
        """One that runs (else KeyError) gives its slot up and waits to resume (10). `last`: it is not paused again."""
        ticket = self.slots.running.find(ticket_id)
        self.slots.running.remove(ticket)
        ticket.spent |= last
        self.slots.paused.add(ticket)
        self._queue.enter(ticket, self._kind(ticket, now), resumes=True)

    def park(self, ticket_id: int) -> None:
        """A paused ticket is not taken any more: it is finished later, or comes back. Raises KeyError, as `pause`."""
        if (place := self.slots.paused.find(ticket_id).place) is not None:
            self._queue.leave(place)

    def set_places(self, target: str, places: int, resume_places: int | None = None) -> None:
        """How many tickets `target` may hold at once from now on; 0: none (not READY, or its gate is shut).
        `resume_places`: for those that were paused there; None: the same.
        """
        self.slots.set_places(target, places, places if resume_places is None else resume_places)

    def set_closed(self, bits: int) -> None:
        """Which classes start nothing from now on (6): bit 1 << Priority for each."""
        if bits & 1 << Priority.HIGH:
            raise ValueError(f"bits {bits:#b} close HIGH, which is never closed")
        self._closed = bits

    # -- out -------------------------------------------------------------------------------------------------

    def next(self, now: float) -> Ticket | None:
        """Take the ticket that goes next and count it as running; None: nobody can start."""
        self._queue.age(now)  # (3)
        self.slots.see_high(self._queued[Priority.HIGH], now)
        place = self._choose()
        if place is None:
            return None
        ticket = place.ticket
        self._queue.leave(place, taken=True)
        if place.resumes:
            self.slots.paused.remove(ticket)
        else:
            self._queued[ticket.priority] -= 1
        self.slots.running.add(ticket)
        return ticket

    def finish(self, ticket_id: int) -> None:
        """One that runs or is paused has ended. Raises KeyError if it is neither: it was given back before."""
        if ticket_id in self.slots.paused.by_id:
            self.park(ticket_id)
            self.slots.paused.remove(self._tickets[ticket_id])
        else:
            self.slots.running.remove(self.slots.running.find(ticket_id))
        del self._tickets[ticket_id]

    def cancel(self, ticket_id: int) -> Literal["queued", "running", "paused"] | None:
        """Queued: it has left. Running, or paused and parked: `finish` it when the worker confirms. None: not known."""
        if ticket_id in self.slots.running.by_id:
            return "running"
        if ticket_id in self.slots.paused.by_id:
            self.park(ticket_id)
            return "paused"
        if ticket_id not in self._tickets:
            return None
        self._drop(self._tickets[ticket_id].place)
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
            if not line.inside or not self.slots.has_slot(line.kind, called_back=True):
                continue
            others_too = self.slots.has_slot(line.kind, called_back=False)
            place = line.first(partial(self._is_eligible, line.kind, others_too))  # (1), there (4), (5)
            if place is not None:
                return place
        return None

    def _is_eligible(self, kind: Priority, others_too: bool, target: str, own: Priority, called_back: bool,
                     standing: int) -> bool:
        """`others_too`: not only who was called back has a slot. The rest: its line and its lane."""
        resumes = standing != NEW
        is_open = resumes or not self._closed & (1 << kind | 1 << own)  # (6)
        may = is_open and (others_too or called_back) and self.slots.has_place(target, own, resumes=resumes)
        return may and (standing != RESUMES_LAST or self.slots.leaves_one(target))  # (10)

    def first_blocked(self, could: Callable[[str, bool], bool]) -> Ticket | None:
        """The HIGH ticket that only lacks a slot or a place, and of which `could` (target, called back) is true."""
        line = self._queue.lines[Priority.HIGH]
        place = line.first(lambda target, _, back, __: self.slots.is_open(target) and could(target, back))
        return place and place.ticket

    def _kind(self, ticket: Ticket, now: float) -> Priority:
        """The class a ticket is ordered in (3)."""
        return Priority.MEDIUM if ticket.ages_at <= now else ticket.priority

    def starts_at_once(self, ticket: Ticket, target: str, now: float) -> bool:
        """Would it, at this target? It waits elsewhere, or nowhere yet."""
        kind = self._kind(ticket, now)
        may = self.slots.has_slot(kind, called_back=ticket.called_back) and self._is_eligible(
            kind, True, target, ticket.priority, ticket.called_back, NEW)
        return may and ((first := self._choose()) is None or first.kind > kind)  # (7)

    def _choose_victim(self, newcomer: Priority) -> Place | None:
        lower = reversed(self._queue.lines[newcomer + 1:])
        return next((place for line in lower if (place := line.youngest()) is not None), None)  # (8)

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

    # -- read side -------------------------------------------------------------------------------------------

    @property
    def running(self) -> Counts:
        """By the tickets' own class, as `paused` and `queued`: an aged LOW one still counts as LOW."""
        return self.slots.running.counts

    @property
    def paused(self) -> Counts:
        return self.slots.paused.counts

    @property
    def queued(self) -> Counts:
        return tuple(self._queued)

    @property
    def running_total(self) -> int:
        return len(self.slots.running.by_id)

    @property
    def queued_total(self) -> int:
        return sum(self._queued)

    @property
    def has_room(self) -> bool:
        """For one more to wait, without taking a place from anybody."""
        return self.queued_total < self.limits.max_queued

    def running_on(self, target: str) -> int:
        return self.slots.running.on.get(target, 0)

    def paused_on(self, target: str) -> int:
        return self.slots.paused.on.get(target, 0)

    def waiting(self, target: str) -> Counts:
        """How many HIGH, MEDIUM, LOW wait for `target`."""
        return self._queue.waiting(target)

    def waiting_since(self, target: str) -> tuple[float | None, float | None, float | None]:
        """Since when the oldest HIGH, MEDIUM, LOW waits for `target`; None: none waits."""
        return self._queue.waiting_since(target)

    def position(self, ticket_id: int) -> int:
        """About how many go before one that waits (`Line.ahead_of`); 0 if it does not. Raises KeyError if not known.

        Tickets for other targets that take nothing now are not counted: they block nobody.
        """
        if (place := self._tickets[ticket_id].place) is None:
            return 0

        def goes_before(target: str) -> bool:
            return target == place.ticket.target or self.slots.is_open(target)

        above = sum(line.count(goes_before) for line in self._queue.lines[:place.kind])
        return above + self._queue.lines[place.kind].ahead_of(place, goes_before)
