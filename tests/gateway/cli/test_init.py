"""`warden init`: shows, asks or does not, writes once and never over anything."""

import json
import os
import stat
from pathlib import Path

import pytest

from control.config import load_config
from control.home import Home
from gateway.cli import init, init_servers
from gateway.cli.exits import CommandFailed
from gateway.cli.init import ask, write_configuration
from gateway.cli.main import main
from tests.support.found_models import make_repository
from tests.support.models import model_path
from tests.support.supervisor_home import free_port


@pytest.fixture
def place(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home without a configuration on a machine without servers; the cache holds one model."""
    for name in ("OLLAMA", "VICTORIA"):
        monkeypatch.setattr(init_servers, name, f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("WARDEN_CONFIG", raising=False)
    make_repository(tmp_path / "hub", "org/Tiny-1B-4bit", Path(model_path("1m")))
    return home


def test_print_is_the_file_and_nothing_else(place, capsys, tmp_path):
    assert main(["init", "--print"]) == 0
    out, err = capsys.readouterr()
    (tmp_path / "other.toml").write_text(out)
    config = load_config({**os.environ, "WARDEN_CONFIG": str(tmp_path / "other.toml")}, tmp_path)
    assert config.default.name == "tiny-1b" and config.find("org/Tiny-1B-4bit") is config.default and err == ""
    assert not (place.root / "warden.toml").exists()


def test_nobody_is_asked_without_a_terminal(place, capsys):
    assert main(["init"]) == 0
    out = capsys.readouterr().out
    assert "tiny-1b" in out and out.endswith("To use this: warden init --yes && warden up\n")
    assert not (place.root / "warden.toml").exists()


def test_yes_writes_it_for_the_owner_alone_and_a_second_time_is_refused(place, capsys):
    assert main(["init", "--yes"]) == 0
    path = place.root / "warden.toml"
    assert capsys.readouterr().out.endswith(f"written: {path}\nTo use it: warden up\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text()
    assert main(["init", "--yes"]) == 2
    assert f"{path} is in use and is not written over" in capsys.readouterr().err
    assert path.read_text() == text and sorted(os.listdir(place.root)) == ["logs", "profiles", "run", "warden.toml"]
    assert main(["init", "--print"]) == 0 and capsys.readouterr().out == text


def test_json_tells_and_writes_only_if_told(place, capsys):
    assert main(["init", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["default_model"] == "tiny-1b" and told["written"] is None and "[models.tiny-1b]" in told["toml"]
    assert main(["init", "--json", "--yes"]) == 0
    assert json.loads(capsys.readouterr().out)["written"] == str(place.root / "warden.toml")


def test_nothing_found_is_no_failure_and_says_what_to_fetch(place, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "empty"))
    assert main(["init", "--yes"]) == 0
    assert "warden pull mlx-community/" in capsys.readouterr().out
    assert not (place.root / "warden.toml").exists()


def test_what_would_be_refused_is_not_written(place):
    with pytest.raises(CommandFailed, match="nothing was written: .*no model is configured"):
        write_configuration(place, "[server]\n")
    assert not [name for name in os.listdir(place.root) if "toml" in name]
    (place.root / "warden.toml").symlink_to("/nowhere")
    with pytest.raises(CommandFailed, match="is there already and is not written over"):
        write_configuration(place, '[models.a]\nengine = "echo"\n')


@pytest.mark.parametrize(("typed", "answer"), [
    (["", ], "y"), (["Y"], "y"), (["yes"], "y"), (["N"], "n"), (["no"], "n"), (["never"], "never"),
    (["what", "y"], "y"), (["a", "b", "c", "y"], "n"), ([], "n"),
])
def test_answers(typed, answer, monkeypatch, capsys):
    def type_next(question: str) -> str:
        assert question == "Go on? [Y/n/never] "
        if not typed:
            raise EOFError
        return typed.pop(0)

    monkeypatch.setattr("builtins.input", type_next)
    assert ask("Go on?", "Yn", "never") == answer


def test_a_home_that_said_never_is_not_looked_at(place, capsys):
    from gateway.cli.settings import read_config

    said: list[str] = []
    config = read_config()
    assert init.offer(config, place, said.append).is_open and "tiny-1b" in "\n".join(said)
    (place.root / init.NEVER_FILE).touch()
    said.clear()
    assert init.offer(config, place, said.append) == init.Offered(config) and said == []


@pytest.mark.parametrize(("typed", "writes"), [("y", "warden.toml"), ("never", init.NEVER_FILE), ("n", "")])
def test_who_can_answer_is_asked_once(place, typed, writes, monkeypatch):
    from gateway.cli.settings import read_config

    monkeypatch.setattr(init, "may_ask", lambda: True)
    monkeypatch.setattr("builtins.input", lambda question: typed)
    offered = init.offer(read_config(), place, lambda line: None)
    assert offered.was_taken == (typed == "y") == (offered.config.default.name == "tiny-1b")
    assert set(os.listdir(place.root)) - {"logs", "profiles", "run"} == {writes} - {""}
