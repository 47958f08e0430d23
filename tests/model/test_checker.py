"""The checker on models small enough to see through: a cup that is filled and emptied, and a road with a dead end."""

import pytest

from tests.model.checker import STUCK, Model, TooLarge, search


def fill(cup: int) -> list[tuple[str, int]]:
    return [("a sip is poured", cup + 1)] if cup < 5 else []


def drink(cup: int) -> list[tuple[str, int]]:
    return [("the cup is emptied", 0)] if cup else []


def nothing(_: object) -> list:
    return []


def cup(**changes) -> Model:
    return Model(0, fill, drink, {})._replace(**changes)


def test_every_state_is_looked_at_once():
    verdict = search(cup())
    assert verdict == (6, 10, None)  # states, steps, no counterexample


def test_the_shortest_way_to_a_broken_invariant():
    verdict = search(cup(start=3, invariants={"never two": lambda c: c == 2, "never seven": lambda c: c == 7}))
    assert verdict.counterexample == ("never two", ("the cup is emptied", *["a sip is poured"] * 2), (3, 0, 1, 2))


def test_a_start_that_is_broken_needs_no_step():
    verdict = search(cup(invariants={"never empty": lambda c: c == 0}))
    assert verdict.counterexample == ("never empty", (), (0,))


def test_a_counterexample_reads_as_a_list():
    text = str(search(cup(invariants={"never two": lambda c: c == 2})).counterexample)
    assert text == "  1  a sip is poured\n  2  a sip is poured\n  => never two"


def road(place: str) -> list[tuple[str, str]]:
    return {"start": [("left", "lane"), ("right", "street")], "street": [("on", "home")],
            "lane": [("on", "wall")]}.get(place, [])


def test_a_dead_end_is_stuck_and_the_way_there_is_shown():
    verdict = search(Model("start", road, nothing, {}, good=lambda place: place == "home"))
    assert verdict.counterexample == (STUCK, ("left",), ("start", "lane"))  # from the lane on nothing helps any more


def test_a_circle_without_a_good_state_is_stuck():
    verdict = search(Model(0, lambda n: [("round", (n + 1) % 3)], nothing, {}, good=lambda n: n == 7))
    assert verdict.counterexample.states == (0,)


def test_moves_must_help_chances_do_not_count():
    assert search(cup(moves=drink, chances=fill, good=lambda c: c == 0)).counterexample is None
    assert search(cup(good=lambda c: c == 0)).counterexample.states == (0, 1)  # only by chance is it emptied


def test_broken_comes_before_stuck():
    model = Model("start", road, nothing, {"no wall": lambda place: place == "wall"}, good=lambda place: False)
    assert search(model).counterexample.broken == "no wall"


def test_what_does_not_end_is_refused():
    with pytest.raises(TooLarge, match="smaller bounds"):
        search(Model(0, lambda n: [("on", n + 1)], nothing, {}), states_max=100)
