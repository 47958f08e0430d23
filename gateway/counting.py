"""How many tokens a prompt has, asked of a worker: for callers, and for long requests whose model is not loaded.

Guarantees
1. Each question is answered once: a count, the worker's own refusal, or an error. It is never left waiting: for a
   worker at most WAIT_S, for its answer ANSWER_WITHIN_S; a worker that is lost, or does not know the model, is passed
   over and one other is asked.
2. Who counts (`choose_worker`) is never kept from its streams: workers count in a thread of their own. Nothing is
   loaded in order to count, unless there is no process that could: then the model is wanted, until its process runs.
3. A request whose model is not loaded, and whose prompt may be too long for it, is counted while it waits. If it is too
   long it ends at once with the numbers. Control hears that it waits only when it was counted, or after HOLD_S: nobody
   makes room, or loads, for a request that is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from control import messages
from control.states import Phase
from gateway import protocol, waiting
from gateway.gate import HEARD_WITHIN_S, WorkerSeen
from gateway.refusal import Refusal
from gateway.requests import chat_messages, check_tools
from workers import protocol as jobs
from workers.job_parts import NO_EXTRAS, Extras

if TYPE_CHECKING:
    from collections.abc import Iterable

    from control.config import ModelConfig
    from gateway.dispatcher import Dispatcher
    from gateway.requests import Request

WAIT_S = 30.0
ANSWER_WITHIN_S = 30.0
HOLD_S = 2.0
ASKED_MAX = 128
TRIES_MAX = 2
CONTEXT_UNKNOWN_TOKENS = 4096  # few models hold less
TOO_LONG = "context_length_exceeded"
CAN_COUNT = (Phase.EMPTY, Phase.LOADING, Phase.READY)


class Seat(NamedTuple):
    """A worker that could count. `work`: what it has in hand."""

    slug: str
    engine: str
    phase: int
    work: int


def choose_worker(slug: str, engine: str, seats: Iterable[Seat]) -> str | None:
    """The model's own process, else one of its engine without a model, else that of its engine with the least work."""
    able = [seat for seat in seats if seat.engine == engine and seat.phase in CAN_COUNT]
    best = min(able, key=lambda seat: (seat.slug != slug, seat.phase != Phase.EMPTY, seat.work), default=None)
    return best.slug if best is not None else None


def may_be_too_long(chars: int, context_length: int, num_ctx: int = 0) -> bool:
    """Could a prompt of so many characters have more tokens than that? Few texts have more tokens than characters.

    `context_length` 0: not known; `num_ctx` 0: the request asks for no less.
    """
    context_length = context_length or CONTEXT_UNKNOWN_TOKENS
    return chars >= min(context_length, num_ctx or context_length)


@dataclass(slots=True, eq=False)
class Asked:
    """One question. `request` 0: a client asks, as `id`. `worker` b"": nobody has it. Times are monotonic seconds."""

    number: int
    model: ModelConfig
    messages: list[jobs.ChatMessage] | None
    prompt: str | None
    extras: Extras | None
    since: float
    client: bytes = b""
    id: str = ""
    request: int = 0
    with_ids: bool = False
    worker: bytes = b""
    sent_at: float = 0.0
    told_at: float = 0.0
    passed: set[bytes] = field(default_factory=set)  # who failed it


