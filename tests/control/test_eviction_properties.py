"""The choice of victims, whatever the facts: nobody protected goes, enough goes, nobody goes for nothing."""

from itertools import combinations
from math import inf

from hypothesis import given, settings
from hypothesis import strategies as st

from control.eviction import (
    Demand,
    Evict,
    Nothing,
    Rules,
    Wait,
    choose_expired,
    choose_for_demand,
    choose_for_pressure,
    in_order,
)
from control.pressure_level import Level
from control.resident import Resident
from control.states import Phase, Priority

NOW = 1000.0
RULES = Rules(grace_s=30.0, min_residency_s=20.0)
LEAVING = (Phase.DRAINING, Phase.STOPPING, Phase.VERIFY_FREE)
past = st.sampled_from([900.0, 940.0, 960.0, 970.0, 971.0, 980.0, 985.0, 999.0])
counts = st.sampled_from([(0, 0, 0)] * 3 + [(0, 0, 2), (0, 1, 0), (1, 0, 3)])
phases = st.sampled_from([Phase.READY] * 8 + [Phase.EMPTY] * 2 + [Phase.LOADING, Phase.STARTING, *LEAVING])
seldom = st.integers(0, 8).map(lambda number: number == 8)
one_resident = st.builds(
    Resident, slug=st.sampled_from(["a", "b", "c", "d", "e", "f", "new"]), phase=phases, frees_bytes=st.integers(0, 9),
    unfinished=st.sampled_from([0, 0, 0, 0, 1, 4, None]), waiting=counts, oldest_wait=st.none() | past,
    last_used=st.just(0.0) | past, last_class=st.none() | st.sampled_from(Priority), loaded_at=past,
    load_s=st.sampled_from([0.0, 2.0, 20.0]), keep_until=st.sampled_from([inf, inf, 990.0, 1000.0, 1009.0]),
    pinned=seldom, leaving=seldom)


def residents(least=0, most=6):
    """Few different times and small sizes, so that they meet exactly; `new` is the demand's own row."""
    return st.lists(one_resident, unique_by=lambda one: one.slug, min_size=least, max_size=most)


demands = st.builds(Demand, st.just("new"), st.integers(1, 30), st.sampled_from([0, 0, 1, 1, 2, 3]), past)
free = st.integers(-5, 10)
levels = st.sampled_from(Level)


def highest(one):
    return next((priority for priority in Priority if one.waiting[priority]), 3)


def may_go(one, demand, level):
    """Rules 1 to 8 once more, as one would say them aloud."""
    if one.slug == demand.slug or one.leaving or one.unfinished is None or demand.priority > Priority.LOW:
        return False
    if one.phase is Phase.EMPTY:
        return one.unfinished == 0
    if one.phase is not Phase.READY or one.pinned or demand.priority > highest(one):
        return False
    if demand.priority == highest(one) and (one.oldest_wait is None or one.oldest_wait <= demand.since):
        return False
    above_its_work = one.last_class is not None and demand.priority < one.last_class
    has_waited = demand.since + RULES.grace_s <= NOW
    if one.unfinished and not (has_waited or above_its_work and demand.priority < highest(one)):
        return False
    if level >= Level.CRITICAL or one.unfinished == 0 and highest(one) == 3 and one.keep_until <= NOW:
        return True
    in_grace = one.last_used and one.last_used + RULES.grace_s > NOW and not above_its_work and not has_waited
    is_young = one.loaded_at + max(RULES.min_residency_s, 2 * one.load_s) > NOW
    return not in_grace and not is_young


def size(chosen):
    return sum(one.frees_bytes for one in chosen)


def choose(demand, free_bytes, everyone, level=Level.NORMAL, now=NOW):
    return choose_for_demand(demand, free_bytes, everyone, RULES, level, now)


@settings(max_examples=4 * settings.default.max_examples)
@given(demands, free, residents(least=3), levels)
def test_victims_are_the_best_of_all_sufficient_sets(demand, free_bytes, everyone, level):
    outcome = choose(demand, free_bytes, everyone, level)
    on_the_way = size(one for one in everyone if one.leaving or one.phase in LEAVING)
    missing = demand.needs_bytes - free_bytes - on_the_way
    allowed = [one for one in in_order(everyone, RULES, NOW)
               if may_go(one, demand, level) and one.phase not in LEAVING]
    sufficient = [ranks for number in range(len(allowed) + 1) for ranks in combinations(range(len(allowed)), number)
                  if size(allowed[rank] for rank in ranks) >= missing]
    if demand.needs_bytes <= free_bytes:
        assert isinstance(outcome, Nothing)
    elif missing <= 0:
        assert isinstance(outcome, Wait)
    elif not sufficient:
        assert not isinstance(outcome, Evict)
    else:
        best = min(sufficient, key=lambda ranks: ranks[::-1])
        chosen = [allowed[rank] for rank in best]
        assert [(one.slug, one.closing) for one in outcome.victims] == [
            (one.slug, one.unfinished > 0) for one in chosen]
        assert outcome.frees_bytes == size(chosen)
        assert all(outcome.frees_bytes - one.frees_bytes < missing for one in chosen)


