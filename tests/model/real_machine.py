"""The hypothesis state machine that moves `RealWorld`: who reads what, whose turn it is, what time it is, who dies.

Each rule is one thing that happens; hypothesis chooses which, and shrinks a run that breaks something. At the end of
each run everybody is left alone, and must come to rest with everything answered.
"""

from collections import Counter

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway import protocol
from tests.model.real_gateway import AFTER_GATES, BEFORE_WORDS
from tests.model.real_wire import ALL, Process
from tests.model.real_world import RealWorld, Variant

SLUGS = st.sampled_from(["a", "a", "b"])
READS = st.just(ALL) | st.lists(st.integers(0, 3), max_size=3)
CHANNELS = [("control", "a"), ("gateway", "a"), ("control", "gateway"), ("gateway", "control"), ("a", "control"),
            ("a", "gateway"), ("control", "a"), ("gateway", "a"), ("control", "b"), ("gateway", "b")]
NEVER, NOT_SLOW = "", ("", "")
SLOW = st.just(NOT_SLOW) | st.sampled_from(CHANNELS)
THEN = st.none() | SLOW


class AnyOrder(RuleBasedStateMachine):
    """`seen` counts, over all runs, what the processes noted in their journals."""

    variant = Variant()
    seen: Counter[str] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.world = RealWorld(self.variant)
        self.table_was_lost = False

    @initialize(asked=st.lists(SLUGS, max_size=2), busy=st.booleans())
    def begins(self, asked, busy):
        """Models are loaded, and perhaps answering."""
        self.world.let_run(1)
        for _ in range(1 + busy):
            for slug in asked:
                self.world.client.submit(slug)
            self.world.let_run(1.5)
            self.world.engines_rest = busy
        self.world.engines_rest = False

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

    @rule(seconds=st.sampled_from([0.1, 0.3, 1.2, 3.0]), slow=SLOW, engines_rest=st.booleans())
    def all_is_well_but(self, seconds, slow, engines_rest):
        """Nothing arrives on one channel meanwhile; or no engine does anything."""
        self.world.wire.slow, self.world.engines_rest = slow, engines_rest
        self.world.let_run(seconds)
        self.world.wire.slow, self.world.engines_rest = NOT_SLOW, False

    def then(self, slow):
        """A moment after something has happened: everybody has done what is to be done, but for one channel."""
        if slow is not None:
            self.all_is_well_but(0.1, slow, True)

    # -- people ----------------------------------------------------------------------------------------------

    @rule(slug=SLUGS, tokens=st.integers(1, 3), priority=st.sampled_from(protocol.PRIORITIES),
          keep_alive_s=st.sampled_from([None, None, 0.0]), slow=THEN)
    def somebody_asks(self, slug, tokens, priority, keep_alive_s, slow):
        self.world.client.submit(slug, tokens, priority=priority, keep_alive_s=keep_alive_s)
        self.then(slow)

    @rule(pick=st.integers(0, 5), slow=THEN)
    def somebody_cancels(self, pick, slow):
        if waiting := self.world.client.waiting:
            self.world.client.say({"type": "cancel", "id": waiting[pick % len(waiting)]})
            self.then(slow)

    @rule(slug=SLUGS, slow=THEN)
    def an_operator_evicts(self, slug, slow):
        self.world.client.order("evict", slug)
        self.then(slow)

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

    def find(self, who: str) -> Process | None:
        return next((process for process in self.world.processes if process.kind == who), None)

    @rule(who=st.sampled_from(["control", "control", "gateway", "a", "b"]), effects=st.none() | st.integers(0, 6),
          slow=THEN)
    def killed(self, who, effects, slow):
        """At once, or in the middle of a turn, when it has had so many effects on the world."""
        victim = self.find(who)
        if victim is None:
            return
        if effects is not None:
            victim.effects_left = effects
            self.world.turn(victim)
        if victim.alive:
            self.world.bury(victim, signal="SIGKILL")
        self.then(slow)

    @rule()
    def the_dead_come_back(self):
        self.world.restart_the_dead()

    @rule(what=st.sampled_from([*CHANNELS, "last words", "table"]))
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

    # -- at all times ----------------------------------------------------------------------------------------

    @invariant()
    def nothing_is_broken(self):
        self.world.sound = False
        self.world.watch.check()
        self.world.sound = True

    def teardown(self) -> None:
        if self.world.sound:
            self.world.wire.slow, self.world.engines_rest = NOT_SLOW, False
            self.world.settle()
        self.seen.update(self.world.seen)


class AroundEvictions(AnyOrder):
    """Only what an eviction is about, so that fewer runs come to its corners."""

    @initialize()
    def begins(self):
        self.world.client.submit("a")
        self.world.let_run(4)

    supervisord_moves = memory_fills = something_is_lost = an_operator_does_something_else = the_dead_come_back = None
