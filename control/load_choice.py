"""Who is started or loaded next, and for whom room is made: one decision at a time, from facts, with its reason.

The rules, in order
1. While memory is CRITICAL or worse nothing is started, loaded or made room for. What leaves then leaves for the
   answers in flight, and a load would take just that memory.
2. One load at a time. While one is under way, or the head starts, room may be made, and processes of the next that are
   wanted are started, at most `prewarm` at a time.
3. Models that somebody wants go by the highest class that waits, then by the oldest wait. An operator's wish counts as
   one waiter of class MEDIUM. What could never get its room (`could_fit`) is passed over, so that it blocks nobody, and
   so is a model in backoff until its time has come.
4. The first of them, the *head*, is served before all others: its process is started as soon as a process without a
   model fits; it is loaded as soon as it fits; until then room is made for it.
5. While the head waits for room, the next one that fits into what will be left when the head has its room
   (`choose_beside`) is started or loaded, so that one big model does not idle a machine. Nobody takes what the head
   waits for, so that small models do not starve a big one.
6. If nobody waits, models to preload go in configured order, only while `preload_allowed`, and only if they fit as it
   is: nobody is evicted for them.
7. Then, while memory is NORMAL, `prewarm` processes are kept EMPTY if they fit, so that the next cold request pays for
   reading weights and not for starting Python: those of the most recently used models that are not loaded, then in
   configured order. Who was used comes back: so a model that has just left gets a process again, and when that is up,
   the process that nobody waits for and that is less likely leaves for it. No model is ever evicted for this.

Who goes to make room is `control/eviction.py`; what is decided here ends nothing but a spare EMPTY process (7). Pure.
"""

from math import inf
from typing import NamedTuple

from control.pressure_level import Level
from control.states import Phase, Priority

PRELOAD = "preload"
PREWARMED = "prewarmed"  # how the reason begins of a process that was started before anybody waits
NOBODY_WAITS = len(Priority)


class Facts(NamedTuple):
    """One row as the choice sees it, in configured order. Times are monotonic seconds, None = never.

    `phase` is STOPPING for a row whose stop is outstanding. `waiting` counts by class. `wanted_by` names who wants it
    besides, since `wanted_at`. `needs_bytes` is the least that loading it takes beyond what its process counts for
    already, `start_bytes` what a process without a model counts for; a model without a process never needs less
    (`budget`, 4). `could_fit`: it would, if all went who ever can (`eviction.most_room`).
    """

    slug: str
    phase: Phase
    loading: bool
    waiting: tuple[int, int, int]
    oldest_wait: float | None
    wanted_by: str
    wanted_at: float
    last_used: float
    needs_bytes: int
    start_bytes: int
    could_fit: bool = True

    @property
    def can_come(self) -> bool:
        """It is neither loaded nor on its way in or out, and would fit somehow."""
        return self.phase in (Phase.EMPTY, Phase.DOWN, Phase.STARTING) and not self.loading and self.could_fit


class Room(NamedTuple):
    """`free_bytes` may be given out now; may be negative."""

    free_bytes: int
    level: Level
    preload_allowed: bool


class Start(NamedTuple):
    slug: str
    reason: str


class Load(NamedTuple):
    """`room_bytes`: the most it may be given beyond what its process counts for already."""

    slug: str
    reason: str
    room_bytes: int


class MakeRoom(NamedTuple):
    """The head does not fit; the fields are those of an `eviction.Demand`. `since` inf: it has not waited yet."""

    slug: str
    bytes: int
    priority: int
    since: float
    reason: str


class Leave(NamedTuple):
    """A process without a model, that nobody waits for, is one too many (7)."""

    slug: str
    reason: str


class Nothing(NamedTuple):
    reason: str


Choice = Start | Load | MakeRoom | Leave | Nothing


def choose_next(rows: list[Facts], prewarm: int, room: Room) -> Choice:
    """The next thing to do; `Nothing` says why there is none."""
    if room.level >= Level.CRITICAL:
        return Nothing(f"memory is at level {room.level.name}: nothing is loaded")  # 1
    under_way = next((row.slug for row in rows if row.loading), "")
    for head in wanted(rows)[:1]:  # 4
        if head.phase is Phase.DOWN and head.start_bytes <= room.free_bytes and not under_way:
            return Start(head.slug, why_wanted(head))
        if head.needs_bytes > room.free_bytes:
            return MakeRoom(head.slug, head.needs_bytes, *urgency(head), why_wanted(head))
        if under_way or head.phase is Phase.STARTING:
            return choose_start(rows, prewarm, room, head)  # 2
        return _bring(head, room.free_bytes)
    if under_way:
        return Nothing(f"{under_way} is loading")  # 2
    for row in rows:
        if row.wanted_by == PRELOAD and row.can_come and room.preload_allowed and row.needs_bytes <= room.free_bytes:
            return _bring(row, room.free_bytes)  # 6
    return choose_prewarm(rows, prewarm, room)


