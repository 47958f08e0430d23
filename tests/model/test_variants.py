"""Take one rule away and an answer is lost, or the model is stuck. Run with `-s` to read the counterexamples."""

import pytest

from tests.model.checker import STUCK, Counterexample, Model, search
from tests.model.invariants import INVARIANTS
from tests.model.protocol import SERVING, make_model
from tests.model.rules import DESIGN, Rules
from tests.model.variants import MORE, SEVEN, Variant

ALL = SEVEN + MORE


def assert_happens(model: Model, found: Counterexample) -> None:
    """Each step is one that the model allows where it stands."""
    assert found.states[0] == model.start and len(found.steps) == len(found.states) - 1
    for before, name, after in zip(found.states, found.steps, found.states[1:], strict=False):
        assert (name, after) in [*model.moves(before), *model.chances(before)]


def assert_stuck(model: Model, found: Counterexample) -> None:
    """Whatever is done from the last state on, no good state comes."""
    seen, todo = {found.states[-1]}, [found.states[-1]]
    while todo:
        state = todo.pop()
        assert not model.good(state)
        new = {after for _, after in model.moves(state)} - seen
        seen |= new
        todo.extend(new)


@pytest.mark.parametrize("variant", ALL, ids=lambda variant: variant.name)
def test_without_the_rule_it_breaks(variant: Variant):
    model = variant.make()
    found = search(model).counterexample
    assert found is not None, "the rule carries no weight"
    print(f"\n{variant.name} (without {variant.without}):\n{found}")
    assert found.broken == variant.breaks and variant.shows in str(found)
    assert_happens(model, found)
    if variant.breaks == STUCK:
        assert_stuck(model, found)
    else:
        breaks = INVARIANTS[variant.breaks]
        assert [breaks(state) for state in found.states] == [False] * len(found.steps) + [True]


@pytest.mark.parametrize(("bounds", "from_down"), dict.fromkeys((v.bounds, v.from_down) for v in ALL))
def test_with_all_rules_the_same_bounds_hold(bounds, from_down):
    assert search(make_model(bounds, start=None if from_down else SERVING)).counterexample is None


def test_every_rule_is_shown_to_carry_weight():
    assert sorted(v.without for v in ALL) == sorted(Rules._fields)
    assert all(DESIGN) and len(SEVEN) == 7
