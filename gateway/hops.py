"""Which backend a request goes to, and when it goes to another: `control.routing` decides, here is what it decides on.

1. The state of each step of a chain is worked out anew from facts at each look: the table's rows and words, the gates,
   what a relay's server has. Whether MLX is overloaded is control's word, believed while it is fresh.
2. A request that waits is looked at again at each tick. When its backend goes down it moves on, and may displace or be
   refused there as a newcomer would. While its backend could answer it, it goes elsewhere only if it gains by that: as
   simple work that MLX is too busy for, into a free place of Ollama's queue; back, into a free slot, or, once it is
   older than `aging_s`, into MLX's queue, to stay there. It keeps its deadline and its time of arrival, and no move
   costs anybody a place. What has a part of its answer (a pause that was dropped) stays, or ends.
3. A request that a backend failed goes on to the next step only while its caller has got no piece of an answer, and
   never to the same backend again: an agent's work may have had effects. The time it ran there does not count as time
   in the queue.
4. What a caller may not ask is refused on the model that a step resolves to, whatever led there: a model here, or
   what another server calls by the name of a model that is reserved, or that the caller's key is not for.

Alike requests are decided once for each look.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from control.config import RELAYS, canonical
from control.pooling import choose_pooling
from control.routing import DOCUMENT, Choice, State, Step, chain_of, choose
from control.states import AGENTS, LOCAL, VICTORIA, Breaker, is_fresh
from gateway.callers import AGENT
from gateway.refusal import Refusal
from gateway.tickets import Ticket

if TYPE_CHECKING:
    from control.config import ModelConfig
    from gateway.dispatcher import Dispatcher
    from gateway.requests import Request

NS = 1_000_000_000
LEAVES_MLX = ("worker_crashed",)  # what else it says is about the request; another server may only lack something


class Hops:
    def __init__(self, dispatcher: Dispatcher) -> None:
        self.d = dispatcher
        self.hops = self.spilled = 0

    # -- deciding --------------------------------------------------------------------------------------------

    def choose(self, request: Request, now: float, steps: list[Step] | None = None) -> Choice:
        """`steps`: as they were looked at for this already."""
        steps, overloaded = steps or self.steps_of(request, now), self.is_overloaded(request, now)
        choice = choose(request.work, steps, overloaded=overloaded, tried=request.tried)
        if choice.reason == "overloaded" and choice.step.target != request.ticket.target and not (
                self._gains(request, choice, now)):
            others = [step if step is not choice.step else step._replace(state=State.CLOSED) for step in steps]
            choice = choose(request.work, others, overloaded=overloaded, tried=request.tried)
        return choice

    def is_overloaded(self, request: Request, now: float) -> bool:
        control = self.d.effects.control_of_turn()
        fresh = control is not None and is_fresh(control.heartbeat_ns, int(now * NS))
        return fresh and bool(control.spill & request.work.kind.bit)

    def steps_of(self, request: Request, now: float) -> list[Step]:
        return [self._step(backend, request, now) for backend in chain_of(request.work, self.d.config)]

    def _step(self, backend: str, request: Request, now: float) -> Step:
        if backend in LOCAL:
            model = self.d.config.agents_model if backend == AGENTS else request.model
            return self._local_step(backend, model, request, now)
        slug = self.d.config.relays.get(backend)
        if slug is None:
            return absent(backend, f"{backend} is not configured")
        if request.tokens is not None:
            return absent(backend, f"{backend} takes no token ids")
        if request.inputs is not None:
            return absent(backend, f"{backend} is asked for no embeddings")
        if backend == VICTORIA and request.work.hop:
            return absent(backend, "it is Victoria that asks, or somebody she asked")
        name = self._name_at(backend, slug, request)
        if not name and self.models_at(slug) is None:  # its process begins, or begins again
            why = self.why_down(backend) or self._why_nameless(request, slug)
            return self._down(Step(backend, "", slug, State.DOWN), why)
        if not name:
            return absent(backend, self._why_nameless(request, slug))
        if (refusal := self._why_not(request, name)) is not None:  # 4
            return absent(backend, refusal.message, refusal.code)
        why = self.why_down(backend)
        return self._down(Step(backend, name, slug, State.DOWN), why) if why else Step(backend, name, slug, State.OPEN)

    def _down(self, step: Step, why: str) -> Step:
        """A server that comes back is noticed by the next probe."""
        return step._replace(code="upstream_failed", why=why, retry_after_s=self.d.config.relay_probe_every_s)

    def _local_step(self, backend: str, model: ModelConfig | None, request: Request, now: float) -> Step:
        if model is None:
            return absent(backend, "no model is reserved for agents")
        if (refusal := request.caller.why_not(model)) is not None:  # 4
            return absent(backend, refusal.message, refusal.code)
        pooling = choose_pooling(model.engine, model.path, model.embeddings) if request.inputs is not None else None
        if pooling and not pooling.how:
            return absent(backend, f"inputs: the model {model.name} gives no embeddings; {pooling.why}")
        state, refusal = State.DOWN, self.d.availability.why_not(model.slug, now)
        if refusal is None:
            refusal = self.d.availability.why_closed(model.slug, request.ticket.priority, now)
            state = State.CLOSED if refusal is not None else State.OPEN
        said = (refusal.code, refusal.message, refusal.retry_after_s) if refusal is not None else ()
        return Step(backend, model.name, model.slug, state, *said)

    def _why_not(self, request: Request, name: str) -> Refusal | None:
        """Whether this caller may have an answer of what another server calls `name`."""
        caller, here = request.caller, self.d.config.find(name)
        if caller.audience != AGENT and canonical(name) in self.d.config.reserved_names:
            return Refusal("model_reserved", f"{name} is reserved for agents")
        if here is not None and here is not request.model:
            return caller.why_not(here)
        is_other = name == VICTORIA or request.work.images
        if not is_other and (refusal := caller.why_not(request.model)) is not None:
            return refusal
        return caller.why_not_elsewhere(name) if is_other and here is None else None

    # -- relays ----------------------------------------------------------------------------------------------

    def why_down(self, backend: str) -> str:
        """Why this relay answers nothing now; "" if it does."""
        slug = RELAYS[backend]
        if slug not in self.d.opened_at:
            reason = self.d.effects.read_reason(slug)
            return f"the relay to {backend} is not ready" + (f": {reason}" if reason not in ("", "ready") else "")
        words = self.d.effects.read_worker(slug)
        if words is not None and words.breaker != Breaker.CLOSED:
            return f"{backend} does not answer"
        return ""

    def models_at(self, slug: str) -> list[str] | None:
        worker = self.d.gates.by_slug.get(slug)
        return worker.models if worker is not None else None

    def _name_at(self, backend: str, slug: str, request: Request) -> str:
        """What that server calls the model; "" if it has none that would do."""
        if backend == VICTORIA:
            return VICTORIA
        known = self.models_at(slug)
        has = {canonical(name): name for name in known or ()}
        if request.work.images:
            config = self.d.config
            document = request.category == DOCUMENT and config.ollama_document_model
            name = document or config.ollama_vision_model
            return name if name and (known is None or canonical(name) in has) else ""
        if request.model.ollama_model:
            return request.model.ollama_model
        names = (request.model.name, *request.model.aliases)
        return next((has[canonical(name)] for name in names if canonical(name) in has), "")

    def _why_nameless(self, request: Request, slug: str) -> str:
        if self.models_at(slug) is None:
            return "what models it has is not known yet"
        if request.work.images:
            return f"it has no model {self.d.config.ollama_vision_model or 'for images'}"
        return f"it has no model of the name {request.model.name}; `ollama_model` in [models.NAME] can say another"

    # -- moving ----------------------------------------------------------------------------------------------

    def place(self, request: Request, choice: Choice) -> None:
        """Write down where it goes. Raises: Refusal, if nowhere."""
        if choice.step is None:
            raise refusal_of(request, choice)
        route, reason = choice.route, choice.reason
        if request.tried and not route.startswith(request.route):  # it came back to a step that it had left
            route, reason = f"{request.route}>{choice.step.backend}", "failed"
        request.step, request.route, request.reason = choice.step, route, reason
        request.ticket.target = choice.step.target
        if choice.reason == "overloaded":
            self.spilled += 1
            self.d.effects.note("spill", request_id=request.trace, model=request.model.slug, to=choice.step.backend,
                                reason=choice.reason)

    def reconsider(self, now: float) -> None:
        """All that wait (2)."""
        decided: dict[tuple, tuple[Choice, bool]] = {}
        for request in [r for r in self.d.requests.values() if not r.worker]:
            if request.worker or request.ticket.id not in self.d.requests:
                continue  # one that moved before it made room for it, or took its place
            caller, ticket = request.caller, request.ticket
            key = (request.work, request.model.slug, ticket.priority, ticket.target, request.tried, caller.audience,
                   caller.models, caller.elsewhere, request.category, request.tokens is None,
                   request.inputs is None)
            if key not in decided:
                decided[key] = self.choose(request, now), self._may_stay(request, now)
            choice, may_stay = decided[key]
            if request.next_position:
                if not may_stay:
                    self._end_begun(request, now)
                continue
            if choice.step is None and choice.reason == "closed":
                continue  # what waits already goes on waiting
            moves = choice.step is None or choice.step.target != ticket.target
            if moves and not (may_stay and choice.step is not None and not self._gains(request, choice, now)):
                if choice.step is not None and self._comes_back(request, choice, now):
                    request.work = request.work._replace(simple=False)  # once is enough
                self.d.admission.cancel(ticket.id)
                self._move(request, choice, ticket.deadline, now)
                self.d.pump(now)  # whoever is next sees the slot taken

    def _end_begun(self, request: Request, now: float) -> None:
        """It waits to go on, and its backend is down. Nowhere else would its tokens mean anything."""
        steps = [step for step in self.steps_of(request, now) if step.target == request.ticket.target]
        code, why, retry_after_s = (steps[0].code, steps[0].why, steps[0].retry_after_s) if steps else ("", "", 0.0)
        self.d.admission.cancel(request.ticket.id)
        self.d.end_in_error(request, now, code or "worker_crashed", f"the answer was paused and cannot go on: {why}",
                            retry_after_s)

    def _may_stay(self, request: Request, now: float) -> bool:
        """Could the backend that it waits for answer it in the end?"""
        return any(step.target == request.ticket.target and step.state <= State.CLOSED
                   and step.backend not in request.tried for step in self.steps_of(request, now))

    def _gains(self, request: Request, choice: Choice, now: float) -> bool:
        pool = self.d.admission.of(choice.step.target)
        joins = choice.reason == "overloaded" or self._comes_back(request, choice, now)
        return (joins and pool.has_room) or pool.starts_at_once(request.ticket, choice.step.target, now)

    def _comes_back(self, request: Request, choice: Choice, now: float) -> bool:
        """It was handed on, MLX is no longer overloaded, and it still waits: newcomers may not pass it for ever."""
        return (choice.step.backend in LOCAL and request.is_relayed
                and now - request.ticket.arrived > self.d.config.aging_s)

    def on_failed(self, request: Request, code: str, message: str, now: float) -> bool:
        """A backend failed it. True: it goes on to another (3); its place at the first is given back."""
        if request.next_position or request.cancelling or not (request.is_relayed or code in LEAVES_MLX):
            return False
        tried = (*request.tried, request.step.backend)
        before, request.tried = request.tried, tried
        choice = self.choose(request, now)
        if choice.step is None:
            request.tried = before
            return False
        request.failures += (f"{request.step.backend}: {message}",)
        self.d.effects.note("hop", request_id=request.trace, failed=request.step.backend, code=code,
                            to=choice.step.backend)
        self.d.counters.on_not_started(request)
        self.d.admission.finish(request.ticket.id)
        left = request.ticket.target
        request.worker, request.accepted, request.attempts_before, request.pause = b"", False, request.attempt, None
        self._move(request, choice, request.ticket.deadline + now - request.dispatched_at, now)
        self.d.second_key.on_job_left(left)
        return True

    def _move(self, request: Request, choice: Choice, deadline: float, now: float) -> None:
        """It holds no place anywhere; let it wait at the chosen step, or end."""
        old = request.ticket
        request.ticket = Ticket(old.id, old.priority, old.target, old.caller, old.arrived, deadline,
                                called_back=old.called_back)
        try:
            self.place(request, choice)
            self.d.intake.let_wait(request, now)
        except Refusal as refusal:
            self.d.end_in_error(request, now, refusal.code, refusal.message, refusal.retry_after_s)
            return
        self.hops += 1
        self.d.want(request.ticket.target)


def absent(backend: str, why: str, code: str = "not_offered") -> Step:
    return Step(backend, "", "", State.ABSENT, code, why)


def refusal_of(request: Request, choice: Choice) -> Refusal:
    """What the caller is told: why its first backend cannot, and what became of the others."""
    step = choice.refusal
    if step is None:
        return Refusal("not_offered", f"no backend is configured for {request.work.kind} (chains in [routing])")
    if not step.code:  # all that could were tried
        return Refusal("upstream_failed", "; ".join(request.failures))
    if request.work.images:
        return Refusal(step.code, f"images: only Ollama reads them, and {step.why}", step.retry_after_s)
    others = [f"{other.backend}: {other.why}" for other in choice.others]
    return Refusal(step.code, "; ".join([step.why, *others, *request.failures]), step.retry_after_s)
