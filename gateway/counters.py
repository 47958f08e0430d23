"""The gateway's counters: counted here, published to the shared table once a turn, never read back.

Words of one gateway epoch start at 0. `running` and `queued` come from admission, so that there is one truth; the
rest is counted at the event. `admitted = finished + failed + cancelled + displaced + expired + queued + running`
holds after each turn (tests add it up against what clients saw).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from control.table import FOREVER, GatewayWords, RowGateway, Table
from gateway import protocol

if TYPE_CHECKING:
    from gateway.dispatcher import Dispatcher
    from gateway.requests import Request

NS = 1_000_000_000
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
        self.rows = {slug: RowCounts() for slug in slugs}

    def take_models(self, slugs: Iterable[str]) -> None:
        self.rows = {slug: self.rows.get(slug) or RowCounts() for slug in slugs}

    def on_dispatch(self, request: Request, now: float) -> None:
        row = self.rows[request.ticket.target]
        row.dispatched += 1
        row.last_dispatch = now
        row.last_class = request.ticket.priority + 1
        row.keep_alive = keep_alive_word(request.keep_alive_s)
        wait_ms = (now - request.ticket.arrived) * 1000
        mean = self.mean_wait_ms[request.ticket.priority]
        self.mean_wait_ms[request.ticket.priority] = mean + WAIT_WEIGHT * (wait_ms - mean)

    def on_load_answered(self, slug: str, keep_alive_s: float | None, now: float) -> None:
        """A load counts as use, and says like a request how long the model should stay."""
        self.rows[slug].last_dispatch, self.rows[slug].keep_alive = now, keep_alive_word(keep_alive_s)

    def on_new_worker(self, slug: str) -> None:
        """Nobody has asked anything of this incarnation yet."""
        if (row := self.rows.get(slug)) is not None:
            row.last_class = row.keep_alive = 0

    def on_not_started(self, request: Request) -> None:
        """The row no longer holds the job: it counts as finished there, and the request goes on."""
        self.rows[request.ticket.target].finished += 1

    def on_end(self, request: Request, event: protocol.Done | protocol.Error, now: float) -> None:
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
    """Writes the counters of a dispatcher into the table, if they changed."""

    def __init__(self, table: Table, d: Dispatcher, pid: int) -> None:
        self._d = d
        self._pid = pid
        self._gateway = table.writer(GatewayWords)
        rows = {row.name: row.index for row in table.snapshot().rows}
        self._rows = {slug: table.writer(RowGateway, rows[slug]) for slug in d.counters.rows if slug in rows}
        self._last: dict[str, tuple[int, ...]] = {}

    def publish(self, now: float) -> None:
        """One turn's words. `now` is monotonic seconds and becomes the heartbeat."""
        self._gateway.set(**self._gateway_words(now))
        self._gateway.flush()
        for slug, writer in self._rows.items():
            if slug not in self._d.counters.rows:
                continue  # deleted in this very turn: its row may be another model's soon
            words = self._row_words(slug)
            values = tuple(words.values())
            if self._last.get(slug) != values:
                writer.set(**words)
                writer.flush()
                self._last[slug] = values

    def _gateway_words(self, now: float) -> dict[str, int]:
        d, c = self._d, self._d.counters
        words = {"epoch": c.epoch, "heartbeat_ns": int(now * NS), "pid": self._pid}
        for name, by_class in (("running", d.admission.running), ("queued", d.admission.queued),
                               ("admitted", c.admitted)):
            for priority, count in zip(protocol.PRIORITIES, by_class, strict=True):
                words[f"{name}_{priority}"] = count
        for name in ("finished", "failed", "cancelled", "rejected", "displaced", "expired", "retried",
                     "dropped_frames", "lost_to_eviction", "rate_limited"):
            words[name] = getattr(c, name)
        words["relay_running"], words["relay_queued"] = d.admission.relayed
        words["hops"], words["spilled"] = d.hops.hops, d.hops.spilled
        return words

    def _row_words(self, slug: str) -> dict[str, int]:
        d = self._d
        counts = d.counters.rows[slug]
        worker = d.gates.by_slug.get(slug)
        return {
            "epoch": d.epoch,
            "incarnation": worker.incarnation if worker else 0,
            "gate": int(slug in d.opened_at),
            "fence_seen": d.second_key.fences_seen.get(slug, 0),
            "dispatched": counts.dispatched,
            "finished": counts.finished,
            **self._waiting_words(slug),
            "last_dispatch_ns": int(counts.last_dispatch * NS),
            "use_count": counts.dispatched,
            "unfinished": d.admission.running_on(slug),
            "last_end_ns": int(counts.last_end * NS),
            "keep_alive_ms": counts.keep_alive,
            "last_class": counts.last_class,
        }

    def _waiting_words(self, slug: str) -> dict[str, int]:
        """Who waits for a load alone counts as one more of class MEDIUM, whose prompt is being counted not yet."""
        counts, oldest = list(self._d.admission.waiting(slug)), list(self._d.admission.waiting_since(slug))
        for request in self._d.counting.held(slug):
            counts[request.ticket.priority] -= 1
        oldest = [since if count > 0 else None for since, count in zip(oldest, counts, strict=True)]
        (high, medium, low), (high_since, medium_since, low_since) = counts, oldest
        loads, loads_since = self._d.desk.waiting_for_load(slug)
        medium_since = min((t for t in (medium_since, loads_since) if t is not None), default=None)
        since = [int(t * NS) for t in (high_since, medium_since, low_since) if t is not None]
        return {
            "waiting_high": high,
            "waiting_medium": medium + loads,
            "waiting_low": low,
            "oldest_wait_since_ns": since[0] if since else 0,
            "oldest_any_since_ns": min(since, default=0),
        }
