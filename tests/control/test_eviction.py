"""The choice of victims, rule by rule: who is there, and what comes out. Now is always 1000 s."""

from math import inf

import pytest

from control.eviction import (
    Demand,
    Evict,
    Nothing,
    Rules,
    Wait,
    choose_expired,
    choose_for_demand,
    choose_for_pressure,
    most_room,
)
from control.pressure_level import Level
from control.resident import Resident
from control.states import Phase, Priority

P, L = Phase, Level
HIGH, MEDIUM, LOW = Priority
NOW = 1000.0
RULES = Rules(grace_s=30.0, min_residency_s=20.0)


def model(slug="a", phase=P.READY, frees=10, *, unfinished=0, waiting=(0, 0, 0), oldest=None, used=500.0, last=MEDIUM,
          loaded=100.0, load_s=2.0, keep=inf, pinned=False, leaving=False):
    return Resident(slug, phase, frees, unfinished, waiting, oldest, used, last, loaded, load_s, keep, pinned, leaving)


def demand(needs=10, priority=MEDIUM, since=990.0):
    return Demand("new", needs, priority, since)


def for_demand(*residents, wants=None, free=0, level=L.NORMAL, now=NOW):
    return choose_for_demand(wants or demand(), free, residents, RULES, level, now)


def under(level, *residents):
    return choose_for_pressure(level, residents, RULES, NOW)


def goes(outcome):
    """The victims, a closing one with "!"; None if nobody goes."""
    if not isinstance(outcome, Evict):
        return None
    return [one.slug + "!" * one.closing for one in outcome.victims]


PROTECTED = [
    (model(phase=P.STARTING), "starting"),
    (model(phase=P.LOADING), "loading"),
    (model(unfinished=None), "its work is not known"),
    (model(phase=P.EMPTY, unfinished=None), "its work is not known"),
    (model(phase=P.EMPTY, unfinished=2), "2 answers in flight"),
    (model(unfinished=1), "1 answer in flight"),
    (model(leaving=True), "leaving"),
    (model(phase=P.DRAINING), "leaving"),
]


@pytest.mark.parametrize("resident, why", PROTECTED)
@pytest.mark.parametrize("level", [L.WARN, L.CRITICAL, L.EMERGENCY])
def test_1_never_under_pressure(resident, why, level):
    outcome = under(level, resident)
    assert outcome == Wait((("a", why, inf),))


@pytest.mark.parametrize("resident", [one for one, _ in PROTECTED if not one.unfinished])
@pytest.mark.parametrize("priority", Priority)
def test_1_never_for_a_demand_even_if_critical(resident, priority):
    wants = demand(priority=priority, since=0.0)
    assert isinstance(for_demand(resident, wants=wants, level=L.CRITICAL), Wait)


def test_1_what_is_leaving_counts_as_on_its_way():
    leaving, idle = model("gone", leaving=True, frees=6), model("idle", frees=8)
    assert for_demand(leaving, idle, wants=demand(6)) == Wait((("gone", "leaving", inf),), 0)
    assert for_demand(leaving, idle, wants=demand(9), free=4) == Wait((("gone", "leaving", inf),), 1)
    assert goes(for_demand(leaving, idle, wants=demand(12))) == ["idle"]
    own = model("new", P.VERIFY_FREE, frees=6)  # it was just evicted and is wanted again
    assert isinstance(for_demand(own, idle, wants=demand(6)), Wait)


@pytest.mark.parametrize("level", Level)
def test_2_a_pinned_model_stays_and_its_empty_process_may_go(level):
    assert isinstance(for_demand(model(pinned=True), level=level), Nothing)
    assert goes(for_demand(model(phase=P.EMPTY, pinned=True), level=level)) == ["a"]
    if level is not L.NORMAL:
        assert under(level, model(pinned=True)) == Wait((("a", "pinned", inf),))
        assert goes(under(level, model(phase=P.EMPTY, pinned=True))) == ["a"]


def test_3_nobody_goes_for_what_nobody_waits_for():
    preload = demand(priority=3, since=NOW)
    assert isinstance(for_demand(model(), wants=preload), Nothing)
    assert isinstance(for_demand(model(phase=P.EMPTY), wants=preload), Nothing)
    assert isinstance(for_demand(model(leaving=True), model("b"), wants=preload), Wait)


