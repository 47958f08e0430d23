"""A class that is closed while memory is short: its tickets wait on, in their order, and all others go past them."""

import pytest

from control.states import Priority
from gateway.admission import Queued, QueueFull
from tests.support.admission_door import Door

HIGH, MEDIUM, LOW = Priority
CLOSED = {kind: 1 << kind for kind in Priority}


def test_a_closed_class_waits_and_goes_in_its_order_when_it_is_opened() -> None:
    door = Door()
    door.admission.set_closed(CLOSED[MEDIUM] | CLOSED[LOW])
    for priority in (MEDIUM, LOW, HIGH, MEDIUM):
        door.submit(priority)
    assert door.start() == [3]
    assert door.admission.queued == (0, 2, 1)
    door.admission.set_closed(0)
    assert door.start() == [1, 4, 2]


def test_what_runs_goes_on_and_what_comes_back_waits() -> None:
    door = Door(max_running=2)
    door.submit_many(2)
    door.admission.set_closed(CLOSED[MEDIUM])
    assert door.admission.running == (0, 2, 0)
    door.admission.requeue(door.tickets[1], door.now)
    assert door.start() == [] and door.admission.queued == (0, 1, 0)


def test_an_open_class_is_not_held_up_by_a_closed_one_above_it() -> None:
    door = Door()
    door.admission.set_closed(CLOSED[MEDIUM])
    door.submit(MEDIUM)
    door.submit(LOW)
    assert door.start() == [2]


@pytest.mark.parametrize("closed", [MEDIUM, LOW])
def test_an_aged_low_needs_its_own_class_and_medium_open(closed: Priority) -> None:
    door = Door(aging_s=10.0)
    door.admission.set_closed(CLOSED[MEDIUM] | CLOSED[LOW])
    door.submit(LOW)
    door.now = 11.0
    door.submit(MEDIUM)
    door.admission.set_closed(CLOSED[closed])
    assert door.start() == ([2] if closed is LOW else [])  # behind it in the line of MEDIUM, and not held up by it
    door.admission.set_closed(0)
    assert 1 in door.start()


def test_a_newcomer_of_a_closed_class_does_not_start_at_once_so_it_needs_a_queue_place() -> None:
    door = Door(max_queued=0, aging_s=0.0)
    door.admission.set_closed(CLOSED[MEDIUM])
    assert isinstance(door.submit(), QueueFull)
    assert isinstance(door.submit(LOW), QueueFull)  # which counts as MEDIUM at once here
    assert door.submit(HIGH) == Queued(position=0)


def test_high_is_never_closed() -> None:
    with pytest.raises(ValueError, match="HIGH"):
        Door().admission.set_closed(CLOSED[HIGH])
