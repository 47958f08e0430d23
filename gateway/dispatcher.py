"""The one dispatcher: the life of every request from its submit to its one terminal event.

Theory
------
All state is owned by one loop (`gateway/__main__.py`), which calls `start_turn`, then an `on_<event>` per frame, then
`on_tick`. Decisions are asked from `admission` (who goes next) and `gate` (may this model take a job); the outcome
leaves through `Fanout` (clients) and `Effects` (workers, control, the table). What workers answer is read in
`worker_side`; questions that are no request for tokens are answered by `desk`, prompts are counted by `counting`,
orders of people go through `orders`, models come and go by `pulls` and `library_orders`,
what cannot be had is known to `availability`, and what control asks before an eviction is answered by `second_key`.

Guarantees
1. Every admitted request gets exactly one terminal event: `end` is the only place that says one, and it forgets it.
2. A job goes to a worker only through an open gate, worked out in this turn.
3. A client that is gone frees its slots: queued requests at once, running ones when the worker confirms the cancel.
"""

from collections.abc import Callable
from typing import Protocol

import msgspec

from control import messages
from control.config import Config
from control.table import ControlWords, RowControl, RowWorker
from gateway import protocol, waiting
from gateway.availability import Availability
from gateway.callers import Callers
from gateway.counters import Counters
from gateway.counting import Counting
from gateway.desk import Desk
from gateway.fanout import Fanout, Lost
from gateway.gate import Gates
from gateway.hops import Hops
from gateway.intake import Intake
from gateway.library_orders import LibraryOrders, Store
from gateway.measures import Measures
from gateway.orders import Orders
from gateway.pauses import Pauses
from gateway.pools import Pools
from gateway.pulls import Pulls
from gateway.rate_limit import RateLimit
from gateway.refusal import Refusal
from gateway.requests import Request, remote_of
from gateway.second_key import SecondKey
from gateway.worker_side import WorkerSide
from workers import protocol as jobs


class Effects(Protocol):
    """Everything the dispatcher can do to the world besides talking to clients."""

    def to_worker(self, identity: bytes, message: msgspec.Struct) -> bool:
        """False: the worker is gone, or does not read."""

    def to_control(self, message: msgspec.Struct) -> bool:
        """False: control is away."""

    def read_row(self, slug: str) -> RowControl | None: ...

    def read_worker(self, slug: str) -> RowWorker | None: ...

    def read_control(self) -> ControlWords | None: ...

    def control_of_turn(self) -> ControlWords | None:
        """The same as it was when this turn first asked: for what is decided for each request."""

    def read_reason(self, slug: str) -> str:
        """What the table says of why the row is as it is; "" if it says nothing."""

    def note(self, event: str, **facts: object) -> None:
        """One line in the journal."""


