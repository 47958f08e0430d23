"""The table of phases: exactly the listed transitions are legal, nothing is a dead end, and the two words join well."""

import pytest

from control.states import (
    ACCEPTS_START,
    CONTROL_PHASES,
    HAS_PROCESS,
    LEGAL,
    NEVER_TERMINATE,
    PROCESS_ENDED,
    WORKER_PHASES,
    IllegalTransition,
    Phase,
    Priority,
    advance,
    effective_phase,
)

EFFECTIVE = set(Phase) - {Phase.ALIVE}
PAIRS = [(old, new) for old in Phase for new in Phase]


@pytest.mark.parametrize(("old", "new"), PAIRS, ids=lambda phase: phase.name)
def test_a_transition_is_legal_exactly_if_the_table_lists_it(old: Phase, new: Phase) -> None:
    if new == old or new in LEGAL.get(old, ()):
        assert advance(old, new) is new
    else:
        with pytest.raises(IllegalTransition, match=f"{old.name} -> {new.name}"):
            advance(old, new)


def _reachable(start: Phase) -> set[Phase]:
    found, edge = set(), {start}
    while edge:
        found |= edge
        edge = {new for old in edge for new in LEGAL[old]} - found
    return found


def test_every_phase_is_reached_from_down() -> None:
    assert _reachable(Phase.DOWN) == EFFECTIVE


@pytest.mark.parametrize("phase", sorted(EFFECTIVE), ids=lambda phase: phase.name)
def test_every_phase_can_be_left_and_leads_back_to_an_answer(phase: Phase) -> None:
    assert LEGAL[phase] - {phase}
    assert {Phase.DOWN, Phase.READY} <= _reachable(phase)


def test_the_table_speaks_of_effective_phases_only() -> None:
    assert set(LEGAL) == EFFECTIVE
    assert set().union(*LEGAL.values()) <= EFFECTIVE


def test_a_process_may_end_in_every_phase_that_has_one() -> None:
    for phase in HAS_PROCESS - {Phase.ALIVE}:
        assert LEGAL[phase] | {phase} >= PROCESS_ENDED


def test_nobody_stops_a_loading_or_draining_model() -> None:
    for phase in NEVER_TERMINATE:
        assert phase in HAS_PROCESS
        assert Phase.STOPPING not in LEGAL[phase]


def test_a_start_is_legal_where_it_is_accepted() -> None:
    for phase in ACCEPTS_START:
        assert phase not in HAS_PROCESS
        assert Phase.STARTING in LEGAL[phase]


def test_each_phase_has_one_writer_and_zero_is_none_of_them() -> None:
    assert set(Phase) == WORKER_PHASES | CONTROL_PHASES
    assert not WORKER_PHASES & CONTROL_PHASES
    assert 0 not in set(Phase)


def test_numbers_that_stand_in_shared_memory_and_messages_do_not_change() -> None:
    names = ("DOWN", "STARTING", "EMPTY", "LOADING", "READY", "DRAINING", "STOPPING", "VERIFY_FREE", "BACKOFF",
             "QUARANTINED", "HELD", "LEAK_SUSPECTED", "ALIVE")
    assert {phase.name: phase.value for phase in Phase} == {name: value for value, name in enumerate(names, 1)}
    assert sorted(Priority) == [Priority.HIGH, Priority.MEDIUM, Priority.LOW] == [0, 1, 2]


@pytest.mark.parametrize("control", sorted(CONTROL_PHASES - {Phase.ALIVE}), ids=lambda phase: phase.name)
def test_controls_word_wins_while_it_is_not_alive(control: Phase) -> None:
    for worker in (0, 99, *WORKER_PHASES):
        for same in (True, False):
            assert effective_phase(control, worker, same_incarnation=same) is control


@pytest.mark.parametrize("worker", sorted(WORKER_PHASES), ids=lambda phase: phase.name)
def test_alive_means_the_workers_word_if_it_is_of_the_welcomed_incarnation(worker: Phase) -> None:
    assert effective_phase(Phase.ALIVE, worker, same_incarnation=True) is worker
    assert effective_phase(Phase.ALIVE, worker, same_incarnation=False) is Phase.STARTING


@pytest.mark.parametrize("worker", [0, 99, Phase.DOWN, Phase.ALIVE])
def test_a_worker_that_has_not_written_a_phase_of_its_own_is_starting(worker: int) -> None:
    assert effective_phase(Phase.ALIVE, worker, same_incarnation=True) is Phase.STARTING


def test_a_number_that_is_no_phase_is_refused() -> None:
    with pytest.raises(ValueError, match="0 is not a valid Phase"):
        effective_phase(0, Phase.READY, same_incarnation=True)
