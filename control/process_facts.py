"""What the operating system says about processes: is it the one we mean, does it live, how much memory has it.

A pid alone names nobody: the kernel gives it to another process later. So a process is always (pid, start time), and
both come from here. The start time is an identity, compared for equality and nothing else: it does not move when the
clock is set, which `psutil`'s `create_time()` does, so it is not a time of day (on Linux it counts from the boot).

About 20 us to identify a process, 40 us for its state or memory. `psutil` is imported on first use, since that takes
25 ms, which a command that only reads the table need not pay. What concerns macOS has not been run on a Mac.
"""

import os
import re
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

STATUS_MAX_BYTES = 16 * 1024
SIZES_IN_STATUS = re.compile(rb"^(RssAnon|RssShmem|VmRSS):\s+([0-9]+) kB", re.MULTILINE)


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


def footprint_bytes(pid: int, platform: str = sys.platform, library: object = None) -> int | None:
    """The memory that the end of this process gives back, in bytes; None if it is gone or not ours to look at.

    Linux: anonymous pages, and shared memory, which goes too unless somebody else has it. The resident set would count
    program code and file pages besides, which stay. macOS: `phys_footprint`, which counts Metal buffers; where that is
    not to be had, psutil's `uss`, or the resident set. `library` stands in for macOS's.
    """
    if platform == "linux":
        return _anonymous_bytes(f"/proc/{pid}/status")
    if platform == "darwin":
        from control.darwin import phys_footprint_bytes

        try:
            return phys_footprint_bytes(pid, library)
        except OSError:
            pass  # gone or not ours, which psutil tells apart, or a macOS without this call
    return _unique_bytes(pid)


def footprint_self_bytes() -> int:
    """`footprint_bytes` of this process."""
    return footprint_bytes(os.getpid()) or 0


def _anonymous_bytes(status: str) -> int | None:
    """From the text that Linux keeps in /proc/PID/status; a zombie has none left and counts 0."""
    try:
        with open(status, "rb") as file:
            kib = dict(SIZES_IN_STATUS.findall(file.read(STATUS_MAX_BYTES)))
    except OSError:
        return None
    if b"RssAnon" in kib:
        return 1024 * (int(kib[b"RssAnon"]) + int(kib.get(b"RssShmem", 0)))
    return 1024 * int(kib.get(b"VmRSS", 0))


def _unique_bytes(pid: int) -> int | None:
    import psutil

    process = _process(pid)
    if process is None:
        return None
    try:
        try:
            return process.memory_full_info().uss
        except psutil.AccessDenied:
            return process.memory_info().rss  # open to all
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None


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
