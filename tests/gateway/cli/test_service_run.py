"""`service run` when it cannot or need not start; with real processes it is in tests/integration/test_service.py."""

import os
import socket
from pathlib import Path

import pytest

from control.config import load_config
from control.home import Home, acquire_lock
from gateway.cli.exits import FAILED, USAGE, CommandFailed
from gateway.cli.service_run import run_in_foreground, stop_own
from gateway.cli.starting import Stack
from tests.support.supervisor_home import free_port


@pytest.fixture
def stack(home: Home, tmp_path: Path) -> Stack:
    (tmp_path / "warden.toml").write_text(f'[server]\nport = {free_port()}\n[models.tiny]\nengine = "echo"\n')
    return Stack(load_config(dict(os.environ), tmp_path), home, dict(os.environ), lambda line: None)


def refused(stack: Stack) -> CommandFailed:
    """Nothing of a stack is there afterwards but locks."""
    with pytest.raises(CommandFailed) as failed:
        run_in_foreground(stack)
    assert {path.suffix for path in stack.home.run.iterdir()} <= {".lock"} and "\n" not in str(failed.value)
    return failed.value


def test_beside_a_warden_up_it_comes_later(stack: Stack) -> None:
    with acquire_lock(stack.home.lock_path("up")):
        failed = refused(stack)
    assert failed.code == FAILED and f"a `warden up` (pid {os.getpid()}) is at work" in str(failed)


def test_on_a_port_that_is_taken_or_open_to_all_without_a_key_it_does_not_start(stack: Stack, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", stack.config.port)):
        assert f"port {stack.config.port}" in str(refused(stack))
    (tmp_path / "warden.toml").write_text(f'[server]\nport = {free_port()}\nhost = "0.0.0.0"\n'
                                          '[models.tiny]\nengine = "echo"\n')
    failed = refused(stack._replace(config=load_config(dict(os.environ), tmp_path)))
    assert failed.code == USAGE and "there is no API key" in str(failed)


def test_in_a_home_that_is_not_safe_it_does_not_start(stack: Stack) -> None:
    stack.home.root.chmod(0o777)
    failed = refused(stack)
    assert failed.code == USAGE and "chmod go-w" in str(failed)


def test_stopping_what_does_not_run_is_harmless(stack: Stack) -> None:
    said: list[str] = []
    stop_own(stack.home, 4711, said.append)
    stop_own(stack.home, 0, said.append)
    assert len(said) == 2 and all("does not run" in line for line in said)
