"""Questions that ask for no tokens: which models there are, how they are, how busy we are, and "load this model".

Also the one place that says which models cannot be had at the moment (held by an operator, quarantined), so that a
request for one is answered at once instead of waiting for its deadline.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from control import messages
from control.states import HAS_PROCESS, Phase
from gateway import VERSION, protocol, waiting
from gateway.requests import Refusal, find_model

if TYPE_CHECKING:
    from control.config import ModelConfig
    from gateway.dispatcher import Dispatcher

LOAD_WAITERS_MAX = 1000
UNAVAILABLE = {
    Phase.HELD: "is held: an operator stopped it; `warden ctl start worker-{slug}` brings it back",
    Phase.QUARANTINED: "is quarantined: {reason}",
    Phase.LEAK_SUSPECTED: "cannot be loaded: the memory of its last process did not come back; a reboot frees it",
}
Waiter = tuple[bytes, str, float]  # client, id, since (monotonic seconds)


class Desk:
    def __init__(self, dispatcher: Dispatcher) -> None:
        self.d = dispatcher
        self.states: dict[str, messages.ModelState] = {}
        self._models = {model.slug: model for model in dispatcher.config.models}
        self._loads: dict[str, list[Waiter]] = {}

    def welcome(self) -> protocol.Welcome:
        return protocol.Welcome(protocol.VERSION, self.d.epoch, self.d.boot_id, VERSION)

    # -- questions -------------------------------------------------------------------------------------------

    def on_question(self, client: bytes, question: msgspec.Struct, now: float) -> None:
        try:
            match question:
                case protocol.ListModels():
                    self._answer(client, question.id, [self.model_info(m) for m in self.d.config.models])
                case protocol.Show():
                    self._answer(client, question.id, self.model_info(find_model(self.d.config, question.model)))
                case protocol.Stats():
                    self._answer(client, question.id, self.stats(now))
                case protocol.LoadModel():
                    self._on_load(client, question, now)
        except Refusal as refusal:
            self._refuse(client, question.id, refusal)

    def _answer(self, client: bytes, request_id: str, value: object) -> None:
        self.d.fanout.say(client, protocol.Result(request_id, msgspec.Raw(protocol.encode(value))))

    def _refuse(self, client: bytes, request_id: str, refusal: Refusal) -> None:
        status = protocol.ERRORS[refusal.code].status
        self.d.fanout.say(client, protocol.Error(request_id, refusal.code, refusal.message, status,
                                                 refusal.retry_after_s))

    def model_info(self, model: ModelConfig) -> protocol.ModelInfo:
        d, slug = self.d, model.slug
        state, words = self.states.get(slug), d.effects.read_worker(slug)
        worker = d.gates.by_slug.get(slug)
        high, medium, low, _ = d.admission.waiting(slug)
        alive = worker is not None and words is not None
        return protocol.ModelInfo(
            name=model.name,
            aliases=list(model.aliases),
            engine=model.engine,
            path=str(model.path),
            state=Phase(state.phase).name.lower() if state else "unknown",
            reason=state.reason if state else "control has not said anything yet",
            context_length=worker.context_length if worker else 0,
            batch_max=model.batch_size,
            active=d.admission.running_on(slug),
            queued=high + medium + low,
            memory_bytes=words.footprint_bytes if alive else 0,
            load_ms=worker.load_ms if worker else 0,
            pid=worker.pid if worker else 0,
        )

    def stats(self, now: float) -> protocol.StatsInfo:
        d, c = self.d, self.d.counters
        oldest: list[float | None] = [None, None, None]
        for request in d.requests.values():
            if not request.worker:
                arrived, seen = request.ticket.arrived, oldest[request.ticket.priority]
                oldest[request.ticket.priority] = arrived if seen is None else min(arrived, seen)
        return protocol.StatsInfo(
            epoch=d.epoch,
            running=list(d.admission.running),
            queued=list(d.admission.queued),
            admitted=list(c.admitted),
            **{name: getattr(c, name) for name in ("finished", "failed", "cancelled", "rejected", "displaced",
                                                   "expired", "retried", "dropped_frames")},
            max_running=d.config.max_running,
            max_queued=d.config.max_queued,
            oldest_wait_ms=[0.0 if t is None else (now - t) * 1000 for t in oldest],
            mean_wait_ms=list(c.mean_wait_ms),
            service_rate_per_s=d.rate.per_second(now),
        )

    # -- loading without asking ------------------------------------------------------------------------------

    def _on_load(self, client: bytes, question: protocol.LoadModel, now: float) -> None:
        model = find_model(self.d.config, question.model)
        self.refuse_if_unavailable(model.slug)
        if model.slug in self.d.opened_at:
            self._answer(client, question.id, self.model_info(model))
            return
        if sum(map(len, self._loads.values())) >= LOAD_WAITERS_MAX:
            raise Refusal("queue_full", f"{LOAD_WAITERS_MAX} callers wait for loads already", 1.0)
        self._loads.setdefault(model.slug, []).append((client, question.id, now))
        self.d.effects.to_control(messages.Want(messages.VERSION, model.slug))

    def waiting_for_load(self, slug: str) -> tuple[int, float | None]:
        """How many wait for a load alone, and since when the oldest."""
        waiters = self._loads.get(slug, ())
        return len(waiters), min((since for _, _, since in waiters), default=None)

    def on_gate_open(self, slug: str) -> None:
        for client, request_id, _ in self._loads.pop(slug, ()):
            self._answer(client, request_id, self.model_info(self._models[slug]))

    def on_tick(self, now: float) -> None:
        """End the waits for loads that cannot succeed, or that last too long."""
        limit_s = self.d.config.load_deadline_s
        for slug, waiters in list(self._loads.items()):
            refusal = self.unavailable(slug)
            late = Refusal("model_unavailable", f"not loaded within {limit_s:g} s", waiting.LOAD_GUESS_S)
            kept = []
            for waiter in waiters:
                if refusal is not None or now - waiter[2] > limit_s:
                    self._refuse(waiter[0], waiter[1], refusal or late)
                else:
                    kept.append(waiter)
            self._loads[slug] = kept
        self._loads = {slug: waiters for slug, waiters in self._loads.items() if waiters}

    def forget_client(self, client: bytes) -> None:
        self._loads = {slug: [w for w in waiters if w[0] != client] for slug, waiters in self._loads.items()}

    # -- what cannot be had ----------------------------------------------------------------------------------

    def unavailable(self, slug: str) -> Refusal | None:
        """Why a request for this model is hopeless now, or None."""
        row = self.d.effects.read_row(slug)
        name = self._models[slug].name
        if row is None:
            return None
        if row.phase in UNAVAILABLE:
            state = self.states.get(slug)
            known = state is not None and state.phase == row.phase
            reason = state.reason if known else "its log says why"
            text = UNAVAILABLE[Phase(row.phase)].format(slug=slug, reason=reason)
            return Refusal("model_unavailable", f"{name} {text}", state.retry_after_s if known else 0.0)
        control = self.d.effects.read_control()
        if row.phase not in HAS_PROCESS and control is not None and control.supervisord_is_silent:
            return Refusal("model_unavailable", f"{name} is not loaded, and nothing can be loaded: supervisord does "
                           "not answer; run `warden down`, then `warden up`")
        return None

    def refuse_if_unavailable(self, slug: str) -> None:
        if (refusal := self.unavailable(slug)) is not None:
            raise refusal