@pytest.mark.parametrize("victim, priority, since, result", [
    (model(waiting=(0, 0, 1), oldest=900.0), LOW, 899.0, ["a"]),
    (model(waiting=(0, 0, 1), oldest=900.0), LOW, 900.0, None),
    (model(waiting=(0, 0, 1), oldest=900.0), LOW, 901.0, None),
    (model(waiting=(0, 0, 1), oldest=900.0), MEDIUM, 999.0, ["a"]),
    (model(waiting=(1, 0, 1), oldest=900.0), MEDIUM, 1.0, None),
    (model(waiting=(1, 0, 0), oldest=900.0), HIGH, 899.0, ["a"]),
    (model(waiting=(0, 1, 0), oldest=None), MEDIUM, 1.0, None),  # not known since when: left alone
])
def test_4_class(victim, priority, since, result):
    outcome = for_demand(victim, wants=demand(priority=priority, since=since))
    assert goes(outcome) == result
    if result is None:
        [spared] = outcome.whom
        assert "wait for it" in spared.why and spared.until == inf


USED = model(used=990.0)


@pytest.mark.parametrize("victim, wants, level, until", [
    (USED, demand(since=995.0), L.NORMAL, 1020.0),
    (USED, demand(since=995.0), L.WARN, 1020.0),
    (USED, demand(since=980.0), L.NORMAL, 1010.0),  # the demand will have waited as long
    (USED, demand(since=970.0), L.NORMAL, None),
    (USED, demand(priority=HIGH, since=999.0), L.NORMAL, None),  # of a higher class than its last work
    (USED, demand(priority=LOW, since=999.0), L.NORMAL, 1020.0),
    (USED._replace(last_class=None), demand(priority=HIGH, since=999.0), L.NORMAL, 1020.0),  # its work is not known
    (USED, demand(since=999.0), L.CRITICAL, None),
    (USED, demand(since=999.0), L.EMERGENCY, None),
    (USED._replace(keep_until=999.0), demand(since=999.0), L.NORMAL, None),  # 7
    (USED._replace(keep_until=1004.0), demand(since=999.0), L.NORMAL, 1004.0),
    (model(used=0.0), demand(since=999.0), L.NORMAL, None),  # never used
])
def test_5_grace(victim, wants, level, until):
    outcome = for_demand(victim, wants=wants, level=level)
    assert goes(outcome) == ["a"] if until is None else [one.until for one in outcome.whom] == [until]


@pytest.mark.parametrize("victim, wants, level, until", [
    (model(loaded=990.0), demand(priority=HIGH, since=0.0), L.NORMAL, 1010.0),  # gives way to no class and no wait
    (model(loaded=980.0), demand(), L.NORMAL, None),
    (model(loaded=980.0, load_s=15.0), demand(), L.NORMAL, 1010.0),  # twice what loading took
    (model(loaded=990.0), demand(), L.CRITICAL, None),
    (model(loaded=990.0, keep=995.0), demand(), L.NORMAL, None),  # 7
    (model(loaded=990.0, keep=995.0, waiting=(0, 0, 1), oldest=999.0), demand(), L.NORMAL, 1010.0),  # somebody waits
])
def test_6_residency(victim, wants, level, until):
    outcome = for_demand(victim, wants=wants, level=level)
    assert goes(outcome) == ["a"] if until is None else [one.until for one in outcome.whom] == [until]


BUSY = model(unfinished=3, used=995.0)


