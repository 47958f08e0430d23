"""`warden up` and `warden down` with a real supervisord and stand-ins for our programs: also when things go wrong.

The stand-ins beat in a real table and answer /readyz, so readiness is decided as for the real stack.
"""

import os
import signal
import socket
import stat

import pytest

from control.config import load_config
from control.home import acquire_lock, prepare_home
from gateway.cli import readiness, starting
from gateway.cli.exits import FAILED, USAGE, CommandFailed
from gateway.cli.processes import processes_of
from gateway.cli.starting import Stack, start_stack
from gateway.cli.stopping import stop_stack
from tests.support.supervisor_home import Playground, free_port, wait_until

pytestmark = pytest.mark.integration
ALL_LOCK = {"control": "lock", "gateway": "lock", "http": "lock"}


@pytest.fixture
def playground(tmp_path):
    playground = Playground(tmp_path / "a")
    playground.plan(**ALL_LOCK)
    yield playground
    playground.end()


def up(playground: Playground, wait_s: float = 30.0) -> list[str]:
    """What `warden up` said. Raises CommandFailed."""
    said: list[str] = []
    prepare_home(playground.home)
    start_stack(Stack(playground.config, playground.home, playground.env, said.append, str(playground.python)), wait_s)
    return said


def down(playground: Playground) -> list[str]:
    said: list[str] = []
    stop_stack(playground.home, said.append)
    return said


def names_left(playground: Playground) -> list[str]:
    """What lies in the run directory besides the files of locks that nobody holds."""
    return sorted(name for name in os.listdir(playground.home.run) if not name.endswith(".lock"))


def test_up_twice_and_down_twice(playground: Playground) -> None:
    assert up(playground)[-1].startswith("ready: http://127.0.0.1:")
    assert stat.S_IMODE(playground.home.supervisor_conf.stat().st_mode) == 0o600
    assert playground.env["WARDEN_CONFIG"] in playground.home.supervisor_conf.read_text()
    running = processes_of(playground.home)
    assert sorted(running.values()) == ["control", "gateway", "http", "supervisord"]
    playground.supervisord.start("worker-a")
    wait_until("the worker", lambda: playground.starts("worker-a"))
    running |= processes_of(playground.home)

    assert "already running" in up(playground)[-1]
    assert processes_of(playground.home).items() >= running.items()

    assert down(playground)[-1] == f"{playground.home.root} is stopped"
    assert processes_of(playground.home) == {}
    assert names_left(playground) == []
    log = (playground.home.logs / "supervisord.log").read_text()
    ends = [line.split("stopped: ")[1].split()[0] for line in log.splitlines() if "stopped: " in line]
    assert ends == ["worker-a", "gateway", "http", "control"], "answers end before those who deliver them"
    assert down(playground) == [f"{playground.home.root} does not run"]


def test_up_on_a_running_home_tells_what_runs_and_changes_nothing(playground: Playground) -> None:
    up(playground)
    port, running = playground.config.port, processes_of(playground.home)
    rendered = playground.home.supervisor_conf.read_bytes()
    playground.env["WARDEN_PORT"] = str(free_port())
    playground.config = load_config(playground.env, playground.folder)
    said = up(playground)
    assert said[0] == f"already running: http://127.0.0.1:{port} (home {playground.home.root})"
    assert "[fcgi-program:http] socket" in said[1] and "`warden down`, then `warden up`" in said[1]
    playground.supervisord.stop("gateway")
    wait_until("its end", lambda: playground.fact("gateway").pid == 0)
    with pytest.raises(CommandFailed, match="gateway is not running; run `warden ctl start gateway`") as failed:
        up(playground)
    assert failed.value.code == FAILED
    playground.supervisord.stop("http")
    wait_until("its end", lambda: playground.fact("http").pid == 0)
    with pytest.raises(CommandFailed, match="http does not answer; run `warden ctl start .*http"):
        up(playground)
    gone = {pid for pid, name in running.items() if name in ("gateway", "http")}
    assert processes_of(playground.home).keys() == running.keys() - gone
    assert playground.home.supervisor_conf.read_bytes() == rendered


