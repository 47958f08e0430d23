"""`warden up`, `down` and `ctl` as commands, where nothing runs; tests/integration runs them with real programs."""

import json

import pytest

from control.home import Home
from gateway.cli.main import main


def test_down_of_a_home_that_does_not_run_is_done(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["down"]) == 0
    assert capsys.readouterr().out == f"{home.root} does not run\n"
    assert main(["down", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == {"home": str(home.root), "runs": False} and err == f"{home.root} does not run\n"


def test_ctl_of_a_home_that_does_not_run_names_the_way_on(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ctl", "status"]) == 1
    assert "start it with `warden up`" in capsys.readouterr().err


def test_up_refuses_a_home_that_is_not_safe_before_it_looks_around(home: Home, capsys, monkeypatch) -> None:
    home.root.chmod(0o777)
    monkeypatch.delenv("WARDEN_CONFIG", raising=False)
    assert main(["up"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and "lets other users write" in err
