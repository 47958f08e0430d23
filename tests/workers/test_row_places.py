"""workers/row_places.py: the order of those that wait, and what pauses tell, with rows that are nothing but a job."""

from dataclasses import dataclass, field

from control.states import Priority
from workers.engine import EngineJob
from workers.row_places import RowPlaces

HIGH, MEDIUM, LOW = Priority.HIGH, Priority.MEDIUM, Priority.LOW


@dataclass
class Row:
    number: int
    priority: int = MEDIUM
    kept: bool = True
    resumed: bool = False
    paused_s: float = 0.0
    skipped_s: list[float] = field(default_factory=list)

    @property
    def key(self):
        return (self.number, 1)

    @property
    def job(self):
        return EngineJob(self.key, priority=self.priority)

    def skip_time(self, paused_s):
        self.skipped_s.append(paused_s)


def order(places: RowPlaces) -> list[int]:
    return [row.number for row in places.waiting]


def test_the_higher_class_joins_first_and_in_a_class_who_was_paused_and_then_who_came_first():
    places = RowPlaces()
    back = Row(9, LOW)
    places.enter(back, 5)
    places.pause(places.leave(5), 0.0)
    for number, priority in ((1, LOW), (2, MEDIUM), (3, LOW), (4, HIGH), (5, MEDIUM), (6, HIGH)):
        places.wait(Row(number, priority))
    places.resume((9, 1), 1.0)
    assert order(places) == [4, 6, 2, 5, 9, 1, 3]


def test_a_row_is_in_one_place_at_a_time():
    places, row = RowPlaces(), Row(1)
    assert row.key not in places and not places.forget(row.key)
    places.wait(row)
    assert row.key in places and places.active == 1
    places.waiting.remove(row)
    places.enter(row, 5)
    places.leaving[5] = [1]
    assert row.key in places and places.active == 1 and places.uids == {row.key: 5}
    assert places.leave(5) is row and row.key not in places and not places.leaving
    places.pause(row, 0.0)
    assert row.key in places and places.active == 0
    assert places.forget(row.key) and row.key not in places
    places.wait(row)
    places.clear()
    assert row.key not in places


def test_pauses_are_told_once_and_again_when_asked_again():
    places = RowPlaces()
    places.wait(Row(1, kept=False))
    places.pause_waiting((1, 1), 0.0)
    places.pause_waiting((2, 1), 0.0)
    assert places.take_paused() == [((1, 1), False)] and not places.take_paused() and not places.waiting
    places.pause_waiting((1, 1), 1.0)
    assert places.take_paused() == [((1, 1), False)] and places.paused[1, 1].paused_s == 0.0


def test_the_time_of_a_pause_is_skipped():
    places, row = RowPlaces(), Row(1)
    places.wait(row)
    places.pause_waiting(row.key, 10.0)
    places.resume(row.key, 12.5)
    places.resume(row.key, 13.0)
    assert row.skipped_s == [2.5] and row.resumed
