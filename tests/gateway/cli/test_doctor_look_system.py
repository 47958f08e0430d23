"""Looking at Python, MLX, limits, the clock, the PATH and variables: here for real, of a Mac with stand-ins."""

import os
import platform
import stat
import sys
from pathlib import Path

import pytest

from control.home import Home
from gateway.cli.doctor_look_system import (
    TRANSLATED,
    look_at_clock,
    look_at_limits,
    look_at_mlx,
    look_at_path,
    look_at_python,
    look_at_variables,
)

LONG_S = 60.0


def test_this_python() -> None:
    fact = look_at_python()
    assert fact.version == sys.version_info[:3] and fact.machine == platform.machine() and fact.missing == ()


@pytest.mark.parametrize(("value", "translated"), [(1, True), (0, False), (None, False)])
def test_rosetta_is_what_the_kernel_of_a_mac_says(value: int | None, translated: bool) -> None:
    def sysctl(name: str) -> int:
        if name != TRANSLATED or value is None:
            raise OSError(2, "No such file or directory")
        return value

    fact = look_at_python("darwin", sysctl)
    assert (fact.platform, fact.translated) == ("darwin", translated) and fact.system.startswith("macOS")


def program(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_mlx_is_imported_by_a_program_of_its_own(tmp_path: Path) -> None:
    fact = look_at_mlx(os.environ, LONG_S)
    assert fact.version and fact.lm_version and fact.device in ("cpu", "gpu") and not fact.trouble
    gone = look_at_mlx(os.environ, LONG_S, program(tmp_path, "aborts", "kill -ABRT $$"))
    assert gone.trouble == "signal 6 ended it" and gone.device == ""
    says = program(tmp_path, "says", "echo no Metal here >&2; exit 1")
    assert look_at_mlx({}, LONG_S, says).trouble == "no Metal here"
    assert look_at_mlx(os.environ, 0.01, program(tmp_path, "hangs", "exec sleep 60")).slow


def test_limits_are_those_of_this_process() -> None:
    assert look_at_limits().soft > 0


def test_the_clock_is_compared_with_the_newest_file(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert look_at_clock(home).newest == ""
    home.logs.mkdir()
    for name, seconds in (("a.log", 1000), ("b.log", 4_000_000_000), ("c.txt", 5_000_000_000)):
        (home.logs / name).touch()
        os.utime(home.logs / name, (seconds, seconds))
    fact = look_at_clock(home)
    assert (fact.newest, fact.newest_s) == (str(home.logs / "b.log"), 4_000_000_000.0) and fact.now_s > 1000


def test_the_path_finds_this_warden_or_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mine", "other"):
        (tmp_path / name).mkdir()
        program(tmp_path / name, "warden", "exit 0")
    mine, other = str(tmp_path / "mine" / "warden"), str(tmp_path / "other" / "warden")
    monkeypatch.setenv("PATH", str(tmp_path / "other"))
    fact = look_at_path(mine)
    assert (fact.warden, fact.our_warden, fact.our_folder) == (other, mine, str(tmp_path / "mine"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert look_at_path(mine).warden == ""
    assert look_at_path("/x/gateway/cli/main.py").our_folder == str(Path(sys.executable).parent)


def test_variables_are_told_apart_by_what_the_configuration_took() -> None:
    env = {"WARDEN_PORT": "1", "WARDEN_HOME": "/h", "OLLAMA_HOST": "x", "HF_TOKEN": "secret", "PATH": "/b", "MLX_X": ""}
    fact = look_at_variables(env, {"port": "WARDEN_PORT", "host": "/w.toml:1: server.host"})
    assert fact.read == (("HF_TOKEN", ""), ("WARDEN_HOME", ""), ("WARDEN_PORT", "port"))
    assert fact.not_read == ("OLLAMA_HOST",) and "secret" not in str(fact)
    assert look_at_variables(env, None).not_read == ()
