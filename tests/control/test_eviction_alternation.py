"""Models that do not fit together, an hour of simulated time: nobody thrashes, nobody starves, no answer is cut.

The choices are the real ones (`load_choice`, `eviction`); around them stands a small world with a hand-moved clock that
does at once what the three keys do. A turn is one second.
"""

from collections import deque
from dataclasses import dataclass, field
from math import inf

import pytest

from control.eviction import Demand, Evict, Nothing, Rules, choose_for_demand, most_room
from control.load_choice import Facts, Load, MakeRoom, Room, Start, choose_beside, choose_next
from control.pressure_level import Level
from control.resident import Resident
from control.states import Phase, Priority

HIGH, MEDIUM, LOW = Priority
HOUR_S = 3600
BUDGET, EMPTY_BYTES = 100, 1
RULES = Rules(grace_s=30.0, min_residency_s=20.0)
BATCH = 4
ANSWER_MAX_S = 7
HANDLING_S = 5  # start of a process, measuring memory back, and the turns between


@dataclass
class Model:
    """Jobs in `queue` and `running` are [class, came, takes]; `stays` are how long it was loaded each time."""

    slug: str
    size: int
    load_s: float = 5.0
    phase: Phase = Phase.DOWN
    queue: deque = field(default_factory=deque)
    running: list = field(default_factory=list)
    next_at: float = 0.0  # when what STARTING, LOADING and VERIFY_FREE wait for has come
    loaded_at: float = 0.0
    last_used: float = 0.0
    last_class: Priority | None = None
    closing: bool = False
    loads: int = 0
    served: int = 0
    stays: list = field(default_factory=list)
    waits: dict = field(default_factory=lambda: {priority: [0.0] for priority in Priority})

    @property
    def share(self) -> int:
        sizes = {Phase.DOWN: 0, Phase.STARTING: EMPTY_BYTES, Phase.EMPTY: EMPTY_BYTES}
        return sizes.get(self.phase, self.size)

    @property
    def waiting(self) -> tuple:
        return tuple(sum(job[0] == priority for job in self.queue) for priority in Priority)

    @property
    def oldest(self) -> float | None:
        return min((job[1] for job in self.queue), default=None)

    def on_time(self, now: float) -> None:
        for job in [job for job in self.running if job[2] <= now]:
            self.running.remove(job)
            self.last_used, self.served = now, self.served + 1
        if now >= self.next_at:
            if self.phase is Phase.LOADING:
                self.loaded_at, self.loads = now, self.loads + 1
            after = {Phase.STARTING: Phase.EMPTY, Phase.LOADING: Phase.READY, Phase.VERIFY_FREE: Phase.DOWN}
            self.phase = after.get(self.phase, self.phase)
        while self.phase is Phase.READY and not self.closing and self.queue and len(self.running) < BATCH:
            job = min(self.queue, key=lambda job: job[:2])
            self.queue.remove(job)
            self.waits[job[0]].append(now - job[1])
            self.running.append((job[0], job[1], now + job[2]))
            self.last_used, self.last_class = now, job[0]

    def leave(self, now: float) -> None:
        assert self.phase in (Phase.READY, Phase.EMPTY) and not self.running, "an answer would be cut"
        if self.phase is Phase.READY:
            self.stays.append(now - self.loaded_at)
        self.phase, self.next_at, self.closing = Phase.VERIFY_FREE, now + 1, False

    def resident(self) -> Resident:
        return Resident(self.slug, self.phase, self.share, len(self.running), self.waiting, self.oldest, self.last_used,
                        self.last_class, self.loaded_at, self.load_s, inf, False, False)

    def facts(self, free: int, residents: list) -> Facts:
        needs = self.size - self.share
        return Facts(self.slug, self.phase, self.phase is Phase.LOADING, self.waiting, self.oldest, "", 0.0,
                     self.last_used, needs, EMPTY_BYTES, most_room(self.slug, free, residents) >= needs)


