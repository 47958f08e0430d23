"""One admission for MLX and one for each relay: none takes a slot, a queue place or a class from another."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from control.states import Priority
from gateway.admission import Queued, QueuedDisplacing, QueueFull, Ticket
from gateway.pools import Pools
from tests.support.gateway_world import make_config

HIGH, MEDIUM, LOW = Priority
OLLAMA, VICTORIA = "relay-ollama", "relay-victoria"
TARGETS = ("a", "b", OLLAMA, VICTORIA)
POOL_OF = {"a": "mlx", "b": "mlx", OLLAMA: OLLAMA, VICTORIA: VICTORIA}


def make(**settings) -> Pools:
    pools = Pools(make_config("a", "b", relays=["ollama", "victoria"], **settings))
    for target in TARGETS:
        pools.set_places(target, 100)
    return pools


def start(pools: Pools, now: float = 0.0) -> list[int]:
    started = []
    while (ticket := pools.next(now)) is not None:
        started.append(ticket.id)
    return started


def put(pools: Pools, number: int, target: str, priority: Priority = MEDIUM, **more) -> object:
    return pools.submit(Ticket(number, priority, target, "c", 0.0, 1e9, **more), 0.0)


def test_full_slots_here_hold_nothing_up_at_a_relay_and_the_other_way_round():
    pools = make(max_running=2, ollama_max_running=1, victoria_max_running=1)
    for number, target in enumerate(["a", "b", "a", OLLAMA, OLLAMA, VICTORIA]):
        put(pools, number, target)
    assert start(pools) == [0, 1, 3, 5]
    assert (pools.running_total, pools.queued_total, pools.relayed) == (2, 1, (2, 1))
    pools.finish(3)
    assert start(pools) == [4]
    pools.finish(0)
    assert start(pools) == [2]


def test_a_full_queue_of_one_refuses_only_its_own():
    pools = make(max_running=1, max_queued=1, ollama_max_running=1)
    for number, target in enumerate(["a", "a", OLLAMA, OLLAMA]):
        assert isinstance(put(pools, number, target), Queued)
        start(pools)
    assert isinstance(put(pools, 4, "b"), QueueFull) and isinstance(put(pools, 5, OLLAMA), QueueFull)
    assert isinstance(put(pools, 6, VICTORIA, LOW), Queued)
    displaced = put(pools, 7, OLLAMA, HIGH)
    assert isinstance(displaced, QueuedDisplacing) and displaced.victim.id == 3
    assert pools.cancel(3) is None and pools.cancel(1) == "queued"


def test_short_memory_closes_nothing_of_a_relay():
    pools = make()
    pools.set_closed(1 << MEDIUM | 1 << LOW)
    for number, target in enumerate(TARGETS):
        put(pools, number, target, LOW)
    assert start(pools) == [2, 3]


def test_who_was_called_back_finds_a_slot_though_all_are_taken():
    """The agent that is asked holds a slot of its relay, and what it asks here must not wait for that."""
    pools = make(max_running=2, victoria_max_running=1, ollama_max_running=1)
    for number, target in enumerate(["a", "a", "a", VICTORIA, OLLAMA, OLLAMA]):
        put(pools, number, target)
    assert sorted(start(pools)) == [0, 1, 3, 4]
    for number, target in ((10, "a"), (11, "a"), (12, OLLAMA)):
        put(pools, number, target, called_back=True)
    assert start(pools) == [10, 12]


class Machine(RuleBasedStateMachine):
    """Whatever comes in whatever order: limits hold in each pool, and every ticket ends in exactly one way."""

    @initialize(running=st.integers(1, 3), ollama=st.integers(1, 3), victoria=st.integers(1, 2),
                queued=st.integers(1, 4), reserved=st.integers(0, 2))
    def begin(self, running: int, ollama: int, victoria: int, queued: int, reserved: int) -> None:
        self.limits = {"mlx": running, OLLAMA: ollama, VICTORIA: victoria}
        self.max_queued = queued
        self.pools = make(max_running=running, ollama_max_running=ollama, victoria_max_running=victoria,
                          max_queued=queued, reserved_high=min(reserved, running - 1), queue_deadline_s=60.0)
        self.now, self.tickets, self.running, self.ends = 100.0, {}, set(), Counter()

    def waiting(self) -> set[int]:
        return self.tickets.keys() - self.ends.keys() - self.running

    @rule(model=st.sampled_from(TARGETS), priority=st.sampled_from(Priority), caller=st.sampled_from("xyz"),
          called_back=st.sampled_from([False, False, True]))
    def submit(self, model: str, priority: Priority, caller: str, called_back: bool) -> None:
        number = len(self.tickets)
        ticket = Ticket(number, priority, model, caller, self.now, self.now + 30, called_back=called_back)
        self.tickets[number] = ticket
        room = self.pools.of(model).has_room
        outcome = self.pools.submit(ticket, self.now)
        if isinstance(outcome, QueueFull):
            assert not room
            self.ends[number] += 1
        if isinstance(outcome, QueuedDisplacing):
            assert not room and POOL_OF[outcome.victim.target] == POOL_OF[model] and outcome.victim.priority > priority
            self.ends[outcome.victim.id] += 1

    @rule(times=st.integers(1, 4))
    def take(self, times: int) -> None:
        for _ in range(times):
            if (ticket := self.pools.next(self.now)) is not None:
                assert ticket.id in self.waiting()
                self.running.add(ticket.id)

    @rule(pick=st.integers(0, 99), comes_back=st.booleans())
    def finish(self, pick: int, comes_back: bool) -> None:
        if self.running:
            number = sorted(self.running)[pick % len(self.running)]
            self.running.discard(number)
            if comes_back:
                self.pools.requeue(self.tickets[number], self.now)
            else:
                self.pools.finish(number)
                self.ends[number] += 1

    @rule(pick=st.integers(0, 30))
    def cancel(self, pick: int) -> None:
        waits, runs = pick in self.waiting(), pick in self.running
        assert self.pools.cancel(pick) == ("queued" if waits else "running" if runs else None)
        if waits:
            self.ends[pick] += 1

    @rule(pick=st.integers(0, 30), model=st.sampled_from(TARGETS))
    def move(self, pick: int, model: str) -> None:
        """As a hop does it: out of one queue, and as another ticket of the same number into another."""
        if pick in self.waiting():
            assert self.pools.cancel(pick) == "queued"
            old = self.tickets.pop(pick)
            self.tickets[pick] = new = Ticket(pick, old.priority, model, old.caller, old.arrived, old.deadline)
            at_once = self.pools.of(model).starts_at_once(new, model, self.now)
            outcome = self.pools.submit(new, self.now)
            if isinstance(outcome, QueueFull):
                self.ends[pick] += 1
            if isinstance(outcome, QueuedDisplacing):
                self.ends[outcome.victim.id] += 1
            if at_once:
                assert self.pools.of(model).next(self.now) is new
                self.running.add(pick)

    @rule(seconds=st.sampled_from([1.0, 29.0, 61.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        for ticket in self.pools.expire(self.now):
            assert ticket.id in self.waiting()
            self.ends[ticket.id] += 1

    @rule(model=st.sampled_from(TARGETS), places=st.sampled_from([0, 1, 5]))
    def set_places(self, model: str, places: int) -> None:
        self.pools.set_places(model, places)

    @invariant()
    def limits_hold(self) -> None:
        running, back = Counter(), Counter()
        for number in self.running:
            running[POOL_OF[self.tickets[number].target]] += 1
            back[POOL_OF[self.tickets[number].target]] += self.tickets[number].called_back
        for name, limit in self.limits.items():
            pool = self.pools.mlx if name == "mlx" else self.pools.relays[name]
            assert pool.running_total == running[name] <= limit + bool(back[name])
            assert pool.queued_total <= self.max_queued + 1 + limit + 1  # one that starts at once, and who came back

    @invariant()
    def nothing_is_lost(self) -> None:
        assert all(count == 1 for count in self.ends.values() if count)
        relay_running, relay_queued = self.pools.relayed
        assert self.pools.running_total + relay_running == len(self.running)
        assert self.pools.queued_total + relay_queued == len(self.waiting())
        assert len(self.pools._pools) == len(self.running) + len(self.waiting())

    def teardown(self) -> None:
        for number in list(self.running):
            self.running.discard(number)
            self.pools.finish(number)
            self.ends[number] += 1
        self.wait(1000.0)
        assert not self.pools._pools and all(self.ends[number] == 1 for number in self.tickets)


TestPools = Machine.TestCase


@given(st.permutations(["greedy"] * 40 + ["modest"] * 2), st.sampled_from(["a", OLLAMA]))
def test_two_are_not_behind_anothers_forty_in_any_pool(order, target):
    """Whatever they came in between: both are served within the first rounds of whoever waits."""
    pools = make(max_running=1, ollama_max_running=1)
    for number, caller in enumerate(order):
        pools.submit(Ticket(number, MEDIUM, target, caller, 0.0, 1e9), 0.0)
    served = []
    while (ticket := pools.next(0.0)) is not None:
        served.append(ticket.caller)
        pools.finish(ticket.id)
    assert [n for n, caller in enumerate(served) if caller == "modest"][1] <= 3
