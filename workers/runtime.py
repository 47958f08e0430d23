"""A worker's life, told without sockets: what it answers to control, to the gateway and to its own engine.

Theory
------
A worker is born empty and dies to give memory back: there is no unloading inside a process.

    (no word)  --WELCOME-->  EMPTY  --LOAD-->  LOADING  -->  READY  --TERM / orphaned-->  DRAINING  -->  exit 0
                             EMPTY, READY  --QUIT while empty-handed-->  exit 0

Guarantees
1. Before WELCOME it writes no word in the table and takes no job.
2. Key 3 of an eviction: QUIT is refused (Busy) while it has something to do (`workers/third_key.py`). Orders of any
   control process but the newest that welcomed it are void, and each WELCOME is answered by a Report that says so.
3. A job is accepted only while READY and while the batch has a place (`workers/jobs_in_hand.py`); otherwise
   Refuse("not_ready"): not started.
4. A newer gateway epoch in a Welcome drops every job of the older one before the hello that opens the gate.
5. DRAINING takes nothing new, finishes what it has, paused jobs too, and exits 0.
6. While memory is short the engine is asked to give back what it only keeps for speed: at each rise of the pressure
   level, then every TRIM_EVERY_S.

All state here belongs to the I/O thread. `effects` carries things out; `now` is monotonic seconds.
"""

from control import messages
from control.states import Phase
from workers import protocol as jobs
from workers.counting import Done
from workers.effects import Effects
from workers.engine import JobKey, LoadPlan
from workers.engine_thread import (
    Changed,
    EngineThread,
    Fatal,
    JobRejected,
    Loaded,
    LoadFailed,
    Noted,
    Outputs,
    PausedNow,
    Post,
    ShortOf,
)
from workers.jobs_in_hand import JobsInHand
from workers.third_key import Hands, ThirdKey, Turn

HELLO_EVERY_S = 1.0
TRIM_EVERY_S = 5.0
EXIT_LOAD_FAILED = EXIT_REFUSED = 1
EXIT_FATAL = 70
Order = jobs.Cancel | jobs.Pause | jobs.Resume


