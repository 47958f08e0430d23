"""One figure of a bench beside what it is compared with and what it is to reach, and whether two runs of it differ.

Pure: lists in, values and sentences out. What the README's tables say and what `python -m bench compare` says comes
from here alone. Decided:

1. The value of a round is ours / reference *of that round*, so that what disturbed a round disturbed both; without a
   reference it is ours. The value of a figure is the median of its rounds.
2. A target is reached if the median reaches it. One that was not measured is not reached.
3. Two runs differ if nearly all pairs of rounds (one of each run) say so: at least PAIRS_MIN of them, a tie counting
   half, and the medians lie more than CHANGE_MIN apart. With three rounds each all nine pairs must agree, with five 24
   of 25: by chance that happens in 5 % and in 0.8 % of all comparisons in each direction. CHANGE_MIN is there because
   two runs on one machine differ by a little more than their rounds do. Of a single round no spread is known, and
   SINGLE_CHANGE_MIN has to do.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from statistics import median
from typing import Literal, NamedTuple

PAIRS_MIN = 0.95
CHANGE_MIN = 0.03
SINGLE_CHANGE_MIN = 0.20


class Figure(NamedTuple):
    """`what` names it: the same words in every run that measures the same. `ours` and `reference`: a number for each
    round, None where nothing was measured. `unit` is theirs. `target`: at least, or at most if lower is better; None:
    it is only reported.
    """

    what: str
    better: Literal["higher", "lower"]
    ours: Sequence[float | None]
    unit: str = ""
    reference: Sequence[float | None] = ()
    reference_name: str = ""
    target: float | None = None

    @property
    def values(self) -> list[float]:
        """Of the rounds that have one, in their order."""
        if not self.reference_name:
            return [value for value in self.ours if value is not None]
        return [a / b for a, b in zip(self.ours, self.reference, strict=True) if a is not None and b]

    @property
    def value(self) -> float | None:
        return median(self.values) if self.values else None

    @property
    def is_judged(self) -> bool:
        """It has something to be held against. The others are for `compare` alone; tables of their own show them."""
        return self.target is not None or bool(self.reference_name)

    @property
    def reached(self) -> bool | None:
        """None: there is nothing to reach."""
        if self.target is None:
            return None
        if self.value is None:
            return False
        return self.value >= self.target if self.better == "higher" else self.value <= self.target


class Change(StrEnum):
    SLOWER = "SLOWER"
    FASTER = "faster"
    NOISE = "noise"
    UNKNOWN = "not in both"


def figures_in(result: Mapping[str, object]) -> list[Figure]:
    """Of a result as it was made, or as it was read from its file."""
    return [one if isinstance(one, Figure) else Figure(**one) for one in result.get("figures", ())]


def choose_change(before: Figure, after: Figure) -> Change:
    """What became of a figure from one run to another: see 3. above. "Slower" is whatever is worse."""
    one, other = before.values, after.values
    if not one or not other:
        return Change.UNKNOWN
    least = CHANGE_MIN if min(len(one), len(other)) > 1 else SINGLE_CHANGE_MIN
    if abs(relative(before, after)) <= least:
        return Change.NOISE
    grew = share_above(one, other)
    if max(grew, 1 - grew) < PAIRS_MIN:
        return Change.NOISE
    return Change.FASTER if (grew > 0.5) == (before.better == "higher") else Change.SLOWER


def relative(before: Figure, after: Figure) -> float:
    """How much the median grew, as a share of what it was: 0.1 is 10 % more. Both must have been measured."""
    return (after.value - before.value) / abs(before.value) if before.value else float(after.value != 0)


def noise_of(before: Figure, after: Figure) -> float:
    """How far the rounds lie around their median, as a share of it: half of all they span, in the wilder run."""
    spans = [(max(one.values) - min(one.values)) / 2 / abs(one.value) for one in (before, after) if one.value]
    return max(spans, default=0.0)


def share_above(one: Sequence[float], other: Sequence[float]) -> float:
    """Of all pairs of a value of `one` with one of `other`, in how many the latter is higher; a tie counts half."""
    return sum((b > a) + (b == a) / 2 for a in one for b in other) / (len(one) * len(other))
