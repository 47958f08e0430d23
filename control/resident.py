"""One model's process as the choice of victims sees it, and what its own facts say. Who goes is `control/eviction.py`.

A fact that is not known reads as "leave it alone". Pure: times are monotonic seconds, sizes bytes.
"""

from collections.abc import Iterable
from math import ceil
from typing import NamedTuple

from control.states import Phase, Priority

LEAVING = frozenset({Phase.DRAINING, Phase.STOPPING, Phase.VERIFY_FREE})
HOLDS_MEMORY = LEAVING | {Phase.STARTING, Phase.EMPTY, Phase.LOADING, Phase.READY}
NOBODY = len(Priority)  # the class of a model that nobody waits for


class Resident(NamedTuple):
    """A load that is ordered reads as LOADING.

    `unfinished` None: not known. `waiting` counts by class; `oldest_wait` is when the oldest of them came. `last_used`
    is its last dispatch or answer, 0.0 never. `keep_until` inf: for ever. `leaving`: a stop of it is outstanding (a
    *closing* one is not meant: that is chosen anew in each turn, and taken back when it is not).
    """

    slug: str
    phase: Phase
    frees_bytes: int
    unfinished: int | None
    waiting: tuple[int, int, int]
    oldest_wait: float | None
    last_used: float
    last_class: Priority | None
    loaded_at: float
    load_s: float
    keep_until: float
    pinned: bool
    leaving: bool

    @property
    def is_leaving(self) -> bool:
        return self.leaving or self.phase in LEAVING

    @property
    def is_wanted(self) -> bool:
        return any(self.waiting)

    @property
    def highest_waiting(self) -> int:
        return next((priority for priority, count in enumerate(self.waiting) if count), NOBODY)

    @property
    def why_pinned(self) -> str:
        return "pinned" if self.pinned and self.phase is not Phase.EMPTY else ""

    @property
    def could_go(self) -> bool:
        """Will it ever be able to go, by time or by the end of its work?"""
        keeps_its_model = self.pinned and self.phase not in (Phase.STARTING, Phase.EMPTY)
        return self.phase in HOLDS_MEMORY and not keeps_its_model

    def is_expired(self, now: float) -> bool:
        """Idle, wanted by nobody, and its keep-alive is over."""
        is_idle = self.phase is Phase.READY and self.unfinished == 0
        return is_idle and not self.is_wanted and now >= self.keep_until


def why_out_of_reach(resident: Resident) -> str:
    """Why it may not even be asked to finish what it has; "" if it may."""
    if resident.is_leaving:
        return "leaving"
    if resident.phase not in (Phase.EMPTY, Phase.READY):
        return resident.phase.name.lower()
    return "its work is not known" if resident.unfinished is None else ""


def why_protected(resident: Resident) -> str:
    """What its own work says against letting it go now; "" if nothing does."""
    if resident.unfinished and not why_out_of_reach(resident):
        return in_flight(resident.unfinished)
    return why_out_of_reach(resident)


def in_flight(unfinished: int) -> str:
    return f"{unfinished} answer{'s' * (unfinished > 1)} in flight"


def why_missed_least(resident: Resident, now: float) -> str:
    """What it does, or when it last did something: the reason shown when it goes."""
    if resident.phase is Phase.EMPTY:
        return "a process without a model"
    if resident.unfinished:
        return f"after {why_protected(resident)}"
    idle = f"idle {span(now - resident.last_used)}" if resident.last_used else "not used yet"
    return f"{idle}, keep-alive over" if resident.is_expired(now) else idle


def frees(residents: Iterable[Resident]) -> int:
    return sum(one.frees_bytes for one in residents)


def span(seconds: float) -> str:
    return f"{ceil(seconds)} s" if seconds < 120 else f"{seconds / 60:.0f} min"
