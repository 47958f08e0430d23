"""Admission spoken to in short: tickets are named by number, the clock is moved by hand; what a model knows of one."""

from dataclasses import dataclass
from math import inf

from control.states import Priority
from gateway.admission import Admission, Limits, Queued, QueuedDisplacing, QueueFull, Ticket


class Door:
    """An `Admission` that is spoken to in numbers: tickets are named by their id, in order of arrival."""

    def __init__(self, places: int = 100, **limits: float) -> None:
        self.admission = Admission(Limits(**limits))
        self.admission.set_places("m", places)
        self.tickets: dict[int, Ticket] = {}
        self.now = 0.0

    def submit(self, priority: Priority = Priority.MEDIUM, *, target: str = "m", caller: str = "c",
               deadline: float = inf) -> Queued | QueuedDisplacing | QueueFull:
        number = len(self.tickets) + 1
        ticket = self.tickets[number] = Ticket(number, priority, target, caller, self.now, deadline)
        return self.admission.submit(ticket, self.now)

    def submit_many(self, count: int, priority: Priority = Priority.MEDIUM, **where: str) -> list:
        """Submit, and let run what may after each, as a dispatcher does. Returns the outcomes."""
        outcomes = []
        for _ in range(count):
            outcomes.append(self.submit(priority, **where))
            self.start()
        return outcomes

    def start(self) -> list[int]:
        started = []
        while (ticket := self.admission.next(self.now)) is not None:
            started.append(ticket.id)
        return started

    def end(self, *numbers: int) -> list[int]:
        """These finish; returns what starts in their place."""
        for number in numbers:
            self.admission.finish(number)
        return self.start()

    def serve_all(self) -> list[int]:
        """From the first to the last, one at a time; nothing must be running."""
        order = []
        while (ticket := self.admission.next(self.now)) is not None:
            order.append(ticket.id)
            self.admission.finish(ticket.id)
        return order


@dataclass
class Known:
    """What the model knows of one ticket that is in."""

    ticket: Ticket
    arrival: int
    deadline: float
    ages_at: float
    kind: Priority  # the class it is ordered in
    entered: int  # order of entering that class
    runs: bool = False
    came_back: bool = False
    paused: bool = False
    parked: bool = False
    begun: bool = False
    spent: bool = False
