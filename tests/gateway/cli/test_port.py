"""The port check: a free port, one that is taken, and one that may not be had, each named by what decided it."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from control.config import Config, load_config
from gateway.cli.exits import USAGE, CommandFailed
from gateway.cli.port import check_port, port_setting

LISTENS = ("import socket, sys; listener = socket.create_server(('127.0.0.1', 0));"
           "print(listener.getsockname()[1], flush=True); sys.stdin.read()")
WAIT_S = 10.0


def configured(folder: Path, port: int) -> Config:
    file = folder / "warden.toml"
    file.write_text(f'[server]\nport = {port}\n[models.a]\nengine = "echo"\n')
    return load_config({"WARDEN_CONFIG": str(file)}, folder)


@pytest.fixture
def taken():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_free_port_is_given_back(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        config = configured(tmp_path, probe.getsockname()[1])
    for _ in range(2):
        check_port(config)


def test_a_taken_port_is_one_line_with_setting_port_and_remedy(tmp_path: Path, taken: int) -> None:
    config = configured(tmp_path, taken)
    with pytest.raises(CommandFailed) as refused:
        check_port(config)
    assert refused.value.code == USAGE
    line = str(refused.value)
    assert line.startswith(f"{tmp_path / 'warden.toml'}:2: server.port: port {taken} on 127.0.0.1 is in use")
    assert "set WARDEN_PORT or server.port" in line
    assert "\n" not in line


@pytest.mark.skipif(shutil.which("lsof") is None, reason="lsof tells who has a port")
def test_the_holder_is_named(tmp_path: Path, taken: int) -> None:
    with pytest.raises(CommandFailed, match=rf"\(pid {os.getpid()}\)"):
        check_port(configured(tmp_path, taken))


@pytest.mark.skipif(shutil.which("lsof") is None, reason="lsof tells who has a port")
def test_another_stack_is_named_by_its_home_with_the_command_that_stops_it(tmp_path: Path) -> None:
    env = {**os.environ, "WARDEN_HOME": "/other home", "SUPERVISOR_PROCESS_NAME": "supervisord"}
    with subprocess.Popen([sys.executable, "-S", "-c", LISTENS], env=env, text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        port = int(other.stdout.readline())
        with pytest.raises(CommandFailed) as refused:
            check_port(configured(tmp_path, port))
        other.stdin.close()
        other.wait(WAIT_S)
    assert f"(pid {other.pid}) of the warden stack in /other home; stop it with `WARDEN_HOME='/other home' warden " \
        "down`, or set WARDEN_PORT" in str(refused.value)


def test_without_lsof_the_holder_is_left_out(tmp_path: Path, taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CommandFailed, match="is in use; stop that program"):
        check_port(configured(tmp_path, taken))


def test_what_decided_the_port(tmp_path: Path) -> None:
    config = configured(tmp_path, 12345)
    assert port_setting(config) == f"{tmp_path / 'warden.toml'}:2: server.port"
    assert port_setting(load_config({"WARDEN_PORT": "5", "WARDEN_CONFIG": config.source}, tmp_path)) == "WARDEN_PORT"
    built_in = load_config({"WARDEN_HOME": str(tmp_path / "none")}, tmp_path / "none")
    assert port_setting(built_in) == "server.port (built-in default)"