class World:
    def __init__(self, *models: Model, rules: Rules = RULES) -> None:
        self.models, self.rules = {model.slug: model for model in models}, rules

    def free(self) -> int:
        return BUDGET - sum(model.share for model in self.models.values())

    def turn(self, now: float) -> None:
        for model in self.models.values():
            model.on_time(now)
        residents = [model.resident() for model in self.models.values() if model.phase is not Phase.DOWN]
        facts = [model.facts(self.free(), residents) for model in self.models.values()]
        room = Room(self.free(), Level.NORMAL, False)
        choice, outcome = choose_next(facts, 0, room), None
        if isinstance(choice, MakeRoom):
            outcome = choose_for_demand(Demand(*choice[:4]), room.free_bytes, residents, self.rules, room.level, now)
            assert not isinstance(outcome, Nothing), "could_fit said otherwise"
            choice = choose_beside(facts, choice.slug, room, outcome.beside_bytes)
        chosen = {victim.slug: victim for victim in outcome.victims} if isinstance(outcome, Evict) else {}
        for model in self.models.values():
            model.closing = model.slug in chosen and bool(model.running)
            if model.slug in chosen and not model.closing:
                model.leave(now)
        if isinstance(choice, Start | Load):
            model = self.models[choice.slug]
            loads = isinstance(choice, Load)
            model.phase = Phase.LOADING if loads else Phase.STARTING
            model.next_at = now + (model.load_s if loads else 2)
        assert self.free() >= 0, "more was given out than there is"

    def run(self, *clients, seconds: int = HOUR_S) -> "World":
        """A client sees the world and the time, and puts jobs into queues."""
        for now in range(1, seconds + 1):
            for client in clients:
                client(self, float(now))
            self.turn(float(now))
        for model in self.models.values():  # who still waits has waited at least this long
            for priority, came, _ in model.queue:
                model.waits[priority].append(seconds - came)
        return self

    def longest_wait(self, slug: str, priority: Priority = MEDIUM) -> float:
        return max(self.models[slug].waits[priority])


def busy(slug: str, jobs: int, priority: Priority = MEDIUM):
    """Always that many requests to one model, waiting or answered, of 3 to 7 s each."""

    def client(world: World, now: float) -> None:
        model = world.models[slug]
        for number in range(jobs - len(model.queue) - len(model.running)):
            model.queue.append((priority, now, 3 + (int(now) + number) % (ANSWER_MAX_S - 2)))
    return client


def now_and_then(slug: str, every_s: int, priority: Priority, first_s: int = 100):
    def client(world: World, now: float) -> None:
        if now >= first_s and (now - first_s) % every_s == 0:
            world.models[slug].queue.append((priority, now, 5))
    return client


def residency_s(model: Model) -> float:
    return max(RULES.min_residency_s, 2 * model.load_s)


def turn_s(*models: Model) -> float:
    """The longest that one model may keep its place while another of the same class waits, with the change to it."""
    return max(max(RULES.grace_s, residency_s(one)) + one.load_s + 2 * ANSWER_MAX_S + HANDLING_S for one in models)


def assert_no_thrashing(world: World) -> None:
    for model in world.models.values():
        assert all(stay >= residency_s(model) for stay in model.stays), model.slug
        assert model.loads <= HOUR_S / (residency_s(model) + model.load_s) + 1


@pytest.mark.parametrize("jobs, load_s", [(1, 5.0), (3, 40.0), (12, 1.0)])
def test_two_that_do_not_fit_together_take_turns(jobs, load_s):
    world = World(Model("a", 60, load_s), Model("b", 70, load_s))
    world.run(busy("a", jobs), busy("b", jobs))
    a, b = world.models.values()
    assert_no_thrashing(world)
    rounds = 1 + jobs // BATCH  # a queue longer than the batch is served in several
    for slug in ("a", "b"):
        assert world.longest_wait(slug) <= turn_s(a, b) + load_s + rounds * ANSWER_MAX_S
    assert min(a.loads, b.loads) >= HOUR_S / (2 * turn_s(a, b)) - 2
    assert min(a.served, b.served) >= max(a.served, b.served) / 2


