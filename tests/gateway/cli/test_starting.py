"""The parts of `warden up` that need no supervisord: the rendered file is private, the built-in model is made once."""

import stat
from pathlib import Path

import pytest

from control.config import load_config
from control.home import Home, acquire_lock, prepare_home
from gateway.cli.exits import FAILED, USAGE, CommandFailed
from gateway.cli.starting import Stack, make_built_in_model, start_stack, start_supervisord, write_private

MAKES_IT = '#!/bin/sh\necho "$@" >> "$0.calls"\nmkdir -p "$4"\n'
FAILS = '#!/bin/sh\necho "no room on the disk" >&2\nexit 1\n'


class Said(list):
    """What the user was told; callable, as `say` is."""

    def __call__(self, line: str) -> None:
        self.append(line)


def stack(folder: Path, python: str = "", file: str = "") -> Stack:
    """A stack of built-in defaults, or of the file's text, whose `python` is the given shell script."""
    env = {"WARDEN_HOME": str(folder / "home"), "WARDEN_PORT": "12345"}
    if file:
        (folder / "warden.toml").write_text(file)
        env["WARDEN_CONFIG"] = str(folder / "warden.toml")
    script = folder / "python"
    script.write_text(python)
    script.chmod(0o700)
    home = Home(folder / "home")
    prepare_home(home)
    return Stack(load_config(env, folder), home, env, Said(), str(script))


def test_the_rendered_file_can_be_read_by_nobody_else_whatever_stood_there(tmp_path: Path) -> None:
    home = stack(tmp_path).home
    home.supervisor_conf.write_text("of an earlier stack")
    home.supervisor_conf.chmod(0o666)
    write_private(home, "password=secret")
    assert home.supervisor_conf.read_text() == "password=secret"
    assert stat.S_IMODE(home.supervisor_conf.stat().st_mode) == 0o600
    assert [path.name for path in home.run.iterdir()] == ["supervisor.conf"]


def test_the_built_in_model_is_made_once_and_said_to_be_noise(tmp_path: Path) -> None:
    built_in = stack(tmp_path, MAKES_IT)
    for _ in range(2):
        make_built_in_model(built_in)
    path = built_in.config.models[0].path
    assert (tmp_path / "python.calls").read_text() == f"-P -m workers.random_model {path} --size 1m\n"
    assert len(built_in.say) == 1
    assert "random weights: its answers are noise; it only proves the path" in built_in.say[0]


def test_a_configuration_of_ones_own_needs_no_built_in_model(tmp_path: Path) -> None:
    make_built_in_model(stack(tmp_path, FAILS, '[models.a]\nengine = "echo"\n'))


def test_a_model_that_cannot_be_made_ends_the_command(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="no room on the disk") as failed:
        make_built_in_model(stack(tmp_path, FAILS))
    assert failed.value.code == FAILED


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
