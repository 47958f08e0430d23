"""Failpoints: places with names where a test can stop or kill this very process, before and after it writes or sends.

Off unless WARDEN_FAILPOINTS names a directory, which only tests do. A failpoint `x` acts when that directory holds a
file `x`, whose text says what happens:

    kill            SIGKILL to this process
    stop            SIGSTOP to this process; the test continues it
    fail            `Failpoint` is raised

A directory and not a list, so that a test can arm a process that runs; by a rename, so that nobody reads half a word.
The file is renamed to `x.hit` first: that takes it away, so it acts once, in one process, and tells the test so. A
process that passes unarmed failpoints pays for one system call each, and for nothing at all without the variable.
"""

import os
import signal
from pathlib import Path

DIRECTORY = os.environ.get("WARDEN_FAILPOINTS", "")
SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


class Failpoint(Exception):
    """A test asked for it."""


def failpoint(name: str) -> None:
    """Do what the test has armed for `name`, if anything. Raises: Failpoint; also for a text that is no action."""
    if not DIRECTORY:
        return
    hit = Path(DIRECTORY, f"{name}.hit")
    try:
        os.rename(Path(DIRECTORY, name), hit)
    except FileNotFoundError:
        return
    action = hit.read_text().strip()
    if action not in SIGNALS:
        raise Failpoint(name if action == "fail" else f"{name}: {action!r} is no action; write kill, stop or fail")
    os.kill(os.getpid(), SIGNALS[action])
