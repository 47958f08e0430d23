"""Failpoints: places with names where a test can stop or kill this very process, before and after it writes or sends.

Off unless WARDEN_FAILPOINTS names a directory, which only tests do. A failpoint `x` acts when that directory holds a
file `x`; the file is taken away first, so it acts once, and its text says what happens:

    kill            SIGKILL to this process
    stop            SIGSTOP to this process; the test continues it
    fail            `Failpoint` is raised

A directory and not a list, so that a test can arm a process that runs. A file `x.hit` tells the test that it acted.
"""

import os
import signal
from pathlib import Path

DIRECTORY = os.environ.get("WARDEN_FAILPOINTS", "")


class Failpoint(Exception):
    """A test asked for it."""


def failpoint(name: str) -> None:
    """Do what the test has armed for `name`, if anything. Raises: Failpoint."""
    if not DIRECTORY:
        return
    armed = Path(DIRECTORY, name)
    try:
        action = armed.read_text().strip()
        armed.unlink()
    except FileNotFoundError:
        return
    armed.with_name(f"{name}.hit").touch()
    if action == "fail":
        raise Failpoint(name)
    os.kill(os.getpid(), {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}[action])
