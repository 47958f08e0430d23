"""The gate, reason by reason; it is worked out from facts and remembers nothing."""

import pytest

from control.states import Phase
from control.table import RowControl, RowWorker
from gateway.gate import HEARD_WITHIN_S, Gates
from workers.protocol import Hello

EPOCH, NOW = 9, 100.0


def row(**changes) -> RowControl:
    return RowControl(**dict.fromkeys(RowControl._fields, 0) | {"phase": Phase.ALIVE, "incarnation": 3} | changes)


def hello(incarnation=3, known=EPOCH, phase=Phase.READY) -> Hello:
    return Hello(1, 77, known, "a", incarnation, 42, phase, 8, 512, 10)


def open_gates() -> Gates:
    gates = Gates(EPOCH)
    gates.on_hello(b"w", hello(), NOW)
    return gates


def test_open():
    assert open_gates().why_shut("a", row(), NOW) == "" and open_gates().places("a", row(), NOW) == 8


@pytest.mark.parametrize("facts, reason", [
    (None, "incarnation"),
    (row(incarnation=4), "incarnation"),
    (row(phase=Phase.BACKOFF), "incarnation"),
    (row(phase=Phase.STOPPING), "incarnation"),
    (row(fence_id=2, fence_cleared=1), "fenced"),
])
def test_the_row_shuts_it(facts, reason):
    gates = open_gates()
    assert reason in gates.why_shut("a", facts, NOW) and gates.places("a", facts, NOW) == 0
    assert gates.why_shut("a", row(), NOW) == ""  # and nothing of it is remembered


@pytest.mark.parametrize("said, reason", [
    (hello(known=EPOCH - 1), "hello"), (hello(phase=Phase.LOADING), "ready"), (hello(phase=Phase.DRAINING), "ready")])
def test_the_workers_word_shuts_it(said, reason):
    gates = Gates(EPOCH)
    gates.on_hello(b"w", said, NOW)
    assert reason in gates.why_shut("a", row(), NOW)


def test_silence_and_suspicion_shut_it():
    gates = open_gates()
    assert gates.why_shut("a", row(), NOW + HEARD_WITHIN_S + 0.1) == "silent"
    gates.by_slug["a"].suspect = True
    assert gates.why_shut("a", row(), NOW) == "silent"


def test_nobody_said_hello():
    assert Gates(EPOCH).why_shut("a", row(), NOW) == "no hello"


def test_a_newer_incarnation_replaces_an_older_one_and_never_the_other_way():
    gates = open_gates()
    replaced = gates.on_hello(b"w2", hello(incarnation=4), NOW)
    assert replaced is not None and replaced.identity == b"w" and b"w" not in gates.by_identity
    assert gates.on_hello(b"w", hello(incarnation=3), NOW) is None
    assert gates.by_slug["a"].identity == b"w2" and b"w" not in gates.by_identity


def test_fences_are_ignored_only_when_a_bench_asks_for_it():
    gates = open_gates()
    gates.ignores_fences = True
    assert gates.places("a", row(fence_id=2, fence_cleared=1), NOW) == 8


def words(**changes) -> RowWorker:
    return RowWorker(**dict.fromkeys(RowWorker._fields, 0) | {"incarnation": 3, "phase": Phase.READY} | changes)


def is_evicted(facts: RowControl | None, said: RowWorker | None) -> bool:
    gates = Gates(EPOCH)
    gates.on_hello(b"w", hello(), NOW, row(evictions=5, fence_id=8))
    gates.on_hello(b"w", hello(), NOW + 1, row(evictions=6, fence_id=9))  # said again: what counts is the first
    return gates.was_evicted(gates.by_slug["a"], facts, said)


@pytest.mark.parametrize("facts, evicted", [
    (None, False), (row(phase=Phase.VERIFY_FREE, evictions=5), True), (row(phase=Phase.LEAK_SUSPECTED), True),
    (row(phase=Phase.BACKOFF, evictions=5), False), (row(phase=Phase.QUARANTINED), False),
    (row(phase=Phase.HELD, evictions=5), False), (row(phase=Phase.VERIFY_FREE, incarnation=4), False),
    (row(phase=Phase.STARTING, evictions=6), True), (row(incarnation=4, evictions=6), True),
    (row(incarnation=4, evictions=5), False),
])
def test_who_left_to_make_room(facts, evicted):
    assert is_evicted(facts, words()) == evicted


@pytest.mark.parametrize("facts, said, evicted", [
    (row(phase=Phase.DOWN, fence_id=9), words(phase=Phase.DRAINING), True),
    (row(phase=Phase.DOWN, fence_id=9), words(), False),  # killed
    (row(phase=Phase.DOWN, fence_id=8), words(phase=Phase.DRAINING), False),  # drained
    (row(phase=Phase.DOWN, fence_id=9), words(phase=Phase.DRAINING, incarnation=2), False),
    (row(phase=Phase.DOWN, fence_id=9), None, False),
    (row(phase=Phase.DOWN, incarnation=0), words(phase=Phase.DRAINING), False),  # a table made anew
])
def test_who_was_gone_before_this_control_process_came(facts, said, evicted):
    assert is_evicted(facts, said) == evicted


def test_a_process_that_left_memory_behind_has_ended_too():
    gates = open_gates()
    assert gates.has_ended(gates.by_slug["a"], row(phase=Phase.LEAK_SUSPECTED), NOW)
    assert not gates.has_ended(gates.by_slug["a"], row(phase=Phase.STOPPING), NOW)
