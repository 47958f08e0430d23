"""What one client of the gateway has outstanding, and what each frame means for it. Both faces in `client` drive it.

Theory
------
The client says hello before anything else, and again whenever nothing came for HELLO_EVERY_S while something is
outstanding. A gateway that was restarted is noticed by the *newer epoch* in what it answers, never by
silence: a silent gateway may just be stopped, and asking twice would make it work twice.

Guarantees
1. Each request ends exactly once: by `Done`, `Result` or `GatewayError`. What comes later for its id is dropped.
2. When a new gateway is noticed, requests that it has not accepted are submitted again under the same id if no token
   was seen; those with tokens end with `gateway_unavailable`, since this client cannot continue an answer, and so do
   orders, which may have been carried out: a model would be evicted twice. Those handed to another server end so too,
   without a time to ask again: what it did may have had effects, so only the caller knows whether to.
   A request may therefore see `Accepted` twice. The answer to a copy too many (`duplicate_id`) is dropped.
3. A request that left early is cancelled, also when its `Accepted` comes after that.
4. Waiting is bounded: ACCEPTED_WITHIN_S for the first answer, SILENCE_MAX_S for a gateway that says nothing at all.
   Loads and orders have limits of the gateway's own. What waits unread is bounded as well (`Inbox`).
5. After `give_up` nothing is outstanding and nothing is taken on: a client that is about to go has its last word.

Refused: continuing an answer in another gateway epoch, and a request too large for one frame.
No socket and no clock: frames to send stand in `outbox`, `now` is an argument.
"""

import math
from collections import deque

import msgspec

from control.states import LOCAL
from gateway import protocol
from gateway.inbox import UNREAD_MAX_CHARS, Answered, GatewayError, Inbox
from gateway.protocol import HANDED_ON, Accepted, Error, Progress, Started, Tokens, Vectors, Welcome

HELLO_EVERY_S = 1.0
ACCEPTED_WITHIN_S = 15.0
SILENCE_MAX_S = 30.0
RETRY_AFTER_RESTART_S = 3.0  # a gateway that died is back within that
OUTSTANDING_MAX = 10_000  # requests
OUTBOX_MAX_FRAMES = 20_000
HELLO = protocol.Hello(batch=True)
UNWRITABLE = (OverflowError, TypeError, RecursionError, UnicodeEncodeError)  # a schema may hold anything
# Answered late by their nature; only silence ends the wait for them.
Patient = protocol.LoadModel | protocol.Pull | protocol.Copy | protocol.Delete | protocol.Order
Question = (protocol.Submit | protocol.Route | protocol.ListModels | protocol.Show | protocol.Stats | protocol.Metrics
            | protocol.WhoAmI | protocol.Tokenize | Patient)
decode_frame = msgspec.msgpack.Decoder(protocol.Event | list[protocol.Event]).decode


def goes_elsewhere(event: object) -> bool:
    """Another server is given the request, or has begun it; that may have effects there."""
    if isinstance(event, Started):
        return protocol.backend_of(event.route) not in LOCAL
    return isinstance(event, Progress) and event.reason == HANDED_ON


class Outstanding:
    """One request between its submit and its end."""

    __slots__ = ("accepted", "has_tokens", "is_relayed", "inbox", "question", "resubmitted", "since")

    def __init__(self, question: Question, inbox: Inbox, now: float) -> None:
        self.question = question
        self.inbox = inbox
        self.since = now
        self.accepted = False  # by the gateway that is known now
        self.has_tokens = False
        self.is_relayed = False  # another server was given it, which may have had effects
        self.resubmitted = False


def why_not_again(request: Outstanding) -> str:
    """What its caller hears if it must not be asked of another gateway; "" if it may be (2)."""
    if request.is_relayed:
        return ("the gateway restarted after another server had begun this request, or was given it; "
                "ask again if it may be done twice")
    if request.has_tokens:
        return "the gateway restarted in mid-answer; ask again"
    if isinstance(request.question, protocol.Order | protocol.Copy | protocol.Delete):
        return "the gateway restarted before it answered; whether it was done is not known"
    return ""


