"""Who is paused for one of class HIGH: rule by rule, and whatever runs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.states import Priority
from gateway.preemption import LAST_TOKENS, PAUSED_MAX_S, PAUSES_MAX, Run, choose_paused, why_dropped, why_not

HIGH, MEDIUM, LOW = Priority
RUNS = st.lists(st.builds(
    Run, id=st.just(0), priority=st.sampled_from(Priority), target=st.sampled_from("ab"), seq=st.integers(1, 9),
    pauses=st.integers(0, PAUSES_MAX), tokens_left=st.none() | st.integers(LAST_TOKENS - 1, LAST_TOKENS + 2),
    is_relayed=st.booleans(), embeds=st.booleans(), called_back=st.booleans(), cancelling=st.booleans(),
    why_deaf=st.sampled_from(["", "", "silent"])), max_size=6).map(
        lambda runs: [run._replace(id=number, seq=number) for number, run in enumerate(runs, 1)])


def run(number: int, priority: Priority = LOW, target: str = "a", **more) -> Run:
    return Run(number, priority, target, number, **{"pauses": 0, "tokens_left": None} | more)


def chosen(target: str, runs: list[Run], places: int, slots: int) -> list[int]:
    return [each.id for each in choose_paused(target, runs, places, slots)]


def test_the_youngest_low_gives_way_before_any_medium():
    runs = [run(1, LOW), run(2, LOW), run(3, MEDIUM), run(4, HIGH)]
    assert chosen("a", runs, 1, 1) == [2]
    assert chosen("a", runs[2:], 1, 1) == [3]
    assert chosen("a", runs[3:], 1, 1) == []


def test_where_the_batch_is_full_only_a_pause_there_helps():
    runs = [run(1, MEDIUM, "a"), run(2, LOW, "b")]
    assert chosen("a", runs, 1, 1) == [1]
    assert chosen("a", runs[1:], 1, 1) == [], "pausing elsewhere frees no place here"


def test_where_the_global_limit_binds_a_pause_anywhere_helps():
    assert chosen("a", [run(1, MEDIUM, "a"), run(2, LOW, "b")], 0, 1) == [2]


def test_nobody_is_paused_in_vain():
    assert chosen("a", [run(1), run(2)], 0, 3) == []
    assert chosen("a", [run(1), run(2)], 0, 2) == [2, 1]
    assert chosen("a", [run(1, target="b"), run(2)], 1, 2) == [2, 1]


@pytest.mark.parametrize(("more", "why"), [
    ({"is_relayed": True}, "another server"), ({"embeds": True}, "embeds"), ({"called_back": True}, "waits for it"),
    ({"cancelling": True}, "cancelled"), ({"why_deaf": "its worker is silent"}, "silent"),
    ({"pauses": PAUSES_MAX}, f"{PAUSES_MAX} times"), ({"tokens_left": LAST_TOKENS}, f"{LAST_TOKENS} tokens"),
    ({"priority": HIGH}, "HIGH"), ({}, ""), ({"tokens_left": LAST_TOKENS + 1, "pauses": PAUSES_MAX - 1}, "")])
def test_who_is_never_paused_and_why(more, why):
    said = why_not(run(1, **more))
    assert (why in said) if why else said == ""


@given(runs=RUNS, target=st.sampled_from("ab"), places=st.integers(0, 2), slots=st.integers(0, 3))
def test_whoever_is_chosen_may_be_is_needed_and_nobody_else_should_have_been(runs, target, places, slots):
    picked = choose_paused(target, runs, places, slots)
    may = [each for each in runs if not why_not(each)]
    possible = sum(each.target == target for each in may) >= places and len(may) >= slots
    assert bool(picked) == (possible and bool(places or slots))
    if picked:
        assert all(each in may for each in picked) and len(picked) == len(set(picked)) == max(places, slots)
        assert sum(each.target == target for each in picked) >= places
        spared = [each for each in may if each not in picked]
        beside = [each for each in picked if each.target != target] or picked
        assert all((other.priority, other.seq) < (each.priority, each.seq)
                   for each in beside for other in spared if other.target == each.target)


def test_a_pause_ends_when_its_memory_is_wanted_and_nothing_else_runs_there():
    assert "wanted" in why_dropped(0.0, wanted=True, others_run=False, drains=False)
    assert not why_dropped(0.0, wanted=True, others_run=True, drains=False)
    assert not why_dropped(PAUSED_MAX_S - 1, wanted=False, others_run=False, drains=False)


def test_a_pause_does_not_last_but_for_a_worker_that_drains():
    assert "30 s" in why_dropped(PAUSED_MAX_S, wanted=False, others_run=True, drains=False)
    assert not why_dropped(PAUSED_MAX_S, wanted=True, others_run=False, drains=True)