class Counting:
    def __init__(self, dispatcher: Dispatcher) -> None:
        self.d = dispatcher
        self.contexts: dict[str, int] = {}  # by slug, as workers have said
        self._asked: dict[int, Asked] = {}
        self._held: dict[int, float] = {}  # ticket id -> until when control does not hear that it waits
        self._numbers = 0

    # -- asking ----------------------------------------------------------------------------------------------

    def on_question(self, client: bytes, question: protocol.Tokenize, model: ModelConfig, now: float) -> None:
        """Raises: Refusal."""
        if (question.messages is None) == (question.prompt is None):
            raise Refusal("invalid_request", "give exactly one of messages and prompt")
        if len(self._asked) >= ASKED_MAX:
            raise Refusal("queue_full", f"{ASKED_MAX} prompts are being counted already; this is the limit", 1.0)
        check_tools(question.tools)
        extras = Extras(tools=question.tools, think=question.think)
        asked = self._new(model, chat_messages(question.messages), question.prompt, extras, now)
        asked.client, asked.id, asked.with_ids, asked.told_at = client, question.id, question.with_ids, now
        if not self._send(asked, now) and (refusal := self.d.availability.why_not(model.slug, now)) is not None:
            del self._asked[asked.number]
            raise refusal

    def check(self, request: Request, now: float) -> None:
        """Have it counted if that may spare a load (3)."""
        slug, extras = request.ticket.target, request.extras or NO_EXTRAS
        if request.is_relayed or slug in self.d.opened_at or extras.truncate or len(self._asked) >= ASKED_MAX:
            return
        model = next((model for model in self.d.config.models if model.slug == slug), request.model)
        context_length = self.contexts.get(slug) or model.context_length
        if request.tokens is not None:
            self._end_if_too_long(request, len(request.tokens), context_length, now)
        if not may_be_too_long(chars_of(request), context_length, extras.num_ctx):
            return
        unbounded = msgspec.structs.replace(extras, num_ctx=0)  # the number is wanted, also if it is too high
        asked = self._new(model, request.messages, request.prompt, unbounded, now)
        asked.request = request.ticket.id
        if self._send(asked, now):
            self._held[asked.request] = now + HOLD_S

    def _new(self, model: ModelConfig, messages: list[jobs.ChatMessage] | None, prompt: str | None,
             extras: Extras | None, now: float) -> Asked:
        self._numbers += 1
        if messages is not None:
            messages = [msgspec.structs.replace(m, images=[]) if m.images else m for m in messages]
        asked = Asked(self._numbers, model, messages, prompt, extras if extras != NO_EXTRAS else None, now)
        self._asked[asked.number] = asked
        return asked

    def _send(self, asked: Asked, now: float) -> bool:
        """False: nobody can count it now."""
        d, model = self.d, asked.model
        engines = {each.slug: each.engine for each in d.config.models}
        in_hand = [each.worker for each in self._asked.values()]
        seats = [Seat(slug, engines[slug], worker.phase, d.admission.running_on(slug) + in_hand.count(worker.identity))
                 for slug, worker in d.gates.by_slug.items()
                 if slug in engines and worker.identity not in asked.passed and self._hears(worker, now)]
        slug = choose_worker(model.slug, model.engine, seats)
        if slug is None:
            return False
        worker = d.gates.by_slug[slug]
        if not d.effects.to_worker(worker.identity, jobs.Count(
                jobs.VERSION, d.epoch, worker.incarnation, asked.number, model.slug, asked.messages, asked.prompt,
                asked.extras, asked.with_ids)):
            return False
        asked.worker, asked.sent_at = worker.identity, now
        return True

    def _hears(self, worker: WorkerSeen, now: float) -> bool:
        is_here = worker.epoch_known == self.d.epoch and not worker.suspect
        return is_here and now - worker.heard_at <= HEARD_WITHIN_S

    # -- answers ---------------------------------------------------------------------------------------------

    def on_counted(self, worker: WorkerSeen, counted: jobs.Counted, now: float) -> None:
        asked = self._asked.get(counted.number)
        if asked is None or asked.worker != worker.identity:
            self.d.counters.dropped_frames += 1
        elif counted.code == "model_not_found":  # it was started before that model was configured
            self._pass_on(asked, now, counted.message)
        elif counted.code == TOO_LONG and (request := self._waits(asked.request)):  # for any context: not counted whole
            if request.ticket.target == asked.model.slug and self.d.admission.cancel(request.ticket.id) == "queued":
                self.d.end_in_error(request, now, TOO_LONG, counted.message)
            self._forget(asked, now)
        elif counted.code:
            code = counted.code if counted.code in protocol.ERRORS else "internal"
            self._refuse(asked, Refusal(code, counted.message), now)
        else:
            if counted.context_length:
                self.contexts[asked.model.slug] = counted.context_length
            if asked.request:
                self._judge(asked, counted, now)
            else:
                self.d.desk.answer(asked.client, asked.id, protocol.CountInfo(
                    asked.model.name, counted.tokens, counted.context_length, counted.ids))
            self._forget(asked, now)

    def _judge(self, asked: Asked, counted: jobs.Counted, now: float) -> None:
        """End the request that was counted, if it is too long and still waits for that model."""
        request = self.d.requests.get(asked.request)
        if request is None or request.worker or request.ticket.target != asked.model.slug:
            return
        self._end_if_too_long(request, counted.tokens, counted.context_length, now)

    def _end_if_too_long(self, request: Request, tokens: int, context_length: int, now: float) -> None:
        limit = min(context_length, (request.extras or NO_EXTRAS).num_ctx or context_length)
        if limit and tokens >= limit and self.d.admission.cancel(request.ticket.id) == "queued":
            self.d.end_in_error(request, now, TOO_LONG, f"the prompt has {tokens} tokens; the context "
                                f"holds {limit}, the answer included")

    def on_worker_lost(self, worker: WorkerSeen, now: float) -> None:
        for asked in [each for each in self._asked.values() if each.worker == worker.identity]:
            self._pass_on(asked, now, "the worker that counted it is gone")

    def _pass_on(self, asked: Asked, now: float, why: str) -> None:
        """Ask another, once (1)."""
        asked.passed.add(asked.worker)
        asked.worker = b""
        if len(asked.passed) >= TRIES_MAX:
            self._refuse(asked, Refusal("worker_crashed", f"the prompt could not be counted: {why}"), now)
        elif not self._send(asked, now):
            self._release(asked, now)

    def _refuse(self, asked: Asked, refusal: Refusal, now: float) -> None:
        """A request that cannot be counted goes on: its worker judges it."""
        self._forget(asked, now)
        if not asked.request:
            self.d.say_error(asked.client, asked.id, refusal)

    def _forget(self, asked: Asked, now: float) -> None:
        self._asked.pop(asked.number, None)
        self._release(asked, now)

    def _release(self, asked: Asked, now: float) -> None:
        """Control may hear that its request waits."""
        if self._held.pop(asked.request, None) is not None and (request := self._waits(asked.request)):
            self.d.want(request.ticket.target)

    # -- what control hears ----------------------------------------------------------------------------------

    def holds(self, request: Request) -> bool:
        """Control does not hear yet that it waits (3)."""
        return request.ticket.id in self._held

    def held(self, slug: str) -> list[Request]:
        """Those of the model's queue of which control does not hear yet."""
        found = [self._waits(number) for number in self._held]
        return [request for request in found if request is not None and request.ticket.target == slug]

    def waiting_for_process(self, slug: str) -> list[float]:
        """Since when callers wait for a process of this model, because there is none that could count."""
        return [asked.since for asked in self._asked.values()
                if not asked.worker and not asked.request and asked.model.slug == slug]

    def _waits(self, number: int) -> Request | None:
        request = self.d.requests.get(number)
        return request if request is not None and not request.worker else None

    # -- time ------------------------------------------------------------------------------------------------

    def on_tick(self, now: float) -> None:
        for number, until in list(self._held.items()):
            if now >= until or self._waits(number) is None:
                del self._held[number]
                if request := self._waits(number):
                    self.d.want(request.ticket.target)
        for asked in list(self._asked.values()):
            if asked.request and self._waits(asked.request) is None:
                self._forget(asked, now)
            elif asked.worker and now - asked.sent_at > ANSWER_WITHIN_S:
                self._pass_on(asked, now, f"a worker did not answer within {ANSWER_WITHIN_S:g} s")
            elif not asked.worker and not self._send(asked, now):
                self._wait(asked, now)
            if not asked.request and now - asked.told_at >= waiting.PROGRESS_EVERY_S and asked.number in self._asked:
                asked.told_at = now
                self.d.fanout.say(asked.client, waiting.make_progress(self.d, asked.id, asked.model.slug, 0, now))

    def _wait(self, asked: Asked, now: float) -> None:
        """For a process of its model (2)."""
        if asked.request:
            return  # it waits for that in any case
        name = asked.model.name
        if (refusal := self.d.availability.why_not(asked.model.slug, now)) is not None:
            self._refuse(asked, refusal, now)
        elif now - asked.since > WAIT_S:
            self._refuse(asked, Refusal("model_unavailable", f"no process could count for {name} within {WAIT_S:g} s",
                                        waiting.LOAD_GUESS_S), now)
        else:
            self.d.effects.to_control(messages.Want(messages.VERSION, asked.model.slug))

    def cancel(self, client: bytes, request_id: str) -> None:
        """Who asked has left. What a worker says of it later is dropped."""
        self._asked = {number: asked for number, asked in self._asked.items()
                       if asked.request or (asked.client, asked.id) != (client, request_id)}

    def forget_client(self, client: bytes) -> None:
        self._asked = {number: asked for number, asked in self._asked.items() if asked.client != client}


def chars_of(request: Request) -> int:
    """Of the prompt, templates and tools included as far as they are text."""
    said = sum(len(m.content) + len(m.thinking) + sum(len(call.arguments) for call in m.tool_calls)
               for m in request.messages or ())
    tools = (request.extras or NO_EXTRAS).tools
    return len(request.prompt or "") + said + (len(msgspec.json.encode(tools)) if tools else 0)
