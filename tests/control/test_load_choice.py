"""Who is loaded or started next: tables of facts, and what comes out."""

from math import inf

import pytest

from control.load_choice import Facts, Leave, Load, MakeRoom, Nothing, Room, Start, choose_beside, choose_next
from control.pressure_level import Level
from control.states import Phase

P = Phase
EMPTY_BYTES = 1


def row(slug, phase=P.DOWN, waiting=(0, 0, 0), *, loading=False, oldest=None, wanted="", at=0.0, used=0.0, needs=10,
        could_fit=True):
    return Facts(slug, phase, loading, waiting, oldest, wanted, at, used, needs, EMPTY_BYTES, could_fit)


def room(free=1000, level=Level.NORMAL, preload=True):
    return Room(free, level, preload)


@pytest.mark.parametrize("rows, kind, slug", [
    # 2: one load at a time, even for HIGH, and no process is started meanwhile
    ([row("a", P.LOADING, loading=True), row("b", P.EMPTY, (1, 0, 0))], Nothing, None),
    ([row("a", P.EMPTY, (0, 1, 0), loading=True), row("b", waiting=(1, 0, 0))], Nothing, None),
    # 3: the highest class, then the oldest wait; wishes without a request last
    ([row("a", waiting=(0, 9, 9)), row("b", waiting=(1, 0, 0))], Start, "b"),
    ([row("a", waiting=(0, 1, 0), oldest=50.0), row("b", waiting=(0, 1, 0), oldest=40.0)], Start, "b"),
    ([row("a", wanted="preload"), row("b", waiting=(0, 0, 1))], Start, "b"),
    ([row("a", wanted="preload"), row("b")], Start, "a"),
    # 3: an operator waits in MEDIUM, since he asked
    ([row("a", waiting=(0, 0, 1), oldest=1.0), row("b", wanted="an operator", at=5.0)], Start, "b"),
    ([row("a", waiting=(0, 1, 0), oldest=1.0), row("b", wanted="an operator", at=5.0)], Start, "a"),
    ([row("a", waiting=(0, 1, 0), oldest=9.0), row("b", wanted="an operator", at=5.0)], Start, "b"),
    # 3: passed over in backoff, when it could never fit, and while a stop of it is outstanding
    ([row("a", P.BACKOFF, (1, 0, 0)), row("b", P.EMPTY, (0, 0, 1))], Load, "b"),
    ([row("a", P.STOPPING, (1, 0, 0)), row("b", P.EMPTY, (0, 0, 1))], Load, "b"),
    ([row("a", P.EMPTY, (1, 0, 0), needs=5000, could_fit=False), row("b", P.EMPTY, (0, 0, 1))], Load, "b"),
    ([row("a", P.QUARANTINED, (1, 0, 0)), row("b", P.HELD, (1, 0, 0))], Nothing, None),
    ([row("a", P.READY, (3, 0, 0))], Nothing, None),
    # 4: loaded if empty, waited for while it starts
    ([row("a", P.EMPTY, (0, 1, 0))], Load, "a"),
    ([row("a", P.STARTING, (1, 0, 0)), row("b", P.EMPTY, (0, 0, 1))], Nothing, None),
])
def test_wanted_models(rows, kind, slug):
    choice = choose_next(rows, 0, room())
    assert isinstance(choice, kind) and choice.reason
    assert slug is None or choice.slug == slug


@pytest.mark.parametrize("head, free, kind", [
    (row("a", P.EMPTY, (0, 1, 0), oldest=7.0, needs=10), 10, Load),
    (row("a", P.EMPTY, (0, 1, 0), oldest=7.0, needs=10), 9, MakeRoom),
    (row("a", P.STARTING, (0, 1, 0), oldest=7.0, needs=10), 10, Nothing),
    (row("a", P.STARTING, (0, 1, 0), oldest=7.0, needs=10), 9, MakeRoom),
    (row("a", P.DOWN, (0, 1, 0), oldest=7.0, needs=10), EMPTY_BYTES, Start),
    (row("a", P.DOWN, (0, 1, 0), oldest=7.0, needs=10), EMPTY_BYTES - 1, MakeRoom),
    (row("a", P.DOWN, (0, 1, 0), oldest=7.0, needs=10), -5, MakeRoom),
])
def test_the_head_is_started_and_room_is_made_for_it(head, free, kind):
    choice = choose_next([row("other", P.EMPTY, (0, 0, 1), needs=1), head], 0, room(free))
    assert isinstance(choice, kind)
    if isinstance(choice, MakeRoom):
        assert choice[:4] == ("a", 10, 1, 7.0)


