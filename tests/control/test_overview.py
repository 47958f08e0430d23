"""The table as people look at it: what is known, what is not, and how long models stay."""

import pytest

from control.overview import (
    choose_remarks,
    describe,
    describe_memory,
    describe_queue,
    describe_relay,
    overview,
    size_text,
)
from control.states import Breaker, Phase
from control.table_records import (
    FOREVER,
    ControlWords,
    GatewayWords,
    Row,
    RowControl,
    RowGateway,
    RowWorker,
    Snapshot,
)

PID = 4711
GIB = 1024**3
S = 1_000_000_000
NOW_NS = 10**15


def record(kind: type, **given: int):
    return kind(**(dict.fromkeys(kind._fields, 0) | given))


def control(**given: int) -> ControlWords:
    return record(ControlWords, heartbeat_ns=NOW_NS, **given)


def gateway(**given: int) -> GatewayWords:
    return record(GatewayWords, epoch=1, heartbeat_ns=NOW_NS, **given)


def row_until(**words: int) -> dict:
    """A READY row at NOW_NS, described."""
    given = {"phase": Phase.READY, "unfinished": 0, "pinned": 0, "keep_until_ns": 0} | words
    row = Row(0, "tiny", record(RowControl, phase=Phase.ALIVE, incarnation=1, pid=PID, pinned=given["pinned"],
                                keep_until_ns=given["keep_until_ns"]),
              record(RowGateway, epoch=1, unfinished=given["unfinished"]),
              record(RowWorker, incarnation=1, phase=given["phase"], heartbeat_ns=NOW_NS))
    return describe(row, record(GatewayWords, epoch=1, heartbeat_ns=NOW_NS), NOW_NS)


@pytest.mark.parametrize(("words", "until"), [
    ({"pinned": 1, "unfinished": 1, "keep_until_ns": NOW_NS + S}, "pinned"),
    ({"unfinished": 1, "keep_until_ns": NOW_NS + S}, "in use"),
    ({"keep_until_ns": FOREVER}, "for ever"), ({"keep_until_ns": NOW_NS - S}, "now"), ({}, "-"),
    ({"keep_until_ns": NOW_NS + 45 * S}, "45 s"), ({"keep_until_ns": NOW_NS + 240 * S}, "4 min"),
    ({"keep_until_ns": NOW_NS + 24 * 3600 * S}, "24 h"), ({"keep_until_ns": NOW_NS + 72 * 3600 * S}, "3 days"),
    ({"phase": Phase.DRAINING, "pinned": 1, "unfinished": 1}, "-"), ({"phase": Phase.EMPTY, "pinned": 1}, "-"),
])
def test_until_says_how_long_the_model_stays(words: dict, until: str) -> None:
    assert row_until(**words)["until"] == until


@pytest.mark.parametrize(("keep_until_ns", "seconds"), [
    (0, None), (FOREVER, None), (NOW_NS - S, 0.0), (NOW_NS + 90 * S, 90.0)])
def test_the_time_left_is_a_plain_number_of_seconds(keep_until_ns: int, seconds: float | None) -> None:
    assert row_until(keep_until_ns=keep_until_ns)["keep_until_s"] == seconds


def relay(breaker: Breaker, reason: str = "ready") -> dict:
    return describe_relay(Row(0, "relay-ollama", record(RowControl, phase=Phase.ALIVE, incarnation=1, pid=PID),
                              record(RowGateway, epoch=1, dispatched=3, finished=1, waiting_low=2),
                              record(RowWorker, incarnation=1, phase=Phase.READY, heartbeat_ns=NOW_NS, breaker=breaker,
                                     tokens_per_ks=1500), reason), gateway(), NOW_NS)


def test_a_relay_whose_server_is_away_says_so_unless_control_knows_why() -> None:
    assert relay(Breaker.CLOSED) == {
        "name": "relay-ollama", "state": "ready", "breaker": "closed", "pid": PID, "in_flight": 2, "queued": 2,
        "tokens_per_s": 1.5, "reason": "ready"}
    assert "logs/relay-ollama.log" in relay(Breaker.OPEN)["reason"]
    assert relay(Breaker.HALF_OPEN, "it refuses our key")["reason"] == "it refuses our key"


def test_memory_and_queue_are_known_while_those_who_count_them_are_heard() -> None:
    words = control(pressure_permille=962, pressure_level=2, pressure_read_at_ns=1, ceiling_bytes=12 * GIB,
                    reserved_bytes=9 * GIB, total_bytes=16 * GIB)
    memory = describe_memory(words, NOW_NS)
    assert (memory["used_percent"], memory["level"], memory["ceiling_bytes"]) == (96.2, "critical", 12 * GIB)
    assert describe_memory(control(), NOW_NS)["used_percent"] is None
    queue = describe_queue(gateway(running_high=2, queued_low=3, relay_running=1, spilled=7), NOW_NS)
    assert queue["running"] == {"high": 2, "medium": 0, "low": 0} and queue["queued"]["low"] == 3
    assert (queue["relay_running"], queue["relay_queued"], queue["spilled"]) == (1, 0, 7)
    for silent in (None, words._replace(heartbeat_ns=1)):
        assert describe_memory(silent, NOW_NS) is None
    for silent in (None, gateway()._replace(heartbeat_ns=1)):
        assert describe_queue(silent, NOW_NS) is None


@pytest.mark.parametrize(("words", "others", "remarks"), [
    (control(), gateway(), []),
    (None, None, ["control is silent", "the gateway is silent"]),
    (control(supervisord_at_ns=NOW_NS - 11 * S), gateway(), ["supervisord does not answer"]),
    (control(pressure_level=1, pressure_permille=860, total_bytes=16 * GIB, ceiling_bytes=GIB), gateway(),
     ["memory is at 86 % of 16.0 GiB; given out: nothing of the budget of 1.0 GiB"])])
def test_remarks_say_what_the_numbers_are_worth(words: ControlWords | None, others: GatewayWords | None,
                                                remarks: list[str]) -> None:
    found = choose_remarks(Snapshot(1, words, others, ()), NOW_NS)
    assert len(found) == len(remarks) and all(map(str.startswith, found, remarks))


def test_an_overview_keeps_relays_apart() -> None:
    rows = tuple(Row(number, name, None, None, None) for number, name in enumerate(("a", "relay-ollama", "b")))
    seen = overview(Snapshot(1, control(), gateway(), rows, "look"), NOW_NS)
    assert [line["name"] for line in seen["models"]] == ["a", "b"]
    assert [(line["name"], line["state"]) for line in seen["relays"]] == [("relay-ollama", "unknown")]
    assert seen["remarks"] == ["warning: look"]


@pytest.mark.parametrize(("count", "text"), [(0, "-"), (3 * 2**20, "3 MiB"), (3 * 2**29, "1.5 GiB")])
def test_sizes_for_people(count: int, text: str) -> None:
    assert size_text(count) == text