@given(demands, free, residents(least=2))
def test_a_busy_model_is_never_closed_where_idle_ones_suffice(demand, free_bytes, everyone):
    if isinstance(outcome := choose(demand, free_bytes, everyone), Evict):
        idle = [one for one in everyone if not one.unfinished]
        alone = choose(demand, free_bytes, idle)
        if isinstance(alone, Evict) and not any(one.leaving or one.phase in LEAVING for one in everyone):
            assert outcome.victims == alone.victims


@given(demands, free, residents(), levels, st.randoms(use_true_random=False))
def test_the_order_of_the_facts_is_no_fact(demand, free_bytes, everyone, level, shuffler):
    shuffled = list(everyone)
    shuffler.shuffle(shuffled)
    assert choose(demand, free_bytes, everyone, level) == choose(demand, free_bytes, shuffled, level)
    assert choose_for_pressure(level, everyone, RULES, NOW) == choose_for_pressure(level, shuffled, RULES, NOW)
    assert choose_expired(everyone, NOW) == choose_expired(shuffled, NOW)


@given(demands, free, residents(least=1))
def test_the_end_of_a_wait_is_right(demand, free_bytes, everyone):
    outcome = choose(demand, free_bytes, everyone)
    if not isinstance(outcome, Wait):
        return
    leaving = {one.slug for one in everyone if one.leaving or one.phase in LEAVING}
    awaited = [one for one in outcome.whom if one.slug not in leaving]
    assert all(one.until > NOW for one in awaited)
    until = max((one.until for one in awaited), default=inf)
    if until == inf:
        assert isinstance(choose(demand, free_bytes, everyone, now=NOW + 1e6), Wait)
    else:
        assert isinstance(choose(demand, free_bytes, everyone, now=until - 0.5), Wait)
        assert isinstance(choose(demand, free_bytes, everyone, now=until), Evict)


@given(demands, free, residents(least=1))
def test_nothing_means_that_it_fits_or_never_can(demand, free_bytes, everyone):
    outcome = choose(demand, free_bytes, everyone)
    gone = size(one for one in everyone if one.leaving or one.phase in LEAVING or one.slug != demand.slug
                and not (one.pinned and one.phase in (Phase.READY, Phase.LOADING)))
    hopeless = free_bytes + gone < demand.needs_bytes
    if isinstance(outcome, Nothing):
        assert demand.needs_bytes <= free_bytes or hopeless or demand.priority > Priority.LOW
    else:
        assert not hopeless


@given(demands, free, residents(least=1), st.integers(0, 40))
def test_what_is_given_to_others_beside_changes_nothing(demand, free_bytes, everyone, given_bytes):
    outcome = choose(demand, free_bytes, everyone)
    if isinstance(outcome, Evict | Wait):
        given_bytes = min(given_bytes, outcome.beside_bytes)
        after = choose(demand, free_bytes - given_bytes, everyone)
        assert after == outcome._replace(beside_bytes=outcome.beside_bytes - given_bytes)


@given(residents(), levels)
def test_pressure(everyone, level):
    outcome = choose_for_pressure(level, everyone, RULES, NOW)
    victims = {one.slug for one in outcome.victims} if isinstance(outcome, Evict) else set()
    idle = {one.slug for one in everyone if one.unfinished == 0 and not one.leaving and (
        one.phase is Phase.EMPTY or one.phase is Phase.READY and not one.pinned)}
    wanted = {one.slug for one in everyone if any(one.waiting)}
    loaded = {one.slug for one in everyone if one.phase is Phase.READY}
    if level >= Level.CRITICAL:
        assert victims == idle
    elif level is Level.WARN:
        assert victims <= idle - wanted
        assert idle - wanted - loaded <= victims
        assert len(idle & loaded - victims) >= bool(idle & loaded)
    else:
        assert isinstance(outcome, Nothing)
    if level is not Level.NORMAL and everyone:
        named = {one.slug for one in (outcome.spared if isinstance(outcome, Evict) else outcome.whom)}
        assert named | victims == {one.slug for one in everyone} and not named & victims


@given(residents())
def test_expired_ones_are_idle_unwanted_and_over(everyone):
    outcome = choose_expired(everyone, NOW)
    victims = {one.slug for one in outcome.victims} if isinstance(outcome, Evict) else set()
    assert victims == {one.slug for one in everyone if one.phase is Phase.READY and one.unfinished == 0
                       and one.waiting == (0, 0, 0) and one.keep_until <= NOW and not one.pinned and not one.leaving}
