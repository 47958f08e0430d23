"""The parts of `warden up` that need no supervisord: the rendered file is private."""

from pathlib import Path

import pytest

from control.config import load_config
from control.home import Home, acquire_lock, prepare_home
from gateway.cli.exits import USAGE, CommandFailed
from gateway.cli.starting import Stack, start_stack, start_supervisord


class Said(list):
    """What the user was told; callable, as `say` is."""

    def __call__(self, line: str) -> None:
        self.append(line)


def stack(folder: Path) -> Stack:
    """A stack of built-in defaults."""
    env = {"WARDEN_HOME": str(folder / "home"), "WARDEN_PORT": "12345"}
    home = Home(folder / "home")
    prepare_home(home)
    return Stack(load_config(env, folder), home, env, Said())


def test_what_supervisord_cannot_hold_is_a_matter_of_configuration(tmp_path: Path) -> None:
    odd = tmp_path / "100%"
    odd.mkdir()
    with pytest.raises(CommandFailed) as refused:
        start_supervisord(stack(odd))
    assert refused.value.code == USAGE
    assert not (odd / "home/run/supervisor.conf").exists()


def test_a_second_up_at_the_same_time_is_told_who_is_at_work(tmp_path: Path) -> None:
    one = stack(tmp_path)
    with acquire_lock(one.home.lock_path("up")), pytest.raises(CommandFailed, match="another `warden up`"):
        start_stack(one, 1.0)
