"""The books of memory: what may be given out, what is, what each model needs, and what did not come back.

Guarantees
1. The shares of all processes stay under the ceiling: a load gets at most what is free, and `free_bytes` counts every
   process from its start until its memory was measured back. (Measured is what left to make room. After a crash or a
   drain, and after a restart of control, the process's end has to do; what is missing then shows in the pressure.
   A process that an operator starts is not asked: it counts, and nothing more is given out until all fit again.)
2. The ceiling is a promise for good, so it does not follow the moment. What other programs take meanwhile is seen by
   the pressure readings, and `free_bytes` is never more than what could be taken now without becoming critical.
3. What did not come back is taken off the ceiling until it is measured back, or until all that the ceiling promises is
   there to be taken.

Decides nothing about who goes. Readings come in from the loop; the injected pressure changes levels, never bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from control import budget, measured_back
from control.budget import Ceiling, ModelFacts, Plan, Profile
from control.measured_back import Stopped
from control.pressure import Reading
from control.pressure_level import Level, Thresholds, next_level
from control.rows import RowState
from control.states import Phase

if TYPE_CHECKING:
    from control.reconciler import Reconciler

GIB = 1024**3
SETTLED_AFTER_S = 2.0  # a worker reads its own footprint once a second
NOT_MEASURED = 0  # a footprint that holds KV besides says nothing of weights and runtime
PEAK_GROWTH = 1.02  # a peak is written again when it grew by this


class MemoryBooks:
    """`used_percent` is what levels are judged by."""

    def __init__(self, reconciler: Reconciler) -> None:
        self.r = reconciler
        config = reconciler.config
        self.thresholds = Thresholds(*(getattr(config, f"memory_{name}_percent") / 100
                                       for name in ("warning", "critical", "emergency")))
        self.level = Level.NORMAL
        self.reading: Reading | None = None
        self.ceiling = Ceiling(0, "memory was not read yet")
        self.leaks: list[Stopped] = []
        self.leaked_before = 0  # bytes that an earlier control process missed

    @property
    def used_percent(self) -> float:
        return 100 * (self.reading.used or 0.0) if self.reading else 0.0

    @property
    def preload_allowed(self) -> bool:
        return self.level is Level.NORMAL and self.used_percent < self.r.config.preload_below_percent

    # -- readings --------------------------------------------------------------------------------------------

    def on_reading(self, reading: Reading) -> None:
        self.reading = reading
        level = next_level(self.level, reading.used, self.thresholds)
        if level is not self.level:
            self.r.effects.note("pressure", pressure=level.name, before=self.level.name,
                                used_percent=round(self.used_percent, 1), source=reading.source)
        self.level = level
        device = max([reading.device_bytes, *(words.device_bytes for row in self.r.rows.values()
                                              if (words := self.r.effects.read_worker(row.index)))])
        ceiling = budget.choose_ceiling(int(self.r.config.memory_budget_gb * GIB), device, reading.total_bytes,
                                        reading.limit_bytes)
        if ceiling != self.ceiling:
            self.ceiling = ceiling
            self.r.effects.note("ceiling", bytes=ceiling.bytes, reason=ceiling.why)
            for row in self.r.rows.values():
                self.work_out_need(row)

    # -- the books -------------------------------------------------------------------------------------------

    @property
    def leaked_bytes(self) -> int:
        return self.leaked_before + sum(leak.missing_bytes for leak in self.leaks)

    @property
    def reserved_bytes(self) -> int:
        return sum(row.share_bytes for row in self.r.rows.values())

    def free_bytes(self) -> int:
        """What may be given out now; may be negative."""
        promised = self.ceiling.bytes - self.leaked_bytes - self.reserved_bytes
        if self.reading is None:
            return 0
        kept = (1 - self.thresholds.critical) * self.reading.limit_bytes
        return min(promised, int(self.reading.available_bytes - kept - self._not_taken_yet()))

    def _not_taken_yet(self) -> int:
        """Of the shares given out, what their processes have not touched so far."""
        return sum(max(0, row.share_bytes - self._footprint_bytes(row)) for row in self.r.rows.values())

    # -- needs -----------------------------------------------------------------------------------------------

    def empty_bytes(self, row: RowState) -> int:
        return budget.empty_bytes(self.r.models[row.slug].engine)

    def unknown_bytes(self, row: RowState) -> int:
        """What a process that control did not start counts for until it has spoken. In a table made anew nothing says
        that it is new: it may have loaded its model, so as much as that needs is not given to others."""
        return max(0 if row.incarnation else row.need_bytes, self.empty_bytes(row))

    def work_out_need(self, row: RowState) -> None:
        """Asked in each tick, and changes when the files, the profile or the shortage did."""
        facts = self.r.effects.read_facts(row.slug)
        of = (facts, self.r.effects.read_profile(row.slug), row.shrink)
        if of != row.need_of:
            row.need_of = of
            row.need_bytes = self._plan(row, facts, None).share_bytes if isinstance(facts, ModelFacts) else 0

    def why_no_facts(self, row: RowState) -> str:
        """Why the sizes of its files cannot be told; "" if they can."""
        facts = self.r.effects.read_facts(row.slug)
        return facts if isinstance(facts, str) else ""

    def why_never(self, row: RowState) -> str:
        """The arithmetic, if the least that the model takes is more than all models together may have; else ""."""
        ceiling = Ceiling(self.ceiling.bytes - self.leaked_bytes, self.ceiling.why)
        if not ceiling.bytes or row.need_bytes <= ceiling.bytes:
            return ""
        return budget.explain(self._plan(row, self.r.effects.read_facts(row.slug), None), ceiling, 0)

    def plan_load(self, row: RowState, room_bytes: int) -> Plan:
        """What the model is loaded into now, with `room_bytes` beside what its process counts for already: as much as
        that allows, at most its full batch. Its facts must be known."""
        return self._plan(row, self.r.effects.read_facts(row.slug), room_bytes + row.share_bytes)

    def _plan(self, row: RowState, facts: ModelFacts, room_bytes: int | None) -> Plan:
        model = self.r.models[row.slug]
        rows = min(model.batch_size, self.r.config.rows_max)
        return budget.make_plan(facts, batch=rows, context=model.context_length,
                                memory_bytes=int(model.memory_gb * GIB), profile=self.r.effects.read_profile(row.slug),
                                shrink=row.shrink, room_bytes=room_bytes)

    # -- what was measured -----------------------------------------------------------------------------------

    def on_tick(self, now: float) -> None:
        for row in self.r.rows.values():
            if row.effective is Phase.READY and now - row.loaded_at > SETTLED_AFTER_S:
                self._measure(row)
            elif not row.loading and row.effective is not Phase.READY:
                self.work_out_need(row)  # its files may have changed
        self._look_for_leaks()

    def _measure(self, row: RowState) -> None:
        words = self.r.effects.read_worker(row.index)
        if words is None or words.incarnation != row.incarnation or not words.footprint_bytes:
            return
        known, now_bytes = self.r.effects.read_profile(row.slug), words.footprint_bytes
        unused = words.accepted == 0  # what it holds is its weights and itself, and no KV yet
        if known is None or now_bytes > known.peak_bytes * PEAK_GROWTH or unused and (
                not known.loaded_bytes or now_bytes < known.loaded_bytes):
            known = known or Profile(NOT_MEASURED, now_bytes, row.load_s)
            loaded = min(known.loaded_bytes or now_bytes, now_bytes) if unused else known.loaded_bytes
            peak = max(now_bytes, known.peak_bytes)
            self.r.effects.save_profile(row.slug, Profile(loaded, peak, row.load_s))
            self.work_out_need(row)

    def before_end(self, row: RowState) -> Stopped:
        """The facts by which `look_back` will know that its memory is back."""
        return Stopped(row.slug, self._footprint_bytes(row), self._available_bytes,
                       self._others_bytes(row.incarnation, but=row.slug))

    def look_back(self, stopped: Stopped) -> Stopped:
        """After one more reading. Its row may have another process by now, which is one of the others."""
        row = self.r.rows[stopped.slug]
        left = row.incarnation if row.phase in (Phase.STOPPING, Phase.VERIFY_FREE) else 0
        return measured_back.look(stopped, self._available_bytes, self._others_bytes(left, but=stopped.slug))

    def on_leak(self, stopped: Stopped) -> None:
        self.leaks.append(stopped)
        self._look_for_leaks()

    def _look_for_leaks(self) -> None:
        """What has come back meanwhile (3). A leak itself is not there to be taken."""
        if self.reading is not None:
            looked = [self.look_back(leak) for leak in self.leaks]
            self.leaks = [leak for leak in looked if leak.missing_bytes]
            if self._available_bytes + self._held_bytes(0) >= self.ceiling.bytes:
                self.leaks, self.leaked_before = [], 0  # all that the ceiling promises is there

    def fits_beside_leaks(self, row: RowState) -> bool:
        """May a model whose process left a leak be loaded again? It was found back, or there is room in any case."""
        return all(leak.slug != row.slug for leak in self.leaks) or row.need_bytes <= self.free_bytes()

    def leak_warning(self) -> str:
        """For the operator; "" if all came back."""
        parts = [f"{leak.missing_bytes / GIB:.1f} GiB of {leak.slug}" for leak in self.leaks]
        parts += [f"{self.leaked_before / GIB:.1f} GiB"] if self.leaked_before else []
        return f"{', '.join(parts)} did not come back after its process had ended; a reboot frees it" if parts else ""

    def injected_warning(self) -> str:
        """Levels that are not this machine's are not to be taken for such."""
        injected = self.level and self.reading is not None and self.reading.source == "file"
        return "the use of memory is injected (WARDEN_PRESSURE_FILE), not measured" if injected else ""

    @property
    def _available_bytes(self) -> int:
        return self.reading.available_bytes if self.reading else 0

    def _others_bytes(self, incarnation: int, *, but: str) -> int:
        """What all workers but that incarnation hold, and what processes of other models have leaked."""
        return self._held_bytes(incarnation) + sum(leak.missing_bytes for leak in self.leaks if leak.slug != but)

    def _held_bytes(self, incarnation: int) -> int:
        return sum(self._footprint_bytes(row) for row in self.r.rows.values() if row.incarnation != incarnation)

    def _footprint_bytes(self, row: RowState) -> int:
        """By the word of its living process; 0 if that has not said it. A row that is STARTING still shows the words of
        the process before, whose memory is no more."""
        words = self.r.effects.read_worker(row.index) if row.phase in (Phase.ALIVE, Phase.STOPPING) else None
        return words.footprint_bytes if words is not None and words.incarnation == row.incarnation else 0
