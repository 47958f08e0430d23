"""Any order of turns, messages, deaths and wishes, with the real classes: nothing that must never be comes about.

`real_world.py` says what is real and what is not; `real_watch.py` has the rules. The runs are the same each time; the
`long` ones draw anew and are many. The last tests break one part on purpose, and the machine finds it.
"""

from collections import Counter

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from control.three_keys import ThreeKeys
from gateway import protocol
from gateway.second_key import SecondKey
from tests.model.real_machine import AnyOrder, AroundEvictions
from tests.model.real_watch import Broken
from tests.model.real_world import RealWorld, Variant

SHORT = settings(max_examples=60, stateful_step_count=30, derandomize=True, database=None, deadline=None,
                 phases=[Phase.generate], report_multiple_bugs=False)  # not shrunk: that takes minutes; LONG does it
SEARCH = settings(SHORT, max_examples=1_000)
LONG = settings(max_examples=5_000, stateful_step_count=60, deadline=None)
ABOUT = {"loaded", "evict", "evicted", "quitting", "worker_lost", "gateway_hello"}
PAUSES = {"preempted", "resumed"}
REFUSALS = {"evict_refused by gateway", "evict_refused by worker"}


@pytest.mark.parametrize(("machine", "comes_to"), [(AnyOrder, ABOUT | PAUSES), (AroundEvictions, ABOUT | REFUSALS)])
def test_nothing_breaks(machine, comes_to):
    """And the runs come to what the protocol is about: those in which nothing happens would not break anything."""

    class Counted(machine):
        seen = Counter()

    run_state_machine_as_test(Counted, settings=SHORT)
    print(Counted.seen)
    assert Counted.seen.keys() >= comes_to


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("machine", [AnyOrder, AroundEvictions])
def test_nothing_breaks_in_many_runs(machine):
    run_state_machine_as_test(machine, settings=LONG)


def test_left_alone_two_models_that_do_not_fit_together_take_turns():
    world = RealWorld()
    world.let_run(1)
    asked = [world.client.submit(slug) for slug in ("a", "b", "a", "b")]
    world.let_run(60, until=lambda: not world.client.waiting)
    assert all(isinstance(world.client.end_of(name), protocol.Done) for name in asked)
    assert world.seen["evicted"] >= 1 and world.seen["worker_lost"] >= 1
    world.settle()


# -- broken on purpose -----------------------------------------------------------------------------------------


class AlwaysFenced(SecondKey):
    """A gateway that says Fenced whatever is unfinished."""

    def __init__(self, dispatcher) -> None:
        super().__init__(dispatcher)
        self.is_off = True


class NeverSettles(ThreeKeys):
    """A new control process that takes the fences of the last one down at once."""

    def adopt_fence(self, row, fence_id, fence_cleared, now):
        super().adopt_fence(row, fence_id, fence_id, now)


@pytest.mark.parametrize("broken", [Variant(second_key=AlwaysFenced), Variant(three_keys=NeverSettles)],
                         ids=["a gateway that says Fenced whatever is unfinished", "no settling after a restart"])
def test_a_broken_part_is_found(broken):
    class WithBrokenPart(AroundEvictions):
        variant = broken

    with pytest.raises(Broken) as found:
        run_state_machine_as_test(WithBrokenPart, settings=SEARCH)
    assert found.value.rule in ("answer_cut_by_quit", "gate_open_behind_a_fence", "job_sent_to_a_leaver")
