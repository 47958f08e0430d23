"""`warden clients`: texts for this home, one alone on standard output, and what else there is to say beside it."""

import json

import pytest

from control.home import Home
from gateway.cli.main import main
from gateway.cli.paste_lines import CLIENTS


@pytest.fixture
def configured(home: Home, tmp_path, monkeypatch) -> Home:
    (tmp_path / "warden.toml").write_text('[server]\nport = 12345\n[models."my:model"]\nengine = "echo"\n')
    monkeypatch.delenv("WARDEN_PORT", raising=False)
    return home


def test_all_of_them_for_this_home(configured, capsys):
    assert main(["clients"]) == 0
    out, err = capsys.readouterr()
    assert all(f"({client.name})" in out for client in CLIENTS) and err == ""
    assert "http://127.0.0.1:12345" in out and "my:model" in out and "guide" not in out


def test_one_alone_can_be_redirected(configured, capsys):
    assert main(["clients", "Continue"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("name: mlx-warden\n") and err == "(for ~/.continue/config.yaml)\n"
    assert main(["clients", "nobody"]) == 2
    assert "there is no text for 'nobody'; there is for curl, " in capsys.readouterr().err


def test_the_json_is_one_value(configured, capsys):
    assert main(["clients", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in told] == [client.name for client in CLIENTS]
    assert main(["clients", "zed", "--json"]) == 0
    assert json.loads(json.loads(capsys.readouterr().out)["text"])["language_models"]


def test_a_running_stack_is_asked_before_the_file_and_a_key_is_named(configured, tmp_path, capsys):
    (tmp_path / "warden.toml").write_text('[server]\nrequire_key = true\n[models.m]\nengine = "echo"\n')
    configured.supervisor_conf.write_text(
        "[unix_http_server]\npassword = x\n[fcgi-program:http]\nsocket = tcp://127.0.0.1:12999\n")
    assert main(["clients", "curl"]) == 0
    out, err = capsys.readouterr()
    assert "http://127.0.0.1:12999" in out and "$WARDEN_KEY" in out and "warden key create" in err
    configured.supervisor_conf.write_text("damaged")
    assert main(["clients", "curl"]) == 0 and ":11435" in capsys.readouterr().out
