"""The lines: order in a line, aging from one to the other, memory that stays bounded, positions as people read them."""

from math import inf

import pytest

from control.states import Priority
from gateway.admission import Ticket
from gateway.queue import SWEEP_SLACK, LazyHeap, Line, Place, Queue

HIGH, MEDIUM, LOW = Priority


class Standing:
    """A queue whose tickets are named by number; `open` are the targets that take something."""

    def __init__(self) -> None:
        self.queue = Queue(step=1 / 50)
        self.open = {"m"}
        self.tickets: dict[int, Ticket] = {}

    def enter(self, kind: Priority = MEDIUM, caller: str = "c", target: str = "m", *, tickets: int = 1,
              came_back: bool = False, called_back: bool = False, arrived: float = 0.0, deadline: float = inf) -> None:
        for _ in range(tickets):
            number = len(self.tickets) + 1
            ticket = Ticket(number, kind, target, caller, arrived, deadline, called_back=called_back)
            self.tickets[number] = ticket
            ticket.seq = number
            if kind is LOW:
                ticket.ages_at = arrived + 30.0
            self.queue.enter(ticket, kind, came_back=came_back)

    def is_open(self, target: str, _own: Priority, _called_back: bool, _resumes: bool) -> bool:
        return target in self.open

    def line(self, kind: Priority) -> Line:
        return self.queue.lines[kind]

    def take_all(self, kind: Priority) -> list[int]:
        taken = []
        while (place := self.line(kind).first(self.is_open)) is not None:
            self.queue.leave(place, taken=True)
            taken.append(place.ticket.id)
        return taken

    def ahead(self, number: int) -> int:
        place = self.tickets[number].place
        return self.line(place.kind).ahead_of(place, self.open.__contains__)


def test_a_line_is_taken_fairly_across_targets() -> None:
    standing = Standing()
    standing.open = {"m", "n"}
    standing.enter(caller="a", target="m", tickets=3)
    standing.enter(caller="b", target="n", tickets=3)
    assert standing.take_all(MEDIUM) == [1, 4, 2, 5, 3, 6]


def test_ties_between_targets_go_by_arrival() -> None:
    standing = Standing()
    standing.open = {"m", "n"}
    for caller, target in (("a", "n"), ("b", "m"), ("c", "n")):
        standing.enter(caller=caller, target=target)
    assert standing.take_all(MEDIUM) == [1, 2, 3]


def test_who_waits_for_a_shut_target_blocks_nobody_and_goes_first_when_it_opens() -> None:
    standing = Standing()
    standing.enter(caller="a", target="n", tickets=2)
    standing.enter(caller="b", target="m", tickets=2)
    assert standing.take_all(MEDIUM) == [3, 4]
    standing.enter(caller="c", target="m", tickets=1)
    standing.open.add("n")
    assert standing.take_all(MEDIUM) == [1, 2, 5]


def test_who_was_called_back_stands_in_the_same_order_in_a_lane_of_its_own() -> None:
    standing = Standing()
    for caller, called_back in (("a", False), ("b", True), ("c", False)):
        standing.enter(caller=caller, called_back=called_back)
    assert standing.line(MEDIUM).first(lambda _target, _own, called_back, _resumes: called_back).ticket.id == 2
    assert standing.take_all(MEDIUM) == [1, 2, 3]


def test_what_came_back_goes_in_front_by_arrival() -> None:
    standing = Standing()
    standing.enter(tickets=4)
    for number in (2, 1):
        standing.queue.leave(standing.tickets[number].place, taken=True)
    for number in (2, 1):
        standing.queue.enter(standing.tickets[number], MEDIUM, came_back=True)
    assert standing.take_all(MEDIUM) == [1, 2, 3, 4]


def test_a_ticket_may_come_back_many_times() -> None:
    """Dead places of the same ticket lie in the heaps with the same keys."""
    standing = Standing()
    standing.enter(tickets=3, deadline=9.0)
    for _ in range(5):
        standing.queue.leave(standing.tickets[2].place, taken=True)
        standing.queue.enter(standing.tickets[2], MEDIUM, came_back=True)
    assert standing.take_all(MEDIUM) == [2, 1, 3]


def test_low_moves_to_medium_when_its_time_came_and_stays_low_for_the_counts() -> None:
    standing = Standing()
    standing.enter(LOW, arrived=1.0)
    standing.enter(MEDIUM, caller="d")
    standing.queue.age(30.9)
    assert (standing.line(LOW).waiting, standing.line(MEDIUM).waiting) == (1, 1)
    standing.queue.age(31.0)
    assert (standing.line(LOW).waiting, standing.line(MEDIUM).waiting) == (0, 2)
    assert standing.queue.waiting("m") == (0, 1, 1)
    assert standing.queue.waiting_since("m") == (None, 0.0, 1.0)
    assert standing.queue.next_moment() == inf  # only deadlines are left, and there are none


