"""What a caller is told: while the request waits (position, reason, estimate) and when it is done (counts and times).

The estimate is a guess and says so by its limits, 1..120 s: how many go first divided by the measured rate of
completions, plus what is left of the model's load. Nothing is decided here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from control.states import Phase
from gateway import protocol
from workers.protocol import End

if TYPE_CHECKING:
    from gateway.dispatcher import Dispatcher
    from gateway.requests import Request

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


def make_progress(d: Dispatcher, request: Request, now: float) -> protocol.Progress:
    """The news for one waiting request."""
    slug = request.ticket.target
    position = d.admission.position(request.ticket.id)
    state = d.desk.states.get(slug)
    reason = "queued"
    if slug not in d.opened_at:
        reason = REASONS.get(state.phase, "loading") if state is not None else "starting"
    estimate_s = d.rate.retry_after_s(position, load_remaining_s(d, slug), now)
    return protocol.Progress(request.id, position, reason, estimate_s, load_progress(d, slug))


def make_started(request: Request) -> protocol.Started:
    """A worker has accepted it."""
    queue_ms = (request.dispatched_at - request.ticket.arrived) * 1000
    return protocol.Started(request.id, request.model.name, "mlx", "", request.attempt, queue_ms, request.load_ms)


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
    usage = protocol.Usage(end.prompt_tokens, end.completion_tokens) if end else (
        protocol.Usage(0, request.next_position))
    return protocol.Done(request.id, end.reason if end else "cancelled", request.model.name, usage, timings,
                         request.ticket.priority.name.lower(), attempt=max(1, request.attempt))
