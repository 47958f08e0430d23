"""What people ask control for (`Ask` on control.ipc), and the one answer each of them gets (`Told`).

load     wanted as if somebody waited for it in class MEDIUM; ends a backoff or quarantine; answered at once
unload   its keep-alive is over as of now: it goes as soon as it is idle and nobody waits; answered at once
evict    now, through the three keys, whatever grace and residency say; answered with the outcome
pin      never unloaded to make room, until `unpin` or `warden down`
reread   the library's models are the ones of `library.json` now (`control/shelf.py`); answered at once

Nothing here goes around the three keys: a model that answers or loads is refused, and the answer says why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from control import messages
from control.config import NO_MODEL
from control.rows import RowState
from control.states import Phase

if TYPE_CHECKING:
    from control.reconciler import Reconciler

ASKERS_MAX = 1024
OPERATOR = "an operator"
Asker = tuple[bytes, int]  # identity on control.ipc, its own number of the question
UNAVAILABLE, BUSY, PINNED, NOT_FOUND = "model_unavailable", "model_busy", "invalid_request", "model_not_found"
NEVER = "insufficient_memory"


class Operators:
    def __init__(self, reconciler: Reconciler) -> None:
        self.r = reconciler
        self._evicting: dict[str, list[Asker]] = {}

    def on_ask(self, identity: bytes, ask: messages.Ask, now: float) -> None:
        if ask.verb == "reread":
            self._tell((identity, ask.id), *self.r.shelf.reread(now))
            return
        model = self.r.config.find(ask.model) if ask.model else None
        row = self.r.rows.get(model.slug if model else ask.model.removeprefix("worker-"))
        asker = (identity, ask.id)
        self.r.effects.note("asked", verb=ask.verb, model=ask.model)
        if row is None and ask.model in self.r.relays.rows:
            self._tell(asker, NOT_FOUND, NO_MODEL.format(slug=ask.model))
            return
        if row is None:
            near = " or ".join(self.r.config.close_names(ask.model))
            self._tell(asker, NOT_FOUND, f'model "{ask.model}" not found' + (f"; did you mean {near}?" if near else ""))
            return
        {"load": self._load, "unload": self._unload, "evict": self._evict, "pin": self._pin,
         "unpin": self._unpin}[ask.verb](row, asker, now)

    def _tell(self, asker: Asker, code: str, text: str) -> None:
        self.r.effects.to_peer(asker[0], messages.Told(messages.VERSION, asker[1], code, text))

    def _load(self, row: RowState, asker: Asker, now: float) -> None:
        if row.effective is Phase.READY:
            self._tell(asker, "", f"{row.slug} is loaded")
            return
        if row.phase is Phase.HELD:
            self._tell(asker, UNAVAILABLE, f"{row.slug} is held: an operator stopped it; `warden ctl start "
                       f"worker-{row.slug}` brings it back")
            return
        if row.phase in (Phase.BACKOFF, Phase.QUARANTINED):
            row.not_before = now
            row.on_time(now)
        if row.loading:
            self._tell(asker, "", f"{row.slug} is loading already")
            return
        if why := self.r.books.why_never(row):
            self._tell(asker, NEVER, f"{row.slug} can never be loaded here: {why}")
            return
        row.wanted_by, row.wanted_at, row.reason = OPERATOR, now, "an operator wants it loaded"
        self.r.tell([row])
        self.r.act(now)
        self._tell(asker, "", f"{row.slug} will be loaded ({row.reason})")

    def _unload(self, row: RowState, asker: Asker, now: float) -> None:
        if row.pinned:
            self._tell(asker, PINNED, f"{row.slug} is pinned; run `warden unpin {row.slug}` first")
            return
        if row.loading:
            self._tell(asker, BUSY, f"{row.slug} is loading; ask again when it is loaded")
            return
        row.wanted_by = ""
        if row.effective is not Phase.READY:
            self._tell(asker, "", f"{row.slug} is not loaded ({row.effective.name.lower()})")
            return
        row.unload_asked_at = now
        why = self.r.evictor.why_kept(row, now)
        self.r.act(now)
        self._tell(asker, "", f"{row.slug} will be unloaded: {why}" if why else f"{row.slug} is being unloaded")

    def _evict(self, row: RowState, asker: Asker, now: float) -> None:
        if row.effective is Phase.EMPTY and not row.loading:
            self._tell(asker, "", f"{row.slug} is not loaded")
            return
        why = "it is pinned" if row.pinned else self.r.keys.why_not(row)
        if why:
            self.r.keys.count_refusal(row, "control", why)
            self._tell(asker, BUSY, f"{row.slug} is not evicted: {why}")
            return
        if sum(map(len, self._evicting.values())) >= ASKERS_MAX:
            self._tell(asker, BUSY, f"{ASKERS_MAX} evictions were asked for and are not over")
            return
        self._evicting.setdefault(row.slug, []).append(asker)
        self.r.keys.begin(row, "an operator evicts it", now)

    def on_refused(self, row: RowState, why: str) -> None:
        for asker in self._evicting.pop(row.slug, ()):
            self._tell(asker, BUSY, f"{row.slug} is not evicted: {why}")

    def on_ended(self, row: RowState) -> None:
        """Its process is gone, however it went."""
        for asker in self._evicting.pop(row.slug, ()):
            self._tell(asker, "", f"{row.slug} is evicted")

    def _pin(self, row: RowState, asker: Asker, now: float) -> None:
        row.pinned = True
        self.r.tell([row])
        self._tell(asker, "", f"{row.slug} is pinned")

    def _unpin(self, row: RowState, asker: Asker, now: float) -> None:
        row.pinned = False
        self.r.tell([row])
        self._tell(asker, "", f"{row.slug} is no longer pinned")
