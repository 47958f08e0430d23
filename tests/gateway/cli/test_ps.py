"""`ps`: what it shows is taken from the table, with no process running."""

import json
import time

import pytest

from control.home import Home
from control.states import Breaker, Phase
from control.table import (
    FOREVER,
    ControlWarning,
    ControlWords,
    GatewayWords,
    RowControl,
    RowGateway,
    RowReason,
    RowWorker,
    Table,
    text_words,
)
from gateway.cli.main import main

PID = 4711
MIB = 1024 * 1024
GIB = 1024 * MIB


def write_table(home: Home, reason: str = "", warning: str = "", **words: dict) -> None:
    """A table with one row "tiny", the words given by kind of record, and control's texts."""
    table = Table.create(home.table, boot_id=1)
    table.name_row(0, "tiny")
    words |= {"RowReason": text_words(RowReason, reason)._asdict(),
              "ControlWarning": text_words(ControlWarning, warning)._asdict()}
    for kind, row in ((ControlWords, None), (GatewayWords, None), (ControlWarning, None), (RowControl, 0),
                      (RowGateway, 0), (RowWorker, 0), (RowReason, 0)):
        if kind.__name__ in words:
            writer = table.writer(kind, row)
            writer.set(**words[kind.__name__])
            writer.flush()
    table.close()


def ready(now_ns: int) -> dict[str, dict]:
    return {
        "ControlWords": {"epoch": 1, "heartbeat_ns": now_ns},
        "GatewayWords": {"epoch": 9, "heartbeat_ns": now_ns},
        "RowControl": {"incarnation": 3, "phase": Phase.ALIVE, "pid": PID, "share_bytes": 3 * GIB // 2,
                       "keep_until_ns": FOREVER},
        "RowGateway": {"epoch": 9, "incarnation": 3, "dispatched": 10, "finished": 8, "waiting_high": 1,
                       "waiting_low": 2, "unfinished": 2},
        "RowWorker": {"incarnation": 3, "phase": Phase.READY, "heartbeat_ns": now_ns, "pid": PID,
                      "footprint_bytes": 300 * MIB, "context_length": 4096},
    }


def ps(capsys: pytest.CaptureFixture[str]) -> dict:
    assert main(["ps", "--json"]) == 0
    (line,) = json.loads(capsys.readouterr().out)
    return line


