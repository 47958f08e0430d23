"""What a shell completes: names out of configuration and library, no process asked, and never a word of trouble."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from control.home import Home
from gateway.cli.completion import complete_model, model_names
from tests.support.supervisor_home import ROOT

WAIT_S = 30.0


@pytest.fixture
def config(home: Home, tmp_path: Path) -> Path:
    file = tmp_path / "warden.toml"
    file.write_text('[models.Tiny]\nengine = "echo"\naliases = ["t1"]\n[models.other]\npath = "/gone/since"\n')
    return file


def test_names_come_first_and_aliases_after_them(config: Path) -> None:
    assert model_names() == ["Tiny", "other", "t1"]
    assert complete_model("T") == ["Tiny"] and complete_model("x") == []


def test_models_that_were_pulled_are_completed_too(config: Path, home: Home) -> None:
    (home.root / "library.json").write_text('{"models": [{"name": "org/new", "path": "/x"}], '
                                            '"aliases": {"short": "other"}}')
    assert set(model_names()) == {"Tiny", "other", "t1", "org/new", "short"}


@pytest.mark.parametrize("text", ["[models", "[server]\nprot = 1\n", "\0"])
def test_a_broken_configuration_completes_nothing_and_says_nothing(config: Path, capsys, text: str) -> None:
    config.write_text(text)
    assert model_names() == []
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("line", "found"), [
    ("warden run T", ["Tiny"]), ("warden do", ["down", "doctor"]), ("warden load --keep", ["--keep-alive"]),
    ("warden ask --model o", ["other"])])
def test_as_a_shell_asks(config: Path, line: str, found: list[str]) -> None:
    code = "import sys; sys.argv = ['warden']; from gateway.cli.main import main; sys.exit(main())"
    env = {**os.environ, "PYTHONPATH": str(ROOT), "_WARDEN_COMPLETE": "complete_bash", "COMP_WORDS": line,
           "COMP_CWORD": str(len(line.split(" ")) - 1)}
    ran = subprocess.run([sys.executable, "-P", "-c", code], env=env, capture_output=True, text=True, timeout=WAIT_S,
                         check=False)
    assert sorted(ran.stdout.split()) == sorted(found) and not ran.stderr
