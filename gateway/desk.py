"""Questions that ask for no tokens: which models there are, how they are, how busy we are, and "load this model".

Who waits for a load alone holds no queue place; it counts as waiting for the model in class MEDIUM, hears how the load
goes every PROGRESS_EVERY_S, and ends within the load deadline. To load a model that is quarantined is an operator's
order to try it once more: control is asked first (`gateway.orders`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from control import messages
from control.states import Phase
from control.table import FOREVER
from gateway import VERSION, protocol, waiting
from gateway.explain import backend_infos, explain
from gateway.refusal import Refusal
from gateway.requests import find_model

if TYPE_CHECKING:
    from control.config import ModelConfig
    from gateway.callers import Caller
    from gateway.dispatcher import Dispatcher

LOAD_WAITERS_MAX = 1000
NS = 1_000_000_000


@dataclass(slots=True)
class LoadWaiter:
    """Somebody who waits for a load alone. Times are monotonic seconds."""

    client: bytes
    id: str
    keep_alive_s: float | None
    since: float
    told_at: float


class Desk:
    def __init__(self, dispatcher: Dispatcher) -> None:
        self.d = dispatcher
        self.states: dict[str, messages.ModelState] = {}
        self._loads: dict[str, list[LoadWaiter]] = {}

    def welcome(self) -> protocol.Welcome:
        return protocol.Welcome(protocol.VERSION, self.d.epoch, self.d.boot_id, VERSION)

    # -- questions -------------------------------------------------------------------------------------------

    def on_question(self, client: bytes, question: msgspec.Struct, now: float) -> None:
        if isinstance(question, protocol.Metrics) and self.d.callers.is_http(client):  # whoever it asks for
            self.answer(client, question.id, self.d.measures.info(self.d, self.d.config.models))
            return
        try:
            caller = self.d.callers.identify(client, question.key, getattr(question, "caller", ""))
            match question:
                case protocol.ListModels():
                    self.answer(client, question.id, [self.model_info(model, now) for model in self.d.config.models
                                                      if caller.may_use(model)])
                case protocol.Show():
                    self.answer(client, question.id, self.model_info(self._find(question.model, caller), now))
                case protocol.Stats():
                    self.answer(client, question.id, self.stats(now))
                case protocol.Metrics():
                    shown = [m for m in self.d.config.models if caller.is_operator or caller.may_use(m)]
                    self.answer(client, question.id, self.d.measures.info(self.d, shown))
                case protocol.Route():
                    self.answer(client, question.id, explain(self.d, self.d.intake.make(client, question, now), now))
                case protocol.Tokenize():
                    self._on_tokenize(client, question, caller, now)
                case protocol.WhoAmI():
                    self.answer(client, question.id, self._caller_info(caller, now))
                case protocol.LoadModel():
                    self._find(question.model, caller, of_operators=True)
                    self._on_load(client, question, now)
                case protocol.Pull():
                    self.d.pulls.on_pull(client, question, caller, now)
                case protocol.Copy():
                    self.d.library.on_copy(client, question, self._find_to_change(question.model, caller), now)
                case protocol.Delete():
                    self.d.library.on_delete(client, question, self._find_to_change(question.model, caller), now)
                case _:
                    self._find(question.model, caller, of_operators=True)
                    self.d.orders.on_order(client, question, now)
        except Refusal as refusal:
            self.d.say_error(client, question.id, refusal)

    def _on_tokenize(self, client: bytes, question: protocol.Tokenize, caller: Caller, now: float) -> None:
        """It is work for a worker, so it counts against the caller's rate as an answer does. Raises: Refusal."""
        model = self._find(question.model, caller)
        _, refusal = self.d.intake.ask_rate(caller, now)
        if refusal is not None:
            raise refusal
        self.d.counting.on_question(client, question, model, now)

    def _find(self, name: str, caller: Caller, *, of_operators: bool = False) -> ModelConfig:
        """`of_operators`: what they may do with every model. Raises: Refusal `model_not_found`, `model_reserved`,
        `model_not_allowed`.
        """
        if of_operators and caller.is_operator:
            return find_model(self.d.config, name)
        model = find_model(self.d.config, name, caller)
        if (refusal := caller.why_not(model)) is not None:
            raise refusal
        return model

    def _find_to_change(self, name: str, caller: Caller) -> ModelConfig:
        """To copy or delete it. Raises: Refusal, also if this key changes no models."""
        if (refusal := caller.why_no_change()) is not None:
            raise refusal
        return self._find(name, caller, of_operators=True)

    def _caller_info(self, caller: Caller, now: float) -> protocol.CallerInfo:
        left = self.d.rate_limit.look(caller.rate_id, caller.rate, now)
        models = [model.name for model in self.d.config.models if model.slug in (caller.models or ())]
        models += sorted(caller.elsewhere)
        return protocol.CallerInfo(caller.name, caller.audience, caller.max_priority.name.lower(), models, caller.rate,
                                   self.d.config.rate_limit_window_s, left.remaining if left else 0)

    def answer(self, client: bytes, request_id: str, value: object) -> None:
        self.d.fanout.say(client, protocol.Result(request_id, msgspec.Raw(protocol.encode(value))))

    def reason(self, slug: str) -> str:
        """Why the model is as it is, for people; "" if control has said nothing yet."""
        state = self.states.get(slug)
        return state.reason if state is not None else self.d.effects.read_reason(slug)

    def model_info(self, model: ModelConfig, now: float) -> protocol.ModelInfo:
        d, slug = self.d, model.slug
        row = d.effects.read_row(slug)
        state, words = self.states.get(slug), d.effects.read_worker(slug)
        worker = d.gates.by_slug.get(slug)
        alive = worker is not None and words is not None
        return protocol.ModelInfo(
            name=model.name,
            aliases=list(model.aliases),
            engine=model.engine,
            path=str(model.path),
            state="ready" if slug in d.opened_at else Phase(state.phase).name.lower() if state else "unknown",
            reason=self.reason(slug) or "control has not said anything yet",
            context_length=worker.context_length if worker else 0,
            batch_max=model.batch_size,
            active=d.admission.running_on(slug),
            queued=sum(d.admission.waiting(slug)),
            memory_bytes=words.footprint_bytes if alive else 0,
            load_ms=worker.load_ms if worker else 0,
            pid=worker.pid if worker else 0,
            share_bytes=row.share_bytes if row else 0,
            pinned=bool(row and row.pinned),
            keep_until_s=keep_until_s(row.keep_until_ns, now) if row else None,
            load_progress=waiting.load_progress(d, slug),
            audience=model.audience,
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
                                                   "expired", "retried", "dropped_frames", "lost_to_eviction",
                                                   "rate_limited")},
            max_running=d.config.max_running,
            max_queued=d.config.max_queued,
            oldest_wait_ms=[0.0 if t is None else (now - t) * 1000 for t in oldest],
            mean_wait_ms=list(c.mean_wait_ms),
            service_rate_per_s=d.admission.mlx.rate.per_second(now),
            hops=d.hops.hops,
            spilled=d.hops.spilled,
            backends=backend_infos(d),
        )

    # -- loading without asking ------------------------------------------------------------------------------

    def _on_load(self, client: bytes, question: protocol.LoadModel, now: float) -> None:
        slug = find_model(self.d.config, question.model).slug
        row = self.d.effects.read_row(slug)
        if row is not None and row.phase == Phase.QUARANTINED:
            self.d.orders.on_order(client, question, now)  # it comes back by `await_load` if control ends that
            return
        if (refusal := self.d.availability.why_not(slug, now)) is not None:
            raise refusal
        self.await_load(client, question, now)

    def await_load(self, client: bytes, question: protocol.LoadModel, now: float) -> None:
        """Answer when the model is loaded. Raises: Refusal `model_not_found`, `queue_full`."""
        model = find_model(self.d.config, question.model)
        waiter = LoadWaiter(client, question.id, question.keep_alive_s, now, now)
        if model.slug in self.d.opened_at:
            self._on_loaded(model.slug, waiter, now)
            return
        if sum(map(len, self._loads.values())) >= LOAD_WAITERS_MAX:
            raise Refusal("queue_full", f"{LOAD_WAITERS_MAX} callers wait for loads already", 1.0)
        self._loads.setdefault(model.slug, []).append(waiter)
        self.d.effects.to_control(messages.Want(messages.VERSION, model.slug))

    def _on_loaded(self, slug: str, waiter: LoadWaiter, now: float) -> None:
        self.d.counters.on_load_answered(slug, waiter.keep_alive_s, now)
        self.answer(waiter.client, waiter.id, self.model_info(self.d.config.by_slug[slug], now))

    def waiting_for_load(self, slug: str) -> tuple[int, float | None]:
        """How many wait for a load alone, or for a process that can count, and since when the oldest."""
        since = [waiter.since for waiter in self._loads.get(slug, ())] + self.d.counting.waiting_for_process(slug)
        return len(since), min(since, default=None)

    def on_gate_open(self, slug: str, now: float) -> None:
        for waiter in self._loads.pop(slug, ()):
            self._on_loaded(slug, waiter, now)

    def on_tick(self, now: float) -> None:
        """End the waits for loads that cannot succeed, or that last too long; say to the others how it goes."""
        limit_s = self.d.config.load_deadline_s
        for slug, waiters in list(self._loads.items()):
            refusal = self.d.availability.why_not(slug, now)
            late = Refusal("model_unavailable", f"not loaded within {limit_s:g} s", waiting.LOAD_GUESS_S)
            kept = []
            for waiter in waiters:
                if refusal is not None or now - waiter.since > limit_s:
                    self.d.say_error(waiter.client, waiter.id, refusal or late)
                    continue
                kept.append(waiter)
                if now - waiter.told_at >= waiting.PROGRESS_EVERY_S:
                    waiter.told_at = now
                    self.d.fanout.say(waiter.client, waiting.make_progress(self.d, waiter.id, slug, 0, now))
            self._loads[slug] = kept
        self._loads = {slug: waiters for slug, waiters in self._loads.items() if waiters}

    def forget_client(self, client: bytes) -> None:
        self._loads = {slug: [w for w in waiters if w.client != client] for slug, waiters in self._loads.items()}


def keep_until_s(keep_until_ns: int, now: float) -> float | None:
    """From the table's word to what `ModelInfo` says: None is not loaded, negative for ever, 0 over."""
    if not keep_until_ns:
        return None
    return -1.0 if keep_until_ns == FOREVER else max(0.0, keep_until_ns / NS - now)
