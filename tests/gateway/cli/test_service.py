"""`service install|remove|show` as commands, with managers that record what they are asked."""

import json
import sys
from pathlib import Path

import pytest

from control.home import Home
from gateway.cli.main import main
from gateway.cli.service_files import name_of
from tests.support.service_managers import Managers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="on a Mac the manager is launchd; test_service_manager "
                                                                "plays both everywhere")


@pytest.fixture
def managers(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Managers:
    (tmp_path / "warden.toml").write_text('[models.tiny]\nengine = "echo"\n')
    managers = Managers(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return managers


def unit_of(home: Home, tmp_path: Path) -> Path:
    return tmp_path / ".config/systemd/user" / f"{name_of(str(home.root), False)}.service"


def test_install_show_and_remove(home: Home, tmp_path: Path, managers: Managers,
                                 capsys: pytest.CaptureFixture[str]) -> None:
    unit = unit_of(home, tmp_path)
    assert main(["service", "show"]) == 0
    assert capsys.readouterr().out == f"{unit}: is not installed; `warden service install` does that\n"
    assert main(["service", "install"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"wrote {unit}\nran systemctl --user daemon-reload\n") and "enable-linger" in out
    assert "HF_TOKEN is a secret and was not written" in out and "hf_secret" not in out + unit.read_text()
    assert f'Environment="WARDEN_CONFIG={tmp_path}/warden.toml"' in unit.read_text()
    assert main(["service", "show"]) == 0
    assert "is installed\n" in (out := capsys.readouterr().out) and "does not run" in out
    assert main(["service", "show", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["file"], told["state"], told["runs"]) == (str(unit), "ours", False)
    (tmp_path / "warden.toml").write_text('[control]\ndrain_deadline_s = 5\n[models.tiny]\nengine = "echo"\n')
    assert main(["service", "show"]) == 0
    assert "-TimeoutStopSec=720\n+TimeoutStopSec=125\n" in capsys.readouterr().out
    assert main(["service", "remove"]) == 0 and not unit.exists()
    capsys.readouterr()
    assert main(["service", "remove"]) == 0
    assert "no service is installed" in capsys.readouterr().out


def test_print_shows_and_does_nothing(home: Home, tmp_path: Path, managers: Managers,
                                      capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["service", "install", "--print"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("# Written by") and err == "" and not unit_of(home, tmp_path).exists()
    assert main(["service", "remove", "--print"]) == 0
    assert managers.asked() == []


def test_where_no_manager_is_the_file_is_for_use_by_hand(home: Home, tmp_path: Path, managers: Managers,
                                                         monkeypatch: pytest.MonkeyPatch,
                                                         capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["service", "install"]) == 2
    assert "--print" in capsys.readouterr().err
    assert main(["service", "install", "--print"]) == 0


def test_doctor_knows_the_service(home: Home, managers: Managers, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["service", "install"]) == 0
    main(["doctor", "--wait", "60"])
    assert "service: is installed: the stack starts at login" in capsys.readouterr().out
