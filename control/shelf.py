"""Models that come and go while the stack runs: control's part of a pull and of a delete (`control/library.py`).

`reread` makes the rows, and supervisord's programs, those of the library as it stands on disk now, and may be asked at
any time and any number of times. A row goes only when nothing of its model is left: no process, no eviction, no memory
that is still looked for. Until then `reread` is refused, whole, as `model_busy`, and the model stays as it was.

supervisord's list is looked at each time it comes: a pulled model whose program it does not know is told to it again,
and a program of no model is taken off it once it has no process. So neither a supervisord that was away, nor a control
process that died between two steps, leaves the two different for longer than a second or two.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from control.config import Config, with_library
from control.rows import RowState
from control.states import Phase
from control.supervisord import ProcessFact, ProcessState

if TYPE_CHECKING:
    from control.reconciler import Reconciler

PROGRAM = "worker-"
AGAIN_S = 1.0
ENDED = (ProcessState.STOPPED, ProcessState.EXITED, ProcessState.FATAL)
BUSY, REFUSED = "model_busy", "internal"
DELETED = "it was deleted"


class Shelf:
    def __init__(self, reconciler: Reconciler) -> None:
        self.r = reconciler
        self._ordered_at: dict[tuple[str, str], float] = {}  # by verb and program

    def reread(self, now: float) -> tuple[str, str]:
        """Code ("" if it is done) and text for who asked."""
        library = self.r.effects.read_library()
        if isinstance(library, str):
            return REFUSED, library
        config = with_library(self.r.config, library)
        gone = [row for slug, row in self.r.rows.items() if slug not in config.by_slug]
        for row in gone:
            if why := self._why_not_gone(row, now):
                return BUSY, f"{row.slug} is not deleted yet: {why}"
        if trouble := self.r.effects.write_programs(config):
            return REFUSED, trouble
        for row in gone:
            self._drop(row, now)
        return self._take(config, now)

    def _why_not_gone(self, row: RowState, now: float) -> str:
        """Why its row has to stay for now; one with an idle process is asked to leave."""
        if row.stop is not None or row.phase is Phase.VERIFY_FREE:
            return "it is on its way out"
        if not row.has_process:
            return ""
        why = self.r.keys.why_not(row)
        if not why:
            self.r.keys.begin(row, DELETED, now)
        return why or "its process is asked to leave"

    def _drop(self, row: RowState, now: float) -> None:
        del self.r.rows[row.slug]
        self.r.effects.drop_row(row)
        self.r.effects.note("model_removed", model=row.slug)
        self._order("remove", row.slug, now)

    def _take(self, config: Config, now: float) -> tuple[str, str]:
        added = [RowState(-1, slug) for slug in config.by_slug if slug not in self.r.rows]
        self.r.config = config
        self.r.effects.take_models(config)
        for row in added:
            if not self.r.effects.add_row(row):
                return REFUSED, f"{row.slug} has no row: the table is full; run `warden down`, then `warden up`"
            self.r.rows[row.slug] = row
            self.r.effects.note("model_added", model=row.slug)
            self._order("add", row.slug, now)
            self.r.tell([row])
        self.r.act(now)
        return "", f"{len(config.models)} models"

    def on_processes(self, processes: Mapping[str, ProcessFact], now: float) -> None:
        """What supervisord lists now."""
        for model in self.r.config.models:
            if model.pulled and PROGRAM + model.slug not in processes:
                self._again("add", model.slug, now)
        for name, fact in processes.items():
            slug = name.removeprefix(PROGRAM)
            if name.startswith(PROGRAM) and slug not in self.r.config.by_slug and fact.state in ENDED:
                self._again("remove", slug, now)

    def _again(self, verb: str, slug: str, now: float) -> None:
        """Each batch of orders is followed by a list at once: one that is refused must not chase the next."""
        if now - self._ordered_at.get((verb, slug), float("-inf")) >= AGAIN_S:
            self._order(verb, slug, now)

    def _order(self, verb: str, slug: str, now: float) -> None:
        self._ordered_at = {key: at for key, at in self._ordered_at.items() if now - at < AGAIN_S} | {(verb, slug): now}
        self.r.effects.order(verb, PROGRAM + slug)
