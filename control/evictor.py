"""Evictions carried out: facts for the chooser, its outcome to the three keys, and what people are told about it.

What goes is decided in `control/eviction.py` (pure) and asked for in `control/three_keys.py`; this collects the facts
and remembers nothing that it can read again. A reading of the table only makes a candidate.

1. Pressure is looked at in each turn, so also at each completion (the gateway says Idle while there is pressure).
2. A closing fence stands only as long as the choice, made anew, still wants it.
3. When memory is critical and nothing can go, no new LOW and MEDIUM work is begun: the overload bits say so, and the
   warning names who is protected and why.
"""

from __future__ import annotations

from math import inf, isclose
from typing import TYPE_CHECKING

from control import eviction, messages
from control.eviction import Demand, Evict, Rules, Wait
from control.keep_alive import choose_keep_alive_s
from control.operators import OPERATOR
from control.pressure_level import Level
from control.resident import HOLDS_MEMORY, Resident, why_protected
from control.rows import RowState
from control.states import Phase, Priority, is_fresh
from control.table import FOREVER, RowGateway

if TYPE_CHECKING:
    from control.reconciler import Reconciler

NS = 1_000_000_000
KEEP_UNTIL_STEP_S = 0.5  # a smaller change is not worth writing
REFUSED_UNDER_PRESSURE = 1 << Priority.MEDIUM | 1 << Priority.LOW


