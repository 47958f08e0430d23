"""workers/fill_in.py: the order of the marks in each family, and what is left out of texts that are too long."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.model_markers import FILL_INS
from workers.engine import JobRefused
from workers.fill_in import Gap, fill_in, fill_in_within, find_gap, shorten_around

PREFIX, SUFFIX, MIDDLE, BEGIN = 1, 2, 3, 0
BEFORE, AFTER = [10, 11, 12], [20, 21]


def vocabulary(family) -> dict[str, int]:
    return {family.prefix: PREFIX, family.suffix: SUFFIX, family.middle: MIDDLE}


@pytest.mark.parametrize("family", FILL_INS)
def test_each_family_has_its_order(family):
    asked = fill_in(find_gap(vocabulary(family)), BEFORE, AFTER, [BEGIN])
    if family.suffix_first:
        assert asked == [BEGIN, SUFFIX, *AFTER, PREFIX, *BEFORE]
    else:
        assert asked == [BEGIN, PREFIX, *BEFORE, SUFFIX, *AFTER, MIDDLE]


def test_a_model_without_marks_says_so():
    with pytest.raises(JobRefused, match="suffix: this model does not support insert") as refused:
        find_gap({"<|fim_prefix|>": 1})
    assert refused.value.code == "invalid_request"


texts = st.lists(st.integers(0, 9), max_size=30)


@given(before=texts, after=texts, room=st.integers(0, 70))
def test_the_words_nearest_to_the_gap_stay(before, after, room):
    kept_before, kept_after = shorten_around(before, after, room)
    assert len(kept_before) + len(kept_after) == min(room, len(before) + len(after))
    assert before[len(before) - len(kept_before):] == kept_before
    assert after[: len(kept_after)] == kept_after


def test_it_is_shortened_only_if_it_does_not_fit():
    gap = Gap(PREFIX, SUFFIX, [MIDDLE], suffix_first=False)
    whole, dropped = fill_in_within(gap, BEFORE, AFTER, [], lambda length: True, 0)
    assert (whole, dropped) == (fill_in(gap, BEFORE, AFTER, []), 0)
    room = len(whole) - 2
    shorter, dropped = fill_in_within(gap, BEFORE, AFTER, [], lambda length: length <= room, room)
    assert (len(shorter), dropped) == (room, 2)
