"""The design holds: no interleaving within these bounds breaks an invariant, and none leads to a stuck state.

The bounds are chosen so that each kind of trouble is there twice, and every two kinds together; all at once is for the
`long` tests. Run with `-s` to see how much was searched.
"""

import re

import pytest

from tests.model.checker import Model, search
from tests.model.protocol import SERVING, make_model
from tests.model.void import drop_void
from tests.model.world import Bounds, World

FROM_NOTHING, FROM_SERVING = None, SERVING
SEARCHES = {
    "control, gateway and worker crash": (
        FROM_SERVING, Bounds(evictions=1, jobs=2, control_crashes=1, gateway_crashes=1, worker_crashes=1, starts=1)),
    "a model is started and loaded; control and gateway crash": (
        FROM_NOTHING, Bounds(evictions=1, control_crashes=1, gateway_crashes=1, starts=1)),
    "control crashes twice in two evictions": (FROM_SERVING, Bounds(jobs=2, control_crashes=2, starts=1)),
    "the gateway crashes twice in two evictions": (FROM_SERVING, Bounds(jobs=2, gateway_crashes=2, starts=1)),
    "two processes crash, a model is evicted and loaded again": (FROM_SERVING, Bounds(worker_crashes=2)),
    "control crashes, a model is evicted and loaded again": (FROM_SERVING, Bounds(control_crashes=1)),
    "control dies while it writes the row": (FROM_SERVING, Bounds(control_crashes=2, starts=1, torn_rows=True)),
    "a connection breaks and control crashes": (FROM_SERVING, Bounds(control_crashes=1, starts=1, breaks=1)),
    "a connection breaks and the gateway crashes": (FROM_SERVING, Bounds(gateway_crashes=1, starts=1, breaks=1)),
}
LONG_SEARCHES = {
    "everything at once": (
        FROM_SERVING, Bounds(jobs=2, control_crashes=1, gateway_crashes=1, worker_crashes=1)),
    "everything from the start": (
        FROM_NOTHING, Bounds(evictions=1, control_crashes=1, gateway_crashes=1, worker_crashes=1)),
    "control and gateway crash twice": (
        FROM_SERVING, Bounds(jobs=2, control_crashes=2, gateway_crashes=2, starts=1)),
    "connections break twice, the row tears": (
        FROM_SERVING, Bounds(control_crashes=2, gateway_crashes=1, starts=1, breaks=2, torn_rows=True)),
}


def assert_holds(start: World | None, bounds: Bounds) -> None:
    verdict = search(make_model(bounds, start=start))
    print(f"\n{verdict.states} states, {verdict.steps} steps, {bounds}")
    if verdict.counterexample is not None:
        pytest.fail(f"the design does not hold:\n{verdict.counterexample}", pytrace=False)


@pytest.mark.parametrize(("start", "bounds"), SEARCHES.values(), ids=SEARCHES)
def test_it_holds_when(start: World | None, bounds: Bounds):
    assert_holds(start, bounds)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("start", "bounds"), LONG_SEARCHES.values(), ids=LONG_SEARCHES)
def test_it_also_holds_when(start: World | None, bounds: Bounds):
    assert_holds(start, bounds)


def reachable(model: Model) -> tuple[set[World], set[str]]:
    """All states, and the names of all steps without their numbers."""
    states, names, todo = {model.start}, set(), [model.start]
    while todo:
        before = todo.pop()
        for name, after in [*model.moves(before), *model.chances(before)]:
            names.add(re.sub(r"\d+", "N", name))
            if after not in states:
                states.add(after)
                todo.append(after)
    return states, names


@pytest.mark.parametrize("bounds", [
    Bounds(evictions=1, control_crashes=1, starts=1, torn_rows=True),
    Bounds(evictions=1, control_crashes=1, starts=1, breaks=1),
    Bounds(evictions=1, gateway_crashes=1, starts=1),
    Bounds(evictions=1, worker_crashes=1, starts=2, jobs=0),
])
def test_taking_void_messages_away_loses_no_situation(bounds: Bounds):
    everything, _ = reachable(make_model(bounds, start=SERVING, tidy=False))
    tidied, _ = reachable(make_model(bounds, start=SERVING))
    assert {drop_void(w) for w in everything} == tidied and len(tidied) < len(everything)


def test_the_search_comes_to_everything_that_the_protocol_is_about():
    """A model in which nothing happens would hold as well."""
    names = set.union(*(reachable(make_model(bounds, start=start))[1] for start, bounds in [
        (None, Bounds(evictions=1, starts=1)),
        (SERVING, Bounds(evictions=1, jobs=2, control_crashes=1, gateway_crashes=1, starts=1)),
    ]))
    expected = {
        "control writes the fence word N",
        "control says Fence N to the gateway again (a closing fence)",
        "control waits no longer for the gateway and clears the fence",
        "control says Quit N again",
        "control clears the fence that its predecessor left",
        "control clears the fence of the process that is gone",
        "control hears Busy N of process N and clears the fence",
        "the gateway hears Fence N and says GateBusy (N unfinished)",
        "the gateway looks and shuts the gate",
        "process N hears Quit N of control N and says Busy (loading)",
        "process N hears Quit N of control N and says Busy (N jobs in hand)",
        "process N hears Quit N of control N and says Busy (that fence was refused)",
        "process N hears Welcome of gateway N and drops N orphans",
        "process N exits",
    }
    assert expected <= names
