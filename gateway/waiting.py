"""What a caller is told: while the request waits (position, reason, estimate) and when it ends (counts and times).

The estimate is a guess and says so by its limits, 1..120 s: how many go first divided by the measured rate of
completions, plus what is left of the model's load. Nothing is decided here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from control import messages
from control.states import Phase, Priority
from gateway import protocol
from workers.protocol import End

if TYPE_CHECKING:
    from gateway.dispatcher import Dispatcher
    from gateway.requests import Request

PROGRESS_EVERY_S = 2.0
LOAD_GUESS_S = 5.0  # before a model has ever been loaded here
REASONS = {Phase.STARTING: "starting", Phase.EMPTY: "loading", Phase.LOADING: "loading", Phase.BACKOFF: "backoff"}


def load_progress(d: Dispatcher, slug: str) -> float:
    """0..1; 1 when the model's gate is open, 0 when nothing is known."""
    if slug in d.opened_at:
        return 1.0
    words = d.effects.read_worker(slug)
    if words is None or words.phase != Phase.LOADING:
        return 0.0
    return words.load_progress_permille / 1000


def load_remaining_s(d: Dispatcher, slug: str) -> float:
    """What is left of the load, from its progress and how long the last one took."""
    words = d.effects.read_worker(slug)
    last_s = words.load_ms / 1000 if words is not None and words.load_ms else LOAD_GUESS_S
    return (1.0 - load_progress(d, slug)) * last_s


def retry_after_s(d: Dispatcher, slug: str, now: float) -> float:
    """When somebody who was turned away should come again, as if it were the last in the queue."""
    return d.admission.rate_of(slug).retry_after_s(d.admission.queued_before(slug), load_remaining_s(d, slug), now)


def why_it_waits(d: Dispatcher, slug: str, closed: str) -> tuple[str, str]:
    """(reason, detail for people). `closed`: why nothing of its class is begun; "" if it is."""
    if slug in d.opened_at:
        return ("memory", closed) if closed else ("queued", "")
    state, detail = d.desk.states.get(slug), d.desk.reason(slug)
    if state is None:
        return "starting", detail
    if state.phase in (Phase.EMPTY, Phase.DOWN) and detail.startswith(messages.WAITS_FOR_ROOM):
        return "memory", detail
    return REASONS.get(state.phase, "loading"), detail


def make_progress(d: Dispatcher, request_id: str, slug: str, position: int, now: float,
                  priority: Priority = Priority.HIGH) -> protocol.Progress:
    """The news for one who waits, as number `position` of the queue, for this model."""
    closed = d.availability.why_closed(slug, priority, now) if slug not in d.admission.relays else None
    reason, detail = why_it_waits(d, slug, closed.message if closed else "")
    estimate_s = d.admission.rate_of(slug).retry_after_s(position, load_remaining_s(d, slug), now)
    return protocol.Progress(request_id, position, reason, estimate_s, load_progress(d, slug), detail)


def make_started(request: Request) -> protocol.Started:
    """A worker has accepted it."""
    queue_ms = (request.dispatched_at - request.ticket.arrived) * 1000
    return protocol.Started(request.id, answered_by(request), request.route, request.reason, request.attempt, queue_ms,
                            request.load_ms)


def answered_by(request: Request) -> str:
    """The model, as its backend calls it."""
    return request.step.model if request.step is not None else request.model.name


def make_done(request: Request, end: End | None, now: float) -> protocol.Done:
    """The terminal event. `end` None: cancelled before the worker could say how far it was."""
    started = request.dispatched_at or now
    timings = protocol.Timings(
        queue_ms=(started - request.ticket.arrived) * 1000,
        load_ms=request.load_ms,
        prompt_ms=end.prompt_ms if end else 0.0,
        decode_ms=end.decode_ms if end else 0.0,
        total_ms=(now - request.ticket.arrived) * 1000,
    )
    usage = protocol.Usage(0, request.next_position)
    if end:
        usage = protocol.Usage(end.prompt_tokens, end.completion_tokens, end.cached_tokens, end.thinking_tokens)
    return protocol.Done(request.id, end.reason if end else "cancelled", answered_by(request), usage, timings,
                         request.ticket.priority.name.lower(), request.route, request.reason, max(1, request.attempt),
                         end.stop if end else "")


def make_error(request_id: str, code: str, message: str, retry_after_s: float,
               rate: protocol.RateInfo | None = None) -> protocol.Error:
    return protocol.Error(request_id, code, message, protocol.ERRORS[code].status, retry_after_s, rate)