@pytest.mark.parametrize("victim, wants, result", [
    (BUSY, demand(since=970.0), ["a!"]),
    (BUSY, demand(since=971.0), None),
    (BUSY, demand(priority=LOW, since=0.0), None),  # the next MEDIUM request would take the fence down again
    (BUSY._replace(last_class=LOW), demand(priority=LOW, since=970.0), ["a!"]),
    (BUSY, demand(priority=HIGH, since=999.0), ["a!"]),
    (BUSY._replace(last_class=HIGH), demand(priority=HIGH, since=971.0), None),
    (BUSY._replace(last_class=None), demand(priority=HIGH, since=971.0), None),
    (BUSY._replace(waiting=(1, 0, 0), oldest_wait=980.0), demand(priority=HIGH, since=971.0), None),
    (BUSY._replace(waiting=(1, 0, 0), oldest_wait=980.0), demand(priority=HIGH, since=970.0), ["a!"]),
    (BUSY._replace(waiting=(1, 0, 0), oldest_wait=980.0), demand(since=970.0), None),
    (BUSY._replace(loaded_at=990.0), demand(since=0.0), None),
    (BUSY._replace(pinned=True), demand(since=0.0), None),
    (BUSY._replace(keep_until=0.0), demand(since=971.0), None),  # in use: no keep-alive is over
])
def test_8_closing(victim, wants, result):
    assert goes(for_demand(victim, wants=wants)) == result


def test_8_a_busy_model_says_when_it_would_be_closed():
    [spared] = for_demand(BUSY, wants=demand(since=980.0)).whom
    assert spared == ("a", "3 answers in flight, spared for 10 s more", 1010.0)


LINE = [  # each goes before the next
    model("empty", P.EMPTY),
    model("empty-wanted", P.EMPTY, waiting=(0, 0, 1), oldest=999.0),
    model("expired", keep=900.0, used=960.0),
    model("long-unused", used=500.0),
    model("unused", used=940.0),
    model("cheap", used=950.0, load_s=1.0),  # in the same grace period as the next one
    model("dear", used=945.0, load_s=9.0),
    model("low-waits", waiting=(0, 0, 1), oldest=999.0),
    model("medium-waits", waiting=(0, 1, 0), oldest=999.0),
    model("busy", unfinished=1, used=600.0),
]


@pytest.mark.parametrize("first, second", list(zip(LINE, LINE[1:], strict=False)), ids=lambda one: one.slug)
def test_9_order(first, second):
    wants = demand(priority=MEDIUM, since=900.0)
    for residents in ((first, second), (second, first)):
        outcome = for_demand(*residents, wants=wants)
        assert [one.slug for one in outcome.victims] == [first.slug]


@pytest.mark.parametrize("sizes, needs, result", [
    ([5, 5, 5], 5, ["0"]),
    ([5, 5, 5], 6, ["0", "1"]),
    ([1, 5, 10], 10, ["2"]),  # who is not needed stays, though it would be missed less
    ([3, 3, 20], 6, ["0", "1"]),  # not the fewest: the last one would be missed more
    ([2, 2, 4, 5], 9, ["0", "1", "3"]),
    ([0, 7], 7, ["1"]),
])
def test_10_set(sizes, needs, result):
    residents = [model(str(index), frees=size, used=100.0 + 100 * index) for index, size in enumerate(sizes)]
    outcome = for_demand(*residents, wants=demand(needs))
    assert goes(outcome) == result
    assert outcome.frees_bytes == needs + outcome.beside_bytes == sum(sizes[int(slug)] for slug in result)


def test_11_nobody_goes_in_vain():
    idle, used, pinned = model("idle", frees=4), model("used", frees=5, used=995.0), model("p", frees=50, pinned=True)
    assert goes(for_demand(idle, used, pinned, wants=demand(4))) == ["idle"]
    waits = for_demand(idle, used, pinned, wants=demand(8, since=999.0))
    assert waits == Wait((("used", "used 5 s ago, spared for 25 s more", 1025.0),), 1)
    assert isinstance(for_demand(idle, used, pinned, wants=demand(10)), Nothing)
    assert isinstance(for_demand(idle, used, pinned, wants=demand(10), free=10), Nothing)
    assert most_room("new", 3, [idle, used, pinned]) == 12


def test_11_it_waits_for_those_who_free_enough_soonest():
    soon, sooner, late = (model(slug, used=used, frees=size) for slug, used, size in
                          (("soon", 980.0, 10), ("sooner", 975.0, 2), ("late", 999.0, 99)))
    wants = demand(10, since=999.0)
    assert [one.slug for one in for_demand(late, soon, sooner, wants=wants).whom] == ["soon"]
    assert [one.slug for one in for_demand(late, soon, sooner, wants=wants._replace(needs_bytes=13)).whom] == ["late"]


