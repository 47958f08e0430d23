"""Pauses carried out: what the worker and the caller are told, and what becomes of an answer that is paused.

    running --Pause--> paused --Resume--> running             the worker keeps what it computed
                       paused --Cancel--> dropping --Fail--> queued, with the tokens of its answer so far

Who is paused, and why, is `gateway.preemption`; who goes next is `gateway.admission`, where a paused one waits in front
of its line.

Guarantees
1. The slot is free as soon as Pause was sent. One connection keeps the order, so the worker hears of it before the job
   that takes the place. Tokens of steps that were under way are still handed on, and so is its end.
2. A paused answer is unfinished: it protects its model until its worker has confirmed that it holds it no more.
3. It always ends: it resumes in its turn, or is dropped after PAUSED_MAX_S, or ends by cancel, error or its worker.
4. Pause, Resume and the Cancel of a dropped one are said again each second until the worker has shown that it heard: a
   connection that broke may have lost them. All three may be said twice.
5. While a HIGH job waits for memory in a worker's batch (Short), nothing lower is begun or resumed there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from control.states import Phase, Priority
from gateway import preemption, protocol, waiting
from gateway.preemption import Run
from workers import protocol as jobs

if TYPE_CHECKING:
    from gateway.dispatcher import Dispatcher
    from gateway.gate import WorkerSeen
    from gateway.requests import Request
    from gateway.tickets import Ticket

SAY_AGAIN_S = 1.0


@dataclass(slots=True)
class Pause:
    """Of a request, from its Pause to the first that is heard after its Resume. `said_at`: the worker was told last.

    `heard`: the worker has confirmed the pause. `kept`: it need not compute again, as far as it has said.
    """

    since: float
    said_at: float
    stage: Literal["paused", "resuming", "dropping"] = "paused"
    heard: bool = False
    kept: bool = True


class Pauses:
    def __init__(self, dispatcher: Dispatcher) -> None:
        self.d = dispatcher
        self.preemptions = self.resumptions = self.continuations = 0
        self._short: dict[str, int] = {}  # by slug: the HIGH job that waits for memory there (5)

    # -- making way ------------------------------------------------------------------------------------------

    def make_way(self, now: float) -> bool:
        """Nobody can go. True: a HIGH one can now, for somebody was paused."""
        if not self.d.config.preemption or not self.d.admission.mlx.queued[Priority.HIGH]:
            return False
        runs = self._runs(now)
        ticket = self.d.admission.mlx.first_blocked(lambda target, back: bool(self._choose(target, back, runs)))
        return ticket is not None and self._make_way(self._choose(ticket.target, ticket.called_back, runs), now)

    def make_way_for(self, ticket: Ticket, now: float) -> None:
        """A newcomer finds the queue full: if a pause lets it start at once, it takes no place from anybody."""
        pool = self.d.admission.mlx
        if (self.d.config.preemption and ticket.priority is Priority.HIGH and ticket.target not in
                self.d.admission.relays and pool.slots.is_open(ticket.target) and not pool.has_room):
            self._make_way(self._choose(ticket.target, ticket.called_back, self._runs(now)), now)

    def on_short(self, request: Request, now: float) -> None:
        """It was accepted and waits for memory in the batch (5)."""
        if request.ticket.priority is not Priority.HIGH or request.cancelling or not self.d.config.preemption:
            return
        slug = request.ticket.target
        self._short[slug] = request.ticket.id
        self.d.admission.mlx.slots.held.add(slug)
        self._make_way(preemption.choose_paused(slug, self._runs(now), 1, 0), now)

    def on_first(self, request: Request) -> None:
        """The first of its answer came."""
        if self._short:
            self._end_short(request.ticket.id)

    def _end_short(self, number: int) -> None:
        """It has begun, or left its worker."""
        for slug in [slug for slug, short in self._short.items() if short == number]:
            del self._short[slug]
            self.d.admission.mlx.slots.held.discard(slug)

    def _choose(self, target: str, called_back: bool, runs: list[Run]) -> list[Run]:
        slots = self.d.admission.mlx.slots
        return preemption.choose_paused(target, runs, slots.places_missing(target),
                                        slots.slots_missing(called_back=called_back))

    def _make_way(self, chosen: list[Run], now: float) -> bool:
        """True: all of them are paused."""
        return bool(chosen) and all(self._pause(self.d.requests[run.id], now) for run in chosen)

    def _runs(self, now: float) -> list[Run]:
        return [self._run(self.d.requests[number], now) for number in self.d.admission.mlx.slots.running.by_id]

    def _run(self, request: Request, now: float) -> Run:
        ticket = request.ticket
        left = request.max_tokens - request.next_position if request.max_tokens else None
        return Run(ticket.id, ticket.priority, ticket.target, ticket.seq, request.pauses, left, request.is_relayed,
                   request.inputs is not None, ticket.called_back, request.cancelling, self._why_deaf(request, now))

    def _why_deaf(self, request: Request, now: float) -> str:
        worker = self.d.gates.by_identity.get(request.worker)
        if worker is None or worker.phase != Phase.READY:
            return "its worker is not ready"
        return "its worker is silent" if worker.is_silent(now) else ""

    # -- one pause -------------------------------------------------------------------------------------------

    def _pause(self, request: Request, now: float) -> bool:
        if not self._say(jobs.Pause, request):
            return False
        request.pauses += 1
        self.d.admission.pause(request.ticket.id, now, last=request.pauses >= preemption.PAUSES_MAX)  # 1
        request.pause = Pause(now, now)
        self.preemptions += 1
        self.d.measures.on_pause(request.ticket.target)
        self.d.effects.note("preempted", model=request.ticket.target, request_id=request.trace,
                            priority=request.ticket.priority.name, tokens=request.next_position)
        self.tell(request, now)
        return True

    def tell(self, request: Request, now: float) -> None:
        """Its caller, while it stands still."""
        request.told_at = now
        ticket, is_dropped = request.ticket, request.pause is None  # then it waits for its model as others do
        progress = waiting.make_progress(self.d, request.id, ticket.target, self.d.admission.position(ticket.id), now,
                                         ticket.priority if is_dropped else Priority.HIGH)
        detail = progress.detail or "it goes on in its turn" if is_dropped else "a request of class HIGH has its place"
        self.d.fanout.say(request.client, protocol.Progress(
            request.id, progress.position, protocol.PAUSED, progress.estimate_s, progress.load_progress, detail))

    def resume(self, request: Request, now: float) -> None:
        """`next` has taken it. If its worker cannot be told now, it is as if it had not."""
        if not self._say(jobs.Resume, request):
            self.d.admission.set_places(request.ticket.target, 0)
            self.d.admission.pause(request.ticket.id, now)
            return
        request.pause.stage, request.pause.said_at = "resuming", now
        self.resumptions += 1
        self.d.effects.note("resumed", model=request.ticket.target, request_id=request.trace,
                            paused_s=round(now - request.pause.since, 3), tokens=request.next_position,
                            kept=request.pause.kept)

    def on_word(self, request: Request, word: jobs.Paused | jobs.Short, now: float) -> None:
        """What its worker says of it."""
        if isinstance(word, jobs.Short):
            self.on_short(request, now)
        elif request.pause is not None:
            request.pause.heard, request.pause.kept = True, word.kept

    def on_item(self, request: Request) -> None:
        """Something of its answer came. What was under way before the pause proves nothing."""
        if request.pause is not None and request.pause.stage == "resuming":
            request.pause = None

    # -- dropped pauses --------------------------------------------------------------------------------------

    def drop_wanted(self, slug: str, now: float) -> None:
        """Control asks for the memory of this model."""
        others_run = bool(self.d.admission.running_on(slug))
        for request in self._paused(slug):
            self._judge(request, now, wanted=True, others_run=others_run)

    def _judge(self, request: Request, now: float, *, wanted: bool = False, others_run: bool = False) -> None:
        worker = self.d.gates.by_identity.get(request.worker)
        drains = worker is not None and worker.phase == Phase.DRAINING
        why = preemption.why_dropped(now - request.pause.since, wanted=wanted, others_run=others_run, drains=drains)
        if not why or request.pause.stage != "paused" or request.cancelling:
            return
        request.pause.stage, request.pause.said_at = "dropping", now
        self.d.admission.mlx.park(request.ticket.id)
        self.d.effects.note("pause_dropped", model=request.ticket.target, request_id=request.trace, reason=why,
                            tokens=request.next_position)
        self._say(jobs.Cancel, request)

    def is_dropped(self, request: Request) -> bool:
        return request.pause is not None and request.pause.stage == "dropping" and not request.cancelling

    def on_dropped(self, request: Request, now: float) -> None:
        """Its worker holds it no more: it waits as others do, in front, and its next job begins behind its tokens. The
        time that it ran and was paused does not count as waiting.
        """
        ticket = request.ticket
        ticket.begun = bool(request.next_position)
        ticket.deadline += now - request.sent_at
        ticket.waits_since = now
        request.attempts_before += 1
        self.d.requeue(request, now)

    def _paused(self, slug: str | None = None) -> list[Request]:
        held = self.d.admission.mlx.slots.paused.by_id
        return [self.d.requests[number] for number, ticket in held.items() if slug in (None, ticket.target)]

    # -- time ------------------------------------------------------------------------------------------------

    def on_tick(self, now: float) -> None:
        for number in list(self._short.values()):
            request = self.d.requests.get(number)
            if request is None or not request.worker:
                self._end_short(number)
        for request in self._paused():
            self._judge(request, now)
            if now - request.told_at >= waiting.PROGRESS_EVERY_S:
                self.tell(request, now)
        for number in [*self.d.admission.mlx.slots.paused.by_id, *self.d.admission.mlx.slots.running.by_id]:
            request = self.d.requests[number]
            if request.pause is not None and now - request.pause.said_at >= SAY_AGAIN_S:  # 4
                self._say_again(request, now)

    def _say_again(self, request: Request, now: float) -> None:
        pause = request.pause
        what = {"paused": jobs.Pause, "resuming": jobs.Resume, "dropping": jobs.Cancel}[pause.stage]
        if request.cancelling:
            what = jobs.Cancel
        if what is jobs.Pause and pause.heard:
            return
        pause.said_at = now
        self._say(what, request)

    def _say(self, kind: type[jobs.Pause | jobs.Resume | jobs.Cancel], request: Request) -> bool:
        worker: WorkerSeen | None = self.d.gates.by_identity.get(request.worker)
        self.d.counters.touched.add(request.ticket.target)
        return worker is not None and self.d.effects.to_worker(worker.identity, kind(
            jobs.VERSION, self.d.epoch, worker.incarnation, request.ticket.id, request.attempt))