def test_room_is_made_while_another_one_loads():
    loading = row("a", P.LOADING, loading=True)
    for phase in (P.EMPTY, P.DOWN):
        choice = choose_next([loading, row("b", phase, (1, 0, 0), oldest=3.0, needs=50)], 0, room(40))
        assert isinstance(choice, MakeRoom) and choice.slug == "b"


def test_a_wait_of_which_nothing_is_known_has_not_begun():
    choice = choose_next([row("a", P.EMPTY, (0, 0, 1), needs=50)], 0, room(0))
    assert isinstance(choice, MakeRoom) and choice.since == inf


@pytest.mark.parametrize("others, free, beside, expected", [
    ([row("b", P.EMPTY, (0, 1, 0), needs=10)], 20, 15, Load("b", "1 waiting, the highest MEDIUM", 15)),
    ([row("b", P.EMPTY, (0, 1, 0), needs=10)], 12, 15, Load("b", "1 waiting, the highest MEDIUM", 12)),
    ([row("b", P.EMPTY, (0, 1, 0), needs=16)], 20, 15, None),  # it would take what the head waits for
    ([row("b", P.EMPTY, (0, 1, 0), needs=16)], 15, 20, None),  # nobody is evicted for it
    ([row("b", P.EMPTY, (0, 1, 0), needs=16), row("c", P.DOWN, (0, 0, 2), needs=15)], 20, 15,
     Start("c", "2 waiting, the highest LOW")),
    ([row("b", P.STARTING, (0, 1, 0), needs=10)], 20, 15, None),
    ([row("b", P.EMPTY, wanted="preload", needs=10)], 20, 15, None),  # preloads come after all requests
    ([row("b", P.LOADING, loading=True), row("c", P.EMPTY, (0, 1, 0), needs=1)], 20, 15, None),
])
def test_beside_a_head_that_waits_for_room(others, free, beside, expected):
    head = row("a", P.EMPTY, (1, 0, 0), oldest=1.0, needs=100)
    rows = [head, *others]
    assert isinstance(choose_next(rows, 3, room(free)), MakeRoom)
    choice = choose_beside(rows, "a", room(free), beside)
    assert choice == expected if expected else isinstance(choice, Nothing)


@pytest.mark.parametrize("level", [Level.CRITICAL, Level.EMERGENCY])
@pytest.mark.parametrize("wish", [
    row("a", P.EMPTY, (1, 0, 0), oldest=1.0), row("a", P.EMPTY, (1, 0, 0), oldest=1.0, needs=5000),
    row("a", waiting=(1, 0, 0)), row("a", P.EMPTY, wanted="an operator"), row("a", P.EMPTY, wanted="preload"), row("a"),
])
def test_nothing_begins_while_memory_is_critical(level, wish):
    assert isinstance(choose_next([wish], 1, room(level=level)), Nothing)


def test_what_somebody_waits_for_is_loaded_at_warn():
    assert isinstance(choose_next([row("a", P.EMPTY, (0, 0, 1))], 0, room(level=Level.WARN)), Load)


@pytest.mark.parametrize("rows, free, allowed, slug", [
    ([row("a", wanted="preload", needs=30), row("b", wanted="preload", needs=20)], 30, True, "a"),
    ([row("a", wanted="preload", needs=30), row("b", wanted="preload", needs=20)], 29, True, "b"),  # nobody makes room
    ([row("a", wanted="preload", needs=30), row("b", wanted="preload", needs=20)], 19, True, None),
    ([row("a", wanted="preload", needs=30)], 30, False, None),
    ([row("a", wanted="preload"), row("b", P.LOADING, loading=True)], 30, True, None),
])
def test_preload_goes_in_order_where_it_fits(rows, free, allowed, slug):
    choice = choose_next(rows, 0, room(free, preload=allowed))
    assert choice.slug == slug if slug else isinstance(choice, Nothing)


def test_a_preloaded_model_that_somebody_waits_for_is_a_request():
    wish = row("a", P.EMPTY, (0, 0, 1), wanted="preload")
    assert isinstance(choose_next([wish], 0, room(preload=False)), Load)


@pytest.mark.parametrize("rows, prewarm, slug", [
    ([row("a"), row("b", used=5.0)], 1, "b"),
    ([row("a"), row("b")], 1, "a"),
    ([row("a", P.EMPTY), row("b")], 1, None),
    ([row("a", P.STARTING), row("b")], 1, None),
    ([row("a", P.EMPTY), row("b")], 2, "b"),
    ([row("a", P.READY), row("b")], 1, "b"),
    ([row("a"), row("b")], 0, None),
    ([row("a", P.BACKOFF), row("b", P.HELD)], 1, None),
    ([row("a", used=9.0, could_fit=False), row("b")], 1, "b"),
    ([row("a", wanted="preload", needs=5000)], 1, "a"),  # its process fits, if not its model
])
def test_prewarm(rows, prewarm, slug):
    choice = choose_next(rows, prewarm, room())
    assert (choice.slug if isinstance(choice, Start) else None) == slug


