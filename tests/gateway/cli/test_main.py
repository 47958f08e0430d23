"""The program as a shell sees it: help without heavy imports, exit codes, supervisorctl's own words passed on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

import gateway
from gateway.cli.exits import USAGE
from gateway.cli.main import GROUPS, app, main

ROOT = Path(__file__).resolve().parents[3]
HEAVY = ("zmq", "rich", "asyncio", "prompt_toolkit", "msgspec", "supervisor", "psutil", "uvicorn", "mlx")
WAIT_S = 30.0


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run([sys.executable, "-P", "-c", code], env=env, capture_output=True, text=True, timeout=WAIT_S,
                          check=False)


def test_help_imports_nothing_heavy() -> None:
    code = ("import sys; from gateway.cli.main import main; code = main(['--help']);"
            f"print([name for name in {HEAVY} if name in sys.modules]); sys.exit(code)")
    answer = run(code)
    assert answer.returncode == 0
    assert answer.stdout.splitlines()[-1] == "[]"
    for command in ("up", "down", "ctl", "ps", "load", "unload", "pin", "unpin", "ls", "check", "ask", "version",
                    "batch", "route", "key", "fits", "run", "pull", "cp", "rm"):
        assert f"  {command} " in answer.stdout


def test_help_lists_the_commands_by_what_they_are_for_and_cuts_no_sentence(
        capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    headings = ["Start and stop:", "Ask:", "Models:", "Look:", "Set up and mend:"]
    places = [out.index(f"\n{heading}\n") for heading in headings]
    assert places == sorted(places) and "..." not in out.replace("[ARGS]...", "") and "\x1b" not in out
    known = set(typer.main.get_command(app).commands)
    assert known <= {name for names in GROUPS.values() for name in names}, "each command stands in a group"


def test_version_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"version": gateway.VERSION}


def test_version_as_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"{gateway.VERSION}\n"


@pytest.mark.parametrize(("said", "here"), [("list", "warden ls"), ("serve", "warden up"), ("stop", "warden unload")])
def test_the_words_of_other_programs_lead_to_ours(said: str, here: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([said, "tiny"]) == USAGE
    out, err = capsys.readouterr()
    assert out == "" and f"here it is `{here}" in err and "Usage: warden " in err


@pytest.mark.parametrize("command", sorted(typer.main.get_command(app).commands))
def test_whatever_prints_has_json(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """But for a program of another, and what groups others."""
    assert main([command, "--help"]) in (0, 1)
    out = capsys.readouterr().out
    assert "--json" in out or command in ("ctl", "key", "service")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert capsys.readouterr().out == f"{gateway.VERSION}\n"


@pytest.mark.parametrize("arguments", [["nonsense"], ["up", "--wait", "soon"], ["ask"], []])
def test_wrong_use_is_exit_code_2(arguments: list[str]) -> None:
    assert main(arguments) == 2


def test_ctl_of_a_home_that_does_not_run(tmp_path: Path) -> None:
    answer = run("import sys; from gateway.cli.main import main; sys.exit(main(['ctl', 'status']))",
                 WARDEN_HOME=str(tmp_path))
    assert answer.returncode == 1
    conf = tmp_path / "run/supervisor.conf"
    assert answer.stderr == f"{conf} is missing: this home does not run; start it with `warden up`\n"


def test_ctl_gives_every_word_to_supervisorctl(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "supervisor.conf").write_text("[supervisorctl]\nserverurl=unix:///nowhere/x.sock\n")
    answer = run("import sys; from gateway.cli.main import main; sys.exit(main(['ctl', 'avail', '--help', '-5']))",
                 WARDEN_HOME=str(tmp_path))
    assert "avail accepts no arguments" in answer.stdout, "supervisorctl's own words, about its own arguments"


def test_ctl_finds_the_model_verbs_however_warden_itself_was_found(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "supervisor.conf").write_text(
        "[supervisorctl]\nserverurl=unix:///nowhere/x.sock\n"
        f"[ctlplugin:warden]\nsupervisor.ctl_factory=control.ctl_plugin:make_plugin\nhome={tmp_path}\n")
    env = {**os.environ, "WARDEN_HOME": str(tmp_path)}
    env.pop("PYTHONPATH", None)
    answer = subprocess.run([sys.executable, "-m", "gateway.cli.main", "ctl", "help", "evict"], env=env, cwd=ROOT,
                            capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert "evict all" in answer.stdout, answer.stderr


def test_a_home_that_is_not_ours_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                            capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "home").symlink_to(tmp_path)
    monkeypatch.setenv("WARDEN_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert main(["up"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
