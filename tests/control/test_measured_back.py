"""Memory counts as back when it is measured back: noise of others, leaks, leaks that come back, and a whole machine."""

from hypothesis import given
from hypothesis import strategies as st

from control.measured_back import (
    BACK_WITHIN_S,
    ENOUGH,
    SMALL_BYTES,
    Outcome,
    Stopped,
    decide_back,
    look,
    still_leaked_bytes,
)

MIB = 1024**2
GIB = 1024**3
ENDED_AT = 1_000.0
BEFORE = Stopped("m", 4 * GIB, 2 * GIB, 6 * GIB)


def outcome(stopped: Stopped, after_s: float = 0.0) -> Outcome:
    return decide_back(stopped, ENDED_AT, ENDED_AT + after_s).outcome


def test_enough_back_is_back_and_less_is_waited_for_and_then_leaked() -> None:
    for back, after_s, told in [(4 * GIB, 0, Outcome.BACK), (int(3.2 * GIB) + 1, 0, Outcome.BACK),
                                (int(3.2 * GIB) - 1, 0, Outcome.WAITING), (0, 14.9, Outcome.WAITING),
                                (0, BACK_WITHIN_S, Outcome.LEAKED), (4 * GIB, 3_600, Outcome.BACK)]:
        assert outcome(look(BEFORE, 2 * GIB + back, 6 * GIB), after_s) is told, (back, after_s)


def test_a_verdict_says_how_much_and_what_to_do() -> None:
    verdict = decide_back(look(BEFORE, 3 * GIB, 6 * GIB), ENDED_AT, ENDED_AT + BACK_WITHIN_S)
    assert verdict == (Outcome.LEAKED, "only 1.0 GiB of 4.0 GiB came back within 15 s of its end; if it stays so, "
                                       "restart the machine", 3 * GIB)
    assert decide_back(BEFORE, ENDED_AT, ENDED_AT) == (Outcome.WAITING, "0 MiB of 4.0 GiB came back so far", 0)
    assert decide_back(look(BEFORE, 6 * GIB, 6 * GIB), ENDED_AT, ENDED_AT) == \
        (Outcome.BACK, "4.0 GiB of 4.0 GiB came back", 0)


def test_little_memory_is_back_without_a_look() -> None:
    small = BEFORE._replace(footprint_bytes=SMALL_BYTES - 1)
    assert decide_back(small, ENDED_AT, ENDED_AT + 60) == (Outcome.BACK, "63 MiB are too little to be measured", 0)
    assert still_leaked_bytes(small, 0, 0) == 0
    assert outcome(BEFORE._replace(footprint_bytes=SMALL_BYTES + 1), 60) is Outcome.LEAKED


def test_what_another_worker_took_meanwhile_does_not_hide_what_came_back() -> None:
    assert outcome(look(BEFORE, 3 * GIB, 9 * GIB)) is Outcome.BACK  # of the 4 GiB, it took 3 at once


def test_what_another_worker_gave_back_does_not_count_for_this_one() -> None:
    assert outcome(look(BEFORE, 6 * GIB, 2 * GIB), BACK_WITHIN_S) is Outcome.LEAKED


def test_the_most_that_any_reading_showed_counts() -> None:
    seen = look(look(BEFORE, 6 * GIB, 6 * GIB), 1 * GIB, 6 * GIB)  # back, and a program of others took it at once
    assert outcome(seen, 60) is Outcome.BACK
    seen = look(BEFORE, 1 * GIB, 6 * GIB)
    assert (seen.back_bytes, outcome(seen), outcome(look(seen, 6 * GIB, 6 * GIB))) == \
        (0, Outcome.WAITING, Outcome.BACK)


def test_readings_are_not_mixed() -> None:
    """Available memory of one moment and others' footprints of another would show 4 GiB that never were."""
    another_gave_two = look(BEFORE, 4 * GIB, 4 * GIB)
    seen = look(another_gave_two, 2 * GIB, 8 * GIB)  # it took four, of which only two were its own
    assert seen.back_bytes == 2 * GIB


def test_a_leak_that_comes_back_later_is_found() -> None:
    leak = look(BEFORE, 3 * GIB, 6 * GIB)
    assert decide_back(leak, ENDED_AT, ENDED_AT + 20).leaked_bytes == leak.missing_bytes == 3 * GIB
    assert still_leaked_bytes(leak, 3 * GIB, 6 * GIB) == 3 * GIB
    assert still_leaked_bytes(leak, 4 * GIB, 6 * GIB) == 2 * GIB
    assert still_leaked_bytes(leak, 1 * GIB, 11 * GIB) == 0  # back, and already taken by other workers
    assert still_leaked_bytes(leak, 0, 0) == 3 * GIB  # a bad reading does not make it larger


SIZES = st.integers(64, 4_096).map(lambda mib: mib * MIB)


@given(st.lists(st.tuples(SIZES, st.booleans()), min_size=1, max_size=4), st.lists(SIZES, max_size=3), st.data())
def test_workers_that_leave_together_have_their_leaks_in_the_books_once(leaving, staying, data) -> None:
    """On a machine without other programs the books hold what leaked, but for what is too little to be seen."""
    total = 64 * GIB
    before_available = total - sum(size for size, _ in leaving) - sum(staying)
    stops = [Stopped(str(number), size, before_available,
                     sum(other for place, (other, _) in enumerate(leaving) if place != number) + sum(staying))
             for number, (size, _) in enumerate(leaving)]
    leaked = sum(size for size, leaks in leaving if leaks)
    living = sum(data.draw(st.integers(0, 2 * size)) for size in staying)  # those that stay go on as they like
    available = total - leaked - living
    judged: set[int] = set()
    for _ in range(4):
        for number in data.draw(st.permutations(range(len(stops)))):
            books = sum(stops[other].missing_bytes for other in judged if other != number)
            stops[number] = look(stops[number], available, living + books)
            judged.add(number)
    unseen = sum(max((1 - ENOUGH) * size, SMALL_BYTES) for size, _ in leaving)
    missing = sum(stop.missing_bytes for stop in stops)
    assert leaked - unseen <= missing <= leaked + unseen
    if not leaked:
        assert missing == 0