def test_without_grace_and_residency_they_would_thrash():
    """The figures above are not true of any rules."""
    models = Model("a", 60, 0.0), Model("b", 70, 0.0)
    world = World(*models, rules=Rules(0.0, 0.0)).run(busy("a", 3), busy("b", 3))
    with pytest.raises(AssertionError):
        assert_no_thrashing(world)


def test_high_work_now_and_then_waits_for_residency_only_and_nobody_starves():
    world = World(Model("a", 60), Model("b", 70))
    world.run(busy("a", 3), busy("b", 3), now_and_then("b", 97, HIGH), now_and_then("a", 131, HIGH))
    a, b = world.models.values()
    assert_no_thrashing(world)
    longest = a.load_s + residency_s(a) + ANSWER_MAX_S + HANDLING_S + a.load_s
    assert max(world.longest_wait("a", HIGH), world.longest_wait("b", HIGH)) <= longest
    for slug in ("a", "b"):
        assert world.longest_wait(slug) <= 2 * turn_s(a, b)


def test_one_request_gets_its_turn_in_a_stream_for_another_model():
    world = World(Model("a", 60), Model("b", 70))
    world.run(busy("a", 9), now_and_then("b", HOUR_S, MEDIUM))
    a, b = world.models.values()
    assert b.served == 1 and b.loads == 1
    assert world.longest_wait("b") <= max(RULES.grace_s, residency_s(a)) + 2 * ANSWER_MAX_S + HANDLING_S + b.load_s
    assert world.longest_wait("a") <= turn_s(a, b) + 3 * ANSWER_MAX_S
    assert a.loads == 2


def test_an_urgent_request_closes_a_busy_model_at_once():
    world = World(Model("a", 60), Model("b", 70))
    world.run(busy("a", 9, LOW), now_and_then("b", HOUR_S, HIGH), seconds=300)
    assert world.longest_wait("b", HIGH) <= ANSWER_MAX_S + HANDLING_S + 5


def test_lower_work_never_takes_the_place_of_higher():
    world = World(Model("a", 60), Model("b", 70))
    world.run(busy("a", 9, MEDIUM), busy("b", 1, LOW))  # somebody always waits for a, in a higher class
    a, b = world.models.values()
    assert (a.loads, b.loads, b.served) == (1, 0, 0)


@pytest.mark.parametrize("sizes", [(40, 45, 90), (55, 60, 65)])
def test_three_of_different_sizes(sizes):
    """The big one needs the places of two, and small ones that come and go beside it do not starve it."""
    world = World(*(Model(slug, size) for slug, size in zip("abc", sizes, strict=True)))
    world.run(busy("a", 2), busy("b", 3), busy("c", 2))
    assert_no_thrashing(world)
    for slug in "abc":
        assert world.longest_wait(slug) <= 3 * turn_s(*world.models.values())
        assert world.models[slug].served >= HOUR_S / 60


def test_nobody_is_loaded_into_the_room_that_a_big_one_waits_for():
    world = World(Model("big", 90), Model("rival", 60), Model("small", 35, 40.0))
    world.run(busy("rival", 2), now_and_then("big", HOUR_S, MEDIUM, 60), now_and_then("small", HOUR_S, MEDIUM, 65),
              seconds=300)
    big, rival, small = world.models.values()
    assert (big.served, small.served) == (1, 1)
    assert world.longest_wait("big") <= turn_s(rival)  # not that of `small`, which is loaded for 40 s and stays for 80


def test_small_ones_use_what_a_big_one_leaves_while_it_waits():
    world = World(Model("big", 60), Model("rival", 70, 30.0), Model("small", 20))
    world.run(busy("rival", 2), busy("big", 2), busy("small", 1))
    assert_no_thrashing(world)
    assert world.longest_wait("small") <= 40.0  # one load at a time: at most behind the longest one
    assert world.longest_wait("big") <= 2 * turn_s(*world.models.values())
