"""Puts the file of a service in its place, tells launchd or systemd, and undoes both. Who is asked what is said aloud.

A file that is not ours is never touched, nor a symbolic link: somebody keeps his units elsewhere. Writing is whole or
not at all (another name, then a rename), 0644. Doing anything twice changes nothing more.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from gateway.cli.exits import FAILED, USAGE, CommandFailed
from gateway.cli.service_files import (
    Service,
    ServiceRefused,
    is_ours,
    label_of,
    name_of,
    plist_bytes,
    python_of,
    unit_text,
)

LAUNCHD, SYSTEMD = "launchd", "systemd"
ABSENT, OURS, OUTDATED, FOREIGN = "absent", "ours", "outdated", "foreign"
COMMAND_MAX_S = 900.0  # stopping lets answers end
FILE_MODE = 0o644

Say = Callable[[str], None]


class Placed(NamedTuple):
    """A service on this machine: its manager, its name there, and its file as it should be."""

    manager: str
    name: str
    path: Path
    data: bytes
    home: str


def choose_manager(system: str = sys.platform) -> str:
    """launchd, systemd, or "" where neither is."""
    if system == "darwin":
        return LAUNCHD
    return SYSTEMD if shutil.which("systemctl") else ""


def place(service: Service, manager: str, env: Mapping[str, str]) -> Placed:
    """Raises: CommandFailed for a path that the file cannot hold."""
    user_home = Path(env.get("HOME") or os.path.expanduser("~"))
    try:
        if manager == LAUNCHD:
            name = label_of(service.home, service.is_usual)
            path, data = user_home / "Library" / "LaunchAgents" / f"{name}.plist", plist_bytes(service)
        else:
            name = f"{name_of(service.home, service.is_usual)}.service"
            folder = Path(env.get("XDG_CONFIG_HOME") or user_home / ".config")
            path, data = folder / "systemd" / "user" / name, unit_text(service).encode("utf-8", "surrogateescape")
    except ServiceRefused as refused:
        raise CommandFailed(str(refused), USAGE) from None
    return Placed(manager, name, path, data, service.home)


def state_of(placed: Placed) -> str:
    """absent | ours | outdated | foreign, by the file that stands there."""
    if placed.path.is_symlink():
        return FOREIGN
    try:
        data = placed.path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return ABSENT
    except OSError:
        return FOREIGN
    if data == placed.data:
        return OURS
    return OUTDATED if is_ours(data, placed.home) else FOREIGN


def gone_python(placed: Placed) -> str:
    """The interpreter that the file starts, if it is there no more."""
    try:
        python = python_of(placed.path.read_bytes())
    except OSError:
        return ""
    return python if python and not os.path.exists(python) else ""


def install(placed: Placed, start_now: bool, say: Say) -> None:
    """Raises: CommandFailed; what was done until then has been said."""
    refuse_foreign(placed)
    refuse_unreachable(placed)
    if state_of(placed) == OURS:
        say(f"is as it should be: {placed.path}")
    else:
        write_file(placed)
        say(f"wrote {placed.path}")
    if placed.manager == SYSTEMD:
        _must(["systemctl", "--user", "daemon-reload"], say)
        _must(["systemctl", "--user", "enable", *(["--now"] if start_now else []), placed.name], say)
        return
    target = f"gui/{os.getuid()}/{placed.name}"
    _must(["launchctl", "enable", target], say)
    if start_now:
        if _run(["launchctl", "print", target]).returncode == 0:
            _must(["launchctl", "bootout", target], say)
        _must(["launchctl", "bootstrap", f"gui/{os.getuid()}", str(placed.path)], say)


def remove(placed: Placed, say: Say) -> bool:
    """Stop it, and remove the file. False: there was none. Raises: CommandFailed."""
    if state_of(placed) == ABSENT:
        return False
    refuse_foreign(placed)
    refuse_unreachable(placed)
    target = f"gui/{os.getuid()}/{placed.name}"
    if placed.manager == SYSTEMD:
        _must(["systemctl", "--user", "disable", "--now", placed.name], say)
    elif _run(["launchctl", "print", target]).returncode == 0:
        _must(["launchctl", "bootout", target], say)
    placed.path.unlink(missing_ok=True)
    say(f"removed {placed.path}")
    if placed.manager == SYSTEMD:
        _must(["systemctl", "--user", "daemon-reload"], say)
    return True


def is_active(placed: Placed) -> bool:
    """Does the manager run it now?"""
    if placed.manager == SYSTEMD:
        return _run(["systemctl", "--user", "is-active", "--quiet", placed.name]).returncode == 0
    said = _run(["launchctl", "print", f"gui/{os.getuid()}/{placed.name}"])
    return said.returncode == 0 and "state = running" in said.stdout


def refuse_foreign(placed: Placed) -> None:
    if state_of(placed) == FOREIGN:
        raise CommandFailed(f"{placed.path} was not written by `warden service install`, or for another home; move it "
                            "away first", USAGE)


def refuse_unreachable(placed: Placed) -> None:
    """Before anything is written: does the manager of this user answer?"""
    asked = (["systemctl", "--user", "show-environment"] if placed.manager == SYSTEMD
             else ["launchctl", "print", f"gui/{os.getuid()}"])
    ran = _run(asked)
    if ran.returncode:
        why = (ran.stderr.strip().splitlines() or [f"exit code {ran.returncode}"])[-1]
        raise CommandFailed(f"{placed.manager} of this user does not answer ({why}); log in at the machine itself, or "
                            f"put the file there by hand: warden service install --print > {placed.path}", FAILED)


def write_file(placed: Placed) -> None:
    scratch = placed.path.with_name(f".{placed.path.name}.new")
    try:
        placed.path.parent.mkdir(parents=True, exist_ok=True)
        scratch.unlink(missing_ok=True)
        fd = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
        with os.fdopen(fd, "wb") as file:
            os.fchmod(fd, FILE_MODE)
            file.write(placed.data)
        os.rename(scratch, placed.path)
    except OSError as error:
        with suppress(OSError):  # where the folder is none
            scratch.unlink()
        raise CommandFailed(f"{placed.path}: cannot be written ({error.strerror}); mend that, or use --print") from None


def _must(command: list[str], say: Say) -> None:
    say(f"ran {' '.join(command)}")
    ran = _run(command)
    if ran.returncode:
        why = (ran.stderr.strip() or ran.stdout.strip()).replace("\n", " ") or f"exit code {ran.returncode}"
        raise CommandFailed(f"`{' '.join(command)}` failed: {why}")


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
                              timeout=COMMAND_MAX_S, check=False)
    except FileNotFoundError:
        return subprocess.CompletedProcess(command, 127, "", f"{command[0]} is not to be found")
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"it took longer than {COMMAND_MAX_S:g} s")
