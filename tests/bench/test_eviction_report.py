"""bench/eviction_report.py: what makes a run good, and that whatever speaks against it is said."""

from collections import Counter

import msgspec
import pytest

from bench.eviction_check import Judgement, Kill, Loss
from bench.eviction_journal import Evicted
from bench.eviction_report import Clients, Seen, faults_of, figures, tables_of, verdict
from bench.report import plain, table_lines

LOST = Loss(7, "m1", "worker_crashed", 1.0, 2.0, "the worker of m1 died")
EXPLAINED = Loss(8, "m2", "retried", 1.0, 2.0, "attempt 2")


def evicted(idle_ms=5.0):
    return Evicted("m1", 3, 2.0, 50.0, 0.0, 52.0, 40_000_000, idle_ms)


def seen(**changes):
    """A good run, but for the changes."""
    clients = Clients(sent=100, ended=100, done=99, lost=1, asking_s=2.0, cpu_s=0.1)
    return Seen(2, "", clients, [evicted(), evicted(), evicted(-1000.0)], Counter(gateway=3, worker=0),
                Counter(evicted=3, model_busy=3), [Kill(1.0, "worker", "m2", 1), Kill(1.5, "control", "", 2)],
                Judgement([], [EXPLAINED]), 0)._replace(**changes)


def test_a_good_run():
    good = seen()
    assert faults_of(good) == []
    assert verdict(good).startswith("GOOD. 2 evictions of workers that had traffic within 100 ms, 100 requests")


@pytest.mark.parametrize(("changes", "words"), [
    ({"judgement": Judgement([LOST], [])}, "1 times an answer was lost, and no SIGKILL of ours explains it"),
    ({"clients": Clients(sent=100, ended=99, lost=1)}, "1 requests have no end"),
    ({"lost_to_eviction": 4}, "the gateway itself counts 4"),
    ({"lost_to_eviction": None}, "did not say"),
    ({"refusals": Counter(worker=3)}, "nothing was put to the test"),
    ({"evicted": [evicted(), evicted(100.1), evicted(-1000.0)]}, "only 1 of 2 evictions happened"),
])
def test_whatever_speaks_against_it_is_said(changes, words):
    bad = seen(**changes)
    assert [words in fault for fault in faults_of(bad)] == [True]
    assert verdict(bad).startswith("NOT GOOD.") and words in verdict(bad)


def test_losses_that_were_too_many_to_keep_are_not_explained():
    many = seen(clients=Clients(sent=100, ended=100, lost=51))
    assert many.losses == 50 and faults_of(many)


def test_without_a_key_losses_show_that_the_run_can_fail():
    off = seen(without="gate,worker", judgement=Judgement([LOST], []), refusals=Counter())
    assert verdict(off).startswith("LOST. With gate and worker switched off answers are lost: 1 times")
    assert verdict(off).endswith("So this run can fail.")
    assert verdict(seen(without="gate")).startswith("GOOD. With gate switched off 2 evictions")


def test_everything_is_told_within_the_width():
    told = [line for table in tables_of(seen(judgement=Judgement([LOST] * 30, [EXPLAINED]))) for line in
            table_lines(table)]
    text = "\n".join(told)
    assert max(map(len, told)) <= 120
    assert "Lost, the first 20 of 30" in text and "the worker of m1 died" in text
    rows = {" ".join(line.split()[:-1]): line.split()[-1] for line in told if line.strip()}
    assert rows["evictions of workers with traffic within 100 ms"] == "2"
    assert rows["evictions of others, which do not count"] == "1"
    assert rows["refused (BUSY) by the gateway"] == "3" and rows["refused (BUSY) by the worker"] == "0"
    assert rows["SIGKILLs of workers"] == rows["SIGKILLs of control"] == "1"
    assert rows["requests"] == rows["terminal events"] == "100"
    assert rows["after a SIGKILL: retried"] == "1"
    assert rows["requests per second"] == "50.0"


def test_the_figures_are_json():
    told = msgspec.json.decode(msgspec.json.encode(plain(figures(seen()))))
    assert told["faults"] == [] and told["evictions_counted"] == 2 and told["evictions_not_counted"] == 1
    assert told["kills"] == {"worker": 1, "control": 1} and told["lost"] == 0 and told["rate_per_s"] == 50
    assert told["steps"]["handshake"] == {"p50_ms": 2.0, "p95_ms": 2.0, "share": 2 / 52}
    assert told["retried_after_kill"] == 1 and told["explained"][0]["request"] == 8
