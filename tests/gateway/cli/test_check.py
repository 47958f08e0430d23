"""`check`: a right file is shown with its sum, a wrong one is one line; no process runs, and none is started."""

import json
import tomllib
from pathlib import Path

import pytest

from control.home import Home
from gateway.cli.main import main

FILE = """
[server]
port = 12345
[memory]
memory_budget_gb = 0.1
[relays]
ollama_url = "http://127.0.0.1:11434"
[models.tiny]
engine = "echo"
audience = "agents"
aliases = ["t", "u"]
[models.b]
engine = "echo"
preload = true
[models.c]
engine = "echo"
pinned = true
[models.d]
engine = "echo"
pinned = true
[categories]
coding = "b"
"""


@pytest.fixture
def file(home: Home, tmp_path: Path) -> Path:
    path = tmp_path / "warden.toml"
    path.write_text(FILE)
    return path


def test_a_right_file_is_shown_with_models_limits_relays_and_the_sum(
        file: Path, home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert err == "" and lines[0] == f"ok: {file}"
    assert "http: http://127.0.0.1:12345, for this machine only; no key is needed (no keys)" in lines
    assert "limits: 5 running, 50 queued for at most 300 s; 500 requests in 90 s for each caller" in lines
    assert "relays: ollama at http://127.0.0.1:11434" in lines and "categories: coding -> b" in lines
    table = {line.split()[0]: line.split()[-3:] for line in lines if "MiB" in line and line.split()[1:2] != ["warning"]}
    assert table["tiny"][1:] == ["t,", "u"] and table["c"] == ["pinned", "all", "-"]
    assert "b (default)" in out and "at start" in out and "when asked" in out and "agents" in out
    assert "! warning  fit: what is pinned and preloaded does not fit together: 144 MiB of 102 MiB" in out
    assert not list(home.run.iterdir())


def test_json_says_the_same_to_programs(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["source"], said["port"], said["needs_key"], said["keys"]) == (str(file), 12345, False, 0)
    assert said["relays"] == {"ollama": "http://127.0.0.1:11434"} and said["categories"] == {"coding": "b"}
    tiny, b, *_ = said["models"]
    assert (tiny["audience"], tiny["aliases"], b["default"], b["preload"]) == ("agents", ["t", "u"], True, True)
    assert b["least_bytes"] > 0 and said["ceiling_why"] == "memory_budget_gb, as configured"
    assert [finding["level"] for finding in said["findings"]] == ["warning"]


def test_a_model_that_can_never_fit_is_warned_of_and_the_file_is_still_right(
        file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text('[memory]\nmemory_budget_gb = 0.01\n[models.a]\nengine = "echo"\n')
    assert main(["check"]) == 0
    out = capsys.readouterr().out
    assert "! warning  a: can never be loaded" in out and "→ raise memory_budget_gb" in out


def test_a_damaged_file_of_keys_is_told(file: Path, home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    (home.root / "keys.json").write_text("{")
    (home.root / "keys.json").chmod(0o600)
    assert main(["check"]) == 2
    assert "keys.json" in capsys.readouterr().err


def test_check_of_a_file_that_is_not_there_speaks_of_that_file(
        home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "gone.toml"]) == 2
    assert capsys.readouterr().err == "'gone.toml' is not a file; correct the path\n"


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


def test_an_address_that_others_reach_needs_a_key_for_check_as_for_up(
        home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "warden.toml"
    file.write_text('[server]\nhost = "0.0.0.0"\n[models.tiny]\nengine = "echo"\n')
    for command in ("check", "up"):
        assert main([command]) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.startswith(f"{file}:2: server.host: ") and err.count("\n") == 1
        assert "there is no API key, and other machines can reach 0.0.0.0; make one with `warden key create" in err
    assert main(["key", "create", "--name", "me"]) == 0
    assert main(["check"]) == 0


def test_check_example_prints_a_file_to_begin_with(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--example"]) == 0
    out, err = capsys.readouterr()
    assert err == "" and tomllib.loads(out)["server"]["port"] == 11435
    assert out == (Path(__file__).parents[3] / "warden.example.toml").read_text()
