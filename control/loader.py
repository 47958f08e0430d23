"""Starts and loads carried out: facts for the choice, orders to supervisord and workers, room asked for where it lacks.

What comes next is decided in `control/load_choice.py` (pure); who goes for it in `control/eviction.py`.

1. One load at a time, and a LOAD that was said is said again while its worker stays EMPTY: twice is harmless.
2. A load gets its share, batch and context when it is ordered: as much as is free then, at most its full batch.
3. Files that cannot be measured are not loaded: the model is quarantined with the reason, its empty process leaves.
4. An operator's start of a model that cannot fit ends in that process leaving again, with the reason.
5. A load leaves room for the least that others need who were used lately, if that is possible: else the first of two
   models that fit together would take all that is free, and they would drive each other out for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from control import budget, eviction, load_choice, messages
from control.load_choice import Facts, Leave, Load, MakeRoom, Room, Start
from control.operators import OPERATOR
from control.pressure_level import Level
from control.process_watch import PROGRAM
from control.resident import Resident
from control.rows import RowState
from control.states import Phase

if TYPE_CHECKING:
    from control.reconciler import Reconciler

NS = 1_000_000_000
LOAD_AGAIN_S = 5.0
RECENTLY_S = 3600.0
NOBODY_ANY_MORE = "nobody waits for it any more"
WANTED_AGAIN = "wanted again"  # how the reason begins of one that nobody waited for, until something else is said


class Loader:
    def __init__(self, reconciler: Reconciler, floor: int) -> None:
        self.r = reconciler
        self._loads = floor

    def act(self, now: float) -> None:
        """The one next thing: start, load or make room."""
        residents = self.r.evictor.residents(now)
        books = self.r.books
        room = Room(books.free_bytes(), books.level, books.preload_allowed)
        rows = [self._facts(row, residents, room.free_bytes) for row in self.r.rows.values()]
        choice = load_choice.choose_next(rows, self.r.config.prewarm, room)
        if isinstance(choice, MakeRoom):
            demand = eviction.Demand(choice.slug, choice.bytes, choice.priority, choice.since)
            beside_bytes = self.r.evictor.make_room(demand, room.free_bytes, residents, now)
            choice = load_choice.choose_beside(rows, choice.slug, room, beside_bytes)
        else:
            self.r.evictor.end_closings(set())
        self._explain(rows, room, now)
        match choice:
            case Start():
                self._start(self.r.rows[choice.slug], choice.reason, now)
            case Load():
                self._load(self.r.rows[choice.slug], choice, now)
            case Leave():
                self._end_empty(self.r.rows[choice.slug], choice.reason, now)

    def _explain(self, rows: list[Facts], room: Room, now: float) -> None:
        """Why those who are wanted do not come, where neither the choice nor the evictor has a word to say."""
        used = f"{self.r.books.used_percent:.1f} % of memory is used"
        for facts in rows:
            row, waits = self.r.rows[facts.slug], load_choice.urgency(facts)[0] < load_choice.NOBODY_WAITS
            if facts.phase not in (Phase.DOWN, Phase.EMPTY, Phase.STARTING) or facts.loading or row.need_never:
                continue
            if waits and room.level >= Level.CRITICAL:
                why = f"{used}, and nothing is loaded above {self.r.config.memory_critical_percent:g} %"
                self.r.explain(row, f"{messages.WAITS_FOR_ROOM}: {why}", now)
            elif waits and not facts.could_fit:
                most = f"it needs {budget.size(facts.needs_bytes)} more than can become free beside what is pinned"
                self.r.explain(row, f"{messages.WAITS_FOR_ROOM}: {most} and what other programs use", now)
                self._send_away(row, most, now)
            elif facts.wanted_by == load_choice.PRELOAD and not room.preload_allowed:
                below = f"{self.r.config.preload_below_percent:g} %"
                self.r.explain(row, f"is preloaded when less than {below} of memory is used; {used}", now)
            elif waits and row.reason.startswith((NOBODY_ANY_MORE, WANTED_AGAIN)):
                self.r.explain(row, f"{WANTED_AGAIN}: {load_choice.why_wanted(facts)}", now)
            elif not waits and row.reason.startswith((messages.WAITS_FOR_ROOM, WANTED_AGAIN)):
                self.r.explain(row, NOBODY_ANY_MORE, now)

    def _send_away(self, row: RowState, why: str, now: float) -> None:
        """The process that an operator started for a model that does not fit (4)."""
        if row.wanted_by == OPERATOR and row.effective is Phase.EMPTY and not self.r.keys.why_not(row):
            row.wanted_by = ""
            self.r.keys.begin(row, why, now)

    def _end_empty(self, row: RowState, why: str, now: float) -> None:
        """A process without a model, by the three keys like any other: it may be counting somebody's tokens."""
        if not self.r.keys.why_not(row):
            self.r.keys.begin(row, why, now)

    def _facts(self, row: RowState, residents: list[Resident], free_bytes: int) -> Facts:
        words = self.r.effects.read_gateway(row.index)
        needs_bytes = max(0, row.need_bytes - row.share_bytes)
        # Whether an operator stopped it is not known until supervisord was asked after its end (STOPPED is a hold).
        settled = row.phase is not Phase.DOWN or row.ended_at < self.r.processes.read_at
        most = eviction.most_room(row.slug, free_bytes, residents)
        return Facts(
            slug=row.slug,
            phase=row.effective if settled and row.stop is None else Phase.STOPPING,
            loading=row.loading,
            waiting=words.waiting if words else (0, 0, 0),
            oldest_wait=words.oldest_wait if words else None,
            wanted_by=row.wanted_by,
            wanted_at=row.wanted_at,
            last_used=max(row.last_used, words.last_dispatch_ns / NS if words else 0.0),
            needs_bytes=needs_bytes,
            start_bytes=self.r.books.empty_bytes(row),
            could_fit=needs_bytes <= most and not self.r.books.why_no_facts(row),
        )

    def _start(self, row: RowState, reason: str, now: float) -> None:
        row.on_started(now, reason)
        row.share_bytes = self.r.books.empty_bytes(row)
        self.r.effects.note("start", model=row.slug, reason=reason)
        self.r.tell([row])
        self.r.effects.order("start", PROGRAM + row.slug)  # STARTING until a hello or an end

    def _load(self, row: RowState, choice: Load, now: float) -> None:
        if not row.peer or row.is_fenced:
            return  # it has not greeted this control process yet, or is being settled
        room_bytes = max(row.need_bytes - row.share_bytes, choice.room_bytes - self._kept_for_others(row, now))  # (5)
        plan = self.r.books.plan_load(row, room_bytes)
        if plan.share_bytes > choice.room_bytes + row.share_bytes:
            return  # its files have grown since; its need is worked out anew
        self._loads += 1
        row.load_id, row.load_deadline = self._loads, now + self.r.limits.load_deadline_s
        row.plan, row.share_bytes = plan, plan.share_bytes  # (2)
        row.batch_max, row.context_length = plan.rows, plan.context_length
        row.reason = choice.reason
        self.r.effects.note("load", model=row.slug, incarnation=row.incarnation, reason=choice.reason,
                            share_bytes=plan.share_bytes, batch=plan.rows, context=plan.context_length,
                            measured=plan.measured, reserved_bytes=self.r.books.reserved_bytes,
                            ceiling_bytes=self.r.books.ceiling.bytes)
        self.r.tell([row])
        self._send_load(row, now)

    def _kept_for_others(self, row: RowState, now: float) -> int:
        """The least that other models need which are likely to come soon: two that fit together should both stay."""
        return sum(other.need_bytes for other in self.r.rows.values() if other is not row and not other.has_process
                   and (other.wanted_by or other.pinned or now - other.last_used < RECENTLY_S and other.last_used))

    def _send_load(self, row: RowState, now: float) -> None:
        """Said again while the worker stays EMPTY: it may be lost with a connection, and twice is harmless (1)."""
        row.load_sent_at, plan = now, row.plan
        load = messages.Load(messages.VERSION, row.incarnation, row.load_id, self.r.epoch, plan.share_bytes,
                             plan.runtime_bytes, plan.rows, plan.context_length, plan.row_tokens)
        self.r.effects.to_peer(row.peer, load)

    def on_tick(self, row: RowState, now: float) -> None:
        if row.effective is Phase.EMPTY and row.load_sent_at is not None and now - row.load_sent_at > LOAD_AGAIN_S:
            self._send_load(row, now)
        bad_files = self.r.books.why_no_facts(row)
        if row.bad_files and not bad_files and row.phase is Phase.QUARANTINED:
            row.not_before = now  # they were mended
        if bad_files and row.phase is Phase.DOWN:
            row.on_bad_files(now, bad_files)  # (3)
            self.r.effects.note("load_refused", model=row.slug, reason=bad_files)
            self.r.tell([row])
        never = "" if bad_files else self.r.books.why_never(row)
        if bool(never) != row.need_never:
            row.need_never = bool(never)
            self.r.effects.note("never_fits" if never else "fits_again", model=row.slug, reason=never)
        if never and row.phase is Phase.DOWN:
            self.r.explain(row, never, now)  # whoever asks for it is answered with the arithmetic
        if never:
            self._send_away(row, never, now)
        if bad_files and row.effective is Phase.EMPTY and not row.loading:
            self._end_empty(row, bad_files, now)

    def on_loaded(self, row: RowState, now: float) -> None:
        words = self.r.effects.read_worker(row.index)
        row.loads += 1
        row.wanted_by, row.unload_asked_at = "", float("-inf")
        row.loaded_at = now
        row.load_s = words.load_ms / 1000 if words and words.incarnation == row.incarnation else 0.0
        self.r.effects.note("loaded", model=row.slug, incarnation=row.incarnation, load_s=row.load_s)
