"""What workers say to the gateway, and what becomes of the jobs of a worker that is lost.

Guarantees
1. Frames of another epoch, incarnation, attempt or worker than the request's change nothing and are counted.
2. Tokens reach the caller in order and without gap: an item whose position is not the next one ends the request in an
   error, never in a wrong answer.
3. A request whose worker died before its first token is dispatched again, at most ATTEMPTS_MAX times in all; after a
   token it ends with `worker_crashed`.
4. A worker that owes an ACCEPT for longer than ACCEPT_WITHIN_S gets no further job until it answers; after
   ACCEPT_GIVE_UP_S the attempt is made void and the job goes back to the queue.
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


class WorkerSide:
    """The dispatcher's ear for workers. It keeps no state of its own."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self.d = dispatcher

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
            case jobs.Step():
                for item in message.items:
                    self._on_item(worker, item, now)
            case jobs.Beat():
                worker.phase = message.phase
                self._on_jobs_in_hand(worker, set(message.jobs), now)
            case _:
                self._on_verdict(worker, message, now)

    def on_hello(self, identity: bytes, hello: jobs.Hello, now: float) -> None:
        if hello.boot_id != self.d.boot_id:
            self.d.counters.dropped_frames += 1
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
        request.accepted = True
        request.next_position += len(item.ids)
        if item.ids or item.text:
            self.d.fanout.say(request.client, protocol.Tokens(request.id, item.position, item.ids, item.text))
        if item.end is not None:
            self.d.rate.on_finish(now, request.dispatched_at)
            self.d.end(request, waiting.make_done(request, item.end, now), now)

    def _on_jobs_in_hand(self, worker: WorkerSeen, in_hand: set[int], now: float) -> None:
        """A job that the worker accepted and has no more, with no word of its end: that was lost with a connection."""
        for request in [r for r in self.d.requests.values() if r.worker == worker.identity and r.accepted]:
            if request.ticket.id not in in_hand:
                self.d.effects.note("end_lost", model=worker.slug, job=request.ticket.id)
                if request.next_position == 0 or request.cancelling:
                    self._not_started(request, now)
                else:
                    self.d.end_in_error(request, now, "internal",
                                        "the end of this answer was lost with a connection")

    def _on_verdict(self, worker: WorkerSeen, message: jobs.Accept | jobs.Refuse | jobs.Fail, now: float) -> None:
        request = self._find(worker, message.job, message.attempt)
        if request is None:
            return
        if isinstance(message, jobs.Accept):
            request.accepted = True
            self.d.fanout.say(request.client, waiting.make_started(request))
        elif request.cancelling:
            self.d.end_cancelled(request, now)
        elif isinstance(message, jobs.Refuse) and message.code == "not_ready":
            request.attempt -= 1
            self.d.shut_gate(worker.slug)  # until the next look: else this very turn would send it there again
            self._not_started(request, now)
        else:
            code = message.code if message.code in protocol.ERRORS else "internal"
            self.d.end_in_error(request, now, code, message.message)

    def _not_started(self, request: Request, now: float) -> None:
        if request.cancelling:
            self.d.end_cancelled(request, now)
        else:
            self.d.requeue(request, now)

    def on_lost(self, worker: WorkerSeen, reason: str, now: float) -> None:
        """Its process is gone: its jobs are tried again or end (3)."""
        self.d.gates.forget(worker)
        self.d.shut_gate(worker.slug)
        held = [r for r in self.d.requests.values() if r.worker == worker.identity]
        evicted = self.d.gates.was_evicted(worker, self.d.effects.read_row(worker.slug),
                                           self.d.effects.read_worker(worker.slug))
        self.d.counters.lost_to_eviction += len(held) if evicted else 0  # three keys were there to keep this at 0
        self.d.effects.note("worker_lost", model=worker.slug, incarnation=worker.incarnation, reason=reason,
                            jobs=len(held), evicted=evicted)
        for request in held:
            if request.cancelling:
                self.d.end_cancelled(request, now)
            elif request.next_position == 0 and request.attempt < ATTEMPTS_MAX:
                self.d.counters.retried += 1
                self.d.requeue(request, now)
            else:
                died = f"after token {request.next_position} of this answer" if request.next_position else (
                    f"before the first token, {request.attempt} times")
                self.d.end_in_error(request, now, "worker_crashed", f"the worker of {request.model.name} died {died}")

    def on_tick(self, now: float) -> None:
        """Find the workers that owe an ACCEPT (4). Worked out anew each time, so nobody stays suspect by mistake."""
        owing = [r for r in self.d.requests.values()
                 if r.worker and not r.accepted and now - r.dispatched_at > jobs.ACCEPT_WITHIN_S]
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
            if worker is not None and now - request.dispatched_at > ACCEPT_GIVE_UP_S:
                self._void_attempt(worker, request)
                self._not_started(request, now)

    def send_cancel(self, request: Request) -> None:
        """Once; what the socket refused is sent at a later tick."""
        worker = self.d.gates.by_identity.get(request.worker)
        if worker is not None and not request.cancel_sent:
            request.cancel_sent = self._void_attempt(worker, request)

    def _void_attempt(self, worker: WorkerSeen, request: Request) -> bool:
        return self.d.effects.to_worker(worker.identity, jobs.Cancel(
            jobs.VERSION, self.d.epoch, worker.incarnation, request.ticket.id, request.attempt))
