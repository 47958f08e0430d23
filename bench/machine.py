"""The machine that figures belong to, and whether anything else used it while they were taken.

`read_machine` tells hardware, system and versions. `Watch` compares the CPU time of the whole machine with that of our
own processes: this one, its children (ended ones too), and the servers that are measured. What is left was used by
others, and above OTHERS_MAX_SHARE of the machine a sentence says so. Time that a hypervisor took away counts as others.

Nothing here is exact: CPU time is counted in ticks of 10 ms, and a process that began and ended outside ours is seen
only in the machine's own count. It is a warning about a disturbed run, not a figure. Written for Linux and macOS; the
branches for macOS have not been run on a Mac.
"""

import importlib.metadata
import os
import platform
import re
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from gateway import VERSION

OTHERS_MAX_SHARE = 0.10  # of the machine's CPU time
COMMAND_WITHIN_S = 10.0
PACKAGES = ("mlx", "mlx-lm", "pyzmq", "uvicorn", "uvloop", "httptools", "aiohttp")
ROOT = Path(__file__).resolve().parent.parent
LOCAL = {"localhost", "127.0.0.1", "::1", "0.0.0.0", platform.node()}


def read_machine() -> dict[str, object]:
    """Facts for the head of a report, all JSON values; what cannot be found out is "" or None."""
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {"mlx-warden": VERSION} | {name: _version(name) for name in PACKAGES},
        "git_commit": git_commit(),
    }


def cpu_model() -> str:
    if sys.platform == "darwin":
        return _output("sysctl", "-n", "machdep.cpu.brand_string")
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model")))
    return next(names, "") or platform.processor() or platform.machine()


def machine_name() -> str:
    """What its folder in bench/results is called, such as linux-2core or apple-m3-max."""
    if sys.platform == "darwin":
        return re.sub("[^a-z0-9]+", "-", cpu_model().lower()).strip("-") or "mac"
    return f"{platform.system().lower()}-{os.cpu_count()}core"


def git_commit(root: Path = ROOT) -> str:
    """The commit of the checkout that runs, with "+changes" if files differ from it; "" for an installed copy."""
    top = _output("git", "-C", str(root), "rev-parse", "--show-toplevel")
    if not top or Path(top).resolve() != root:
        return ""  # a checkout around it, such as one that holds the virtual environment, is not ours
    commit = _output("git", "-C", str(root), "rev-parse", "--short=12", "HEAD")
    return commit + ("+changes" if commit and _output("git", "-C", str(root), "status", "--porcelain") else "")


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _output(*command: str) -> str:
    """What it prints, "" if it fails or is not there."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_WITHIN_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


# -- who else is at work -------------------------------------------------------------------------------------------


class Watch:
    """Made right before a measurement, asked right after it. `pids`: the measured servers, with their descendants."""

    def __init__(self, pids: Iterable[int] = ()) -> None:
        self._pids = frozenset(pids)
        self.load_average = os.getloadavg()[0]  # of the minute before, for the record
        self._began_at = time.monotonic()
        self._machine_s = machine_cpu_s()
        self._ours_s = own_cpu_s(self._pids)

    def others_share(self) -> float:
        """0..1, of all cores since the beginning."""
        possible_s = (time.monotonic() - self._began_at) * (psutil.cpu_count() or 1)
        others_s = machine_cpu_s() - self._machine_s - (own_cpu_s(self._pids) - self._ours_s)
        return min(max(others_s / possible_s, 0.0), 1.0) if possible_s else 0.0


def busy_sentence(others_share: float) -> str:
    """What a reader must know if others used more than OTHERS_MAX_SHARE, else ""."""
    if others_share <= OTHERS_MAX_SHARE:
        return ""
    return (f"other processes used {others_share:.0%} of the machine during the run (limit {OTHERS_MAX_SHARE:.0%}); "
            "figures are not to be trusted")


def machine_cpu_s() -> float:
    """Seconds of all cores that were not idle, since some moment in the past."""
    times = psutil.cpu_times()._asdict()
    # guest times are in user and nice already
    return sum(seconds for name, seconds in times.items() if name not in ("idle", "iowait", "guest", "guest_nice"))


def own_cpu_s(pids: Iterable[int]) -> float:
    """Seconds that this process, its children, and `pids` with theirs have used; children that ended included."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    total_s = sum(usage.ru_utime + usage.ru_stime for usage in used)
    for process in family([os.getpid(), *pids]):
        if process.pid != os.getpid():
            try:
                times = process.cpu_times()
            except psutil.Error:
                continue  # it ended just now, or is not ours to look at: a little counts as others'
            # macOS has no times of ended children
            total_s += times.user + times.system + times.children_user + times.children_system
    return total_s


def module_cpu_s(pids: Iterable[int]) -> Counter[str]:
    """Seconds that these processes and their descendants have used, by the Python module that they run (`-m NAME`)."""
    used: Counter[str] = Counter()
    for process in family(pids):
        try:
            words, times = process.cmdline(), process.cpu_times()
        except psutil.Error:
            continue  # it ended just now
        if "-m" in words[:-1]:
            used[words[words.index("-m") + 1]] += times.user + times.system
    return used


def family(pids: Iterable[int]) -> list[psutil.Process]:
    """The processes with these ids and all their descendants, each once."""
    found: dict[int, psutil.Process] = {}
    for pid in pids:
        try:
            process = psutil.Process(pid)
            found |= {one.pid: one for one in (process, *process.children(recursive=True))}
        except psutil.Error:
            continue  # gone
    return list(found.values())


def server_pids(url: str) -> list[int]:
    """Who listens there, if it is this machine, and supervisord where that started it; [] if it cannot be told."""
    parts = urlsplit(url)
    if parts.hostname not in LOCAL:
        return []
    port = parts.port or (443 if parts.scheme == "https" else 80)
    found: set[int] = set()
    for process in psutil.process_iter():
        try:
            listens = any(connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
                          for connection in process.net_connections("tcp"))
            if listens:
                found.add(process.pid)
                parent = process.parent()
                if parent is not None and any("supervisord" in word for word in parent.cmdline()):
                    found.add(parent.pid)
        except psutil.Error:
            continue  # another user's, or gone
    return sorted(found)
