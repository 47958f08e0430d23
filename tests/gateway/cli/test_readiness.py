"""Ready, missing or hopeless: decided from facts, so shown without a process."""

from pathlib import Path

import pytest

from control.home import Home
from control.states import HEARTBEAT_STALE_NS
from control.supervisord import ProcessFact, ProcessState
from control.table import ControlWords, GatewayWords, Snapshot
from gateway.cli.readiness import START_FAILURES_MAX, Failures, choose_missing, read_table

S = ProcessState
NOW_NS = 10**12
OK = 200


def fact(name: str, state: ProcessState = S.RUNNING, pid: int = 0, start_s: int = 100, stop_s: int = 0,
         exit_status: int = 0) -> ProcessFact:
    return ProcessFact(name, state, pid, start_s, stop_s, exit_status)


def words(kind: type, pid: int, heartbeat_ns: int = NOW_NS):
    return kind(*[0] * len(kind._fields))._replace(pid=pid, heartbeat_ns=heartbeat_ns)


FACTS = {"control": fact("control", pid=11), "gateway": fact("gateway", pid=12), "http": fact("http", pid=13)}
TABLE = Snapshot(1, words(ControlWords, 11), words(GatewayWords, 12), ())


def missing(facts=FACTS, table=TABLE, http_status=OK) -> list[tuple[str, str]]:
    return [tuple(entry) for entry in choose_missing(facts, table, http_status, NOW_NS)]


def test_ready_when_both_beat_and_http_answers() -> None:
    assert missing() == []


def test_nothing_is_ready_before_anything_started() -> None:
    assert [name for name, _ in missing({}, None, 0)] == ["control", "gateway", "http"]


def test_a_table_of_an_earlier_stack_proves_nothing() -> None:
    old = TABLE._replace(gateway=words(GatewayWords, 99))
    assert missing(table=old) == [("gateway", "has not written to the table")]


def test_an_old_heartbeat_is_none_and_so_is_one_from_before_a_reboot() -> None:
    for heartbeat_ns in (NOW_NS - HEARTBEAT_STALE_NS - 1, NOW_NS + HEARTBEAT_STALE_NS + 1):
        stale = TABLE._replace(control=words(ControlWords, 11, heartbeat_ns))
        assert missing(table=stale) == [("control", "has no fresh heartbeat")]


def test_unreadable_words_are_unknown() -> None:
    assert missing(table=TABLE._replace(gateway=None)) == [("gateway", "has not written to the table")]


@pytest.mark.parametrize(("status", "lacks"), [(0, "does not answer"), (503, "answers 503")])
def test_http_must_say_ready(status: int, lacks: str) -> None:
    assert missing(http_status=status) == [("http", lacks)]


def test_without_a_table_there_is_no_reading(tmp_path: Path) -> None:
    assert read_table(Home(tmp_path)) is None


def test_what_supervisord_gave_up_is_hopeless() -> None:
    facts = FACTS | {"gateway": fact("gateway", S.FATAL), "control": fact("control", S.EXITED, 0, 100, 101, 2)}
    assert Failures().hopeless(facts) == {"gateway": "could not be started", "control": "ended with exit code 2"}
    assert Failures().hopeless(FACTS) == {}


def test_one_failed_start_is_bad_luck_and_several_are_not() -> None:
    failures = Failures()
    for attempt in range(1, START_FAILURES_MAX + 1):
        for _ in range(3):  # looked at often, counted once
            verdict = failures.hopeless({"http": fact("http", S.BACKOFF, start_s=attempt)})
        assert bool(verdict) == (attempt == START_FAILURES_MAX)
    assert failures.hopeless({"http": fact("http", S.STARTING, start_s=99)}), "it is not forgotten at the next start"


def test_a_worker_that_ended_is_no_reason_to_give_up() -> None:
    assert Failures().hopeless({"worker-a": fact("worker-a", S.EXITED, 0, 100, 101, 1)}) == {}