def test_ps_shows_a_model_that_answers(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    write_table(home, reason="loaded for 2 that wait", **ready(time.monotonic_ns()))
    assert main(["ps"]) == 0
    out, err = capsys.readouterr()
    header, line = out.splitlines()
    assert header.split() == ["NAME", "STATE", "PID", "MEM/SHARE", "CTX", "IN-FLIGHT", "QUEUED", "TOK/S", "UNTIL",
                              "REASON"]
    assert line.split(maxsplit=6) == ["tiny", "ready", str(PID), "300", "MiB/1.5", "GiB",
                                      "4096  2          3       -      in use  loaded for 2 that wait"]
    assert err == ""
    assert ps(capsys) == {
        "kind": "model", "name": "tiny", "state": "ready", "pid": PID, "memory_bytes": 300 * MIB, "peak_bytes": 0,
        "share_bytes": 3 * GIB // 2,
        "context_length": 4096, "load_percent": None, "in_flight": 2, "paused": 0, "unfinished": 2, "queued": 3,
        "tokens_per_s": 0.0, "pinned": False,
        "keep_until_s": None, "until": "in use", "reason": "loaded for 2 that wait"}


def test_ps_takes_nothing_from_a_silent_worker_or_another_gateway(
        home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    words = ready(time.monotonic_ns())
    words["RowWorker"]["heartbeat_ns"] -= 10**10
    words["RowGateway"]["epoch"] = 8
    write_table(home, **words)
    line = ps(capsys)
    assert (line["state"], line["memory_bytes"], line["in_flight"], line["queued"]) == ("unknown", 0, 0, 0)
    assert line["reason"]


@pytest.mark.parametrize(("phase", "words", "told", "reason"), [
    (Phase.HELD, {}, "stopped by an operator", "stopped by an operator; `warden ctl start worker-tiny` ends that"),
    (Phase.BACKOFF, {"crashes": 2}, "exit code 3", "exit code 3; 0 s left (crashes: 2)"),
    (Phase.QUARANTINED, {}, "3 crashes in 5 min",
     "3 crashes in 5 min; logs/worker-tiny.log says more, `warden ctl start worker-tiny` tries again"),
    (Phase.LEAK_SUSPECTED, {}, "1.2 GiB did not come back", "1.2 GiB did not come back; a reboot frees it"),
    (Phase.DOWN, {}, "evicted: b waits in class high", "evicted: b waits in class high"), (Phase.DOWN, {}, "", ""),
])
def test_ps_gives_controls_reason_and_the_remedy(home: Home, capsys: pytest.CaptureFixture[str], phase: Phase,
                                                 words: dict, told: str, reason: str) -> None:
    write_table(home, told, **ready(time.monotonic_ns()) | {"RowControl": {"phase": phase, **words}})
    line = ps(capsys)
    assert line["state"] == phase.name.lower()
    assert (line["reason"], line["until"]) == (reason, "-")


def test_ps_shows_how_far_a_load_is(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    words = ready(time.monotonic_ns())
    words["RowWorker"] |= {"phase": Phase.LOADING, "load_progress_permille": 420}
    write_table(home, "preload", **words)
    line = ps(capsys)
    assert (line["reason"], line["load_percent"]) == ("42 % loaded; preload", 42.0)


def test_ps_tells_what_control_warns_of_and_how_memory_is(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    words = ready(time.monotonic_ns())
    words["ControlWords"] |= {"pressure_level": 2, "pressure_permille": 962, "total_bytes": 16 * GIB,
                              "ceiling_bytes": 12 * GIB, "reserved_bytes": 9 * GIB}
    write_table(home, "", "nothing can go: tiny answers 2 requests", **words)
    assert main(["ps", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) and err.splitlines() == [
        "warning: nothing can go: tiny answers 2 requests",
        "memory is at 96.2 % of 16.0 GiB; given out: 9.0 GiB of the budget of 12.0 GiB"]


@pytest.mark.parametrize(("words", "shown", "reason"), [
    ({}, ["ready", "closed", str(PID), "3", "1"], "ready"),
    ({"breaker": Breaker.OPEN}, ["ready", "open", str(PID), "3", "1"],
     "its server does not answer; logs/relay-ollama.log says what it does"),
    ({"breaker": Breaker.HALF_OPEN}, ["ready", "half-open", str(PID), "3", "1"], "its server does not answer; "
     "logs/relay-ollama.log says what it does"),
    ({"heartbeat_ns": 1, "breaker": Breaker.OPEN}, ["unknown", "-", str(PID), "3", "1"],
     "no fresh word from control or the worker")])
def test_ps_shows_relays_apart_from_models(home: Home, capsys: pytest.CaptureFixture[str], words: dict,
                                           shown: list[str], reason: str) -> None:
    now_ns = time.monotonic_ns()
    write_table(home, **ready(now_ns))
    table = Table.open(home.table)
    table.name_row(1, "relay-ollama")
    for kind, given in (
            (RowControl, {"incarnation": 3, "phase": Phase.ALIVE, "pid": PID}),
            (RowGateway, {"epoch": 9, "incarnation": 3, "dispatched": 5, "finished": 2, "waiting_medium": 1}),
            (RowWorker, {"incarnation": 3, "phase": Phase.READY, "heartbeat_ns": now_ns} | words),
            (RowReason, text_words(RowReason, "ready")._asdict())):
        writer = table.writer(kind, 1)
        writer.set(**given)
        writer.flush()
    table.close()
    assert main(["ps"]) == 0
    header, tiny, blank, relay_header, relay = capsys.readouterr().out.splitlines()
    assert (header.split()[0], tiny.split()[0], blank) == ("NAME", "tiny", "")
    assert relay_header.split() == ["RELAY", "STATE", "BREAKER", "PID", "IN-FLIGHT", "QUEUED", "REASON"]
    assert relay.split(maxsplit=6) == ["relay-ollama", *shown, reason]
    assert main(["ps", "--json"]) == 0
    model, relay = json.loads(capsys.readouterr().out)
    assert (model["kind"], relay["kind"], relay["in_flight"], relay["queued"]) == ("model", "relay", 3, 1)


def test_ps_says_when_control_is_silent_and_when_there_is_no_table(
        home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ps"]) == 1
    assert "warden up" in capsys.readouterr().err
    write_table(home, **ready(1))
    assert main(["ps"]) == 0
    assert "control is silent" in capsys.readouterr().err


def test_ps_knows_no_numbers_of_a_silent_gateway(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    words = ready(time.monotonic_ns())
    words["GatewayWords"]["heartbeat_ns"] -= 4 * 10**9
    write_table(home, **words)
    assert main(["ps"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[1].split()[-4:] == ["-", "-", "for", "ever"]
    assert err.startswith("the gateway is silent") and err.count("\n") == 1
    line = ps(capsys)
    assert (line["state"], line["in_flight"], line["queued"]) == ("ready", None, None)


@pytest.mark.parametrize(("age_s", "told"), [(11, 1), (5, 0)])
def test_ps_says_when_supervisord_is_silent(home: Home, capsys: pytest.CaptureFixture[str], age_s: int,
                                            told: int) -> None:
    words = ready(time.monotonic_ns())
    words["ControlWords"]["supervisord_at_ns"] = words["ControlWords"]["heartbeat_ns"] - age_s * 10**9
    write_table(home, **words)
    assert main(["ps"]) == 0
    assert capsys.readouterr().err.count("supervisord does not answer") == told
