"""Which models leave memory, for whom, and why nobody does. The one place that decides it.

Facts about all models come in, one of three outcomes goes out: `Evict` these, each with its reason; `Wait` for these,
who are spared now; `Nothing` has to be done, or can be. The numbers of the rules stand again in the code.

Who never goes
1. Who starts, loads, drains or leaves; who has answers in flight, or nobody knows whether (but see 8). What is leaving
   counts as on its way: a demand that it will satisfy evicts nobody else.
2. Who is pinned, whatever the pressure: that is an operator's explicit word. Its EMPTY process may, as it has no model.

Who may go for a demand, that is for a model that does not fit
3. Nobody, if nobody waits for it (preload, prewarm). For any other: every EMPTY process. READY models, if 4 to 7 agree:
4. Class: not for a lower class than the highest that waits for the victim; for an equal one only if the demand has
   waited longer than the victim's oldest waiter.
5. Grace: not if used within `grace_s`, unless the demand is of a higher class than the victim's last work, or has
   itself waited `grace_s`, or memory is CRITICAL.
6. Residency: not if loaded within `min_residency_s` or within twice what its load took, unless memory is CRITICAL. So
   two models that do not fit together take turns, and answer for longer than they load.
7. Grace and residency do not protect what nobody waits for once its keep-alive is over.
8. Closing: a model that is never idle would never go, and its rival starve. So if 4 to 7 agree, and the demand has
   waited `grace_s` or is of a higher class than the victim's waiters and its last work, a busy one is `closing`: it
   gets no new work, its answers end, then it leaves. No answer is ever cut. Not for a demand of a lower class than the
   victim's last work: the next request of that class would take the fence down again.

Who of them does go
9. The order: idle before closing; EMPTY, past keep-alive, others; nobody waiting, LOW, MEDIUM, HIGH; longest unused, in
   whole grace periods; cheapest to reload per byte freed; then last use and slug, so that there is never a tie.
10. From the end of that order, whoever is not needed stays. Of all sets that free enough this one has the earliest last
   member, then the earliest last but one, and so on, and no member could be left out. It need not be the fewest: two
   empty processes go rather than one model that people use.
11. No eviction that does not help: if all who may go do not free enough, none of them goes. Wait for those who would
   free enough soonest; Nothing, if all together never could.

Besides
12. WARN: what is EMPTY or idle goes, if nobody waits for it, but for the most useful idle model (the last by 9). Grace
   and residency hold. CRITICAL and EMERGENCY: everything EMPTY or idle goes, but for a model that HIGH work waits for:
   that is begun at any level, so it is about to be dispatched. Pressure never closes a busy model.
13. An idle model that nobody waits for goes when its keep-alive is over.

Terminates nothing: readings are old when they are acted on, so a choice is a wish, and `control/three_keys.py` asks
those who know. Pure: times are monotonic seconds, sizes bytes.
"""

from collections.abc import Iterable
from math import inf
from typing import NamedTuple

from control.pressure_level import Level
from control.resident import HOLDS_MEMORY, Resident, frees, span, why_missed_least, why_out_of_reach, why_protected
from control.states import Phase, Priority

RESIDENCY_LOADS = 2  # a model stays for this many times what loading it took
GIB = 1024**3


class Demand(NamedTuple):
    """Somebody wants `slug`, which takes `needs_bytes` beyond what its own process counts for, `since` that time.

    `priority` 0 HIGH .. 2 LOW; 3: nobody waits for it.
    """

    slug: str
    needs_bytes: int
    priority: int
    since: float


class Rules(NamedTuple):
    grace_s: float
    min_residency_s: float


class Victim(NamedTuple):
    """`closing`: it has answers in flight; shut its gate and let them end."""

    slug: str
    reason: str
    closing: bool = False


class Spared(NamedTuple):
    """`until`: when it may go if nothing else changes; inf: no time ends it."""

    slug: str
    why: str
    until: float


class Evict(NamedTuple):
    """`beside_bytes` stay free when the demand has got what it needs: so much may be given to others meanwhile."""

    victims: tuple[Victim, ...]
    frees_bytes: int
    spared: tuple[Spared, ...]
    beside_bytes: int = 0


