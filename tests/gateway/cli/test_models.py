"""`ls`: what it shows is taken from the configuration, with no process running."""

import json
from pathlib import Path

import pytest

from control.home import Home
from gateway.cli.main import main


def test_ls_reads_the_configuration_only(
        home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "warden.toml").write_text(
        '[server]\nport = 12345\n[models.tiny]\nengine = "echo"\naliases = ["t"]\n[models.other]\nengine = "echo"\n')
    assert main(["ls"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["NAME", "tiny", "other"]
    assert "(default)" in lines[1]
    assert " t" in lines[1]
    assert not list(home.run.iterdir())


def test_ls_as_json(home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "warden.toml").write_text('[models.tiny]\nengine = "echo"\naliases = ["t"]\naudience = "agents"\n'
                                          '[models.b]\nengine = "echo"\n')
    assert main(["ls", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {"name": "tiny", "engine": "echo", "aliases": ["t"], "path": "", "default": False, "audience": "agents",
         "pulled": False},
        {"name": "b", "engine": "echo", "aliases": [], "path": "", "default": True, "audience": "all", "pulled": False}]


def test_ls_says_whom_a_model_is_for(
        home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "warden.toml").write_text('[models.tiny]\n'
                                          'engine = "echo"\naudience = "agents"\n[models.b]\nengine = "echo"\n')
    assert main(["ls"]) == 0
    assert [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()] == [
        "NAME", "tiny (for agents)", "b (default)"]
