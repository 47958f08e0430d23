"""What clients send, up to the place in a queue: read, who asks, is it allowed, where would it go, is there room.

In this order, so that the cheapest refusal comes first and only requests that are right count against a caller's rate:
the frame, the request's fields and model, the caller's rate, the backend, the queue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from control import messages
from control.states import Priority
from gateway import protocol, waiting
from gateway.refusal import PRIORITY_BY_NAME, Refusal
from gateway.requests import Request, make_request
from gateway.tickets import QueuedDisplacing, QueueFull

if TYPE_CHECKING:
    from gateway.callers import Caller
    from gateway.dispatcher import Dispatcher


class Intake:
    def __init__(self, dispatcher: Dispatcher) -> None:
        self.d = dispatcher
        self._numbers = 0

    def on_client(self, client: bytes, frame: bytes, now: float) -> None:
        try:
            message = protocol.decode_from_client(frame)
        except messages.MALFORMED as problem:
            self.d.counters.dropped_frames += 1
            self.d.say_error(client, read_id(frame), Refusal("invalid_request", str(problem)))
            return
        match message:
            case protocol.Route():
                self.d.desk.on_question(client, message, now)
            case protocol.Submit():
                self.on_submit(client, message, now)
            case protocol.Cancel():
                request = self.d.by_id.get((client, message.id))
                if request is not None:
                    self.d.cancel(request, now)
                else:
                    self.d.pulls.cancel(client, message.id)
                    self.d.counting.cancel(client, message.id)
            case protocol.Hello():
                self.d.fanout.open(client, batch=message.batch)
                self.d.callers.on_hello(client, message)
                self.d.fanout.say(client, self.d.desk.welcome())
            case _:
                self.d.desk.on_question(client, message, now)

    def make(self, client: bytes, submit: protocol.Submit, now: float) -> Request:
        """A request that nobody has admitted. Raises: Refusal."""
        caller = self.d.callers.identify(client, submit.key, submit.caller)
        self._numbers += 1
        request = make_request(submit, client, caller, self.d.config, number=self._numbers, now=now,
                               draw_seed=self.d.draw_seed)
        if not self.d.admission.relayed[0]:  # nobody that we asked can be calling back: anybody may write a header
            request.ticket.called_back = False
        return request

    def on_submit(self, client: bytes, submit: protocol.Submit, now: float) -> None:
        rate = None
        try:
            if (client, submit.id) in self.d.by_id:
                raise Refusal("duplicate_id", f"id: {submit.id!r} is already in use by a request of this client")
            request = self.make(client, submit, now)
            rate, refusal = self.ask_rate(request.caller, now)
            if refusal is not None:
                raise refusal
            self.d.hops.place(request, self.d.hops.choose(request, now))
            self.d.pump(now)  # who waits and may run does so before the newcomer is measured against the queue limit
            self._admit(request, submit, rate, now)
        except Refusal as refusal:
            self.d.counters.rejected += 1
            self.d.say_error(client, submit.id, refusal, rate, asked_answer=True)

    def ask_rate(self, caller: Caller, now: float) -> tuple[protocol.RateInfo | None, Refusal | None]:
        """One more of what counts: how much is left (None: no limit), and why not, if it is too much."""
        allowance = self.d.rate_limit.ask(caller.rate_id, caller.rate, now)
        if allowance is None:
            return None, None
        rate = protocol.RateInfo(*allowance[1:4])
        if allowance.allowed:
            return rate, None
        self.d.counters.rate_limited += 1
        return rate, Refusal("rate_limited", self._why_limited(caller, allowance.limit), allowance.retry_s)

    def _why_limited(self, caller: Caller, limit: int) -> str:
        within = f"{limit} requests in {self.d.config.rate_limit_window_s:g} s"
        if caller.name:
            return f"the key {caller.name} may make {within}; `warden key create --rate` makes one that may make more"
        return f"{within} are the limit for one caller; `rate_limit_max` in [limits] changes it, or a key of its own"

    def _admit(self, request: Request, submit: protocol.Submit, rate: protocol.RateInfo | None, now: float) -> None:
        position = self.let_wait(request, now)
        self.d.requests[request.ticket.id] = self.d.by_id[request.client, request.id] = request
        self.d.counters.admitted[request.ticket.priority] += 1
        asked = PRIORITY_BY_NAME[submit.priority]
        self.d.fanout.hold(request.client, protocol.Accepted(
            request.id, self.d.epoch, request.model.name, name_of(request.ticket.priority), position,
            name_of(asked) if asked is not request.ticket.priority else "", rate))
        self.d.counting.check(request, now)
        if not self.d.counting.holds(request):
            self.d.want(request.ticket.target)
        self.d.pump(now)
        if not request.worker:  # it waits: its first token is not what says so
            self.d.fanout.hurry(request.client)

    def let_wait(self, request: Request, now: float) -> int:
        """Its position in the queue of its target; somebody else may lose a place. Raises: Refusal `queue_full`."""
        target = request.ticket.target
        self.d.pauses.make_way_for(request.ticket, now)
        outcome = self.d.admission.submit(request.ticket, now)
        if isinstance(outcome, QueueFull):
            limits = self.d.admission.of(target).limits
            raise Refusal("queue_full", f"{limits.max_running} run and {limits.max_queued} wait; these are the limits",
                          waiting.retry_after_s(self.d, target, now))
        if isinstance(outcome, QueuedDisplacing):
            self.d.counters.displaced += 1
            victim = self.d.requests[outcome.victim.id]
            self.d.end_in_error(victim, now, "displaced", "a request of a higher class took this place in the queue",
                                waiting.retry_after_s(self.d, victim.ticket.target, now))
        return outcome.position


def name_of(priority: Priority) -> str:
    return priority.name.lower()


def read_id(frame: bytes) -> str:
    """The id of a frame that is otherwise wrong, so that its sender can tell which one; "" if there is none."""
    try:
        return msgspec.msgpack.decode(frame, type=_OnlyId).id
    except messages.MALFORMED:
        return ""


class _OnlyId(msgspec.Struct):
    id: str = ""
