"""The parts of `warden up` that need no supervisord: the rendered file is private."""

import stat
from pathlib import Path

import pytest

from control.config import load_config
from control.home import Home, acquire_lock, prepare_home
from gateway.cli.exits import USAGE, CommandFailed
from gateway.cli.starting import Stack, start_stack, start_supervisord, write_private


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


def test_the_rendered_file_can_be_read_by_nobody_else_whatever_stood_there(tmp_path: Path) -> None:
    home = stack(tmp_path).home
    home.supervisor_conf.write_text("of an earlier stack")
    home.supervisor_conf.chmod(0o666)
    write_private(home, "password=secret")
    assert home.supervisor_conf.read_text() == "password=secret"
    assert stat.S_IMODE(home.supervisor_conf.stat().st_mode) == 0o600
    assert [path.name for path in home.run.iterdir()] == ["supervisor.conf"]


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
