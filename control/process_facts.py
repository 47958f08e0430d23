"""What the operating system says about processes: is it the one we mean, does it live, how much memory has it.

A pid alone names nobody: the kernel gives it to another process later. So a process is always (pid, start time), and
both come from here. The start time is an identity, compared for equality and nothing else: it does not move when the
clock is set, which `psutil`'s `create_time()` does, so it is not a time of day (on Linux it counts from the boot).

About 20 us to identify a process, 40 us for its state or memory. `psutil` is imported on first use, since that takes
25 ms, which a command that only reads the table need not pay.
"""

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil


def process_start_time_us(pid: int) -> int | None:
    """Start time of the process in microseconds, by the clock of its system; None if there is none to be seen."""
    process = _process(pid)
    return _start_time_us(process) if process else None


def is_alive(pid: int, start_time_us: int) -> bool:
    """Does exactly this process live? A zombie is dead, and so is one whose pid another process has now."""
    import psutil

    process = _process(pid)
    if process is None or _start_time_us(process) != start_time_us:
        return False
    try:
        return process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False


def footprint_bytes(pid: int) -> int | None:
    """Memory the process has for itself, in bytes; None if it is gone or not ours to look at.

    Linux: resident set size. macOS: the right source is `phys_footprint`, which counts Metal buffers and compressed
    pages; psutil does not give it, so this is `uss`, or the resident size where we may not see that. This branch has
    not been run on a Mac.
    """
    import psutil

    process = _process(pid)
    if process is None:
        return None
    try:
        if sys.platform == "darwin":
            try:
                return process.memory_full_info().uss
            except psutil.AccessDenied:
                pass  # another process without our privileges: the resident size is open to all
        return process.memory_info().rss
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None


def footprint_self_bytes() -> int:
    """`footprint_bytes` of this process."""
    return footprint_bytes(os.getpid()) or 0


def _process(pid: int) -> "psutil.Process | None":
    import psutil

    try:
        return psutil.Process(pid)
    except (psutil.NoSuchProcess, ValueError):
        return None


def _start_time_us(process: "psutil.Process") -> int | None:
    # psutil has no public name for the start time that stands still when the clock is set; this one is what it
    # compares processes by (tests/control/test_process_facts.py holds it against /proc).
    seconds = process._ident[1]
    return None if seconds is None else round(seconds * 1_000_000)