def test_a_demand_never_evicts_its_own_process():
    own = model("new", P.EMPTY, frees=3)
    assert isinstance(for_demand(own), Nothing)
    assert goes(for_demand(own, model("b", P.EMPTY, frees=10))) == ["b"]


IDLE, UNUSED, YOUNG = model("idle", used=900.0), model("unused", used=800.0), model("young", loaded=990.0)


@pytest.mark.parametrize("level, residents, result", [
    (L.NORMAL, [model(phase=P.EMPTY)], None),
    (L.WARN, [IDLE], None),  # the most useful one
    (L.WARN, [IDLE, UNUSED], ["unused"]),
    (L.WARN, [IDLE, UNUSED, model("e", P.EMPTY)], ["e", "unused"]),
    (L.WARN, [IDLE, UNUSED, USED], ["unused", "idle"]),  # the one just used is the most useful
    (L.WARN, [IDLE, YOUNG], None),  # residency holds
    (L.WARN, [UNUSED._replace(waiting=(0, 0, 1)), IDLE._replace(waiting=(0, 0, 2))], None),
    (L.WARN, [model("e", P.EMPTY, waiting=(0, 0, 1))], None),  # it is about to be loaded
    (L.WARN, [IDLE, BUSY], None),
    (L.CRITICAL, [IDLE, UNUSED, USED, YOUNG, BUSY], ["young", "unused", "idle", "a"]),
    (L.CRITICAL, [IDLE._replace(waiting=(0, 1, 1)), model("e", P.EMPTY, waiting=(1, 0, 0))], ["e", "idle"]),
    (L.CRITICAL, [IDLE._replace(waiting=(1, 0, 0))], None),  # HIGH work is begun at any level: it is about to be used
    (L.EMERGENCY, [BUSY, model("l", P.LOADING)], None),
])
def test_12_pressure(level, residents, result):
    if [one.slug for one in residents].count("a") > 1:
        residents = [one._replace(slug="busy") if one is BUSY else one for one in residents]
    assert goes(under(level, *residents)) == result


def test_12_all_busy_names_everyone_who_is_protected():
    residents = [BUSY, model("b", P.LOADING), model("c", pinned=True), model("d", P.DRAINING)]
    assert {(one.slug, one.why) for one in under(L.CRITICAL, *residents).whom} == {
        ("a", "3 answers in flight"), ("b", "loading"), ("c", "pinned"), ("d", "leaving")}
    assert isinstance(under(L.CRITICAL), Nothing)
    assert isinstance(under(L.CRITICAL, model(phase=P.LEAK_SUSPECTED)), Nothing)


@pytest.mark.parametrize("change, is_over", [
    ({}, True), ({"keep_until": 1001.0}, False), ({"unfinished": 1}, False), ({"unfinished": None}, False),
    ({"waiting": (0, 0, 1)}, False), ({"pinned": True}, False), ({"phase": P.LOADING}, False),
    ({"leaving": True}, False), ({"phase": P.EMPTY}, False), ({"loaded_at": 999.0, "last_used": 999.0}, True),
])
def test_13_keep_alive(change, is_over):
    assert goes(choose_expired([model(keep=1000.0)._replace(**change)], NOW)) == (["a"] if is_over else None)


@pytest.mark.parametrize("victim, reason", [
    (model(used=958.0), "idle 42 s"),
    (model(used=400.0, keep=700.0), "idle 10 min, keep-alive over"),
    (model(used=0.0), "not used yet"),
    (model(phase=P.EMPTY), "a process without a model"),
    (BUSY, "after 3 answers in flight"),
])
def test_reasons_are_for_people(victim, reason):
    [chosen] = for_demand(victim, wants=demand(since=900.0)).victims
    assert chosen.reason == reason


def test_numbers_tell_why_it_never_fits():
    gib = 1024**3
    outcome = for_demand(model(frees=8 * gib, pinned=True), model("b", frees=2 * gib), wants=demand(6 * gib), free=gib)
    assert outcome.why == "it needs 6.0 GiB, and at most 3.0 GiB can become free"
