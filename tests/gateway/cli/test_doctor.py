"""`doctor` in this process, of homes that do not run: all checks together, for people and for programs."""

import json
from pathlib import Path

import pytest

from control.home import Home
from gateway.cli.doctor import HOME, MACHINE, MODELS, OTHERS, STACK
from gateway.cli.doctor_finding import LEVELS
from gateway.cli.main import main
from tests.support.supervisor_home import free_port

PATIENT = ["--wait", "60"]


@pytest.fixture
def quiet(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home with a right configuration, on a machine whose memory is not short and whose cache is empty."""
    (tmp_path / "pressure").write_text("0.3")
    (tmp_path / "warden.toml").write_text(f'[server]\nport = {free_port()}\n[models.tiny]\nengine = "echo"\n')
    for name, value in {"HF_HOME": tmp_path / "hf", "HOME": tmp_path,
                        "WARDEN_PRESSURE_FILE": tmp_path / "pressure"}.items():
        monkeypatch.setenv(name, str(value))
    return home


def test_before_anything_runs_all_is_looked_at_and_nothing_is_changed(
        quiet: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    assert main(["doctor", "--json", *PATIENT]) == 0
    out, err = capsys.readouterr()
    findings = json.loads(out)
    assert err == "" and list(dict.fromkeys(finding["group"] for finding in findings)) == [
        MACHINE, MODELS, HOME, OTHERS, STACK]
    assert all(set(finding) == {"group", "level", "what", "found", "remedy"} and finding["level"] in LEVELS
               for finding in findings)
    said = {(finding["group"], finding["what"]): finding["level"] for finding in findings}
    assert said[HOME, "stack"] == said[OTHERS, "port"] == said[MODELS, "configuration"] == said[HOME, "home"] == "ok"
    assert not any("could not be looked at" in finding["found"] for finding in findings)
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before


def test_a_problem_is_exit_code_1_and_stands_with_its_remedy(
        quiet: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "warden.toml").write_text("[server]\nprot = 1\n")
    quiet.root.chmod(0o777)
    assert main(["doctor", *PATIENT]) == 1
    lines = capsys.readouterr().out.splitlines()
    at = next(index for index, line in enumerate(lines) if "✗ problem  configuration" in line)
    assert "warden.toml:2: server.prot: unknown setting" in lines[at]
    assert lines[at + 1].strip() == "→ did you mean port?"
    assert any("chmod go-w" in line for line in lines) and lines[-1].startswith("2 problems, ")


def test_a_time_limit_that_nothing_meets_is_notes_and_no_failure(
        quiet: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--wait", "0.1", "--json"]) in (0, 1)
    assert json.loads(capsys.readouterr().out)
