"""What `warden doctor` reads of memory and disks. psutil's answers, and control's own reading of pressure."""

import os
import sys
import time
from collections.abc import Callable, Mapping

import psutil

from control.budget import choose_ceiling
from control.config import Config
from control.darwin import read_sysctl
from control.home import Home
from control.pressure import MAC_GPU_LIMIT, USUAL, PressureReader
from control.pressure_level import Level, Thresholds, next_level
from control.weights import hub_cache
from gateway.cli.doctor_memory import DiskFact, MemoryFact, Place

GIB = 1024**3


def look_at_memory(config: Config | None, env: Mapping[str, str], system: str = sys.platform,
                   sysctl: Callable[[str], int] = read_sysctl) -> MemoryFact:
    """With the thresholds and the budget of the configuration, or the usual ones."""
    reader = PressureReader(env, platform=system, sysctl=sysctl)
    reading = reader.read(time.monotonic())
    percents = ("memory_warning_percent", "memory_critical_percent", "memory_emergency_percent")
    thresholds = Thresholds(*(getattr(config, name) / 100 for name in percents)) if config else USUAL
    ceiling = choose_ceiling(int(config.memory_budget_gb * GIB) if config else 0, reading.device_bytes,
                             reading.total_bytes, reading.limit_bytes)
    return MemoryFact(
        reading.total_bytes, reading.available_bytes, reading.limit_bytes, reading.device_bytes,
        None if reading.used is None else reading.used * 100, reading.source,
        next_level(Level.NORMAL, reading.used, thresholds), ceiling, _swap_used_bytes(),
        _wired_limit_mb(sysctl) if system == "darwin" else 0, reader.trouble)


def _swap_used_bytes() -> int:
    try:
        return psutil.swap_memory().used
    except (psutil.Error, OSError, RuntimeError):
        return 0


def _wired_limit_mb(sysctl: Callable[[str], int]) -> int:
    try:
        return max(0, sysctl(MAC_GPU_LIMIT))
    except OSError:
        return 0


def look_at_disk(home: Home, env: Mapping[str, str]) -> DiskFact:
    places = [_place("disk of the home", str(home.root)), _place("disk of the cache", str(hub_cache(env)))]
    logs = sum(_size(path) for path in home.logs.glob("*.log*"))
    return DiskFact(tuple(places), logs, str(home.logs))


def _place(what: str, path: str) -> Place:
    """Of a directory that is not there yet, its nearest one that is."""
    there = os.path.realpath(path)
    while not os.path.isdir(there):
        there = os.path.dirname(there)
    facts = os.statvfs(there)
    return Place(what, path, facts.f_bavail * facts.f_frsize, _kind(there))


def _kind(path: str) -> str:
    """The type of the file system that holds `path`, "" if nobody says."""
    try:
        mounts = psutil.disk_partitions(all=True)
    except (psutil.Error, OSError):
        return ""
    holding = [mount for mount in mounts if os.path.commonpath([path, mount.mountpoint]) == mount.mountpoint]
    return max(holding, key=lambda mount: len(mount.mountpoint)).fstype if holding else ""


def _size(path: os.PathLike) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
