"""bench/eviction_journal.py: a log that grows and is rotated, and the figures of the steps."""

import json

import pytest

from bench.eviction_journal import Evicted, JournalTail, evictions_in, refusals_in, steps_of, steps_table
from bench.table import table_lines


def line(event, **fields):
    return {"event": event, "level": "info", **fields}


def evicted_line(**changes):
    return line("evicted", **{"model": "m1", "incarnation": 4, "handshake_ms": 2.0, "exit_ms": 90.0, "verify_ms": 8.0,
                              "total_ms": 100.0, "footprint_bytes": 1000, "idle_ms": 12.5, "reason": "an operator"}
                | changes)


def written(path, *lines, end="\n"):
    with path.open("a") as file:
        file.write("\n".join(json.dumps(each) for each in lines) + end)


@pytest.fixture
def log(tmp_path):
    return tmp_path / "control.log"


@pytest.fixture
def tail(log):
    made = JournalTail(log)
    yield made
    made.close()


def test_each_line_is_given_once_and_only_when_it_is_whole(log, tail):
    assert tail.read() == []
    written(log, line("a"), line("b"), end="")
    assert tail.read() == [line("a")]
    written(log, end="\n")
    assert tail.read() == [line("b")]
    assert tail.read() == []


def test_what_is_no_journal_line_is_passed_over(log, tail):
    log.write_bytes(b'Traceback:\n\xff\xfe\n[1]\n\n{"event": "a"}\n')
    assert tail.read() == [{"event": "a"}]


def test_a_rotated_log_loses_nothing(log, tail):
    written(log, line("a"))
    assert tail.read() == [line("a")]
    written(log, line("b"))
    log.rename(log.with_name("control.log.1"))
    written(log.with_name("control.log.1"), line("c"))
    written(log, line("d"))
    assert tail.read() == [line("b"), line("c"), line("d")]
    log.unlink()
    assert tail.read() == []


def test_evictions_and_refusals_are_picked_out():
    lines = [line("load", model="m1"), evicted_line(), line("evict_refused", model="m2", by="gateway", unfinished=2),
             line("evict_refused", model="m2", by="worker"), line("evict_refused", model="m3", by="gateway")]
    assert evictions_in(lines) == [Evicted("m1", 4, 2.0, 90.0, 8.0, 100.0, 1000, 12.5)]
    assert refusals_in(lines) == {"gateway": 2, "worker": 1}


@pytest.mark.parametrize(("idle_ms", "counts"), [(0, True), (100, True), (100.1, False), (-1000, False)])
def test_only_a_worker_with_traffic_just_before_counts(idle_ms, counts):
    [evicted] = evictions_in([evicted_line(idle_ms=idle_ms)])
    assert evicted.counts is counts


def test_steps_have_percentiles_and_their_share_of_the_whole():
    evicted = evictions_in([evicted_line(), evicted_line(handshake_ms=4.0, exit_ms=290.0, verify_ms=6.0, total_ms=300)])
    steps = steps_of(evicted)
    assert steps["handshake"] == (2.0, 4.0, 6 / 400)
    assert steps["exit"] == (90.0, 290.0, 380 / 400)
    assert steps["verify"] == (6.0, 8.0, 14 / 400)
    assert steps["total"] == (100.0, 300.0, 1.0)
    told = "\n".join(table_lines(steps_table(evicted, "workers")))
    assert "2 evictions of workers" in told and "95%" in told


def test_of_nothing_there_are_no_figures():
    assert steps_of([])["total"] == (None, None, None)
    assert table_lines(steps_table([], "workers"))
