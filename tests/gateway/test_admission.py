"""The rules of admission, one by one, as tables and short stories on a hand-moved clock."""

import pytest

from control.states import Priority
from gateway.admission import Admission, Limits, Queued, QueuedDisplacing, QueueFull
from tests.support.admission_door import Door

HIGH, MEDIUM, LOW = Priority


def test_three_chats_and_five_tasks() -> None:
    """BEHAVIOUR 1: three chats and two tasks run, three tasks wait; a fourth chat goes before them."""
    door = Door()
    for priority in [MEDIUM] * 2 + [HIGH] * 3 + [MEDIUM] * 3:
        door.submit(priority)
    assert sorted(door.start()) == [1, 2, 3, 4, 5]
    assert door.admission.running == (3, 2, 0)
    assert door.admission.queued == (0, 3, 0)
    assert door.submit(HIGH) == Queued(position=0)
    assert door.end(3) == [9]
    assert door.end(4) == [6]


def test_sixty_at_once_then_a_chat() -> None:
    """Five run, fifty wait, five are refused; then a HIGH displaces the youngest MEDIUM and goes first."""
    door = Door()
    outcomes = door.submit_many(60)
    assert [type(outcome) for outcome in outcomes] == [Queued] * 55 + [QueueFull] * 5
    assert [outcome.position for outcome in outcomes[:55]] == [0] * 6 + list(range(1, 50))
    assert all(1.0 <= outcome.retry_after_s <= 120.0 for outcome in outcomes[55:])
    assert (door.admission.running, door.admission.queued) == ((0, 5, 0), (0, 50, 0))
    outcome = door.submit(HIGH)
    assert isinstance(outcome, QueuedDisplacing)
    assert (outcome.position, outcome.victim.id) == (0, 55)
    assert 1.0 <= outcome.retry_after_s <= 120.0
    assert door.admission.cancel(55) is None
    assert door.end(1) == [61]
    assert door.end(2) == [6]


@pytest.mark.parametrize(("waiting", "newcomer", "victim"), [
    ([MEDIUM, LOW, LOW, MEDIUM], HIGH, 3),  # the lowest class first, of it the youngest
    ([MEDIUM, LOW, LOW, MEDIUM], MEDIUM, 3),
    ([MEDIUM, MEDIUM, HIGH, HIGH], HIGH, 2),
    ([MEDIUM, LOW, LOW, MEDIUM], LOW, None),  # nobody is below LOW
    ([MEDIUM, MEDIUM, MEDIUM, HIGH], MEDIUM, None),
    ([HIGH, HIGH, HIGH, HIGH], HIGH, None),
])
def test_who_is_displaced(waiting: list[Priority], newcomer: Priority, victim: int | None) -> None:
    door = Door(places=0, max_queued=4)
    for priority in waiting:
        door.submit(priority)
    outcome = door.submit(newcomer)
    assert (outcome.victim.id if isinstance(outcome, QueuedDisplacing) else None) == victim
    assert isinstance(outcome, QueueFull) == (victim is None)
    assert door.admission.queued_total == 4


def test_retry_times_come_from_the_measured_rate_and_the_queue() -> None:
    door = Door(places=0, max_queued=10)
    for now in range(64):
        door.admission.rate.on_finish(float(now))
    door.now = 63.0
    door.submit_many(10, LOW)
    per_second = door.admission.rate.per_second(door.now)
    assert door.submit(LOW).retry_after_s == pytest.approx(11 / per_second)
    assert door.submit(HIGH).retry_after_s == pytest.approx(11 / per_second)  # for the displaced LOW


def test_a_full_queue_does_not_refuse_who_would_start_at_once() -> None:
    door = Door(max_queued=3)
    door.submit_many(3, target="loading")
    assert door.submit() == Queued(position=0)
    assert isinstance(door.submit(), QueueFull)  # now somebody else would start first
    assert door.start() == [4]
    assert door.admission.queued_total == 3


def test_a_queue_of_length_zero_still_runs_what_may_run() -> None:
    door = Door(max_queued=0, max_running=2)
    assert [type(outcome) for outcome in door.submit_many(3)] == [Queued, Queued, QueueFull]
    assert door.admission.running_total == 2


