"""Fill in the middle: the ids of a prompt that asks for what stands between two texts. Pure.

Which family of marks a model has is told by its vocabulary (`control.model_markers.FILL_INS`). Of texts that are too
long together, the beginning of the first and the end of the second are left out: the words nearest to the gap stay.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from control.model_markers import find_fill_in
from workers.engine import JobRefused

SUFFIX_PART = 2  # of the room: the text after has at most this part of it, unless the text before leaves more


class Gap(NamedTuple):
    """The marks of one model as ids. `middle`: none or one."""

    prefix: int
    suffix: int
    middle: list[int]
    suffix_first: bool


def find_gap(vocabulary: Mapping[str, int]) -> Gap:
    """Raises JobRefused for a model without such marks."""
    found = find_fill_in(vocabulary)
    if found is None:
        raise JobRefused("invalid_request", "suffix: this model does not support insert: its tokenizer has no "
                         "fill-in-the-middle tokens; leave suffix out or use a model made for code")
    middle = [vocabulary[found.middle]] if found.middle else []
    return Gap(vocabulary[found.prefix], vocabulary[found.suffix], middle, found.suffix_first)


def fill_in(gap: Gap, before: list[int], after: list[int], begin: list[int]) -> list[int]:
    """`begin`: what the tokenizer puts in front of any text."""
    first, second = [gap.prefix, *before], [gap.suffix, *after]
    if gap.suffix_first:
        first, second = second, first
    return [*begin, *first, *second, *gap.middle]


def shorten_around(before: list[int], after: list[int], room_tokens: int) -> tuple[list[int], list[int]]:
    """Both texts so that they have at most `room_tokens` ids together."""
    kept_after = min(len(after), max(room_tokens // SUFFIX_PART, room_tokens - len(before)))
    kept_before = max(0, min(len(before), room_tokens - kept_after))
    return before[len(before) - kept_before:], after[:kept_after]


def fill_in_within(gap: Gap, before: list[int], after: list[int], begin: list[int],
                   fits: Callable[[int], bool], room_tokens: int) -> tuple[list[int], int]:
    """The prompt, and how many ids were left out of it because it did not fit."""
    whole = fill_in(gap, before, after, begin)
    if fits(len(whole)):
        return whole, 0
    marks = len(whole) - len(before) - len(after)
    shortened = fill_in(gap, *shorten_around(before, after, max(0, room_tokens - marks)), begin)
    return shortened, len(whole) - len(shortened)
