"""Looking at logs, a Mac's sleep and a stack: with files and texts, and nothing that runs."""

import json
from pathlib import Path

import pytest

from control.home import Home, prepare_home
from gateway.cli.doctor_look_running import ERRORS_MAX, look_at_logs, look_at_running, look_at_sleep

NOW_S = 1_800_000_000.0  # 2027-01-15T08:00:00Z
LONG_S = 30.0


def line(minute: int, level: str, **fields: object) -> str:
    return json.dumps({"timestamp": f"2027-01-15T07:{minute:02}:00Z", "level": level, **fields}) + "\n"


def test_errors_of_the_last_hour_are_counted_and_the_last_is_named(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert look_at_logs(home, NOW_S).errors == 0
    home.logs.mkdir()
    (home.logs / "control.log").write_text(
        json.dumps({"timestamp": "2027-01-15T06:59:00Z", "level": "error", "event": "old"}) + "\n"
        + line(10, "info", event="the word \"error\"") + line(20, "error", event="first") + "a traceback\n")
    (home.logs / "worker-a.log").write_text(line(30, "error", event="load_failed", reason="no such file"))
    fact = look_at_logs(home, NOW_S)
    assert fact == (2, "load_failed (no such file)", "worker-a", True)
    (home.logs / "http.log").write_text(line(40, "error", event="x") * (ERRORS_MAX + 1))
    assert look_at_logs(home, NOW_S) == (ERRORS_MAX, "x", "http", False)


@pytest.mark.parametrize(("said", "minutes", "prevented"), [
    ("Currently in use:\n standby  1\n sleep                10\n displaysleep  5\n", 10, False),
    (" sleep                1 (sleep prevented by caffeinate, powerd)\n", 1, True),
    (" sleep                0\n", 0, False), ("nonsense", 0, False), (" displaysleep 5\n", 0, False)])
def test_a_macs_sleep_is_read_from_pmset(said: str, minutes: int, prevented: bool) -> None:
    assert look_at_sleep("darwin", lambda: said) == ("darwin", minutes, prevented)


def test_no_other_system_is_asked() -> None:
    def never() -> str:
        raise AssertionError

    assert look_at_sleep("linux", never).minutes == 0


def test_where_nothing_runs_there_is_no_fact(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    assert look_at_running(None, home, {}, LONG_S) is None
    prepare_home(home)
    home.supervisor_conf.write_text("[x]\n")
    assert look_at_running(None, home, {}, LONG_S) is None
