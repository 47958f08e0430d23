"""The program as a shell sees it: help without heavy imports, exit codes, supervisorctl's own words passed on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import gateway
from gateway.cli.main import main

ROOT = Path(__file__).resolve().parents[3]
HEAVY = ("zmq", "rich", "msgspec", "supervisor", "psutil", "uvicorn", "mlx")
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
                    "batch", "route", "key", "fits"):
        assert f"  {command} " in answer.stdout


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
