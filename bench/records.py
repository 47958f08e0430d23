"""What a load generator notes about each request, and the figures that follow. Pure: lists in, values out.

Decided here, for every bench:

1. A latency counts from `at_s`, the moment the request was due. In an open loop that is its scheduled time, so a
   generator or a server that falls behind cannot hide the wait (no coordinated omission); in a closed loop it is the
   moment it was sent, because nobody wanted it earlier.
2. Latencies and tokens are those of answers that ended well ("done"). Refusals and errors are counted beside them, by
   their detail, and never dropped.
3. The inter-token latency is the gap between two frames that carry text. A server that coalesces puts several tokens
   into one frame, and frames that arrive together are 0 ms apart; compare it together with tokens per second.
4. Tokens are what the server's own usage figure says. Where it sends none they are the number of frames with text, and
   `tokens_by` says "frames", so that a report can.
5. Percentiles are by nearest rank: a value that was measured, never one between two. Of nothing, there is none.
6. Of several rounds, times and rates are the median, figure by figure; counts are added up, so no error disappears.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from math import ceil
from statistics import median
from typing import Literal, NamedTuple

CLASSES = ("high", "medium", "low")
DETAILS_MAX = 8  # kinds of failure that are told apart; what is beyond counts as "others"
REFUSED_STATUSES = {429, 503, 529}  # before the answer began: the server had no place for it, and said so
MS_PER_S = 1000.0


class Ask(NamedTuple):
    """One request of a schedule. `at_s`: seconds from the start of the run, 0.0 in a closed loop. `schema`: what the
    answer is held to, over ZeroMQ only.
    """

    at_s: float
    klass: str
    prompt: str
    max_tokens: int
    schema: dict | None = None


class Heard(NamedTuple):
    """What became of one. All times in seconds from the start of the run; `first_s` None: no text came."""

    klass: str
    at_s: float  # when it was due; in a closed loop the same as sent_s
    sent_s: float
    first_s: float | None
    end_s: float
    tokens: int
    gaps_s: tuple[float, ...] = ()  # between frames that carry text
    outcome: Literal["done", "refused", "error"] = "done"
    detail: str = ""  # of a refusal or an error, short: the same cause gives the same words
    by_usage: bool = True  # False: `tokens` is the number of frames


class Spread(NamedTuple):
    """Percentiles in milliseconds; None where nothing was measured."""

    p50: float | None
    p95: float | None
    p99: float | None


class Group(NamedTuple):
    """The requests of one class, or all. Rates are per second of the whole run, so those of the classes add up."""

    n: int
    done: int
    refused: int
    errors: int
    details: dict[str, int]  # of refusals and errors
    ttft_ms: Spread  # due until the first text
    between_ms: Spread  # see 3. above
    total_ms: Spread  # due until the end
    tokens: int
    tokens_per_s: float | None
    done_per_s: float | None


class Summary(NamedTuple):
    """`wall_s`: from when the first was due to the end of the last. `late_ms`: sent so long after it was due."""

    wall_s: float
    tokens_by: Literal["usage", "frames"]
    late_ms: Spread
    all: Group
    classes: dict[str, Group]  # only those that were asked; high, medium, low, others by name


def percentile(values: Iterable[float], q: float) -> float | None:
    """The smallest value that at least `q` percent (0 < q <= 100) do not exceed: nearest rank. None of nothing."""
    ordered = sorted(values)
    return ordered[max(ceil(q / 100 * len(ordered)), 1) - 1] if ordered else None


def spread_ms(values_s: Iterable[float]) -> Spread:
    """Of seconds, in milliseconds."""
    ordered = sorted(values_s)
    return Spread(*(None if (value := percentile(ordered, q)) is None else value * MS_PER_S for q in (50, 95, 99)))


def summarise(heard: Sequence[Heard]) -> Summary:
    wall_s = max((one.end_s for one in heard), default=0.0) - min((one.at_s for one in heard), default=0.0)
    names = {one.klass for one in heard}
    ordered = [name for name in CLASSES if name in names] + sorted(names.difference(CLASSES))
    by_frames = any(one.outcome == "done" and not one.by_usage for one in heard)
    return Summary(wall_s, "frames" if by_frames else "usage", spread_ms(one.sent_s - one.at_s for one in heard),
                   _group(heard, wall_s),
                   {name: _group([one for one in heard if one.klass == name], wall_s) for name in ordered})


def _group(heard: Sequence[Heard], wall_s: float) -> Group:
    done = [one for one in heard if one.outcome == "done"]
    tokens = sum(one.tokens for one in done)
    return Group(
        n=len(heard),
        done=len(done),
        refused=sum(one.outcome == "refused" for one in heard),
        errors=sum(one.outcome == "error" for one in heard),
        details=_limited(Counter(one.detail for one in heard if one.outcome != "done")),
        ttft_ms=spread_ms(one.first_s - one.at_s for one in done if one.first_s is not None),
        between_ms=spread_ms(gap for one in done for gap in one.gaps_s),
        total_ms=spread_ms(one.end_s - one.at_s for one in done),
        tokens=tokens,
        tokens_per_s=tokens / wall_s if wall_s > 0 else None,
        done_per_s=len(done) / wall_s if wall_s > 0 else None,
    )


def _limited(details: Counter[str]) -> dict[str, int]:
    kept = dict(details.most_common(DETAILS_MAX))
    others = details.total() - sum(kept.values())
    return kept | ({"others": others} if others else {})


def median_of(values: Iterable[float | None]) -> float | None:
    """The median of those that are there; None of nothing."""
    there = [value for value in values if value is not None]
    return median(there) if there else None


def median_round(rounds: Sequence[Summary]) -> Summary:
    """Several rounds of one target as one: see 6. above. Raises ValueError for no round."""
    if not rounds:
        raise ValueError("a median needs at least one round")
    names = dict.fromkeys(name for one in rounds for name in one.classes)
    return Summary(
        wall_s=median(one.wall_s for one in rounds),
        tokens_by="frames" if any(one.tokens_by == "frames" for one in rounds) else "usage",
        late_ms=median_spread([one.late_ms for one in rounds]),
        all=_median_group([one.all for one in rounds]),
        classes={name: _median_group([one.classes[name] for one in rounds if name in one.classes]) for name in names},
    )


def _median_group(groups: Sequence[Group]) -> Group:
    details = sum((Counter(one.details) for one in groups), Counter())
    return Group(
        *(sum(one[field] for one in groups) for field in range(4)),
        details=dict(details.most_common()),
        ttft_ms=median_spread([one.ttft_ms for one in groups]),
        between_ms=median_spread([one.between_ms for one in groups]),
        total_ms=median_spread([one.total_ms for one in groups]),
        tokens=sum(one.tokens for one in groups),
        tokens_per_s=median_of(one.tokens_per_s for one in groups),
        done_per_s=median_of(one.done_per_s for one in groups),
    )


def median_spread(spreads: Sequence[Spread]) -> Spread:
    """Percentile by percentile."""
    return Spread(*(median_of(values) for values in zip(*spreads, strict=True)))


def ratio(ours: Sequence[float | None], theirs: Sequence[float | None]) -> float | None:
    """The median over the rounds of ours / theirs *of the same round*: what disturbed a round disturbed both.

    A round in which either is missing (or theirs is 0) does not count; None if none counts.
    """
    return median_of(a / b for a, b in zip(ours, theirs, strict=True) if a is not None and b)