@pytest.mark.parametrize("rows, prewarm, slug", [
    # who was used comes back: its process comes first, then the other leaves
    ([row("a", P.EMPTY), row("b", P.EMPTY, used=5.0)], 1, "a"),
    ([row("a", P.EMPTY, used=4.0), row("b", P.EMPTY, used=5.0), row("c", P.EMPTY)], 2, "c"),
    ([row("a", P.EMPTY, used=4.0), row("b", P.EMPTY, used=5.0), row("c", P.EMPTY, used=3.0)], 1, "c"),  # one at a time
    ([row("a", P.EMPTY), row("b", P.STARTING, used=5.0)], 1, None),  # not before the other is up
    ([row("a", P.EMPTY), row("b", P.EMPTY, used=5.0)], 2, None),
    # nobody's process that somebody wants, or that is not empty
    ([row("a", P.EMPTY, (0, 0, 1), needs=5000, could_fit=False), row("b", P.EMPTY, used=5.0)], 1, None),
    ([row("a", P.EMPTY, wanted="preload", needs=5000), row("b", P.EMPTY, used=5.0)], 1, None),
    ([row("a", P.STOPPING), row("b", P.EMPTY, used=5.0)], 1, None),
    ([row("a", P.READY), row("b", P.EMPTY, used=5.0)], 1, None),
    ([row("a", P.EMPTY)], 0, None),  # prewarming is off: nothing is judged by how likely it is
])
def test_7_a_spare_process_leaves_for_a_likelier_one(rows, prewarm, slug):
    choice = choose_next(rows, prewarm, room())
    assert (choice.slug if isinstance(choice, Leave) else None) == slug and choice.reason
    assert isinstance(choose_next(rows, prewarm, room(level=Level.WARN)), Nothing)


def test_7_a_likelier_one_is_started_beside_the_other_if_it_fits():
    rows = [row("a", P.EMPTY), row("b", used=5.0), row("c", P.EMPTY, used=4.0)]
    assert choose_next(rows, 1, room()) == Start("b", "prewarmed: the most recently used of those not loaded")
    assert choose_next(rows, 1, room(EMPTY_BYTES - 1)) == Leave("a", "c was used more recently, and is prewarmed "
                                                                "instead of it")


def test_nothing_is_prewarmed_where_it_does_not_fit_or_memory_is_short():
    assert isinstance(choose_next([row("a")], 1, room(EMPTY_BYTES)), Start)
    assert isinstance(choose_next([row("a")], 1, room(EMPTY_BYTES - 1)), Nothing)
    assert isinstance(choose_next([row("a")], 1, room(level=Level.WARN)), Nothing)


def test_nothing_is_prewarmed_while_somebody_waits_for_a_start():
    rows = [row("a", P.STARTING, (1, 0, 0)), row("b")]
    assert isinstance(choose_next(rows, 5, room()), Nothing)


@pytest.mark.parametrize("others, prewarm, free, slug", [
    ([row("b", waiting=(0, 1, 0), oldest=2.0), row("c", waiting=(0, 1, 0), oldest=3.0)], 2, 1000, "b"),
    ([row("b", P.STARTING, (0, 1, 0), oldest=2.0), row("c", waiting=(0, 1, 0), oldest=3.0)], 3, 1000, "c"),
    ([row("b", P.STARTING, (0, 1, 0), oldest=2.0), row("c", waiting=(0, 1, 0), oldest=3.0)], 2, 1000, None),  # enough
    ([row("b", waiting=(0, 1, 0), oldest=2.0)], 1, 1000, None),  # the head is the one that is kept warm
    ([row("b", waiting=(0, 1, 0), oldest=2.0)], 2, 10, None),  # the head needs all that is free
    ([row("b")], 2, 1000, None),  # nobody wants it
])
def test_2_processes_of_the_next_wanted_are_started_while_the_head_starts(others, prewarm, free, slug):
    head = row("a", P.STARTING, (0, 1, 0), oldest=1.0, needs=10)
    choice = choose_next([head, *others], prewarm, room(free))
    assert (isinstance(choice, Start) and choice.slug or None) == slug


def test_2_and_while_another_loads():
    rows = [row("a", P.LOADING, loading=True), row("b", waiting=(1, 0, 0), oldest=1.0, needs=10)]
    assert choose_next(rows, 1, room()) == Start("b", "1 waiting, the highest HIGH")
