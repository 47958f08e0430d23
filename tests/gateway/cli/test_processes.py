"""Whose processes are whose: told by the environment that supervisord gave them, or by the lock they hold."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from control.home import Home, acquire_lock, prepare_home
from gateway.cli.processes import described, home_of, processes_of

WAIT_S = 10.0
SERVE = "import sys; print('up', flush=True); sys.stdin.read()"
HOLD = ("import sys; from pathlib import Path; from control.home import acquire_lock;"
        "lock = acquire_lock(Path(sys.argv[1])); print('up', flush=True); sys.stdin.read()")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home of tests")
    prepare_home(home)
    return home


@contextmanager
def process(code: str, *arguments: str, **environment: str) -> Iterator[int]:
    """A process that has begun what it is to do; ended at the end of the block."""
    env = {**os.environ, "PYTHONPATH": os.getcwd(), **environment}
    with subprocess.Popen([sys.executable, "-c", code, *arguments], env=env, text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == "up\n"
        yield child.pid
        child.stdin.close()
        child.wait(WAIT_S)


def test_a_child_of_supervisord_is_known_by_its_environment(home: Home, tmp_path: Path) -> None:
    with process(SERVE, WARDEN_HOME=str(home.root), SUPERVISOR_PROCESS_NAME="http") as pid:
        assert processes_of(home) == {pid: "http"}
        assert processes_of(Home(tmp_path / "another")) == {}
        link = tmp_path / "link"
        link.symlink_to(tmp_path)
        assert processes_of(Home(link / "home of tests")) == {pid: "http"}, "another spelling of the same home"
        assert home_of(pid) == str(home.root)
        assert home_of(1) == ""
    assert processes_of(home) == {}


def test_a_command_run_by_hand_is_not_part_of_the_stack(home: Home) -> None:
    with process(SERVE, WARDEN_HOME=str(home.root)):
        assert processes_of(home) == {}


def test_who_holds_a_lock_belongs_to_the_home(home: Home) -> None:
    with process(HOLD, str(home.lock_path("control"))) as pid:
        assert processes_of(home) == {pid: "control"}
    assert home.lock_path("control").exists()
    assert processes_of(home) == {}, "a lock file that nobody holds is nobody"


def test_neither_this_process_nor_a_warden_up_counts(home: Home) -> None:
    with acquire_lock(home.lock_path("gateway")):
        assert processes_of(home) == {}
    with process(HOLD, str(home.lock_path("up"))):
        assert processes_of(home) == {}


def test_described_for_people() -> None:
    assert described({12: "gateway", 9: "control"}) == "control (pid 9), gateway (pid 12)"
