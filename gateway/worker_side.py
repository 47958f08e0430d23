"""What workers say to the gateway, and what becomes of the jobs of a worker that is lost.

Guarantees
1. Frames of another epoch, incarnation, attempt or worker than the request's change nothing and are counted.
2. Tokens reach the caller in order and without gap: an item whose position is not the next one ends the request in an
   error, never in a wrong answer.
3. A request whose worker died before its first token is dispatched again, at most ATTEMPTS_MAX times at one backend;
   after a token it ends with `worker_crashed`. One whose pause was dropped (`gateway.pauses`) goes on in either case.
4. A worker that owes an ACCEPT for longer than ACCEPT_WITHIN_S gets no further job until it answers; after
   ACCEPT_GIVE_UP_S the attempt is made void and the job goes back to the queue.
5. What was sent to a relay is never sent to it again, for an agent's work may have had effects: it goes on to the next
   backend of its chain, or ends in an error.
6. A relay that says nothing for RELAY_SILENT_S has lost its requests: nothing else watches it, and its own limits of
   time stand in the process that is stuck. After a gap in our own time it is given as long again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from control import messages
from gateway import protocol, waiting
from gateway.gate import WorkerSeen
from workers import protocol as jobs

if TYPE_CHECKING:
    from gateway.dispatcher import Dispatcher
    from gateway.requests import Request

ATTEMPTS_MAX = 2
ACCEPT_GIVE_UP_S = 5.0
RELAY_SILENT_S = 10.0
CLOCK_GAP_S = 5.0
NO_MORE = jobs.More()


class WorkerSide:
    """The dispatcher's ear for workers."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self.d = dispatcher
        self._ticked_at = self._judge_from = 0.0
        self._other_versions: dict[str, int] = {}  # incarnations by slug, of workers that speak another version

    def on_frame(self, identity: bytes, frame: bytes, now: float) -> None:
        try:
            message = jobs.decode_from_worker(frame)
        except messages.MALFORMED:
            self.d.counters.dropped_frames += 1
            return
        if isinstance(message, jobs.Hello):
            self.on_hello(identity, message, now)
            return
        worker = self.d.gates.by_identity.get(identity)
        if worker is None or message.epoch != self.d.epoch or message.incarnation != worker.incarnation:
            self.d.counters.dropped_frames += 1  # (1)
            self._welcome(identity)
            return
        worker.heard_at = now
        match message:
            case jobs.Note():
                if (request := self._find(worker, message.job, message.attempt)) is not None:
                    self.d.fanout.say(request.client, protocol.Note(request.id, message.kind, message.text))
            case jobs.Step():
                for item in message.items:
                    self._on_item(worker, item, now)
            case jobs.Beat():
                worker.phase = message.phase
                self._on_jobs_in_hand(worker, set(message.jobs), now)
            case jobs.Counted():
                self.d.counting.on_counted(worker, message, now)
            case jobs.Paused() | jobs.Short():
                if (request := self._find(worker, message.job, message.attempt)) is not None:
                    self.d.pauses.on_word(request, message, now)
            case _:
                self._on_verdict(worker, message, now)

    def on_hello(self, identity: bytes, hello: jobs.Hello, now: float) -> None:
        if hello.boot_id != self.d.boot_id:
            self.d.counters.dropped_frames += 1
            return
        if hello.v != jobs.VERSION:  # it would pass over what it does not know of a job, such as a schema
            self.d.counters.dropped_frames += 1
            if self._other_versions.get(hello.slug) != hello.incarnation:
                self._other_versions[hello.slug] = hello.incarnation
                self.d.effects.note("worker_of_another_version", model=hello.slug, speaks=hello.v, needs=jobs.VERSION,
                                    remedy=f"warden ctl restart worker-{hello.slug}")
            return
        known, row = self.d.gates.by_slug.get(hello.slug), self.d.effects.read_row(hello.slug)
        if known is None or hello.incarnation > known.incarnation:
            self.d.counters.on_new_worker(hello.slug)
        replaced = self.d.gates.on_hello(identity, hello, now, row)
        if replaced is not None:
            self.on_lost(replaced, "another incarnation took its row", now)
        if hello.epoch_known != self.d.epoch:
            self._welcome(identity)

    def _welcome(self, identity: bytes) -> None:
        self.d.effects.to_worker(identity, jobs.Welcome(jobs.VERSION, self.d.boot_id, self.d.epoch))

    def _find(self, worker: WorkerSeen, job: int, attempt: int) -> Request | None:
        request = self.d.requests.get(job)
        if request is None or request.attempt != attempt or request.worker != worker.identity:
            self.d.counters.dropped_frames += 1  # (1)
            return None
        return request

    def _on_item(self, worker: WorkerSeen, item: jobs.Item, now: float) -> None:
        request = self._find(worker, item.job, item.attempt)
        if request is None:
            return
        if item.position != request.next_position:  # (2)
            self._void_attempt(worker, request)
            expected = f"token {request.next_position} expected, {item.position} came"
            self.d.end_in_error(request, now, "internal", f"the worker broke the order of its answer: {expected}")
            return
        if not request.accepted:  # a worker that answers at once says no Accept besides
            self._on_accepted(request)
        said = bool(item.text or item.more)
        vectors = item.more.vectors if item.more is not None else []
        if not request.next_position and (item.ids or said):
            self.d.measures.on_first(request, now)
            self.d.pauses.on_first(request)
        if request.pause is not None:
            self.d.pauses.on_item(request)
        request.emitted.extend(item.ids)
        request.next_position += len(item.ids) or len(vectors) or (request.is_relayed and said)
        if vectors:
            self.d.fanout.say(request.client, protocol.Vectors(request.id, vectors))
        elif item.ids or said:
            more = item.more or NO_MORE
            self.d.fanout.say(request.client, protocol.Tokens(request.id, item.position, item.ids, item.text,
                                                              more.thinking, more.calls, more.logprobs))
        if item.end is not None:
            self.d.admission.rate_of(request.ticket.target).on_finish(now, request.dispatched_at)
            self.d.end(request, waiting.make_done(request, item.end, now), now)

    def _on_jobs_in_hand(self, worker: WorkerSeen, in_hand: set[int], now: float) -> None:
        """A job that the worker accepted and has no more, with no word of its end: that was lost with a connection."""
        for request in [r for r in self.d.requests.values() if r.worker == worker.identity and r.accepted]:
            if request.ticket.id not in in_hand:
                self.d.effects.note("end_lost", model=worker.slug, request_id=request.trace)
                if request.is_relayed and not request.cancelling:
                    self._fail(request, "upstream_failed", "the end of this answer was lost with a connection", now)
                elif self.d.pauses.is_dropped(request):
                    self.d.pauses.on_dropped(request, now)
                elif request.next_position == 0 or request.cancelling:
                    self._not_started(request, now)
                else:
                    self.d.end_in_error(request, now, "internal",
                                        "the end of this answer was lost with a connection")

    def _on_verdict(self, worker: WorkerSeen, message: jobs.Accept | jobs.Refuse | jobs.Fail, now: float) -> None:
        request = self._find(worker, message.job, message.attempt)
        if request is None:
            return
        if isinstance(message, jobs.Accept):
            self._on_accepted(request)
        elif request.cancelling:
            self.d.end_cancelled(request, now)
        elif message.code == "cancelled" and self.d.pauses.is_dropped(request):
            self.d.pauses.on_dropped(request, now)
        elif isinstance(message, jobs.Refuse) and message.code == "not_ready":
            request.attempt -= 1
            self.d.shut_gate(worker.slug)  # until the next look: else this very turn would send it there again
            self._not_started(request, now)
        else:
            self._fail(request, message.code if message.code in protocol.ERRORS else "internal", message.message, now)

    def _on_accepted(self, request: Request) -> None:
        request.accepted = True
        if not request.next_position:  # a continuation is no news to its caller
            self.d.fanout.hold(request.client, waiting.make_started(request))

    def _fail(self, request: Request, code: str, message: str, now: float) -> None:
        """Its backend failed it: another of its chain goes on, or it ends."""
        if not self.d.hops.on_failed(request, code, message, now):
            self.d.end_in_error(request, now, code, "; ".join([message, *request.failures]))

    def _not_started(self, request: Request, now: float) -> None:
        if request.cancelling:
            self.d.end_cancelled(request, now)
        else:
            self.d.requeue(request, now)

    def on_lost(self, worker: WorkerSeen, reason: str, now: float) -> None:
        """Its process is gone: its jobs are tried again or end (3)."""
        self.d.gates.forget(worker)
        self.d.shut_gate(worker.slug)
        self.d.counting.on_worker_lost(worker, now)
        held = [r for r in self.d.requests.values() if r.worker == worker.identity]
        evicted = self.d.gates.was_evicted(worker, self.d.effects.read_row(worker.slug),
                                           self.d.effects.read_worker(worker.slug))
        self.d.counters.lost_to_eviction += len(held) if evicted else 0  # three keys were there to keep this at 0
        self.d.effects.note("worker_lost", model=worker.slug, incarnation=worker.incarnation, reason=reason,
                            jobs=len(held), evicted=evicted, requests=[request.trace for request in held])
        for request in held:
            if request.cancelling:
                self.d.end_cancelled(request, now)
            elif self.d.pauses.is_dropped(request):
                self.d.pauses.on_dropped(request, now)
            elif request.is_relayed:  # (5)
                self._fail(request, "upstream_failed", f"the relay to {request.step.backend} died", now)
            elif request.next_position == 0 and request.attempt - request.attempts_before < ATTEMPTS_MAX:
                self.d.counters.retried += 1
                self.d.requeue(request, now)
            else:
                died = f"after token {request.next_position} of this answer" if request.next_position else (
                    f"before the first token, {request.attempt - request.attempts_before} times")
                self._fail(request, "worker_crashed", f"the worker of {request.model.name} died {died}", now)

    def on_tick(self, now: float) -> None:
        """Find the workers that owe an ACCEPT (4). Worked out anew each time, so nobody stays suspect by mistake."""
        owing = [r for r in self.d.requests.values()
                 if r.worker and not r.accepted and now - r.sent_at > jobs.ACCEPT_WITHIN_S]
        suspects = {request.worker for request in owing}
        for worker in self.d.gates.by_slug.values():
            worker.suspect = worker.identity in suspects
            if worker.suspect:
                self.d.admission.set_places(worker.slug, 0)
        for request in self.d.requests.values():
            if request.cancelling and not request.cancel_sent:
                self.send_cancel(request)
        for request in owing:
            worker = self.d.gates.by_identity.get(request.worker)
            if worker is not None and now - request.sent_at > ACCEPT_GIVE_UP_S:
                self._void_attempt(worker, request)
                if request.is_relayed and not request.cancelling:  # (5)
                    self._fail(request, "upstream_timeout", "its relay did not take the request", now)
                else:
                    self._not_started(request, now)
        self._give_up_silent_relays(now)

    def _give_up_silent_relays(self, now: float) -> None:
        """(6)"""
        if now - self._ticked_at > CLOCK_GAP_S:
            self._judge_from = now + RELAY_SILENT_S
        self._ticked_at = now
        silent = {worker.identity: worker for slug, worker in self.d.gates.by_slug.items()
                  if slug in self.d.admission.relays and now - worker.heard_at > RELAY_SILENT_S}
        for request in [r for r in self.d.requests.values() if r.worker in silent and now >= self._judge_from]:
            self._void_attempt(silent[request.worker], request)
            if request.cancelling:
                self.d.end_cancelled(request, now)
            else:
                why = f"the relay to {request.step.backend} is silent for more than {RELAY_SILENT_S:g} s"
                self._fail(request, "upstream_timeout", why, now)

    def send_cancel(self, request: Request) -> None:
        """Once; what the socket refused is sent at a later tick."""
        worker = self.d.gates.by_identity.get(request.worker)
        if worker is not None and not request.cancel_sent:
            request.cancel_sent = self._void_attempt(worker, request)

    def _void_attempt(self, worker: WorkerSeen, request: Request) -> bool:
        return self.d.effects.to_worker(worker.identity, jobs.Cancel(
            jobs.VERSION, self.d.epoch, worker.incarnation, request.ticket.id, request.attempt))
