"""What follows from the installed Python and MLX, the limits, the clock, the PATH and the variables."""

import pytest

from gateway.cli.doctor_system import (
    EARLIEST_S,
    ClockFact,
    LimitsFact,
    MlxFact,
    PathFact,
    PythonFact,
    VariablesFact,
    check_clock,
    check_limits,
    check_mlx,
    check_path,
    check_python,
    check_variables,
)
from tests.support.findings import levels, told

MAC = PythonFact((3, 12, 1), "arm64", "darwin", "macOS 15.1", "/opt/py/bin/python", macos=15)
ON_GPU = MlxFact("0.32.4", "0.32.2", "darwin", "gpu", "Apple M4 Max")
NOON_S = EARLIEST_S + 10_000_000.0


@pytest.mark.parametrize(("changes", "level", "words"), [
    ({}, "ok", ("3.12.1", "macOS 15.1")),
    ({"version": (3, 10, 9)}, "problem", ("3.10.9", "3.11 or newer")),
    ({"version": (3, 15, 0)}, "note", ("3.15.0", "newer than any")),
    ({"machine": "x86_64", "translated": True}, "problem", ("Rosetta", "/opt/py/bin/python", "arm64 Python")),
    ({"machine": "x86_64"}, "problem", ("Apple silicon", "ollama_url")),
    ({"macos": 13}, "problem", ("macOS 14", "update macOS")),
    ({"missing": ("zmq", "msgspec")}, "problem", ("zmq, msgspec", "pip install zmq msgspec")),
    ({"platform": "linux", "machine": "x86_64", "macos": 0}, "ok", ("3.12.1",)),
])
def test_python(changes: dict, level: str, words: tuple[str, ...]) -> None:
    told(check_python(MAC._replace(**changes)), level, *words)


@pytest.mark.parametrize(("changes", "level", "words"), [
    ({}, "ok", ("0.32.4", "on the GPU", "Apple M4 Max")),
    ({"version": "", "lm_version": ""}, "problem", ("mlx and mlx-lm are not installed", "pip install")),
    ({"lm_version": ""}, "problem", ("mlx-lm is not installed",)),
    ({"trouble": "signal 6 ended it"}, "problem", ("signal 6", "pip install")),
    ({"device": "cpu"}, "problem", ("finds no GPU", "virtual machine")),
    ({"device": "cpu", "platform": "linux"}, "note", ("on the CPU",)),
    ({"slow": True}, "note", ("too long", "--wait")),
])
def test_mlx(changes: dict, level: str, words: tuple[str, ...]) -> None:
    told(check_mlx(ON_GPU._replace(**changes)), level, *words)


@pytest.mark.parametrize(("fact", "level", "words"), [
    (LimitsFact(256, -1), "ok", ("256", "any number")), (LimitsFact(1024, 4096), "ok", ("4096",)),
    (LimitsFact(256, 512), "problem", ("512", "1024", "ulimit")), (LimitsFact(256, 512, True), "ok", ("512",))])
def test_open_files(fact: LimitsFact, level: str, words: tuple[str, ...]) -> None:
    told(check_limits(fact), level, *words)


@pytest.mark.parametrize(("fact", "level", "words"), [
    (ClockFact(NOON_S, 0.0, ""), "ok", ()), (ClockFact(NOON_S, NOON_S - 9, "/x"), "ok", ()),
    (ClockFact(NOON_S, NOON_S + 7200, "/h/logs/control.log"), "warning", ("120 min", "control.log", "set the clock")),
    (ClockFact(EARLIEST_S - 1.0, 0.0, ""), "problem", ("years behind", "HTTPS"))])
def test_clock(fact: ClockFact, level: str, words: tuple[str, ...]) -> None:
    told(check_clock(fact), level, *words)


@pytest.mark.parametrize(("fact", "level", "words"), [
    (PathFact("/a/warden", "/a/warden", "", "/a"), "ok", ("/a/warden",)),
    (PathFact("", "/a/warden", "", "/a"), "note", ("does not find", 'PATH="/a:$PATH"')),
    (PathFact("/b/warden", "/a/warden", "", "/a"), "warning", ("another", "/b/warden", "put /a first")),
    (PathFact("/b/warden", "", "", "/a"), "ok", ("as a module",)),
    (PathFact("/a/warden", "/a/warden", "/usr/bin/supervisorctl", "/a"), "note", ("/usr/bin", "warden ctl"))])
def test_path(fact: PathFact, level: str, words: tuple[str, ...]) -> None:
    told(check_path(fact), level, *words)


def test_our_own_supervisorctl_is_not_worth_a_word() -> None:
    assert levels(check_path(PathFact("/a/warden", "/a/warden", "/a/supervisorctl", "/a"))) == ["ok"]


def test_variables() -> None:
    found = check_variables(VariablesFact((("WARDEN_PORT", "port"), ("HF_HOME", "")), ("OLLAMA_HOST",)))
    told(found, "note", "beat the file", "WARDEN_PORT (port)", "unset")
    told(found, "ok", "HF_HOME")
    told(found, "note", "not read", "OLLAMA_HOST", "WARDEN_NAME")
    assert levels(check_variables(VariablesFact((), ()))) == ["ok"]