class Runtime:
    """`exit_code` None: live on; else end the process with it once everything said has left. `hand`: its jobs."""

    def __init__(self, slug: str, pid: int, start_time_us: int, batch_max: int, engine: EngineThread,
                 effects: Effects, third_key: ThirdKey) -> None:
        self.slug, self.pid, self.start_time_us, self.batch_max = slug, pid, start_time_us, batch_max
        self.engine, self.effects, self.third_key = engine, effects, third_key
        self.boot_id = 0
        self.incarnation = 0
        self.phase = Phase.EMPTY
        self.load_id = self.load_ms = self.context_length = self.share_bytes = 0
        self.gateway_epoch = 0
        self.control_epoch = 0
        self.hand = JobsInHand(engine, self._say)
        self.exit_code: int | None = None
        self.server_problem = ""  # of a relay: why its server does not answer
        self._hello_at = self._gateway_hello_at = self._beat_at = self._trim_at = float("-inf")
        self._pressure_level = 0

    # -- control ---------------------------------------------------------------------------------------------

    def on_control(self, message: messages.FromControl, now: float) -> None:
        match message:
            case messages.Welcome():
                self._on_welcome(message, now)
            case messages.Refused():
                self.effects.note("hello_refused", reason=message.reason)
                self.drain(message.reason, now)  # answers are finished, whatever control thinks of this row
                self.exit_code = EXIT_REFUSED if self.exit_code == 0 else self.exit_code
            case messages.Load() if message.incarnation == self.incarnation:
                self._on_load(message, now)
            case messages.Quit():
                self._on_quit(message)

    def _on_welcome(self, welcome: messages.Welcome, now: float) -> None:
        if welcome.boot_id != self.boot_id or welcome.control_epoch < self.control_epoch:
            return
        if self.exit_code is not None:
            return  # it leaves: a Report now could make control take its fence down
        self.control_epoch = welcome.control_epoch
        if self.incarnation:
            self._report(now)
            return
        self.incarnation = welcome.incarnation
        self.effects.meet_gateway(self.incarnation)
        self.effects.note("welcomed", incarnation=self.incarnation)
        self._tell_phase(now)

    def _on_load(self, load: messages.Load, now: float) -> None:
        if load.control_epoch != self.control_epoch or not self.control_epoch:
            self.effects.note("void_load", epoch=load.control_epoch, newest=self.control_epoch)
            return
        if self.phase is Phase.EMPTY:
            self.phase, self.load_id, self.share_bytes = Phase.LOADING, load.load_id, load.share_bytes
            self.batch_max = min(self.batch_max, load.batch_max or self.batch_max)
            self.engine.load(LoadPlan(load.share_bytes, load.runtime_bytes, load.batch_max, load.context_length,
                                      load.row_tokens))
        self._tell_phase(now)

    def _on_quit(self, order: messages.Quit) -> None:
        hands = Hands(len(self.hand.jobs), self.engine.held, self.phase is Phase.LOADING)
        turn, why = self.third_key.decide_quit(order, self.incarnation, self.control_epoch, hands)  # (2)
        if turn is Turn.VOID:
            self.effects.note("void_quit", reason=why)
            return
        about = (messages.VERSION, self.slug, self.incarnation, order.fence)
        if turn is Turn.REFUSED:
            self.effects.to_control(messages.Busy(*about, why))
            return
        self.effects.to_control(messages.Quitting(*about))
        self.effects.note("quitting", reason=order.reason, jobs=len(self.hand.jobs))
        self.phase = Phase.DRAINING  # nothing that comes in this turn is taken
        self.exit_code = 0

    def _say_hello(self, now: float) -> None:
        self._hello_at = now
        phase = self.phase if self.incarnation else 0
        self.effects.to_control(messages.Hello(messages.VERSION, self.boot_id, self.slug, self.pid,
                                               self.start_time_us, self.incarnation, phase))

    def _report(self, now: float, error: str = "") -> None:
        """The table first: the row is never older than what control hears."""
        self.effects.write_row(now)
        self.effects.to_control(messages.Report(messages.VERSION, self.slug, self.incarnation, self.phase,
                                                self.load_id, error or self.server_problem, self.control_epoch))

    def _tell_phase(self, now: float, error: str = "") -> None:
        """Both sides hear of the change."""
        self._report(now, error)
        self._say_gateway_hello(now)

    # -- the gateway -----------------------------------------------------------------------------------------

    def on_gateway(self, message: jobs.ToWorker, now: float) -> None:
        match message:
            case jobs.Welcome() if message.boot_id == self.boot_id:
                if message.epoch != self.gateway_epoch:
                    self.hand.drop_all()  # (4)
                    self.effects.drop_unsent()
                    self._end_if_drained()
                    self.gateway_epoch = message.epoch
                self._say_gateway_hello(now)  # each time: it may have forgotten us
            case jobs.Job() if self._is_current(message):
                self._on_job(message, now)
            case jobs.Cancel() if self._is_current(message):
                self.hand.cancel(_key(message))
                self._end_if_drained()
            case jobs.Pause() if self._is_current(message):
                self.hand.pause(_key(message))
            case jobs.Resume() if self._is_current(message):
                self.hand.resume(_key(message), now)
            case jobs.Count() if self._is_current(message):
                self.effects.ask_count(message)

    def _is_current(self, message: jobs.Job | jobs.Count | Order) -> bool:
        return message.epoch == self.gateway_epoch and message.incarnation == self.incarnation

    def _on_job(self, job: jobs.Job, now: float) -> None:
        if self.phase is Phase.READY and self.hand.has_place(self.batch_max):  # (3)
            self.hand.take(job, now)
        else:
            why = self.phase.name.lower() if self.phase is not Phase.READY else "the batch is full"
            self._say(jobs.Refuse, job.job, job.attempt, "not_ready", why)

    def _say(self, kind: type, *rest: object) -> None:
        self.effects.to_gateway(kind(jobs.VERSION, self.gateway_epoch, self.incarnation, *rest))

    def _end_if_drained(self) -> None:
        if self.phase is Phase.DRAINING and not self.hand.jobs:
            self.exit_code = 0  # (5)

    def _say_gateway_hello(self, now: float) -> None:
        self._gateway_hello_at = now
        self.effects.to_gateway(jobs.Hello(
            jobs.VERSION, self.boot_id, self.gateway_epoch, self.slug, self.incarnation, self.pid, self.phase,
            self.batch_max, self.context_length, self.load_ms, self.engine.models))

    # -- the engine ------------------------------------------------------------------------------------------

    def on_engine(self, post: Post, now: float) -> None:
        match post:
            case Outputs():
                self.hand.on_outputs(post.outputs)
                self._end_if_drained()
            case JobRejected():
                self.hand.fail(*post)
                self._end_if_drained()
            case PausedNow():
                self.hand.tell(jobs.Paused, *post)
            case ShortOf():
                self.hand.tell(jobs.Short, *post)
            case Noted():
                self.hand.tell(jobs.Note, *post)
            case Changed():
                self.effects.note("server_changed", breaker=post.breaker, problem=post.problem)
                self.server_problem = post.problem
                if self.incarnation:
                    self._tell_phase(now)
            case Loaded():
                self.load_ms, self.context_length = post.load_ms, post.facts.context_length
                if self.phase is Phase.LOADING:
                    self.phase = Phase.READY
                self.effects.note("loaded", load_ms=post.load_ms, context_length=self.context_length)
                self._tell_phase(now)
            case LoadFailed():
                self.effects.note("load_failed", reason=post.reason)
                self._tell_phase(now, post.reason)
                self.exit_code = EXIT_LOAD_FAILED
            case Fatal():
                self.effects.note("engine_died", reason=post.reason, trace=post.trace)
                self._tell_phase(now, post.reason)
                self.exit_code = EXIT_FATAL

    def on_counted(self, done: Done) -> None:
        """Of its own model it knows better how much the context holds."""
        count, own = done.count, done.count.slug == self.slug and self.context_length
        if self._is_current(count):
            self.effects.to_gateway(jobs.Counted(
                jobs.VERSION, count.epoch, count.incarnation, count.number, done.tokens, own or done.context_length,
                done.code, done.message, done.ids))

    # -- operators and time ----------------------------------------------------------------------------------

    def drain(self, reason: str, now: float) -> None:
        """TERM, or supervisord is gone: finish what is being answered, then exit 0 (5)."""
        if self.phase is Phase.DRAINING or self.exit_code is not None:
            return
        self.effects.note("draining", reason=reason, jobs=len(self.hand.jobs))
        self.phase = Phase.DRAINING
        if self.incarnation:
            self._tell_phase(now)
        if not self.hand.jobs:
            self.exit_code = 0

    def on_tick(self, now: float, control_epoch: int, gateway_epoch: int, pressure_level: int) -> None:
        """As the table says now: a new epoch is greeted. Who leaves greets nobody any more."""
        if self.exit_code is not None:
            return
        self._on_pressure(pressure_level, now)
        unknown = not self.incarnation or control_epoch != self.control_epoch
        if unknown and now - self._hello_at >= HELLO_EVERY_S:
            self._say_hello(now)
        if not self.incarnation:
            return
        if gateway_epoch != self.gateway_epoch and now - self._gateway_hello_at >= HELLO_EVERY_S / 5:
            self._say_gateway_hello(now)
        if now - self._beat_at >= jobs.BEAT_EVERY_S:
            self._beat_at = now
            self.effects.to_gateway(jobs.Beat(jobs.VERSION, self.gateway_epoch, self.incarnation, self.slug,
                                              self.phase, [key[1] for key in self.hand.jobs], self.engine.steps))

    def _on_pressure(self, level: int, now: float) -> None:
        if level > self._pressure_level or level and now - self._trim_at >= TRIM_EVERY_S:  # (6)
            self._trim_at = now
            self.engine.trim()
        self._pressure_level = level


def _key(order: Order) -> JobKey:
    return order.epoch, order.job, order.attempt