class Wait(NamedTuple):
    """For a demand: when all of `whom` may go or have gone it can be satisfied, and time alone cannot do it sooner."""

    whom: tuple[Spared, ...]
    beside_bytes: int = 0


class Nothing(NamedTuple):
    why: str


# -- the three questions -------------------------------------------------------------------------------------


def choose_for_demand(demand: Demand, free_bytes: int, residents: Iterable[Resident], rules: Rules, level: Level,
                      now: float) -> Evict | Wait | Nothing:
    """Who goes so that `demand` fits. Nothing: it does already, or never could; the text says which."""
    everyone = in_order(residents, rules, now)
    missing = demand.needs_bytes - free_bytes
    if missing <= 0:
        return Nothing(f"it needs {_gib(demand.needs_bytes)}, and {_gib(free_bytes)} are free")
    most = most_room(demand.slug, free_bytes, everyone)
    if most < demand.needs_bytes:  # 11
        return Nothing(f"it needs {_gib(demand.needs_bytes)}, and at most {_gib(most)} can become free")
    leaving = [one for one in everyone if one.is_leaving]  # 1
    missing -= frees(leaving)
    on_their_way = tuple(Spared(one.slug, why_out_of_reach(one), inf) for one in leaving)
    if missing <= 0:
        return Wait(on_their_way, -missing)
    if demand.priority > Priority.LOW:
        return Nothing("nobody waits for it, so nobody goes for it")  # 3
    others = [one for one in everyone if one.slug != demand.slug and not one.is_leaving]
    spared = {one.slug: why for one in others if (why := spared_from_demand(one, demand, rules, level, now))}
    may_go = [one for one in others if one.slug not in spared]
    if frees(may_go) >= missing:
        victims = smallest_set(may_go, missing)
        return Evict(tuple(_victim(one, now) for one in victims), frees(victims),
                     on_their_way + tuple(spared.values()), frees(victims) - missing)
    may_go_later = sorted((one for one in others if one.slug in spared and one.could_go),
                          key=lambda one: spared[one.slug].until)
    awaited = smallest_set(may_go + may_go_later, missing)  # 11
    return Wait(on_their_way + tuple(spared[one.slug] for one in awaited if one.slug in spared),
                frees(awaited) - missing)


def choose_for_pressure(level: Level, residents: Iterable[Resident], rules: Rules, now: float
                        ) -> Evict | Wait | Nothing:
    """Who goes because memory is short (12). Wait names everyone who stays, and why."""
    if level is Level.NORMAL:
        return Nothing("memory is not short")
    everyone = in_order(residents, rules, now)
    idle = [one.slug for one in everyone
            if one.phase is Phase.READY and not one.why_pinned and not why_protected(one)]
    most_useful = idle[-1] if idle else ""
    spared = {one.slug: why for one in everyone
              if (why := spared_from_pressure(one, most_useful, rules, level, now))}
    victims = [one for one in everyone if one.slug not in spared]
    if victims:
        return Evict(tuple(_victim(one, now) for one in victims), frees(victims), tuple(spared.values()))
    return Wait(tuple(spared.values())) if spared else Nothing("no process is there that could go")


def choose_expired(residents: Iterable[Resident], now: float) -> Evict | Nothing:
    """Who goes because nobody has used it for its keep-alive (13)."""
    victims = sorted((one for one in residents if one.is_expired(now) and not why_protected(one) and not one.pinned),
                     key=lambda one: one.slug)
    if not victims:
        return Nothing("no keep-alive is over")
    return Evict(tuple(_victim(one, now) for one in victims), frees(victims), ())


# -- who may go ----------------------------------------------------------------------------------------------


def spared_from_demand(resident: Resident, demand: Demand, rules: Rules, level: Level, now: float) -> Spared | None:
    """Why it stays in spite of `demand`; None: it may go."""
    if why := why_out_of_reach(resident) or resident.why_pinned:  # 1, 2
        return Spared(resident.slug, why, inf)
    if resident.phase is Phase.EMPTY:  # 3
        return Spared(resident.slug, why_protected(resident), inf) if resident.unfinished else None
    waits, oldest = resident.highest_waiting, resident.oldest_wait
    waited_longer = oldest is not None and demand.since < oldest
    if demand.priority > waits or demand.priority == waits and not waited_longer:  # 4
        return Spared(resident.slug, f"{sum(resident.waiting)} wait for it, the highest {Priority(waits).name}", inf)
    outranks_its_work = resident.last_class is not None and demand.priority < resident.last_class
    used = -inf if outranks_its_work else min(resident.last_used, demand.since)
    spells = _spells(resident, rules, level, used, now)
    if resident.unfinished and not (outranks_its_work and demand.priority < waits):  # 8
        if resident.last_class is not None and demand.priority > resident.last_class:
            return Spared(resident.slug, f"{why_protected(resident)}, of class {resident.last_class.name}", inf)
        spells.insert(0, (demand.since + rules.grace_s, why_protected(resident)))
    return _still_spared(resident, spells, now)


