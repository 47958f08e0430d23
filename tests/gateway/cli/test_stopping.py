"""`warden down` without a supervisord: orphans are asked, then forced, and what a killed stack left is removed."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from control.home import Home, prepare_home
from gateway.cli import stopping
from gateway.cli.processes import processes_of
from gateway.cli.stopping import stop_stack

WAIT_S = 10.0
OBEDIENT = "import sys, threading; print('up', flush=True); threading.Event().wait()"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {OBEDIENT}"


class Orphans:
    """Processes that carry the environment of a home, as if their supervisord had been killed."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.children: list[subprocess.Popen[str]] = []

    def start(self, name: str, code: str) -> subprocess.Popen[str]:
        env = {**os.environ, "WARDEN_HOME": str(self.home.root), "SUPERVISOR_PROCESS_NAME": name}
        child = subprocess.Popen([sys.executable, "-S", "-c", code], env=env, text=True, stdout=subprocess.PIPE)
        assert child.stdout.readline() == "up\n"
        self.children.append(child)
        return child


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    prepare_home(home)
    return home


@pytest.fixture
def orphans(home: Home) -> Iterator[Orphans]:
    orphans = Orphans(home)
    yield orphans
    for child in orphans.children:
        child.kill()
        child.wait(WAIT_S)
        child.stdout.close()


def down(home: Home) -> list[str]:
    said: list[str] = []
    stop_stack(home, said.append)
    return said


def test_a_home_that_does_not_run(tmp_path: Path) -> None:
    nowhere = Home(tmp_path / "nowhere")
    assert down(nowhere) == [f"{nowhere.root} does not run"]
    assert not nowhere.root.exists()


def test_what_a_killed_stack_left_is_removed_and_named(home: Home) -> None:
    sockets = (home.supervisor_socket, home.socket_dir / "clients.ipc")
    lock = home.lock_path("control")
    for path in (*sockets, home.supervisor_conf, home.supervisor_pidfile, home.table, lock):
        path.touch()
    said = down(home)[0]
    assert said.startswith(f"{home.root} does not run; removed what was left: ")
    names = ("clients.ipc", "supervisor.sock", "supervisor.conf", "supervisor.pid", "table")
    assert all(name in said for name in names)
    assert list(home.run.iterdir()) == [lock]
    assert not [path for path in sockets if path.exists()]


def test_the_files_of_a_warden_up_that_is_at_work_are_let_alone(home: Home) -> None:
    home.supervisor_conf.touch()
    code = (f"import sys; sys.path.insert(0, {os.getcwd()!r}); from pathlib import Path;"
            f"from control.home import acquire_lock; lock = acquire_lock(Path({str(home.lock_path('up'))!r}));"
            "print('up', flush=True); sys.stdin.read()")
    with subprocess.Popen([sys.executable, "-c", code], text=True, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == "up\n"
        assert down(home) == [f"{home.root} does not run"]
        assert home.supervisor_conf.exists()
        other.stdin.close()
        other.wait(WAIT_S)
    assert "supervisor.conf" in down(home)[0]


def test_orphans_are_asked_to_end(home: Home, orphans: Orphans) -> None:
    child = orphans.start("gateway", OBEDIENT)
    said = down(home)
    assert child.wait(WAIT_S) == -15
    assert said == [f"SIGTERM to what supervisord does not end: gateway (pid {child.pid})", f"{home.root} is stopped"]


def test_who_does_not_listen_is_killed_after_a_named_time(
        home: Home, orphans: Orphans, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "ORPHAN_TERM_WAIT_S", 0.1)
    deaf, obedient = orphans.start("worker-a", DEAF), orphans.start("control", OBEDIENT)
    said = down(home)
    assert obedient.wait(WAIT_S) == -15
    assert deaf.wait(WAIT_S) == -9
    assert f"SIGKILL to what supervisord does not end: worker-a (pid {deaf.pid})" in said
    assert processes_of(home) == {}
