"""`ps`, `ls` and `check`: what they show is taken from the table or the configuration, with no process running."""

import json
import time
from pathlib import Path

import pytest

from control.home import Home, prepare_home
from control.states import Phase
from control.table import ControlWords, GatewayWords, RowControl, RowGateway, RowWorker, Table
from gateway.cli.main import main

PID = 4711
MIB = 1024 * 1024


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    home = Home(tmp_path / "home")
    prepare_home(home)
    monkeypatch.setenv("WARDEN_HOME", str(home.root))
    monkeypatch.chdir(tmp_path)
    return home


def write_table(home: Home, **words: dict) -> None:
    """A table with one row "tiny", and the words given by kind of record."""
    table = Table.create(home.table, boot_id=1)
    table.name_row(0, "tiny")
    for kind, row in ((ControlWords, None), (GatewayWords, None), (RowControl, 0), (RowGateway, 0), (RowWorker, 0)):
        if kind.__name__ in words:
            writer = table.writer(kind, row)
            writer.set(**words[kind.__name__])
            writer.flush()
    table.close()


def ready(now_ns: int) -> dict[str, dict]:
    return {
        "ControlWords": {"epoch": 1, "heartbeat_ns": now_ns},
        "GatewayWords": {"epoch": 9, "heartbeat_ns": now_ns},
        "RowControl": {"incarnation": 3, "phase": Phase.ALIVE, "pid": PID},
        "RowGateway": {"epoch": 9, "incarnation": 3, "dispatched": 10, "finished": 8, "waiting_high": 1,
                       "waiting_low": 2},
        "RowWorker": {"incarnation": 3, "phase": Phase.READY, "heartbeat_ns": now_ns, "pid": PID,
                      "footprint_bytes": 300 * MIB},
    }


def ps(capsys: pytest.CaptureFixture[str]) -> dict:
    assert main(["ps", "--json"]) == 0
    (line,) = json.loads(capsys.readouterr().out)
    return line


def test_ps_shows_a_model_that_answers(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    write_table(home, **ready(time.monotonic_ns()))
    assert main(["ps"]) == 0
    out, err = capsys.readouterr()
    header, line = out.splitlines()
    assert header.split() == ["NAME", "STATE", "PID", "MEM", "IN-FLIGHT", "QUEUED", "REASON"]
    assert line.split() == ["tiny", "ready", str(PID), "300", "MiB", "2", "3"]
    assert err == ""
    assert ps(capsys) == {"name": "tiny", "state": "ready", "pid": PID, "memory_bytes": 300 * MIB, "in_flight": 2,
                          "queued": 3, "reason": ""}


def test_ps_takes_nothing_from_a_silent_worker_or_another_gateway(
        home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    words = ready(time.monotonic_ns())
    words["RowWorker"]["heartbeat_ns"] -= 10**10
    words["RowGateway"]["epoch"] = 8
    write_table(home, **words)
    line = ps(capsys)
    assert (line["state"], line["memory_bytes"], line["in_flight"], line["queued"]) == ("unknown", 0, 0, 0)
    assert line["reason"]


@pytest.mark.parametrize(("phase", "words", "reason"), [
    (Phase.HELD, {}, "warden ctl start worker-tiny"),
    (Phase.BACKOFF, {"crashes": 2}, "crashes: 2"),
    (Phase.QUARANTINED, {}, "crashed too often (see logs/worker-tiny.log); `warden ctl start worker-tiny`"),
    (Phase.DOWN, {}, ""),
])
def test_ps_gives_the_reason(home: Home, capsys: pytest.CaptureFixture[str], phase: Phase, words: dict,
                             reason: str) -> None:
    write_table(home, **ready(time.monotonic_ns()) | {"RowControl": {"phase": phase, **words}})
    line = ps(capsys)
    assert line["state"] == phase.name.lower()
    assert reason in line["reason"]


def test_ps_shows_how_far_a_load_is(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    words = ready(time.monotonic_ns())
    words["RowWorker"] |= {"phase": Phase.LOADING, "load_progress_permille": 420}
    write_table(home, **words)
    assert ps(capsys)["reason"] == "42 % loaded"


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
    assert out.splitlines()[1].split()[-2:] == ["-", "-"]
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


def test_check_of_a_file_that_is_not_there_speaks_of_that_file(
        home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "gone.toml"]) == 2
    assert capsys.readouterr().err == "'gone.toml' is not a file; correct the path\n"


def test_ls_and_check_read_the_configuration_only(
        home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "warden.toml").write_text(
        '[server]\nport = 12345\n[models.tiny]\nengine = "echo"\naliases = ["t"]\n[models.other]\nengine = "echo"\n')
    assert main(["ls"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["NAME", "tiny", "other"]
    assert "(default)" in lines[1]
    assert " t" in lines[1]
    assert main(["check"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"ok: {tmp_path / 'warden.toml'}\n")
    assert "12345" in out
    assert "tiny, other" in out
    assert not list(home.run.iterdir())


@pytest.mark.parametrize(("text", "found"), [
    ("[server]\nprot = 1\n", "server.prot"),
    ('[server]\nport = "x"\n', "server.port"),
    ('[models.a]\npath = "nowhere"\n', "models.a.path"),
    ('[models.a]\nengine = "echo"\naliases = ["x"]\n[models.b]\nengine = "echo"\naliases = ["x"]\n', "models.b"),
])
def test_a_wrong_configuration_is_one_line_exit_code_2_and_nothing_starts(
        home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, found: str) -> None:
    file = tmp_path / "other.toml"
    file.write_text(text)
    assert main(["check", str(file)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith(f"{file}:")
    assert found in err
    file.rename(tmp_path / "warden.toml")
    assert main(["up"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not list(home.run.iterdir())
