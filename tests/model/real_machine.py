"""The hypothesis state machine that moves `RealWorld`: who reads what, whose turn it is, what time it is, who dies.

Each rule is one thing that happens; hypothesis chooses which, and shrinks a run that breaks something. At the end of
each run everybody is left alone, and must come to rest with everything answered.
"""

from collections import Counter
from collections.abc import Callable

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway import protocol
from gateway.preemption import LAST_TOKENS
from tests.model.real_gateway import AFTER_GATES, BEFORE_WORDS
from tests.model.real_wire import ALL, Process
from tests.model.real_worker import BATCH
from tests.model.real_world import RealWorld, Variant

SLUGS = st.sampled_from(["a", "a", "a", "b"])
READS = st.just(ALL) | st.lists(st.integers(0, 3), max_size=3)
CONNECTIONS = [("control", "a"), ("gateway", "a"), ("control", "gateway")]
AT_ONCE = st.sampled_from([True, True, False])
NEVER = NOBODY = ""
LONG_ANSWER = LAST_TOKENS + 3  # it may be paused


class Machine(RuleBasedStateMachine):
    """What both machines share. `seen` counts, over all runs, what the processes noted in their journals."""

    variant = Variant()
    seen: Counter[str] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.world = RealWorld(self.variant)
        self.table_was_lost = False

    def run(self, seconds: float, answers_last: bool) -> None:
        self.world.answers_last = answers_last
        self.world.let_run(seconds)
        self.world.answers_last = False

    def then(self, at_once: bool) -> None:
        """A moment after something has happened everybody has done what is to be done, but no answer has ended."""
        if at_once:
            self.run(0.1, True)

    def find(self, who: str) -> Process | None:
        return next((process for process in self.world.processes if process.kind == who), None)

    def kill(self, who: str, effects: int | None, at_once: bool) -> None:
        """At once, or in the middle of a turn, when it has had so many effects on the world."""
        victim = self.find(who)
        if victim is None:
            return
        if effects is not None:
            victim.effects_left = effects
            self.world.turn(victim)
        if victim.alive:
            self.world.bury(victim, signal="SIGKILL")
        self.then(at_once)

    def read_one(self, who: str) -> None:
        if reader := self.find(who):
            self.world.turn(reader, [0])

    def cancel(self, pick: int, at_once: bool) -> None:
        if waiting := self.world.client.waiting:
            self.world.client.say({"type": "cancel", "id": waiting[pick % len(waiting)]})
            self.then(at_once)

    def evict(self, slug: str, at_once: bool) -> None:
        self.world.client.order("evict", slug)
        self.then(at_once)

    @invariant()
    def nothing_is_broken(self):
        self.world.sound = False
        self.world.watch.check()
        self.world.sound = True

    def teardown(self) -> None:
        if self.world.sound:
            self.world.stopped, self.world.answers_last = NOBODY, False
            self.world.settle()
        self.seen.update(self.world.seen)