def choose_start(rows: list[Facts], prewarm: int, room: Room, head: Facts) -> Choice:
    """Whose process is started while the head starts or another model loads: the next that is wanted, so that starting
    Python does not wait for reading weights. As many as are kept warm, and only in what the head leaves."""
    warm = sum(row.phase in (Phase.EMPTY, Phase.STARTING) for row in rows)
    left_bytes = room.free_bytes - head.needs_bytes
    for row in wanted(rows):
        if row.phase is Phase.DOWN and row.start_bytes <= left_bytes and warm < prewarm:
            return Start(row.slug, why_wanted(row))
    return Nothing(f"{head.slug} comes first")


def choose_beside(rows: list[Facts], head: str, room: Room, beside_bytes: int) -> Choice:
    """Who may come while `head` waits for room (5). `beside_bytes` as `eviction.Evict` and `Wait` give it.

    To be asked only after `choose_next` said `MakeRoom`. Never returns `MakeRoom` itself.
    """
    under_way = next((row.slug for row in rows if row.loading), "")
    if under_way:
        return Nothing(f"{under_way} is loading")  # 2
    room_bytes = min(room.free_bytes, beside_bytes)
    for row in wanted(rows):
        if row.slug != head and row.needs_bytes <= room_bytes:
            return _bring(row, room_bytes)
    return Nothing(f"{head} waits for room, and nobody who waits fits beside it")


def _bring(row: Facts, room_bytes: int) -> Choice:
    """The next step of a model for which there is room."""
    match row.phase:
        case Phase.EMPTY:
            return Load(row.slug, why_wanted(row), room_bytes)
        case Phase.DOWN:
            return Start(row.slug, why_wanted(row))
    return Nothing(f"{row.slug} is starting")


def wanted(rows: list[Facts]) -> list[Facts]:
    """Who waits for a model, or asked for it, and could get it: the head first (3)."""
    return sorted((row for row in rows if row.can_come and urgency(row)[0] < NOBODY_WAITS), key=urgency)


def urgency(row: Facts) -> tuple[int, float]:
    """The highest class that waits, and since when; an operator waits in MEDIUM. Nobody: (3, inf)."""
    since = inf if row.oldest_wait is None else row.oldest_wait
    waits = [(priority, since) for priority, count in zip(Priority, row.waiting, strict=True) if count]
    if row.wanted_by not in ("", PRELOAD):
        waits.append((Priority.MEDIUM, row.wanted_at))
    return min(waits, default=(NOBODY_WAITS, inf))


def why_wanted(row: Facts) -> str:
    for priority, count in zip(Priority, row.waiting, strict=True):
        if count:
            return f"{sum(row.waiting)} waiting, the highest {priority.name}"
    return f"wanted by {row.wanted_by}"


def choose_prewarm(rows: list[Facts], prewarm: int, room: Room) -> Choice:
    """Rule 7."""
    if not prewarm or room.level is not Level.NORMAL:
        return Nothing("nobody waits for a model that could be loaded now")
    up = [row for row in rows if row.phase in (Phase.EMPTY, Phase.STARTING)]
    cold = [row for row in rows if row.phase is Phase.DOWN and row.could_fit and row.start_bytes <= room.free_bytes]
    # Of those that were never used the one that has its process, then in configured order.
    likeliest = sorted(up + cold, key=lambda row: row.last_used, reverse=True)[:prewarm]
    for row in likeliest:
        if row in cold:
            why = "the most recently used of those not loaded" if row.last_used else "the first of those not used yet"
            return Start(row.slug, f"{PREWARMED}: {why}")
    spare = [row for row in up if row not in likeliest and row.phase is Phase.EMPTY and is_unwanted(row)]
    if spare and all(row.phase is Phase.EMPTY for row in likeliest):
        least = min(spare, key=lambda row: row.last_used)
        return Leave(least.slug, f"{likeliest[-1].slug} was used more recently, and is prewarmed instead of it")
    return Nothing("nobody waits, and no further process is to be prewarmed")


def is_unwanted(row: Facts) -> bool:
    """Nobody waits for it, and nobody will have it preloaded."""
    return urgency(row)[0] == NOBODY_WAITS and not row.wanted_by
