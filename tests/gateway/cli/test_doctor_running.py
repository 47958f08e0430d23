"""What follows from a running stack, its logs, the Mac's sleep and the service."""

import pytest

from gateway.cli.doctor_running import (
    LogFact,
    Resident,
    RunningFact,
    ServiceFact,
    SleepFact,
    check_logs,
    check_residents,
    check_running,
    check_service,
    check_sleep,
)
from tests.support.findings import levels, told

FINE = RunningFact("http://127.0.0.1:11435", "0.1.0", "0.1.0")
SERVICE = ServiceFact("systemd", "/u/mlx-warden.service", "ours")


@pytest.mark.parametrize(("changes", "level", "words"), [
    ({}, "ok", ("control, gateway and http answer",)),
    ({"missing": (("gateway", "is not running"),), "remedy": "run `warden ctl start gateway`"}, "problem",
     ("gateway: is not running", "warden ctl start gateway")),
    ({"python": "/old/python"}, "problem", ("/old/python", "warden down")),
    ({"version": "0.0.9"}, "warning", ("0.0.9 runs", "warden up")),
    ({"version": ""}, "ok", ("answer",)),
    ({"differences": ("[fcgi-program:http] socket",)}, "warning", ("socket", "warden down")),
    ({"remarks": ("warning: nothing can go: a answers",)}, "warning", ("stack: nothing can go", "warden ps")),
    ({"remarks": ("control is silent; look", )}, "warning", ("control is silent", "look")),
])
def test_running(changes: dict, level: str, words: tuple[str, ...]) -> None:
    told(check_running(FINE._replace(**changes)), level, *words)


def test_nothing_that_runs_is_nothing_to_say() -> None:
    assert check_running(None) == []


@pytest.mark.parametrize(("resident", "level", "words"), [
    (Resident("a", "quarantined", "3 crashes; `warden ctl start worker-a` tries again"), "problem",
     ("quarantined: 3 crashes", "tries again")),
    (Resident("a", "leak_suspected", "2 GiB gone"), "problem", ("leak suspected", "warden logs")),
    (Resident("a", "held", "stopped by an operator; go"), "note", ("held", "go")),
    (Resident("a", "backoff", ""), "note", ("backoff: no reason is known",)),
    (Resident("relay-ollama", "ready", "", "open"), "warning", ("does not answer", "relay-ollama.log")),
    (Resident("relay-ollama", "ready", "", "half_open"), "warning", ("half-open",)),
    (Resident("relay-ollama", "ready", "", "closed"), "ok", ("1 of 1",)),
    (Resident("a", "down", "evicted"), "ok", ("0 of 1 ready",)),
])
def test_residents(resident: Resident, level: str, words: tuple[str, ...]) -> None:
    told(check_residents((resident,)), level, *words)


@pytest.mark.parametrize(("fact", "level", "words"), [
    (LogFact(0), "ok", ("no errors",)),
    (LogFact(1, "it broke", "control"), "note", ("1 error in", "it broke", "control")),
    (LogFact(100, "x", "gateway", False), "note", ("at least 100 errors", "warden logs gateway"))])
def test_logs(fact: LogFact, level: str, words: tuple[str, ...]) -> None:
    told(check_logs(fact), level, *words)


@pytest.mark.parametrize(("fact", "found"), [
    (SleepFact("linux", 0), []), (SleepFact("darwin", 0), ["ok"]), (SleepFact("darwin", 10, True), ["ok"]),
    (SleepFact("darwin", 10), ["note"])])
def test_sleep(fact: SleepFact, found: list[str]) -> None:
    assert levels(check_sleep(fact)) == found


@pytest.mark.parametrize(("changes", "level", "words"), [
    ({}, "ok", ("starts at login",)), ({"state": "absent"}, "ok", ("warden service install",)),
    ({"state": "foreign"}, "warning", ("not written by", "remove")),
    ({"state": "outdated"}, "note", ("warden service show",)),
    ({"gone": "/old/python"}, "problem", ("/old/python", "warden service install")),
    ({"by_hand": True, "start": "systemctl --user start x"}, "note", ("by hand", "systemctl --user start x")),
])
def test_service(changes: dict, level: str, words: tuple[str, ...]) -> None:
    told(check_service(SERVICE._replace(**changes)), level, *words)


def test_where_neither_manager_is_nothing_is_said_of_services() -> None:
    assert check_service(ServiceFact("", "", "absent")) == []
