"""The gateway's counters: counted here, published to the shared table once a turn, never read back.

Words of one gateway epoch start at 0. `running` and `queued` come from admission, so that there is one truth; the
rest is counted at the event. After each turn `admitted = finished + failed + cancelled + displaced + expired + queued +
running + paused` (tests add it up against what clients saw).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from control.states import Priority
from control.table import FOREVER, GatewayWords, RowGateway, Table
from gateway import protocol

if TYPE_CHECKING:
    from gateway.dispatcher import Dispatcher
    from gateway.requests import Request

NS = 1_000_000_000
SWEEP_EVERY_S = 0.05
WAIT_WEIGHT = 0.1  # of the newest wait in the moving mean
ENDS_COUNTED_ELSEWHERE = ("displaced", "queue_deadline")


@dataclass(slots=True)
class RowCounts:
    """Of one model in this gateway epoch; what was asked of a worker is forgotten with the worker."""

    dispatched: int = 0
    finished: int = 0
    last_dispatch: float = 0.0
    last_end: float = 0.0
    last_class: int = 0  # plus one; 0: none
    keep_alive: int = 0  # the word, see `keep_alive_word`


class Counters:
    def __init__(self, epoch: int, slugs: list[str]) -> None:
        self.epoch = epoch
        self.admitted = [0, 0, 0]
        self.finished = self.failed = self.cancelled = 0
        self.rejected = self.displaced = self.expired = self.retried = 0
        self.dropped_frames = 0
        self.lost_to_eviction = 0
        self.rate_limited = 0
        self.mean_wait_ms = [0.0, 0.0, 0.0]
        self.touched: set[str] = set()  # slugs whose row may have changed since it was published
        self.rows = {slug: RowCounts() for slug in slugs}

    def take_models(self, slugs: Iterable[str]) -> None:
        self.rows = {slug: self.rows.get(slug) or RowCounts() for slug in slugs}

    def on_dispatch(self, request: Request, now: float) -> None:
        row = self.rows[request.ticket.target]
        self.touched.add(request.ticket.target)
        row.dispatched += 1
        row.last_dispatch = now
        row.last_class = request.ticket.priority + 1
        row.keep_alive = keep_alive_word(request.keep_alive_s)
        wait_ms = (now - request.ticket.waits_since) * 1000
        mean = self.mean_wait_ms[request.ticket.priority]
        self.mean_wait_ms[request.ticket.priority] = mean + WAIT_WEIGHT * (wait_ms - mean)

    def on_load_answered(self, slug: str, keep_alive_s: float | None, now: float) -> None:
        """A load counts as use, and says like a request how long the model should stay."""
        self.touched.add(slug)
        self.rows[slug].last_dispatch, self.rows[slug].keep_alive = now, keep_alive_word(keep_alive_s)

    def on_new_worker(self, slug: str) -> None:
        """Nobody has asked anything of this incarnation yet."""
        self.touched.add(slug)
        if (row := self.rows.get(slug)) is not None:
            row.last_class = row.keep_alive = 0

    def on_not_started(self, request: Request) -> None:
        """The row no longer holds the job: it counts as finished there, and the request goes on."""
        self.touched.add(request.ticket.target)
        self.rows[request.ticket.target].finished += 1

    def on_end(self, request: Request, event: protocol.Done | protocol.Error, now: float) -> None:
        self.touched.add(request.ticket.target)
        if request.worker:
            row = self.rows[request.ticket.target]
            row.finished += 1
            row.last_end = now
        cancelled = event.code == "slow_reader" if isinstance(event, protocol.Error) else (
            event.finish_reason == "cancelled")
        if cancelled:
            self.cancelled += 1
        elif isinstance(event, protocol.Error):
            self.failed += event.code not in ENDS_COUNTED_ELSEWHERE
        else:
            self.finished += 1


def keep_alive_word(asked_s: float | None) -> int:
    """How `RowGateway.keep_alive_ms` says it: 0 nothing was asked, FOREVER for ever, else milliseconds plus one."""
    if asked_s is None:
        return 0
    return FOREVER if asked_s < 0 else int(asked_s * 1000) + 1


class Publisher:
    """Writes the counters of a dispatcher into the table, if they changed: of all models at each sweep, and at once of
    those that something happened to (`Counters.touched`). With 64 models that spares nine tenths of a turn.
    """

    def __init__(self, table: Table, d: Dispatcher, pid: int) -> None:
        self._d = d
        self._pid = pid
        self._gateway = table.writer(GatewayWords)
        rows = {row.name: row.index for row in table.snapshot().rows}
        self._rows = {slug: table.writer(RowGateway, rows[slug]) for slug in d.counters.rows if slug in rows}
        self._last: dict[str, RowGateway] = {}
        self._sweep_at = float("-inf")

    def publish(self, now: float) -> None:
        """One turn's words. `now` is monotonic seconds and becomes the heartbeat.

        The rows first: whoever has read that nothing runs any more does not read a row in which it does.
        """
        counters = self._d.counters
        slugs: Iterable[str] = counters.touched
        if now >= self._sweep_at:
            self._sweep_at, slugs = now + SWEEP_EVERY_S, self._rows
        for slug in slugs:
            if slug not in counters.rows or slug not in self._rows:
                continue  # deleted in this very turn: its row may be another model's soon
            words = self._row_words(slug)
            if self._last.get(slug) != words:
                self._rows[slug].put(words)
                self._rows[slug].flush()
                self._last[slug] = words
        counters.touched.clear()
        self._gateway.put(self._gateway_words(now))
        self._gateway.flush()

    def _gateway_words(self, now: float) -> GatewayWords:
        d, c, admission = self._d, self._d.counters, self._d.admission
        running, paused, queued, admitted, relayed = (
            admission.running, admission.paused, admission.queued, c.admitted, admission.relayed)
        return GatewayWords(
            epoch=c.epoch, heartbeat_ns=int(now * NS), pid=self._pid,
            running_high=running[0], running_medium=running[1], running_low=running[2],
            paused_high=paused[0], paused_medium=paused[1], paused_low=paused[2],
            queued_high=queued[0], queued_medium=queued[1], queued_low=queued[2],
            admitted_high=admitted[0], admitted_medium=admitted[1], admitted_low=admitted[2],
            finished=c.finished, failed=c.failed, cancelled=c.cancelled, rejected=c.rejected, displaced=c.displaced,
            expired=c.expired, retried=c.retried, dropped_frames=c.dropped_frames,
            lost_to_eviction=c.lost_to_eviction, relay_running=relayed[0], relay_queued=relayed[1],
            rate_limited=c.rate_limited, hops=d.hops.hops, spilled=d.hops.spilled, preemptions=d.pauses.preemptions,
            resumptions=d.pauses.resumptions, continuations=d.pauses.continuations)

    def _row_words(self, slug: str) -> RowGateway:
        d = self._d
        counts, worker = d.counters.rows[slug], d.gates.by_slug.get(slug)
        unfinished = d.admission.unfinished_on(slug)
        waiting, (oldest, oldest_any) = self._waiting(slug)
        return RowGateway(
            epoch=d.epoch, incarnation=worker.incarnation if worker else 0, gate=int(slug in d.opened_at),
            fence_seen=d.second_key.fences_seen.get(slug, 0), dispatched=counts.dispatched, finished=counts.finished,
            paused=unfinished - d.admission.running_on(slug), waiting_high=waiting[0], waiting_medium=waiting[1],
            waiting_low=waiting[2], oldest_wait_since_ns=oldest, last_dispatch_ns=int(counts.last_dispatch * NS),
            use_count=counts.dispatched, unfinished=unfinished, last_end_ns=int(counts.last_end * NS),
            keep_alive_ms=counts.keep_alive, last_class=counts.last_class, oldest_any_since_ns=oldest_any)

    def _waiting(self, slug: str) -> tuple[Sequence[int], tuple[int, int]]:
        """By class, and since when: the oldest of the highest class that waits, the oldest of all.

        Who waits for a load alone counts as one more of class MEDIUM, whose prompt is being counted not yet.
        """
        counts, (loads, loads_since) = self._d.admission.waiting(slug), self._d.desk.waiting_for_load(slug)
        if not loads and not any(counts):
            return counts, (0, 0)
        counts, oldest = list(counts), self._d.admission.waiting_since(slug)
        for request in self._d.counting.held(slug):
            counts[request.ticket.priority] -= 1
        high_since, medium_since, low_since = (
            since if count > 0 else None for since, count in zip(oldest, counts, strict=True))
        medium_since = min((t for t in (medium_since, loads_since) if t is not None), default=None)
        counts[Priority.MEDIUM] += loads
        since = [int(t * NS) for t in (high_since, medium_since, low_since) if t is not None]
        return counts, (since[0] if since else 0, min(since, default=0))