class AnyOrder(Machine):
    """All that can happen, in the smallest steps there are."""

    @initialize(asked=st.lists(SLUGS, max_size=2), busy=st.booleans())
    def begins(self, asked, busy):
        """Models are loaded, and perhaps answering."""
        self.world.let_run(1)
        for _ in range(1 + busy):
            for slug in asked:
                self.world.client.submit(slug)
            self.world.let_run(1.5)
            self.world.answers_last = busy
        self.world.answers_last = False

    # -- turns -----------------------------------------------------------------------------------------------

    @rule(reads=READS, control_between=st.sampled_from([NEVER, AFTER_GATES, BEFORE_WORDS]), its_reads=READS)
    def gateway_turn(self, reads, control_between, its_reads):
        def between(moment):
            if moment == control_between and self.world.control:
                self.world.turn(self.world.control, its_reads)

        if self.world.gateway:
            self.world.turn(self.world.gateway, reads, between=between)

    @rule(reads=READS)
    def control_turn(self, reads):
        if self.world.control:
            self.world.turn(self.world.control, reads)

    @rule(slug=SLUGS, reads=READS)
    def worker_turn(self, slug, reads):
        if slug in self.world.workers:
            self.world.turn(self.world.workers[slug], reads)

    @rule(slug=SLUGS, what=st.sampled_from(["obey", "step", "finish_load"]))
    def engine_moves(self, slug, what):
        if slug in self.world.workers:
            getattr(self.world.workers[slug].engine, what)()

    @rule(orders=st.booleans())
    def supervisord_moves(self, orders):
        if orders and self.world.supervisord.orders:
            self.world.supervisord.carry_out()
        self.world.supervisord.list_processes()

    @rule(seconds=st.sampled_from([0.05, 0.1, 0.1, 0.3, 1.1, 2.5, 5.5]))
    def time_passes(self, seconds):
        self.world.now += seconds

    @rule(seconds=st.sampled_from([0.1, 0.3, 1.2, 3.0]), answers_last=st.booleans())
    def all_is_well(self, seconds, answers_last):
        """For everybody but who is stopped; perhaps no answer is finished meanwhile."""
        self.run(seconds, answers_last)

    @rule(who=st.sampled_from(["a", "a", "a", "b", "control", "gateway", NOBODY]))
    def is_stopped(self, who):
        """It takes no turn while all is well for the others. The one that was stopped before goes on."""
        self.world.stopped = who

    # -- people ----------------------------------------------------------------------------------------------

    @rule(slug=SLUGS, tokens=st.sampled_from([1, 2, 3, LONG_ANSWER]), priority=st.sampled_from(protocol.PRIORITIES),
          keep_alive_s=st.sampled_from([None, None, 0.0]), at_once=AT_ONCE)
    def somebody_asks(self, slug, tokens, priority, keep_alive_s, at_once):
        self.world.client.submit(slug, tokens, priority=priority, keep_alive_s=keep_alive_s)
        self.then(at_once)

    @rule(slug=SLUGS, steps=st.integers(0, 2))
    def high_finds_the_batch_full(self, slug, steps):
        """Of what may be paused; it has said so many tokens."""
        for _ in range(BATCH):
            self.world.client.submit(slug, LONG_ANSWER, priority="low")
        self.then(True)
        for _ in range(steps if slug in self.world.workers else 0):
            self.world.workers[slug].engine.step()
        self.world.client.submit(slug, priority="high")
        self.then(True)

    @rule(pick=st.integers(0, 5), at_once=AT_ONCE)
    def somebody_cancels(self, pick, at_once):
        self.cancel(pick, at_once)

    @rule(slug=SLUGS, at_once=AT_ONCE)
    def an_operator_evicts(self, slug, at_once):
        self.evict(slug, at_once)

    @rule(slug=SLUGS, verb=st.sampled_from(["evict", "unload", "load", "pin", "start", "stop"]))
    def an_operator_does_something_else(self, slug, verb):
        if verb == "start":
            self.world.supervisord.start(slug)
        elif verb != "stop":
            self.world.client.ask(verb, model=slug)
        elif slug in self.world.workers:
            self.world.supervisord.stop(slug)

    @rule(used=st.sampled_from([0.2, 0.2, 0.87, 0.96, 0.99]))
    def memory_fills(self, used):
        self.world.used = used

    # -- faults ----------------------------------------------------------------------------------------------

    @rule(who=st.sampled_from(["control", "control", "gateway", "a", "b"]), effects=st.none() | st.integers(0, 6),
          at_once=AT_ONCE)
    def killed(self, who, effects, at_once):
        self.kill(who, effects, at_once)

    @rule()
    def the_dead_come_back(self):
        self.world.restart_the_dead()

    @rule(what=st.sampled_from([*CONNECTIONS, "last words", "table"]))
    def something_is_lost(self, what):
        """All messages of a connection, or of the dead; once in a run, the table."""
        if what == "last words":
            self.world.wire.forget_the_dead()
        elif what != "table":
            one, other = map(self.find, what)
            if one and other:
                self.world.wire.break_between(one, other)
        elif not self.table_was_lost:
            self.table_was_lost, self.world.table = True, None


STEPS: dict[str, Callable[[Machine], None]] = {
    "somebody asks a": lambda run: (run.world.client.submit("a", 2), run.then(True)),
    "answers are finished": lambda run: run.run(0.3, False),
    "a second passes": lambda run: run.run(1.2, True),
    "an operator evicts a": lambda run: run.evict("a", True),
    "a is stopped": lambda run: setattr(run.world, "stopped", "a"),
    "a goes on": lambda run: (setattr(run.world, "stopped", NOBODY), run.then(True)),
    "a reads one message": lambda run: run.read_one("a"),
    "control is killed": lambda run: run.kill("control", None, True),
    "the gateway is killed": lambda run: run.kill("gateway", None, True),
}


class AroundEvictions(Machine):
    """What an eviction is about, in larger steps and of one rule, so that fewer runs come to its corners."""

    @initialize()
    def begins(self):
        self.world.client.submit("a")
        self.world.let_run(4)

    @rule(what=st.sampled_from(list(STEPS)))
    def happens(self, what):
        STEPS[what](self)
