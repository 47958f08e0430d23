"""The gateway's process refuses to begin with what it cannot read, in one line and with the exit code that says so."""

import subprocess
import sys

import pytest

from control.home import Home, prepare_home
from gateway.key_file import key_path

WITHIN_S = 60.0


@pytest.fixture
def home(tmp_path) -> Home:
    found = Home(tmp_path / "home")
    prepare_home(found)
    return found


@pytest.mark.parametrize(("data", "mode", "word"), [
    (b'{"version":1,"keys":[{"name":"a"}]}', 0o600, "sha256"), (b"\xff", 0o600, "malformed"),
    (b'{"version":1,"keys":[]}', 0o644, "chmod 600"),
])
def test_a_broken_file_of_keys_is_never_no_keys(home, data, mode, word):
    key_path(home).write_bytes(data)
    key_path(home).chmod(mode)
    path = ":".join(filter(None, sys.path))
    ended = subprocess.run([sys.executable, "-m", "gateway"], env={"WARDEN_HOME": str(home.root), "PYTHONPATH": path},
                           capture_output=True, text=True, timeout=WITHIN_S, check=False)
    assert ended.returncode == 2 and ended.stderr.count("\n") == 1
    assert "keys.json" in ended.stderr and word in ended.stderr