def test_who_waits_for_a_load_blocks_nobody() -> None:
    door = Door(max_running=2)
    door.submit_many(3, HIGH, target="loading")
    door.submit(LOW)
    assert door.start() == [4]
    door.admission.set_places("loading", 1)
    assert door.start() == [1]
    assert door.end(4) == []  # "loading" has one place, and it is taken
    assert door.end(1) == [2]


def test_places_are_a_limit_of_their_own() -> None:
    door = Door(places=2)
    door.submit_many(4)
    assert door.admission.running_on("m") == 2
    door.admission.set_places("m", 1)
    assert door.end(1) == []
    assert door.end(2) == [3]
    door.admission.set_places("m", 0)
    assert door.end(3) == []


def test_reserved_slots_are_for_high_only() -> None:
    door = Door(max_running=4, reserved_high=1)
    door.submit_many(2, LOW)
    door.submit_many(4, MEDIUM)
    assert door.admission.running == (0, 1, 2)
    door.submit_many(3, HIGH)
    assert door.admission.running == (1, 1, 2)
    assert door.end(1) == [8]
    assert door.end(7, 8) == [9, 4]


def test_low_is_ordered_as_medium_after_aging_but_counted_as_low() -> None:
    door = Door(max_running=1, aging_s=30.0)
    door.submit()
    assert door.start() == [1]
    door.submit(LOW, caller="low")
    assert door.admission.next_deadline() == 30.0
    door.now = 29.9
    door.submit(caller="a")
    assert door.end(1) == [3]
    door.now = 30.0
    door.submit(caller="b")
    door.submit(HIGH)
    assert door.admission.queued == (1, 1, 1)
    assert door.end(3) == [5]
    assert door.end(5) == [2]
    assert door.admission.running == (0, 0, 1)


def test_aged_low_is_safe_from_medium_but_not_from_high() -> None:
    door = Door(places=0, max_queued=2, aging_s=30.0)
    door.submit_many(2, LOW)
    door.now = 30.0
    assert isinstance(door.submit(MEDIUM), QueueFull)
    assert door.submit(HIGH).victim.id == 2


def test_fair_between_callers_forty_and_two() -> None:
    door = Door(max_running=1)
    for caller, count in (("a", 40), ("b", 2)):
        for _ in range(count):
            door.submit(caller=caller)
    assert door.serve_all()[:6] == [1, 41, 2, 42, 3, 4]


def test_one_caller_alone_is_first_in_first_out() -> None:
    door = Door(max_running=1)
    for _ in range(50):
        door.submit()
    assert door.serve_all() == list(range(1, 51))


def test_what_comes_back_goes_first_in_its_class_only() -> None:
    door = Door(max_running=3)
    door.submit_many(6)
    door.submit(HIGH)
    door.now = 8.0
    for number in (3, 1):
        door.admission.requeue(door.tickets[number], door.now)
    assert door.admission.running == (0, 1, 0)
    assert door.admission.waiting("m") == (1, 5, 0)
    assert door.admission.waiting_since("m")[1] == 0.0
    assert door.start() == [7, 1]
    assert door.end(2, 7, 1) == [3, 4, 5]


def test_what_comes_back_is_never_refused_by_the_queue_limit() -> None:
    door = Door(max_running=2, max_queued=3)
    door.submit_many(5)
    door.admission.set_places("m", 0)
    door.admission.requeue(door.tickets[1], door.now)
    assert door.admission.queued_total == 4
    assert isinstance(door.submit(), QueueFull)
    assert door.submit(HIGH).victim.id == 5
    assert door.admission.queued_total == 4


def test_low_that_aged_before_it_ran_comes_back_as_medium() -> None:
    door = Door(max_running=1, aging_s=30.0)
    door.submit(LOW)
    door.start()
    door.now = 31.0
    door.submit(MEDIUM)
    door.admission.requeue(door.tickets[1], door.now)
    assert door.admission.next_deadline() == 300.0  # no aging is to come
    assert door.start() == [1]


def test_cancel() -> None:
    door = Door(max_running=1)
    door.submit_many(3)
    assert [door.admission.cancel(number) for number in (1, 2, 2, 99)] == ["running", "queued", None, None]
    assert (door.admission.running_total, door.admission.queued_total) == (1, 1)
    assert door.end(1) == [3]