def test_low_that_came_back_is_still_in_front_when_it_ages() -> None:
    standing = Standing()
    standing.enter(MEDIUM, caller="d", tickets=2)
    standing.enter(LOW, came_back=True)
    standing.queue.age(30.0)
    assert standing.take_all(MEDIUM) == [3, 1, 2]


def test_late_is_the_earliest_deadline_that_has_come() -> None:
    standing = Standing()
    for deadline in (30.0, 10.0, 20.0):
        standing.enter(deadline=deadline)
    assert standing.queue.next_moment() == 10.0
    assert standing.queue.late(9.9) is None
    late = []
    while (place := standing.queue.late(20.0)) is not None:
        standing.queue.leave(place)
        late.append(place.ticket.id)
    assert late == [2, 3]
    assert standing.queue.next_moment() == 30.0


def test_waiting_counts_a_target_and_knows_the_oldest_of_each_class() -> None:
    standing = Standing()
    standing.enter(HIGH, arrived=5.0)
    standing.enter(MEDIUM, arrived=3.0, tickets=2)
    standing.enter(LOW, arrived=1.0, target="n")
    assert (standing.queue.waiting("m"), standing.queue.waiting_since("m")) == ((1, 2, 0), (5.0, 3.0, None))
    assert (standing.queue.waiting("n"), standing.queue.waiting_since("n")) == ((0, 0, 1), (None, None, 1.0))
    assert standing.queue.waiting("unheard of") == (0, 0, 0)
    assert standing.queue.waiting_since("unheard of") == (None, None, None)
    standing.take_all(MEDIUM)
    assert (standing.queue.waiting("m"), standing.queue.waiting_since("m")) == ((1, 0, 0), (5.0, None, None))


def test_position_of_one_caller_is_exact() -> None:
    standing = Standing()
    standing.enter(tickets=6)
    assert [standing.ahead(number) for number in range(1, 7)] == [0, 1, 2, 3, 4, 5]
    standing.queue.leave(standing.line(MEDIUM).first(standing.is_open), taken=True)
    assert [standing.ahead(number) for number in range(2, 7)] == [0, 1, 2, 3, 4]


def test_position_of_callers_with_one_ticket_each_is_exact() -> None:
    standing = Standing()
    for number in range(6):
        standing.enter(caller=f"caller {number}")
    assert [standing.ahead(number) for number in range(1, 7)] == [0, 1, 2, 3, 4, 5]


def test_position_knows_that_two_are_not_behind_forty() -> None:
    standing = Standing()
    standing.enter(caller="a", tickets=40)
    standing.enter(caller="b", tickets=2)
    assert [standing.ahead(number) for number in (41, 42)] == [1, 3]


def test_position_of_who_came_back_is_in_front() -> None:
    standing = Standing()
    for caller in "abcd":
        standing.enter(caller=caller)
    standing.queue.leave(standing.tickets[1].place, taken=True)
    standing.queue.enter(standing.tickets[1], MEDIUM, came_back=True)
    assert standing.ahead(1) == 0


def test_position_does_not_count_who_waits_for_another_target_that_is_shut() -> None:
    standing = Standing()
    standing.enter(caller="a", target="n", tickets=5)
    standing.enter(caller="b", target="m", tickets=1)
    assert standing.ahead(6) == 0


def test_nothing_is_kept_of_those_who_left() -> None:
    standing = Standing()
    for number in range(1, 1001):
        standing.enter(LOW, caller=f"caller {number}", target=f"model {number % 7}")
        standing.queue.leave(standing.tickets[number].place)
    queue, line = standing.queue, standing.line(LOW)
    heaps = [queue._aging, queue._deadlines, line._youngest, *(h for hs in queue._by_target.values() for h in hs)]
    assert all(len(heap) <= SWEEP_SLACK and heap.live == 0 for heap in heaps)
    assert line._lanes == {}


@pytest.mark.parametrize("order", ["oldest", "youngest", "middle"])
def test_memory_is_bounded_however_places_die(order: str) -> None:
    heap, places = LazyHeap(), []
    for stamp in range(5_000):
        place = Place(None, MEDIUM, 0.0, stamp, 0, 0)
        heap.push(place, float(stamp))
        places.append(place)
        if len(places) > 20:
            place = places.pop({"oldest": 0, "youngest": -1, "middle": 10}[order])
            place.alive = False
            heap.on_death()
        assert len(heap) <= 2 * heap.live + SWEEP_SLACK
    assert heap.live == 20
    assert heap.first() is places[0]
