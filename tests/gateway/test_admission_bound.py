"""The bound on waiting: how many go before a LOW ticket, whoever comes, comes back or was paused."""

from hypothesis import given
from hypothesis import strategies as st

from control.states import Priority
from tests.support.admission_door import Door

_, MEDIUM, LOW = Priority


@given(max_queued=st.integers(2, 8), max_running=st.integers(1, 3), first=st.lists(st.booleans(), max_size=8),
       then=st.lists(st.booleans(), max_size=4))
def test_low_is_served_within_its_bound_under_endless_medium(
        max_queued: int, max_running: int, first: list[bool], then: list[bool]) -> None:
    """True: a MEDIUM ticket of the LOW one's own caller; False: of a caller never seen before. One leaves a second."""
    door = Door(max_queued=max_queued, max_running=max_running, aging_s=10.0, queue_deadline_s=1e9)

    def fill(callers: list[bool], up_to: int) -> None:
        while door.admission.queued_total < up_to:
            number = len(door.tickets)
            own = bool(callers) and callers[number % len(callers)]
            door.submit(caller="own" if own else f"new {number}")

    running: list[int] = []
    while len(running) < max_running:
        fill(first, 1)
        running += door.start()
    fill(first, max_queued - 1)
    door.submit(LOW, caller="own")
    low, bound = door.tickets[len(door.tickets)], None
    while low.place is not None:
        door.now += 1.0
        fill(then, max_queued)
        if bound is None and low.place.kind is MEDIUM:
            own_waiting = sum(t.place is not None and t.caller == "own" for t in door.tickets.values()) - 1
            bound = (own_waiting + 2) * max_queued
        if bound is not None:
            bound -= 1
            assert bound >= 0, "overtaken too often"
        running += door.end(running.pop(0))
    assert door.admission.running[LOW] == 1