class Evictor:
    """`overload` are the bits for the table, `protected` the sentence for the warning."""

    def __init__(self, reconciler: Reconciler) -> None:
        self.r = reconciler
        self.rules = Rules(reconciler.config.grace_s, reconciler.config.min_residency_s)
        self.overload = 0
        self.protected = ""
        self._waits: dict[str, tuple[str, ...]] = {}  # for whom each demand waits, as noted

    # -- facts -----------------------------------------------------------------------------------------------

    def residents(self, now: float) -> list[Resident]:
        return [self.resident(row, now) for row in self.r.rows.values() if row.effective in HOLDS_MEMORY]

    def resident(self, row: RowState, now: float) -> Resident:
        words = self.r.effects.read_gateway(row.index)
        self._remember_use(row, words)
        keep_until = self._keep_until(row)
        moved = not isclose(keep_until, row.keep_until, rel_tol=0, abs_tol=KEEP_UNTIL_STEP_S)
        if row.effective is Phase.READY and moved:
            row.keep_until = keep_until
            self.r.effects.write_row(row)
        waiting = words.waiting if words else (0, 0, 0)
        if row.wanted_by == OPERATOR and row.effective is not Phase.READY:
            waiting = (waiting[0], waiting[1] + 1, waiting[2])  # his wish counts as a waiter
        return Resident(
            slug=row.slug,
            phase=Phase.LOADING if row.loading else row.effective,
            frees_bytes=row.share_bytes,
            unfinished=self._unfinished(row, words, now),
            waiting=waiting,
            oldest_wait=words.oldest_wait if words else None,
            last_used=row.last_used,
            last_class=row.last_class,
            loaded_at=row.loaded_at,
            load_s=row.load_s,
            keep_until=keep_until,
            pinned=row.pinned,
            leaving=row.stop is not None and not row.is_closing,
        )

    def _unfinished(self, row: RowState, words: RowGateway | None, now: float) -> int | None:
        """None where it is not known for certain: that reads as busy."""
        if row.effective is Phase.EMPTY:
            return 0
        worker = self.r.effects.read_worker(row.index)
        if worker is None or worker.incarnation != row.incarnation or not is_fresh(worker.heartbeat_ns, int(now * NS)):
            return None
        if words is None or words.incarnation != row.incarnation:
            return None
        return max(words.unfinished, worker.active)

    def _remember_use(self, row: RowState, words: RowGateway | None) -> None:
        """What the gateway says of its use. Kept, since the words of another gateway begin at 0."""
        if words is None:
            return
        row.last_used = max(row.last_used, used_at(words))
        row.dispatched_at = max(row.dispatched_at, words.last_dispatch_ns / NS)
        if words.last_class:
            row.last_class = Priority(words.last_class - 1)
        if words.last_dispatch_ns:
            row.keep_alive_word = words.keep_alive_ms

    def _keep_until(self, row: RowState) -> float:
        if row.unload_asked_at > row.dispatched_at:
            return row.unload_asked_at  # the end of an answer that was in flight then is no new use
        model, config, word = self.r.models[row.slug], self.r.config, row.keep_alive_word
        asked_s = None if not word else inf if word == FOREVER else (word - 1) / 1000
        keep_s = choose_keep_alive_s(asked_s, model.keep_alive, config.keep_alive, config.keep_alive_max)
        return max(row.last_used, row.loaded_at) + keep_s

    def why_kept(self, row: RowState, now: float) -> str:
        """What its own work says against unloading it now; "" if nothing does."""
        resident = self.resident(row, now)
        if why := why_protected(resident):
            return why
        return f"{sum(resident.waiting)} wait for it" if any(resident.waiting) else ""

    # -- decisions carried out -------------------------------------------------------------------------------

    def make_room(self, demand: Demand, free_bytes: int, residents: list[Resident], now: float) -> int:
        """Somebody wants a model that does not fit. Returns what others may be given meanwhile, in bytes."""
        outcome = eviction.choose_for_demand(demand, free_bytes, residents, self.rules, self.r.books.level, now)
        row, room = self.r.rows[demand.slug], f"{messages.WAITS_FOR_ROOM}: "
        if isinstance(outcome, Evict):
            self._waits.pop(demand.slug, None)
            self._begin(outcome, f"{demand.slug} needs room", now)
            self.r.explain(row, room + ", ".join(f"{one.slug} goes" for one in outcome.victims), now)
        else:
            why = outcome.why if isinstance(outcome, eviction.Nothing) else told(outcome)
            self.r.explain(row, room + why, now)
            self._note_wait(demand.slug, why, outcome)
        wanted = {one.slug for one in outcome.victims} if isinstance(outcome, Evict) else set()
        self.end_closings(wanted)
        return 0 if isinstance(outcome, eviction.Nothing) else outcome.beside_bytes

    def _note_wait(self, slug: str, why: str, outcome: Wait | eviction.Nothing) -> None:
        """One line for each wait, not one for each second of it."""
        whom = tuple(one.slug for one in outcome.whom) if isinstance(outcome, Wait) else ()
        if self._waits.get(slug) != whom:
            self._waits[slug] = whom
            self.r.effects.note("waits_for_room", model=slug, reason=why)

    def end_closings(self, still_wanted: set[str]) -> None:
        """Take back the closing fences that the choice, made anew, does not want any more (2)."""
        for row in self.r.rows.values():
            if row.is_closing and row.slug not in still_wanted:
                self.r.keys.give_up(row, "the choice, made anew, does not want it any more")

    def press(self, now: float) -> None:
        """Memory is short (1), or a model has not been used for its keep-alive."""
        level, residents = self.r.books.level, self.residents(now)
        outcome = eviction.choose_for_pressure(level, residents, self.rules, now)
        if isinstance(outcome, Evict):
            self._begin(outcome, f"memory at {self.r.books.used_percent:.1f} %", now)
        expired = eviction.choose_expired(residents, now)
        if isinstance(expired, Evict):
            self._begin(expired, "", now)
        self._judge_overload(level, outcome)

    def _begin(self, outcome: Evict, why: str, now: float) -> None:
        for victim in outcome.victims:
            row = self.r.rows[victim.slug]
            if row.stop is None and not self.r.keys.why_not(row):
                reason = f"{why}; {victim.reason}" if why else self._why_expired(row, victim.reason)
                self.r.keys.begin(row, reason, now, closing=victim.closing)
                self.r.effects.note("evict", model=row.slug, reason=reason, closing=victim.closing,
                                    share_bytes=row.share_bytes, used_percent=self.r.books.used_percent)

    def _why_nobody(self, outcome: Evict | Wait | eviction.Nothing) -> str:
        if isinstance(outcome, Evict):  # they could go, and cannot be asked
            rows = [self.r.rows[one.slug] for one in outcome.victims]
            return ", ".join(f"{row.slug} ({self.r.keys.why_not(row)})" for row in rows)
        return told(outcome) if isinstance(outcome, Wait) else "no model is loaded, other programs use it"

    def _why_expired(self, row: RowState, reason: str) -> str:
        """Whose wish it was that its keep-alive is over, if it was not time's."""
        if row.unload_asked_at > row.dispatched_at:
            return "unloaded by an operator"
        return "its last request asked for keep_alive 0" if row.keep_alive_word == 1 else reason

    def _judge_overload(self, level: Level, outcome: Evict | Wait | eviction.Nothing) -> None:
        stuck = level >= Level.CRITICAL and not any(row.stop is not None for row in self.r.rows.values())
        overload = REFUSED_UNDER_PRESSURE if stuck or level >= Level.EMERGENCY else 0
        protected = ""
        if stuck:
            who = self._why_nobody(outcome)
            protected = f"memory is at {self.r.books.used_percent:.1f} % and nothing is evicted: {who}"
        if (overload, bool(protected)) != (self.overload, bool(self.protected)):
            refused = [priority.name for priority in Priority if overload >> priority & 1]
            self.r.effects.note("protected" if protected else "overload", pressure=level.name, reason=protected,
                                used_percent=round(self.r.books.used_percent, 1), refused_classes=refused)
        self.overload, self.protected = overload, protected


def used_at(words: RowGateway) -> float:
    """When a model was used last, monotonic seconds; 0.0: never in this gateway's life."""
    return max(words.last_dispatch_ns, words.last_end_ns) / NS


def told(outcome: Wait) -> str:
    return ", ".join(f"{one.slug} ({one.why})" for one in outcome.whom)
