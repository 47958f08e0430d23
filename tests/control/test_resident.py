"""What one process's own facts say; who goes is shown in test_eviction.py."""

from math import inf

import pytest

from control.resident import HOLDS_MEMORY, LEAVING, Resident, frees, span, why_out_of_reach, why_protected
from control.states import NEVER_TERMINATE, Phase, Priority

READY = Resident("a", Phase.READY, 10, 0, (0, 0, 0), None, 500.0, Priority.LOW, 100.0, 2.0, inf, False, False)


def test_only_empty_and_ready_processes_are_within_reach():
    for phase in Phase:
        reachable = not why_out_of_reach(READY._replace(phase=phase))
        assert reachable == (phase in (Phase.EMPTY, Phase.READY)), phase
    assert all(why_protected(READY._replace(phase=phase)) for phase in NEVER_TERMINATE)


def test_unknown_work_is_out_of_reach_and_known_work_only_protects():
    assert why_out_of_reach(READY._replace(unfinished=None)) == why_protected(READY._replace(unfinished=None)) != ""
    assert why_out_of_reach(READY._replace(unfinished=2)) == ""
    assert why_protected(READY._replace(unfinished=2)) == "2 answers in flight"
    assert why_protected(READY._replace(unfinished=2, leaving=True)) == "leaving"


@pytest.mark.parametrize("waiting, highest", [((0, 0, 0), 3), ((0, 0, 1), 2), ((0, 5, 1), 1), ((1, 0, 9), 0)])
def test_highest_waiting(waiting, highest):
    resident = READY._replace(waiting=waiting)
    assert resident.highest_waiting == highest and resident.is_wanted == (highest < 3)


@pytest.mark.parametrize("phase", Phase)
def test_what_could_go_one_day(phase):
    resident = READY._replace(phase=phase)
    assert resident.could_go == (phase in HOLDS_MEMORY)
    assert resident._replace(pinned=True).could_go == (phase in (Phase.EMPTY, Phase.STARTING))
    assert resident.is_leaving == (phase in LEAVING)


def test_a_model_in_use_is_never_past_its_keep_alive():
    assert READY._replace(keep_until=7.0).is_expired(7.0)
    assert not READY._replace(keep_until=7.0).is_expired(6.9)
    for change in ({"unfinished": 1}, {"unfinished": None}, {"waiting": (0, 0, 1)}, {"phase": Phase.EMPTY}):
        assert not READY._replace(keep_until=7.0, **change).is_expired(8.0)


def test_sums_and_words():
    assert frees([READY, READY]) == 20 and frees([]) == 0
    assert (span(0.2), span(119.0), span(120.0), span(3600.0)) == ("1 s", "119 s", "2 min", "60 min")
