"""`warden key`: a key is shown once, its hash alone is kept, and a running gateway hears of every change."""

import json
import re
import time
from pathlib import Path

import pytest

from control.home import Home, acquire_lock, prepare_home
from gateway.cli.main import main
from gateway.key_file import KeyFile, key_path, read_keys
from gateway.keys import find

CONFIG = """[relays]\nollama_url = "http://127.0.0.1:11434"\n[models."phi3.5"]\nengine = "echo"\naliases = ["p"]
[models.tiny]\nengine = "echo"\naudience = "agents"\n"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("WARDEN_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "warden.toml").write_text(CONFIG)
    return Home(tmp_path / "home")


def create(capsys, *arguments: str) -> str:
    assert main(["key", "create", *arguments]) == 0
    return capsys.readouterr().out.strip()


def test_a_key_is_printed_alone_and_kept_as_a_hash(home: Home, capsys) -> None:
    assert main(["key", "create", "--name", "bot", "--audience", "agent", "--max-priority", "low", "--models",
                 "p, tiny,phi3.5,victoria", "--rate", "7"]) == 0
    out, err = capsys.readouterr()
    assert re.fullmatch(r"warden-[0-9a-f]{64}\n", out) and "only time" in err and out.strip() not in err
    (key,) = read_keys(key_path(home))
    assert find(out.strip(), [key]) is key
    assert (key.name, key.audience, key.max_priority, key.models, key.rate) == (
        "bot", "agent", "low", ["phi3.5", "tiny", "victoria"], 7)
    assert key.created_at > 1_700_000_000  # seconds of these years
    assert out.strip() not in key_path(home).read_text() and key_path(home).stat().st_mode & 0o777 == 0o600


def test_a_key_is_made_and_revoked_with_json(home: Home, capsys) -> None:
    made = json.loads(create(capsys, "--name", "ann", "--models", "p", "--json"))
    (key,) = read_keys(key_path(home))
    assert find(made.pop("key"), [key]) is key and made == {
        "name": "ann", "audience": "person", "max_priority": "high", "models": ["phi3.5"], "rate": None,
        "created_at": key.created_at}
    assert main(["key", "revoke", "ann", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"name": "ann", "revoked": True, "keys_left": 0}


def test_a_plain_key_is_a_persons_with_no_limits_of_its_own(home: Home, capsys) -> None:
    create(capsys, "--name", "ann")
    (key,) = read_keys(key_path(home))
    assert (key.audience, key.max_priority, key.models, key.rate) == ("person", "high", [], None)


def test_the_list_shows_what_keys_allow_and_no_key(home: Home, capsys) -> None:
    assert main(["key", "list"]) == 0
    assert capsys.readouterr() == ("", "no keys; `warden key create --name NAME` makes one\n")
    secrets = [create(capsys, "--name", "ann"), create(capsys, "--name", "bot", "--audience", "agent", "--rate", "0",
                                                       "--models", "tiny")]
    assert main(["key", "list"]) == 0
    out = capsys.readouterr().out
    today = time.strftime("%Y-%m-%d", time.localtime(read_keys(key_path(home))[0].created_at))
    assert [re.split(r"  +", line) for line in out.splitlines()] == [
        ["NAME", "AUDIENCE", "UP TO", "RATE", "CREATED", "MODELS"],
        ["ann", "person", "high", "as configured", today, "all"], ["bot", "agent", "high", "any", today, "tiny"]]
    assert main(["key", "list", "--json"]) == 0
    listed = capsys.readouterr().out
    assert [each["name"] for each in json.loads(listed)] == ["ann", "bot"]
    for secret in secrets:
        assert find(secret, read_keys(key_path(home))).sha256 not in out + listed and secret not in out + listed


def test_a_running_gateway_hears_of_new_and_revoked_keys(home: Home, capsys) -> None:
    prepare_home(home)
    file = KeyFile(key_path(home), lambda event, **facts: None)
    secret = create(capsys, "--name", "bot")
    assert file.changed(10.0) and find(secret, file.keys)
    assert main(["key", "revoke", "bot"]) == 0
    assert capsys.readouterr() == ("bot is revoked\n", "no key is left: where one is needed, nobody is let in\n")
    assert file.changed(20.0) and not find(secret, file.keys)


@pytest.mark.parametrize(("arguments", "told"), [
    (["create", "--name", "ann"], "there is a key ann already; choose another name, or run `warden key revoke ann`"),
    (["create", "--name", "a b"], "--name: 'a b' is not 1 to 64 letters"),
    (["create", "--name", "x\n"], "--name: "), (["create", "--name", ""], "--name: "),
    (["create", "--name", "-x"], "--name: "), (["create", "--name", "x" * 65], "--name: "),
    (["create", "--name", "b", "--models", "phi"], "--models: 'phi' is no configured model; did you mean phi3.5?"),
    (["create", "--name", "b", "--models", "zzz"], "--models: 'zzz' is no configured model; `warden ls` lists them"),
    (["create", "--name", "b", "--models", "tiny"], "--models: tiny is reserved for agents; add --audience agent"),
    (["create", "--name", "b", "--rate", "-1"], "--rate"), (["create", "--name", "b", "--audience", "cat"], "audience"),
    (["create"], "--name"), (["revoke", "anna"], "there is no key anna; did you mean ann?"),
    (["revoke", "zzz"], "there is no key zzz; `warden key list` shows those there are")])
def test_a_mistake_changes_nothing_and_names_the_remedy(home: Home, capsys, arguments: list[str], told: str) -> None:
    create(capsys, "--name", "ann")
    before = key_path(home).read_bytes()
    assert main(["key", *arguments]) == 2
    assert told in capsys.readouterr().err and key_path(home).read_bytes() == before


@pytest.mark.parametrize("command", [["list"], ["create", "--name", "b"], ["revoke", "ann"]])
@pytest.mark.parametrize(("text", "mode"), [("{", 0o600), ('{"version": 1, "keys": []}', 0o644)])
def test_a_file_that_is_not_right_is_told_and_kept(home: Home, capsys, command: list[str], text: str,
                                                    mode: int) -> None:
    prepare_home(home)
    key_path(home).write_text(text)
    key_path(home).chmod(mode)
    assert main(["key", *command]) == 2
    assert str(key_path(home)) in capsys.readouterr().err and key_path(home).read_text() == text


def test_two_at_once_do_not_lose_a_key(home: Home, capsys) -> None:
    prepare_home(home)
    with acquire_lock(home.lock_path("keys")):
        assert main(["key", "create", "--name", "b"]) == 1
    assert "another `warden key`" in capsys.readouterr().err and read_keys(key_path(home)) == []
