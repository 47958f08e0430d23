"""`ls` and `check`: what they show is taken from the configuration, with no process running."""

import tomllib
from pathlib import Path

import pytest

from control.home import Home
from gateway.cli.main import main


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


def test_check_names_relays_and_whom_a_model_is_for(
        home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "warden.toml").write_text('[relays]\nollama_url = "http://127.0.0.1:11434"\n[models.tiny]\n'
                                          'engine = "echo"\naudience = "agents"\n[models.b]\nengine = "echo"\n')
    assert main(["check"]) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "models: tiny (for agents), b", "relays: ollama at http://127.0.0.1:11434"]
    assert main(["ls"]) == 0
    assert [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()] == [
        "NAME", "tiny (for agents)", "b (default)"]


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