def test_up_on_a_running_home_sees_that_the_file_was_changed(playground: Playground) -> None:
    up(playground)
    later_ns = playground.home.supervisor_conf.stat().st_mtime_ns + 1
    os.utime(playground.config_file, ns=(later_ns, later_ns))
    assert f"({playground.config_file} was changed)" in up(playground)[-1]


def test_a_home_whose_processes_were_all_killed_starts_cleanly_even_one_with_a_long_path(tmp_path) -> None:
    playground = Playground(tmp_path / ("long" * 25))
    playground.plan(**ALL_LOCK)
    try:
        up(playground)
        killed = processes_of(playground.home)
        for pid in sorted(killed, key=lambda pid: killed[pid] != "supervisord"):
            os.kill(pid, signal.SIGKILL)
        wait_until("their end", lambda: not processes_of(playground.home))
        assert playground.home.supervisor_socket.exists(), "a killed supervisord leaves its socket"
        assert playground.home.socket_dir != playground.home.run
        assert up(playground)[-1].startswith("ready: ")
        assert not killed.keys() & processes_of(playground.home).keys()
        down(playground)
        assert not playground.home.socket_dir.exists()
    finally:
        playground.end()


def test_processes_of_a_killed_supervisord_are_named_by_up_and_ended_by_down(
        playground: Playground, monkeypatch: pytest.MonkeyPatch) -> None:
    up(playground)
    os.kill(playground.supervisord.pid(), signal.SIGKILL)
    monkeypatch.setattr(starting, "OLD_LOCK_WAIT_S", 0.3)
    orphans = {name: pid for pid, name in processes_of(playground.home).items() if name != "supervisord"}
    assert orphans.keys() == {"control", "gateway", "http"}
    with pytest.raises(CommandFailed) as refused:
        up(playground)
    assert refused.value.code == FAILED
    assert all(f"{name} (pid {pid})" in str(refused.value) for name, pid in orphans.items())
    assert "warden down" in str(refused.value)
    assert processes_of(playground.home).keys() == set(orphans.values()), "up must not touch what it found"
    assert "SIGTERM" in "\n".join(down(playground))
    assert processes_of(playground.home) == {}
    assert names_left(playground) == []


def test_a_program_that_refuses_its_configuration_fails_up_with_its_last_words(
        playground: Playground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "START_FAILURES_MAX", 2)
    playground.plan(**ALL_LOCK | {"gateway": "exit 2"})
    with pytest.raises(CommandFailed) as failed:
        up(playground)
    assert failed.value.code == FAILED
    assert "gateway" in str(failed.value)
    assert processes_of(playground.home) == {}
    assert names_left(playground) == []


def test_what_is_not_ready_in_time_is_named_with_its_log_and_nothing_stays(playground: Playground) -> None:
    playground.plan(control="lock", gateway="serve", http="lock")
    with pytest.raises(CommandFailed) as failed:
        up(playground, wait_s=1.5)
    assert "gateway has not written to the table" in str(failed.value)
    assert "gateway serves" in str(failed.value)
    assert "--- last lines of control" not in str(failed.value)
    assert processes_of(playground.home) == {}


def test_ctrl_c_while_it_waits_leaves_nothing(playground: Playground) -> None:
    playground.plan(all="serve")
    told: list[str] = []

    def say(line: str) -> None:
        told.append(line)
        if line.startswith("waiting: "):
            raise KeyboardInterrupt

    prepare_home(playground.home)
    with pytest.raises(KeyboardInterrupt):
        start_stack(Stack(playground.config, playground.home, playground.env, say, str(playground.python)), 30.0)
    assert told
    assert processes_of(playground.home) == {}
    assert names_left(playground) == []


def test_a_port_in_use_is_refused_before_anything_starts(playground: Playground) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", playground.config.port))
        other.listen()
        with pytest.raises(CommandFailed) as refused:
            up(playground)
    assert refused.value.code == USAGE
    assert str(refused.value).startswith(f"WARDEN_PORT: port {playground.config.port} on 127.0.0.1 is in use")
    assert "\n" not in str(refused.value)
    assert not playground.home.supervisor_conf.exists()
    assert playground.starts("control") == 0


def test_two_ups_at_once(playground: Playground) -> None:
    prepare_home(playground.home)
    with acquire_lock(playground.home.lock_path("up")), pytest.raises(CommandFailed, match=f"pid {os.getpid()}"):
        up(playground)
