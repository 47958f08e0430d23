"""Fair tags: rounds between callers, FIFO for each of them, no charge for what was not taken, bounded memory."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.fairness import IDLE_CALLERS_MAX, FairOrder

STEP = 1 / 50


class Served:
    """The tickets of one class in a plain list, taken in the order that the tags say."""

    def __init__(self, step: float = STEP) -> None:
        self.fair = FairOrder(step)
        self.waiting: list[tuple[float, int, str]] = []
        self.arrivals = 0

    def enter(self, caller: str, tickets: int = 1) -> None:
        for _ in range(tickets):
            self.arrivals += 1
            self.waiting.append((self.fair.enter(caller), self.arrivals, caller))

    def take(self) -> str:
        first = min(self.waiting)
        self.waiting.remove(first)
        self.fair.take(first[2], first[0])
        return first[2]

    def leave(self, index: int) -> None:
        tag, _, caller = self.waiting.pop(index)
        self.fair.leave(caller, tag)

    def take_all(self) -> str:
        return "".join(self.take() for _ in range(len(self.waiting)))


def test_two_tickets_are_not_behind_anothers_forty() -> None:
    queue = Served()
    queue.enter("a", 40)
    queue.enter("b", 2)
    assert queue.take_all() == "abab" + "a" * 38


def test_a_newcomer_joins_the_round_that_is_being_served() -> None:
    queue = Served()
    queue.enter("a", 40)
    assert [queue.take() for _ in range(5)] == ["a"] * 5
    queue.enter("b", 2)
    assert queue.take_all()[:5] == "babaa"


def test_who_was_served_alone_owes_no_more_than_a_round() -> None:
    queue = Served()
    queue.enter("a", 30)
    queue.take_all()
    queue.enter("a", 3)
    queue.enter("b", 3)
    assert queue.take_all() == "bababa"


def test_who_was_idle_for_long_has_no_credit() -> None:
    queue = Served()
    queue.enter("b")
    queue.enter("a", 30)
    for _ in range(20):
        queue.take()
    queue.enter("b", 10)
    assert queue.take_all()[:6] in ("bababa", "ababab")


def test_who_cancelled_everything_is_not_charged() -> None:
    queue = Served()
    queue.enter("b", 3)
    queue.enter("a", 40)
    for _ in range(40):
        queue.leave(3)
    queue.enter("a", 2)
    assert queue.take_all() == "babab"


def test_who_cancelled_the_youngest_is_not_charged_for_it() -> None:
    queue = Served()
    queue.enter("a", 1)
    queue.enter("b", 5)
    queue.enter("a", 4)
    for _ in range(4):
        queue.leave(-1)
    queue.enter("a", 1)
    assert queue.take_all() == "abbabbb"


def test_who_was_served_once_and_cancelled_the_rest_is_charged_for_one() -> None:
    queue = Served()
    queue.enter("a", 40)
    queue.take()
    for _ in range(39):
        queue.leave(0)
    queue.enter("b", 3)
    queue.enter("a", 2)
    assert queue.take_all() == "babab"


def test_cancelling_the_older_ones_lets_nobody_overtake_the_younger() -> None:
    queue = Served()
    queue.enter("a", 3)
    queue.leave(0)
    queue.leave(0)
    queue.enter("a", 1)
    (older, _, _), (newer, _, _) = queue.waiting
    assert older < newer


def test_endless_new_callers_do_not_starve_a_regular_one() -> None:
    queue = Served(step=1 / 10)
    queue.enter("regular", 3)
    taken = []
    for newcomer in range(40):
        while len(queue.waiting) < 10:
            queue.enter(f"new {newcomer} {queue.arrivals}")
        taken.append(queue.take())
    assert taken.count("regular") == 3
    assert taken.index("regular") == 0


def test_memory_is_bounded_when_every_ticket_has_its_own_caller() -> None:
    queue = Served(step=0.0)  # virtual time stands, so no record ever falls behind it
    for number in range(3 * IDLE_CALLERS_MAX):
        queue.enter(f"caller {number}")
        queue.take()
    assert queue.fair.records == IDLE_CALLERS_MAX


def test_records_behind_virtual_time_are_forgotten() -> None:
    queue = Served()
    for number in range(100):
        queue.enter(f"caller {number}")
        queue.take()
    assert queue.fair.records <= 51  # a round is 50 tickets here
    queue.enter("last", 3)
    queue.take_all()
    assert queue.fair.records == 1


def test_who_was_never_served_leaves_no_record() -> None:
    queue = Served()
    queue.enter("kept")
    queue.take()
    queue.enter("gone")
    queue.leave(0)
    assert queue.fair.records == 1
    assert queue.fair.callers_waiting == 0


moves = st.lists(st.one_of(st.tuples(st.just("enter"), st.sampled_from("ab")),
                           st.tuples(st.just("leave"), st.integers(0, 100)),
                           st.just(("take", None))), max_size=60)


@given(moves)
def test_each_caller_is_fifo_whatever_leaves(script: list) -> None:
    queue = Served()
    for move, value in script:
        if move == "enter":
            queue.enter(value)
        elif queue.waiting and move == "leave":
            queue.leave(value % len(queue.waiting))
        elif queue.waiting:
            mine = {caller: arrival for _, arrival, caller in reversed(queue.waiting)}
            first = min(queue.waiting)
            assert first[1] == mine[first[2]], "an older ticket of the same caller waits"
            queue.take()
        assert queue.fair.callers_waiting == len({caller for _, _, caller in queue.waiting})


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 20))
def test_two_callers_who_always_wait_are_served_alike(a_more: int, b_more: int, taken_before: int) -> None:
    """However much each of them brings at a time, over a common stretch their shares differ by one round at most."""
    queue = Served()
    queue.enter("a", 25)
    for _ in range(taken_before):
        queue.take()
    queue.enter("b", b_more)
    shares = {"a": 0, "b": 0}
    for _ in range(60):
        shares[queue.take()] += 1
        for caller, more in (("a", a_more), ("b", b_more)):
            if all(waits != caller for _, _, waits in queue.waiting):
                queue.enter(caller, more)
    assert abs(shares["a"] - shares["b"]) <= 2
