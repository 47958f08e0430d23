"""Which processes belong to a home, whoever started them and whoever is left of them.

Two signs, and either is enough: supervisord gave the process an environment that names the home and the program
(children of a supervisord that was killed still have it), or the process holds one of the home's locks. Both are read
anew each time, so a pid that was reused meanwhile is not taken for ours.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from control.home import Home, lock_holder

PS_TIMEOUT_S = 10.0
UP_LOCK = "up"
NAME_KEY = "SUPERVISOR_PROCESS_NAME"


def processes_of(home: Home) -> dict[int, str]:
    """pid -> program (`supervisord`, `control`, `worker-x`, ...) of everything that runs for this home."""
    root = os.path.realpath(home.root)
    found = {pid: name for pid, of_root, name in _named_processes() if os.path.realpath(of_root) == root}
    for path in sorted(home.run.glob("*.lock")):
        pid = None if path.stem == UP_LOCK else lock_holder(path)
        if pid:  # 0: it has just taken the lock and not yet said who it is
            found.setdefault(pid, path.stem)
    found.pop(os.getpid(), None)
    return found


def home_of(pid: int) -> str:
    """The WARDEN_HOME of a process that supervisord started for a stack, or of that supervisord; "" for any other."""
    return next((root for found, root, _ in _named_processes() if found == pid), "")


def described(processes: dict[int, str]) -> str:
    """`control (pid 12), gateway (pid 13)`"""
    return ", ".join(f"{name} (pid {pid})" for pid, name in sorted(processes.items()))


def _named_processes() -> Iterator[tuple[int, str, str]]:
    """pid, WARDEN_HOME and program of each process whose environment has both and may be read."""
    if sys.platform == "linux":
        return _from_proc()
    return _from_ps()


def _from_proc() -> Iterator[tuple[int, str, str]]:
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            environ = (entry / "environ").read_bytes()
        except OSError:
            continue  # another user's, or gone meanwhile
        if NAME_KEY.encode() not in environ:
            continue
        pairs = (pair.partition("=") for pair in os.fsdecode(environ).split("\0"))
        values = {key: value for key, _, value in pairs}
        if "WARDEN_HOME" in values and NAME_KEY in values:
            yield int(entry.name), values["WARDEN_HOME"], values[NAME_KEY]


def _from_ps() -> Iterator[tuple[int, str, str]]:
    """`ps` prints the environment behind the command, with blanks between; a value ends where the next key begins."""
    answer = subprocess.run(
        ["ps", "-axEww", "-o", "pid=,command="],
        capture_output=True, text=True, errors="replace", timeout=PS_TIMEOUT_S, check=False,
    )
    for line in answer.stdout.splitlines():
        values = dict(re.findall(rf" (WARDEN_HOME|{NAME_KEY})=(.*?)(?= \w+=|$)", line))
        if len(values) == 2:
            yield int(line.split()[0]), values["WARDEN_HOME"], values[NAME_KEY]
