"""What the tests of the command line share."""

from pathlib import Path

import pytest

from control.home import Home, prepare_home


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    home = Home(tmp_path / "home")
    prepare_home(home)
    monkeypatch.setenv("WARDEN_HOME", str(home.root))
    monkeypatch.chdir(tmp_path)
    return home