class Exchange:
    def __init__(self, endpoint: str, now: float, submit_max_bytes: int = protocol.BODY_MAX_BYTES,
                 hello: protocol.Hello = HELLO) -> None:
        self.endpoint = endpoint
        self.submit_max_bytes = submit_max_bytes
        self.epoch = 0  # 0: no gateway has answered yet
        self.version = ""
        self._hello, self._key = protocol.encode(hello), hello.key
        self.outbox: deque[bytes] = deque([self._hello])
        self.dropped_frames = 0
        self._given_up: tuple[str, str, float] | None = None
        self._outstanding: dict[str, Outstanding] = {}
        self._heard_at = now
        self._hello_at = now

    @property
    def waits(self) -> bool:
        """Something is expected from the gateway, so `on_tick` must be called from time to time."""
        return bool(self._outstanding) or not self.epoch

    # -- the caller's side ------------------------------------------------------------------------------------

    def ask(self, question: Question, inbox: Inbox, now: float) -> None:
        """Send `question`; its events go to `inbox`. Raises: GatewayError `queue_full`, `body_too_large`,
        `invalid_request` for what no frame can hold.
        """
        if self._given_up is not None:
            raise GatewayError(*self._given_up)
        if len(self._outstanding) >= OUTSTANDING_MAX or len(self.outbox) >= OUTBOX_MAX_FRAMES:
            raise GatewayError("queue_full", f"this client has {len(self._outstanding)} requests outstanding already; "
                               f"the limit is {OUTSTANDING_MAX}", RETRY_AFTER_RESTART_S)
        if self._key and not question.key:  # a gateway that is new to us may read this before our hello
            question = msgspec.structs.replace(question, key=self._key)
        try:
            frame = protocol.encode(question)
        except UNWRITABLE as problem:
            raise GatewayError("invalid_request", f"the request cannot be sent: {problem}") from None
        if len(frame) > self.submit_max_bytes:
            raise GatewayError("body_too_large", f"the request has {len(frame)} bytes; the limit is "
                               f"{self.submit_max_bytes} (setting body_max_bytes)")
        self._outstanding[question.id] = Outstanding(question, inbox, now)
        self.outbox.append(frame)

    def leave(self, request_id: str) -> None:
        """Nobody reads this request any more: cancel it unless it has ended."""
        if self._outstanding.pop(request_id, None) is not None:
            self._cancel(request_id)

    def give_up(self, code: str, message: str, retry_after_s: float = 0.0) -> None:
        """End every request with that error and cancel it; whatever is asked from now on ends so too (5)."""
        self._given_up = (code, message, retry_after_s)
        for request_id in list(self._outstanding):
            self._end(request_id, GatewayError(code, message, retry_after_s))
            self._cancel(request_id)

    def close(self) -> None:
        """The client goes away: whoever still waits for an answer learns it."""
        self.give_up("gateway_unavailable", f"the client of {self.endpoint} was closed")

    def _cancel(self, request_id: str) -> None:
        self.outbox.append(protocol.encode(protocol.Cancel(request_id)))

    def _end(self, request_id: str, error: GatewayError) -> None:
        request = self._outstanding.pop(request_id)
        if request.is_relayed and error.code == "gateway_unavailable":
            error.retry_after_s = 0.0  # (2)
        request.inbox.put(error)

    # -- the gateway's side -----------------------------------------------------------------------------------

    def on_frame(self, frame: bytes, now: float) -> None:
        try:
            events = decode_frame(frame)
        except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError):
            self.dropped_frames += 1
            return
        self._heard_at = now
        for event in events if isinstance(events, list) else (events,):
            if isinstance(event, Welcome):
                self.on_welcome(event, now)
            else:
                self.on_event(event, now)

    def on_welcome(self, welcome: Welcome, now: float) -> None:
        self.version = welcome.version
        self._see_epoch(welcome.epoch, now)

    def _see_epoch(self, epoch: int, now: float, but: str = "") -> None:
        """A newer epoch is a new gateway, an older one a late word of a gateway that is gone."""
        known, self.epoch = self.epoch, max(epoch, self.epoch)
        if self.epoch > known > 0:
            self.on_new_gateway(now, but)

    def on_new_gateway(self, now: float, but: str) -> None:
        """Guarantee 2. `but` is a request of which the new gateway is known to have it."""
        self._say_hello(now)  # so that it sends arrays of events
        for request_id, request in list(self._outstanding.items()):
            if request_id == but:
                continue
            if why := why_not_again(request):
                self._end(request_id, GatewayError("gateway_unavailable", why, RETRY_AFTER_RESTART_S))
                continue
            request.accepted, request.resubmitted, request.since = False, True, now
            self.outbox.append(protocol.encode(request.question))

    def on_event(self, event: Answered | Error, now: float) -> None:
        request = self._outstanding.get(event.id)
        if request is None:
            if isinstance(event, Accepted):
                self._cancel(event.id)
            return
        if isinstance(event, Tokens) and request.accepted:
            request.has_tokens = True
        elif isinstance(event, Accepted):
            self._see_epoch(event.epoch, now, but=event.id)
            if event.epoch < self.epoch:
                return
            request.accepted = True
        elif isinstance(event, Error):
            if event.code == "duplicate_id" and request.resubmitted:
                request.accepted = True
                return
            if event.code == "gateway_unavailable":
                self._say_hello(now)  # it may be new and not know who asks
            self._end(event.id, GatewayError(event.code, event.message, event.retry_after_s, event.status, event.rate))
            return
        elif request.resubmitted and not request.accepted and isinstance(request.question, protocol.Submit):
            return  # a late word of the gateway that is gone: the new one says Accepted first
        elif isinstance(event, (Tokens, Vectors)):
            request.has_tokens = True
        else:
            request.accepted = True
            request.is_relayed |= goes_elsewhere(event)  # also if it was given to another since
        if not request.inbox.put(event):
            self._end(event.id, GatewayError("slow_reader", f"{UNREAD_MAX_CHARS} characters of the answer wait unread"))
            self._cancel(event.id)
        elif request.inbox.ended:
            del self._outstanding[event.id]

    # -- time -------------------------------------------------------------------------------------------------

    def on_tick(self, now: float) -> None:
        """Say hello if it is time, and end what waited too long (4)."""
        if self.waits and now - max(self._heard_at, self._hello_at) >= HELLO_EVERY_S:
            self._say_hello(now)
        for request_id, request in list(self._outstanding.items()):
            silent_s = now - max(self._heard_at, request.since)
            unanswered_s = silent_s if isinstance(request.question, Patient) else now - request.since
            if silent_s > SILENCE_MAX_S or (unanswered_s > ACCEPTED_WITHIN_S and not request.accepted):
                self._end(request_id, self.unavailable(max(silent_s, unanswered_s)))
                self._cancel(request_id)

    def unavailable(self, waited_s: float) -> GatewayError:
        return GatewayError(
            "gateway_unavailable", f"no answer from the gateway at {self.endpoint} for {math.floor(waited_s)} s; "
            "`warden ctl status` shows whether it runs, `warden up` starts it", RETRY_AFTER_RESTART_S)

    def _say_hello(self, now: float) -> None:
        self._hello_at = now
        if not self.outbox or self.outbox[0] != self._hello:
            self.outbox.appendleft(self._hello)
