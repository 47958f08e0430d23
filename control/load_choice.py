"""Who is loaded or started next: one decision at a time, from facts, with its reason.

The rules, in order
1. One load at a time: while one is under way nothing else is loaded.
2. Models that somebody wants go by the highest class that waits, then by the oldest wait. A model wanted without a
   request (preload, or an operator's start) comes after all requests.
3. The first of them is served alone: loaded if its process is EMPTY, started if it has none, waited for while it
   starts. A model in backoff is passed over until its time has come.
4. If nobody wants anything, `prewarm` processes are kept EMPTY, so that the next cold request pays for reading
   weights and not for starting Python: the most recently used model first, then in configured order.

Whether a load *fits* is asked elsewhere; whatever is decided here terminates nothing. Pure.
"""

from typing import NamedTuple

from control.states import Phase

WAITING_TO_START = (Phase.DOWN,)


class Facts(NamedTuple):
    """One row as the choice sees it. `waiting` counts by class; times are monotonic seconds, None = never."""

    slug: str
    phase: Phase
    loading: bool
    waiting: tuple[int, int, int]
    oldest_wait: float | None
    wanted_by: str
    last_used: float


class Start(NamedTuple):
    slug: str
    reason: str


class Load(NamedTuple):
    slug: str
    reason: str


class Nothing(NamedTuple):
    reason: str


Choice = Start | Load | Nothing
CLASSES = ("HIGH", "MEDIUM", "LOW")


def choose_next(rows: list[Facts], prewarm: int) -> Choice:
    """The next thing to do; `Nothing` says why there is none."""
    under_way = [row.slug for row in rows if row.loading]
    if under_way:
        return Nothing(f"{under_way[0]} is loading")  # 1
    wanted = sorted((row for row in rows if is_wanted(row)), key=urgency)  # 2
    for row in wanted:  # 3
        if row.phase is Phase.EMPTY:
            return Load(row.slug, why_wanted(row))
        if row.phase in WAITING_TO_START:
            return Start(row.slug, why_wanted(row))
        if row.phase is Phase.STARTING:
            return Nothing(f"{row.slug} is starting")
    return choose_prewarm(rows, prewarm)


def is_wanted(row: Facts) -> bool:
    """Somebody wants it, and it is neither loaded nor on its way out."""
    can_come = row.phase in (Phase.EMPTY, Phase.DOWN, Phase.STARTING)
    return can_come and (any(row.waiting) or bool(row.wanted_by))


def urgency(row: Facts) -> tuple[int, float]:
    for priority, count in enumerate(row.waiting):
        if count:
            return priority, row.oldest_wait or 0.0
    return len(row.waiting), 0.0


def why_wanted(row: Facts) -> str:
    for name, count in zip(CLASSES, row.waiting, strict=True):
        if count:
            return f"{sum(row.waiting)} waiting, the highest {name}"
    return f"wanted by {row.wanted_by}"


def choose_prewarm(rows: list[Facts], prewarm: int) -> Choice:
    """Rule 4."""
    warm = sum(row.phase in (Phase.EMPTY, Phase.STARTING) for row in rows)
    if warm >= prewarm:
        return Nothing("nobody waits for a model that is not loaded")
    cold = [row for row in rows if row.phase is Phase.DOWN]
    if not cold:
        return Nothing("nobody waits, and every model has its process")
    likeliest = max(cold, key=lambda row: row.last_used)
    return Start(likeliest.slug, "prewarmed: the most recently used" if likeliest.last_used else "prewarmed")
