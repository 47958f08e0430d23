"""For people: who would answer a request and why, and how the relays are. Nothing is decided or changed here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from control.states import Phase
from gateway import protocol
from gateway.hops import refusal_of

if TYPE_CHECKING:
    from gateway.dispatcher import Dispatcher
    from gateway.requests import Request


def explain(d: Dispatcher, request: Request, now: float) -> protocol.RouteInfo:
    """What `gateway.hops` would do with it now."""
    steps = d.hops.steps_of(request, now)
    choice = d.hops.choose(request, now, steps)
    refusal = refusal_of(request, choice) if choice.step is None else None
    return protocol.RouteInfo(
        model=request.model.name,
        kind=request.work.kind,
        priority=request.ticket.priority.name.lower(),
        audience=request.caller.audience,
        simple=request.work.simple,
        overloaded=d.hops.is_overloaded(request, now),
        steps=[protocol.RouteStep(step.backend, step.model, step.state.name.lower(), step.why) for step in steps],
        chosen=[step.backend for step in steps].index(choice.step.backend) if choice.step is not None else -1,
        route=choice.route,
        reason=choice.reason,
        code=refusal.code if refusal else "",
        message=refusal.message if refusal else "",
    )


def backend_infos(d: Dispatcher) -> list[protocol.BackendInfo]:
    """The relays that are configured."""
    found = []
    for name, slug in d.config.relays.items():
        pool, why = d.admission.of(slug), d.hops.why_down(name)
        row = d.effects.read_row(slug)
        without = "stopped" if row is not None and row.phase == Phase.DOWN else "starting"
        state = "ready" if not why else "down" if slug in d.gates.by_slug else without
        found.append(protocol.BackendInfo(name, getattr(d.config, f"{name}_url"), state, why, pool.running_total,
                                          pool.queued_total, pool.limits.max_running, d.hops.models_at(slug) or []))
    return found
