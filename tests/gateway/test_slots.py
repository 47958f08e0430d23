"""Who holds a slot: the limits, and how many would have to give theirs up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.states import Priority
from gateway.slots import QUIET_S, Limits, Slots
from gateway.tickets import Ticket

HIGH, MEDIUM, LOW = Priority


def slots_with(*running: Priority, target: str = "a", places: int = 9, **limits: int) -> Slots:
    slots = Slots(Limits(**limits))
    slots.set_places(target, places, places)
    for number, priority in enumerate(running, 1):
        slots.running.add(Ticket(number, priority, target, "c", 0.0, 0.0))
    return slots


def test_a_paused_one_holds_neither_slot_nor_place():
    slots = slots_with(LOW, LOW, max_running=2, places=2)
    assert not slots.has_slot(HIGH, called_back=False) and not slots.has_place("a", HIGH, resumes=False)
    low = slots.running.find(2)
    slots.running.remove(low)
    slots.paused.add(low)
    assert slots.has_slot(HIGH, called_back=False) and slots.has_place("a", HIGH, resumes=False)
    assert (slots.paused.by_class, slots.paused.on["a"], slots.running.on["a"]) == ([0, 0, 1], 1, 1)


def test_who_is_not_there_cannot_be_found():
    with pytest.raises(KeyError, match="ticket 7 holds no paused place"):
        slots_with().paused.find(7)


def test_a_model_that_begins_nothing_may_still_take_back_what_was_paused():
    slots = slots_with()
    slots.set_places("a", 0, 2)
    assert not slots.is_open("a") and not slots.has_place("a", HIGH, resumes=False)
    assert slots.has_place("a", LOW, resumes=True)


def test_at_a_held_target_nothing_below_high_goes():
    slots = slots_with()
    slots.held.add("a")
    assert slots.has_place("a", HIGH, resumes=False)
    assert not slots.has_place("a", MEDIUM, resumes=False) and not slots.has_place("a", LOW, resumes=True)


def test_who_gives_way_to_nobody_leaves_the_last_slot_and_place_to_high_while_high_is_about():
    slots = slots_with(HIGH, LOW, LOW, max_running=4)
    assert slots.leaves_one("a"), "two of four can still be paused"
    for number in (2, 3):
        low = slots.running.find(number)
        slots.running.remove(low)
        low.spent = True
        slots.running.add(low)
    assert slots.leaves_one("a"), "HIGH is not about"
    slots.see_high(0, 10.0)
    assert not slots.leaves_one("a"), "one of HIGH runs"
    slots.running.remove(slots.running.find(1))
    slots.see_high(0, 10.0 + QUIET_S / 2)
    assert slots.leaves_one("a"), "two slots are left"
    slots.set_places("a", 3, 3)
    assert not slots.leaves_one("a") and slots.leaves_one("b")
    slots.set_places("a", 0, 3)
    assert slots.leaves_one("a"), "nothing of HIGH can come to it"
    slots.set_places("a", 3, 3)
    slots.see_high(0, 10.0 + QUIET_S)
    assert slots.leaves_one("a")


def test_two_must_go_where_one_that_was_called_back_stands_beside_the_others():
    slots = slots_with(LOW, LOW, MEDIUM, max_running=2)
    assert slots.slots_missing(called_back=False) == 2
    assert slots_with(HIGH, HIGH, max_running=2).slots_missing(called_back=False) == 1, "more than there are"


@given(running=st.lists(st.sampled_from(Priority), max_size=6), max_running=st.integers(1, 5), back=st.booleans(),
       reserved=st.integers(0, 4))
def test_what_is_missing_is_the_least_that_helps(running, max_running, back, reserved):
    slots = slots_with(*running, max_running=max_running, reserved_high=min(reserved, max_running - 1))
    missing = slots.slots_missing(called_back=back)
    others = [ticket for ticket in list(slots.running.by_id.values()) if ticket.priority is not HIGH]
    for gone in range(min(missing, len(others))):
        assert not slots.has_slot(HIGH, called_back=back), f"{gone} would do"
        slots.running.remove(others.pop())
    assert slots.has_slot(HIGH, called_back=back) == (missing <= len(running) - running.count(HIGH))


@given(places=st.integers(0, 4), running=st.integers(0, 4))
def test_places_missing(places, running):
    slots = slots_with(*[LOW] * running, max_running=9, places=places)
    assert slots.places_missing("a") == max(0, running + 1 - places)
    assert slots.has_place("a", LOW, resumes=False) == (not slots.places_missing("a"))