def test_expire_and_the_longest_deadline() -> None:
    door = Door(places=0, queue_deadline_s=300.0)
    door.submit(deadline=20.0)
    door.submit(deadline=10.0)
    door.submit(deadline=5_000.0)  # the limit is shorter
    assert door.admission.next_deadline() == 10.0
    assert [ticket.id for ticket in door.admission.expire(9.9)] == []
    assert [ticket.id for ticket in door.admission.expire(20.0)] == [2, 1]
    assert door.admission.next_deadline() == 300.0
    assert [ticket.id for ticket in door.admission.expire(300.0)] == [3]
    assert door.admission.next_deadline() is None
    assert door.admission.queued == (0, 0, 0)


def test_what_runs_does_not_expire_but_keeps_its_deadline_when_it_comes_back() -> None:
    door = Door()
    door.submit(deadline=10.0)
    door.start()
    assert door.admission.expire(20.0) == []
    door.admission.requeue(door.tickets[1], 20.0)
    assert door.admission.expire(20.0) == [door.tickets[1]]


def test_a_clock_gap_moves_deadlines_and_aging() -> None:
    """FAULTS 28: what slept with the machine survives, or times out once; running tickets are moved too."""
    door = Door(max_running=1, aging_s=30.0)
    door.submit(deadline=100.0)
    door.start()
    door.submit(LOW, deadline=50.0)
    door.submit(MEDIUM, deadline=40.0)
    door.admission.extend_deadlines(3600.0)
    assert door.admission.next_deadline() == 3630.0
    door.now = 3600.0
    door.submit(deadline=3610.0)
    assert door.admission.next_deadline() == 3610.0
    assert [ticket.id for ticket in door.admission.expire(3610.0)] == [4]
    assert door.admission.expire(3639.9) == []
    assert [ticket.id for ticket in door.admission.expire(3640.0)] == [3]
    assert [ticket.id for ticket in door.admission.expire(3650.0)] == [2]
    door.admission.requeue(door.tickets[1], 3650.0)
    assert door.admission.next_deadline() == 3700.0


def test_an_aged_ticket_stays_aged_over_a_clock_gap() -> None:
    door = Door(max_running=1, aging_s=30.0)
    door.submit(LOW)
    door.now = 30.0
    door.start()
    door.submit(MEDIUM)
    door.admission.extend_deadlines(100.0)
    door.admission.requeue(door.tickets[1], door.now)
    assert door.start() == [1]


def test_bugs_of_the_caller_raise_and_change_nothing() -> None:
    door = Door(max_running=1)
    door.submit_many(2)
    with pytest.raises(KeyError, match="ticket 2 holds no running place"):
        door.admission.finish(2)  # it waits
    with pytest.raises(KeyError):
        door.admission.requeue(door.tickets[2], door.now)
    with pytest.raises(ValueError, match="submitted before"):
        door.admission.submit(door.tickets[2], door.now)
    with pytest.raises(ValueError, match="places of m"):
        door.admission.set_places("m", -1)
    assert door.end(1) == [2]
    with pytest.raises(KeyError):
        door.admission.finish(1)  # given back twice
    with pytest.raises(ValueError, match="submitted before"):
        door.admission.submit(door.tickets[1], door.now)  # a ticket ends once
    assert (door.admission.running, door.admission.queued) == ((0, 1, 0), (0, 0, 0))


@pytest.mark.parametrize(("field", "value"), [
    ("max_running", 0), ("max_queued", -1), ("reserved_high", 5), ("reserved_high", -1)])
def test_limits_under_which_somebody_could_never_run_are_refused(field: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{field}: {value}"):
        Limits(**{field: value})


def test_read_side_of_what_is_not_there() -> None:
    admission = Admission(Limits())
    assert admission.running_on("nobody") == 0
    assert (admission.waiting("nobody"), admission.waiting_since("nobody")) == ((0, 0, 0), (None, None, None))
    with pytest.raises(KeyError):
        admission.position(1)


def test_position_counts_higher_classes_and_is_zero_while_it_runs() -> None:
    door = Door(max_running=1)
    door.submit_many(2, MEDIUM)
    door.submit(LOW)
    door.submit_many(2, HIGH)
    door.submit_many(2, HIGH, target="loading")
    assert [door.admission.position(number) for number in (1, 2, 3, 4, 5)] == [0, 2, 3, 0, 1]
    door.admission.set_places("loading", 1)
    assert [door.admission.position(number) for number in (1, 2, 3, 4, 5)] == [0, 4, 5, 0, 1]