class Dispatcher:
    def __init__(self, config: Config, epoch: int, fanout: Fanout, effects: Effects,
                 draw_seed: Callable[[], int], secret: str = "", store: Store | None = None) -> None:
        self.config = config
        self.epoch = epoch
        self.boot_id = 0
        self.fanout = fanout
        self.effects = effects
        self.draw_seed = draw_seed
        self.gates = Gates(epoch)
        self.admission = Pools(config)
        self.callers = Callers(config, secret)
        self.rate_limit = RateLimit(config.rate_limit_window_s)
        self.counters = Counters(epoch, [*(m.slug for m in config.models), *config.relays.values()])
        self.measures = Measures(m.slug for m in config.models)
        self.availability = Availability(self)
        self.desk = Desk(self)
        self.counting = Counting(self)
        self.orders = Orders(self)
        self.library = LibraryOrders(self, store)
        self.pulls = Pulls(self, store.start if store is not None else None)
        self.second_key = SecondKey(self)
        self.pauses = Pauses(self)
        self.worker_side = WorkerSide(self)
        self.hops = Hops(self)
        self.intake = Intake(self)
        self.on_client = self.intake.on_client
        self.requests: dict[int, Request] = {}
        self.by_id: dict[tuple[bytes, str], Request] = {}
        self.opened_at: dict[str, float] = {}  # since when each open gate is open

    def switch_key_off(self) -> None:
        """For a bench alone: fences mean nothing any more, and evictions cost answers."""
        self.second_key.is_off = self.gates.ignores_fences = True

    def take_config(self, config: Config) -> None:
        """Other models from this moment on. One that went has no request, no worker and nobody who waits for it."""
        self.config = self.callers.config = config
        slugs = {*config.by_slug, *config.relays.values()}
        self.counters.take_models(slugs)
        self.measures.take_models(config.by_slug)
        for gone in self.desk.states.keys() - slugs:
            del self.desk.states[gone]

    # -- clients ---------------------------------------------------------------------------------------------

    def cancel(self, request: Request, now: float) -> None:
        """The caller no longer wants the answer."""
        if self.admission.cancel(request.ticket.id) == "queued":
            self.end_cancelled(request, now)
            return
        request.cancelling = True
        self.worker_side.send_cancel(request)

    def on_client_lost(self, client: bytes, how: Lost, now: float) -> None:
        for request in [r for r in self.requests.values() if r.client == client]:
            request.given_up = True
            self.cancel(request, now)
        self.desk.forget_client(client)
        self.pulls.forget_client(client)
        self.counting.forget_client(client)
        self.orders.forget_client(client)
        if how is Lost.TOO_SLOW:
            self.effects.note("client_cut", client=client.hex(), reason=how.value)

    # -- the queue -------------------------------------------------------------------------------------------

    def start_turn(self, now: float) -> None:
        """Work every gate out anew (2), and let go of workers that control knows to be dead."""
        self.admission.set_closed(self.availability.closed_bits(now))
        for slug, worker in list(self.gates.by_slug.items()):
            row = self.effects.read_row(slug)
            if row is not None and self.gates.has_ended(worker, row, now):
                self.worker_side.on_lost(worker, "its process ended", now)
                continue
            if row is not None:
                self.second_key.see(slug, row)
            places = self.gates.places(slug, row, now)
            if not places:
                self.shut_gate(slug, self.gates.resume_places(slug, row, now))
                continue
            self.admission.set_places(slug, places)
            if slug not in self.opened_at:
                self.opened_at[slug] = now
                self.counters.touched.add(slug)
                self.desk.on_gate_open(slug, now)

    def shut_gate(self, slug: str, resume_places: int = 0) -> None:
        """Nothing new of this turn goes to that model."""
        self.admission.set_places(slug, 0, resume_places)
        if self.opened_at.pop(slug, None) is not None:
            self.counters.touched.add(slug)

    def pump(self, now: float) -> None:
        """Dispatch as long as admission has somebody to go, or somebody was paused for one who has to."""
        while True:
            while (ticket := self.admission.next(now)) is not None:
                request = self.requests[ticket.id]
                if request.pause is not None:
                    self.pauses.resume(request, now)
                elif not self._dispatch(request, now):
                    self.admission.set_places(ticket.target, 0)
                    self.admission.requeue(ticket, now)
            if not self.pauses.make_way(now):
                return

    def _dispatch(self, request: Request, now: float) -> bool:
        worker = self.gates.by_slug[request.ticket.target]
        request.attempt += 1
        if request.is_relayed:  # first: a client that loses us must know that it may have been begun
            self.fanout.say_now(request.client, protocol.Progress(request.id, 0, protocol.HANDED_ON, 1.0), now)
        sent = self.effects.to_worker(worker.identity, jobs.Job(
            jobs.VERSION, self.epoch, worker.incarnation, request.ticket.id, request.attempt, request.messages,
            request.prompt, request.tokens, request.sampling, request.max_tokens, request.stop, remote_of(request),
            request.inputs, request.extras, request.ticket.priority, request.emitted.tolist()))
        if not sent:
            request.attempt -= 1
            return False
        if not request.dispatched_at:
            self.measures.on_begin(request, now)
        request.worker, request.accepted, request.sent_at = worker.identity, False, now
        if request.next_position:
            self.pauses.continuations += 1
        else:
            request.dispatched_at = now
            request.load_ms = max(0.0, self.opened_at[request.ticket.target] - request.ticket.arrived) * 1000
        self.counters.on_dispatch(request, now)
        return True

    def want(self, target: str) -> None:
        """Somebody waits for it; control is told if that is a model that is not there."""
        self.counters.touched.add(target)
        if target not in self.opened_at and target not in self.admission.relays:
            self.effects.to_control(messages.Want(messages.VERSION, target))

    def requeue(self, request: Request, now: float) -> None:
        request.worker, request.accepted, request.pause, request.cancel_sent = b"", False, None, False
        self.counters.on_not_started(request)
        self.admission.requeue(request.ticket, now)
        self.want(request.ticket.target)
        self.second_key.on_job_left(request.ticket.target)

    # -- control and time ------------------------------------------------------------------------------------

    def on_control(self, message: messages.ModelState | messages.Fence | messages.Told, now: float) -> None:
        match message:
            case messages.ModelState():  # the table is the truth (`start_turn`); this brings the reason, for people
                self.second_key.hear(message.control_epoch)
                self.orders.on_control_epoch(message.control_epoch)
                self.desk.states[message.slug] = message
            case messages.Fence():
                self.second_key.on_fence(message, now)
            case messages.Told():
                if not self.library.on_told(message, now):
                    self.orders.on_told(message, now)

    def on_tick(self, now: float) -> None:
        for ticket in self.admission.expire(now):
            self.counters.expired += 1
            what = "paused, and not resumed" if ticket.begun else "not started"
            self.end_in_error(self.requests[ticket.id], now, "queue_deadline",
                              f"{what} within {self.config.queue_deadline_s:g} s", 1.0)
        self.hops.reconsider(now)
        for request in self.requests.values():
            if not request.worker and now - max(request.told_at, request.ticket.arrived) >= waiting.PROGRESS_EVERY_S:
                if request.next_position:
                    self.pauses.tell(request, now)
                    continue
                request.told_at = now
                ticket = request.ticket
                self.fanout.say(request.client, waiting.make_progress(
                    self, request.id, ticket.target, self.admission.position(ticket.id), now, ticket.priority))
        self.desk.on_tick(now)
        self.counting.on_tick(now)
        self.orders.on_tick(now)
        self.library.on_tick(now)
        self.pulls.on_tick(now)
        self.worker_side.on_tick(now)
        self.pauses.on_tick(now)
        self.pump(now)

    def stop(self, now: float) -> None:
        """This gateway is leaving: nobody is left without a word."""
        for request in list(self.requests.values()):
            self.end_in_error(request, now, "gateway_unavailable", "the gateway is stopping; ask again", 1.0)
        self.pulls.stop()

    # -- ends ------------------------------------------------------------------------------------------------

    def say_error(self, client: bytes, request_id: str, refusal: Refusal,
                  rate: protocol.RateInfo | None = None, *, asked_answer: bool = False) -> None:
        """To somebody who has no request here. `asked_answer`: it asked for one, and was not admitted."""
        (self.measures.refused if asked_answer else self.measures.refused_besides)[refusal.code] += 1
        self.fanout.say(client, waiting.make_error(request_id, refusal.code, refusal.message, refusal.retry_after_s,
                                                   rate))

    def end(self, request: Request, event: protocol.Done | protocol.Error, now: float) -> None:
        """The only place that ends a request (1)."""
        del self.requests[request.ticket.id], self.by_id[request.client, request.id]
        if request.worker:
            self.admission.finish(request.ticket.id)
        self.counters.on_end(request, event, now)
        self.measures.on_end(request, event)
        if isinstance(event, protocol.Error) and protocol.ERRORS[event.code].fault in ("server", "upstream"):
            self.effects.note("request_failed", request_id=request.trace, model=request.ticket.target, code=event.code,
                              status=event.status)  # its message may quote what another server said
        self.fanout.say(request.client, event)
        if request.worker:
            self.second_key.on_job_left(request.ticket.target)

    def end_in_error(self, request: Request, now: float, code: str, message: str, retry_after_s: float = 0.0) -> None:
        self.end(request, waiting.make_error(request.id, code, message, retry_after_s), now)

    def end_cancelled(self, request: Request, now: float) -> None:
        """Said even to a client that is lost: it may be back, and must not wait for ever."""
        if request.given_up:
            self.end_in_error(request, now, "slow_reader", "this client could not be reached or did not read, so its "
                              "request was given up", 1.0)
            return
        self.end(request, waiting.make_done(request, None, now), now)
