"""bench/figures.py: what a figure is worth, whether it reaches its target, and when two runs of it differ."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.figures import Change, Figure, choose_change, figures_in, share_above

rounds = st.lists(st.floats(0.1, 1e6), min_size=1, max_size=9)


def figure(*ours, better="higher", **more):
    return Figure("tokens/s", better, ours, **more)


def test_a_value_is_that_of_its_round():
    """The machine was twice as slow in the third round, for both: the value does not change."""
    one = figure(900, 800, 425, reference=(1000, 1000, 500), reference_name="bare")
    assert one.values == [0.9, 0.8, 0.85] and one.value == 0.85
    assert figure(3.0, 1.0, 2.0).value == 2.0
    assert figure(1.0, None, 3.0, reference=(2.0, 2.0, 0.0), reference_name="bare").values == [0.5]


@pytest.mark.parametrize(("better", "target", "reached"), [
    ("higher", 2.0, True), ("higher", 2.1, False), ("lower", 2.0, True), ("lower", 1.9, False), ("lower", None, None),
])
def test_a_target_is_reached_by_the_median(better, target, reached):
    assert figure(1.0, 2.0, 9.0, better=better, target=target).reached is reached


def test_what_has_a_target_or_a_reference_is_judged():
    assert figure(1.0, target=1.0).is_judged and figure(1.0, reference=(1.0,), reference_name="bare").is_judged
    assert not figure(1.0).is_judged


def test_what_was_not_measured_is_not_reached():
    assert figure(None, None, target=1.0).reached is False
    assert figure(None).value is None


def test_from_a_file_it_is_the_same():
    one = figure(1.0, 2.0, reference=(2.0, 2.0), reference_name="bare", target=0.9)
    assert figures_in({"figures": [one]}) == figures_in({"figures": [one._asdict()]}) == [one]
    assert figures_in({}) == []


BEFORE = figure(100, 102, 98, 101, 99)


@pytest.mark.parametrize(("after", "change"), [
    ((90, 92, 88, 91, 89), Change.SLOWER), ((110, 112, 108, 111, 109), Change.FASTER),
    ((98, 99, 100, 101, 102), Change.NOISE), ((97.5, 97.4, 97.3, 97.2, 97.1), Change.NOISE),  # all below, by too little
    ((80, 120, 70, 130, 94), Change.NOISE),  # the medians differ, the rounds say nothing
    ((90, 92, 88, 91, 98.5), Change.SLOWER), ((90, 92, 88, 101, 102), Change.NOISE),  # one round astray is allowed
    ((None, None), Change.UNKNOWN),
])
def test_what_became_of_it(after, change):
    assert choose_change(BEFORE, figure(*after)) is change
    mirrored = {Change.SLOWER: Change.FASTER, Change.FASTER: Change.SLOWER}.get(change, change)
    assert choose_change(BEFORE._replace(better="lower"), figure(*after, better="lower")) is mirrored


def test_of_single_rounds_only_a_large_difference_counts():
    assert choose_change(figure(100), figure(85)) is Change.NOISE
    assert choose_change(figure(100), figure(75)) is Change.SLOWER


@given(one=rounds, other=rounds)
def test_a_comparison_turned_round_says_the_opposite(one, other):
    assert share_above(one, other) == pytest.approx(1 - share_above(other, one))
    there, back = choose_change(figure(*one), figure(*other)), choose_change(figure(*other), figure(*one))
    assert {there, back} in ({Change.NOISE}, {Change.SLOWER, Change.FASTER}) or Change.NOISE in (there, back)


@given(one=rounds)
def test_a_run_beside_itself_is_noise(one):
    assert choose_change(figure(*one), figure(*one)) is Change.NOISE