def spared_from_pressure(resident: Resident, most_useful: str, rules: Rules, level: Level, now: float) -> Spared | None:
    """Why it stays although memory is short (12); None: it may go."""
    why = why_protected(resident) or resident.why_pinned  # 1, 2
    if not why and level < Level.CRITICAL:
        if resident.is_wanted:
            why = f"{sum(resident.waiting)} wait for it"
        elif resident.slug == most_useful:
            why = "the most useful of the idle ones"
    elif not why and resident.phase is Phase.READY and resident.highest_waiting == Priority.HIGH:
        why = f"{resident.waiting[Priority.HIGH]} of class HIGH wait for it"
    if why:
        return Spared(resident.slug, why, inf)
    if resident.phase is Phase.EMPTY:
        return None
    return _still_spared(resident, _spells(resident, rules, level, resident.last_used, now), now)


def _spells(resident: Resident, rules: Rules, level: Level, used: float, now: float) -> list[tuple[float, str]]:
    """Until when it is spared, and why. `used`: from when grace is counted."""
    if level >= Level.CRITICAL:
        return []
    at_most = inf if resident.unfinished or resident.is_wanted else resident.keep_until  # 7
    stays_s = max(rules.min_residency_s, RESIDENCY_LOADS * resident.load_s)
    spells = [(min(resident.loaded_at + stays_s, at_most), f"loaded {span(now - resident.loaded_at)} ago")]  # 6
    if resident.last_used:
        spells.append((min(used + rules.grace_s, at_most), f"used {span(now - resident.last_used)} ago"))  # 5
    return spells


def _still_spared(resident: Resident, spells: list[tuple[float, str]], now: float) -> Spared | None:
    until, why = max(spells, key=lambda spell: spell[0], default=(-inf, ""))
    return Spared(resident.slug, f"{why}, spared for {span(until - now)} more", until) if until > now else None


def most_room(slug: str, free_bytes: int, residents: Iterable[Resident]) -> int:
    """What would be free for `slug` if everybody else had gone who ever can."""
    return free_bytes + frees(one for one in residents if one.is_leaving or one.slug != slug and one.could_go)


# -- who of them does go -------------------------------------------------------------------------------------


def in_order(residents: Iterable[Resident], rules: Rules, now: float) -> list[Resident]:
    """Those who hold memory, who would be missed least first (9)."""
    return sorted((one for one in residents if one.phase in HOLDS_MEMORY), key=lambda one: _missed(one, rules, now))


def _missed(resident: Resident, rules: Rules, now: float) -> tuple[float | str, ...]:
    """How much, compared with others."""
    kind = 0 if resident.phase is Phase.EMPTY else 1 if resident.is_expired(now) else 2
    unused = now - resident.last_used if resident.last_used else inf
    if rules.grace_s and unused < inf:
        unused //= rules.grace_s
    reload = resident.load_s / resident.frees_bytes if resident.frees_bytes else inf
    return (bool(resident.unfinished), kind, -resident.highest_waiting, -unused, reload, resident.last_used,
            resident.slug)


def smallest_set(ordered: list[Resident], missing: int) -> list[Resident]:
    """Of `ordered`, most evictable first, those who are needed to free `missing` bytes (10)."""
    needed, freed = list(ordered), frees(ordered)
    for one in reversed(ordered):
        if freed - one.frees_bytes >= missing:
            needed.remove(one)
            freed -= one.frees_bytes
    return needed


def _victim(resident: Resident, now: float) -> Victim:
    return Victim(resident.slug, why_missed_least(resident, now), closing=bool(resident.unfinished))


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"
