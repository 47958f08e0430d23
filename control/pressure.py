"""How much memory the machine has and how short of it it is: one typed reading, with its source and its age.

Where `used` comes from, and what a reading is worth
1. Linux: the machine's MemTotal and MemAvailable, and every control group that holds this process to less; the fullest
   of them counts. Everywhere else, and where Linux does not say: psutil.
2. A system that suffers says so whatever the bytes say, and then `used` is raised to the threshold of the level that
   this is worth, never beyond it (`Thresholds`, by the configuration):
     Linux   all processes stood still for memory more than STALLED_PERCENT of the last 10 s (PSI "full avg10", of the
             machine or of our group): warning;
     macOS   `kern.memorystatus_vm_pressure_level` 2: warning, 4: critical; swap in use grew by more than
             SWAP_GROWTH_MAX_BYTES_PER_S over SWAP_OVER_S: warning. How much is in use says nothing: it stays for weeks.
3. WARDEN_PRESSURE_FILE names a file with a number 0..1, replaced by a rename: it stands for `used`, source "file".
   Bytes are measured all the same. A file that is missing or holds anything else injects nothing.
4. What fails gives way to the next source, and nothing is raised. If no source is left, the last good reading stands
   with its old `read_at`; after READING_MAX_AGE_S its `used` is None: unknown, which keeps the level.

`trouble` is "" or one line about what keeps a source from being used. It changes only when the trouble does, so who
logs each change says it once.

A reading starts no process and opens nothing that can block; about 0.1 ms on Linux. The macOS branch is tested with
stand-ins for what the system says, and has not been run on a Mac.
"""

import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import psutil

from control.cgroup import Cgroups
from control.darwin import read_sysctl
from control.pressure_level import Thresholds

USUAL = Thresholds(0.85, 0.95, 0.98)
STALLED_PERCENT = 20.0
SWAP_GROWTH_MAX_BYTES_PER_S = 32 * 1024 * 1024
SWAP_OVER_S = 2.0
MAC_LEVEL, MAC_WARNS, MAC_CRITICAL = "kern.memorystatus_vm_pressure_level", 2, 4
MAC_GPU_LIMIT = "iogpu.wired_limit_mb"
READING_MAX_AGE_S = 10.0
FILE_MAX_BYTES = 64
STALLS_MAX_BYTES = 256
SMALL_MAC_MAX_BYTES = 36 * 1024**3
SMALL_MAC_GPU_SHARE = 2 / 3
LARGE_MAC_GPU_SHARE = 3 / 4
MEMINFO_MAX_BYTES = 16 * 1024
VARIABLE = "WARDEN_PRESSURE_FILE"
NUMBER = re.compile(r"[0-9]*\.?[0-9]+|[0-9]+\.")
FAILED = (OSError, ValueError, psutil.Error)


class Reading(NamedTuple):
    """`used` is 0..1, or None (unknown); levels are judged by it. Bytes are always measured, 0: never could be.

    `total_bytes` is the machine's memory, `limit_bytes` the least that a control group or the machine holds us to,
    `available_bytes` what can be taken of it without swapping; `device_bytes` what the GPU is recommended to use for
    all processes together (0: not known). `read_at` is monotonic seconds.
    """

    used: float | None
    source: str
    read_at: float
    total_bytes: int
    available_bytes: int
    limit_bytes: int
    device_bytes: int


class _Pool(NamedTuple):
    """Memory that can run out: the machine's, or a control group's."""

    source: str
    total_bytes: int
    available_bytes: int

    @property
    def used(self) -> float:
        return min(1.0, max(0.0, 1 - self.available_bytes / self.total_bytes))


class PressureReader:
    """Reads on demand and keeps the last good reading. Belongs to one thread.

    Args:
        env: holds WARDEN_PRESSURE_FILE, or does not.
        thresholds: where the levels begin, so that what the system says can be put in terms of them.
        platform, proc, sysctl, machine: the system, or stand-ins for it. `sysctl(name)` gives a number or raises
            OSError; `machine` has psutil's `virtual_memory` and `swap_memory`.
    """

    def __init__(self, env: Mapping[str, str], thresholds: Thresholds = USUAL, *, platform: str = sys.platform,
                 proc: Path = Path("/proc"), sysctl: Callable[[str], int] = read_sysctl, machine=psutil) -> None:
        self._file = Path(env[VARIABLE]).expanduser() if env.get(VARIABLE) else None
        self._thresholds = thresholds
        self._linux, self._mac = platform == "linux", platform == "darwin"
        self._proc = proc
        self._groups = Cgroups(proc / "self") if self._linux else None
        self._sysctl = sysctl
        self._machine = machine
        self._problems: dict[str, str] = {}
        self._last = Reading(None, "none", 0.0, 0, 0, 0, 0)
        self._swap: tuple[float, int] | None = None
        self._swap_grows = False

    @property
    def trouble(self) -> str:
        """What keeps sources from being used, as of the last reading; "" if nothing does."""
        return "; ".join(self._problems.values())

    def read(self, now: float) -> Reading:
        """The state of things at `now`, monotonic seconds."""
        reading = self._measure(now)
        injected = self._read_injected()
        return reading if injected is None else reading._replace(used=injected, source="file", read_at=now)

    def _measure(self, now: float) -> Reading:
        pools = self._read_pools()
        if not pools:
            if now - self._last.read_at > READING_MAX_AGE_S:
                return self._last._replace(used=None, source="none")
            return self._last
        machine, fullest = pools[0], max(pools, key=lambda pool: pool.used)
        told, teller = self._told(now)
        used, source = (told, teller) if told > fullest.used else (fullest.used, fullest.source)
        self._last = Reading(used, source, now, machine.total_bytes, min(pool.available_bytes for pool in pools),
                             min(pool.total_bytes for pool in pools), self._device_bytes(machine.total_bytes))
        return self._last

    def _note(self, what: str, error: Exception) -> None:
        self._problems[what] = f"{what}: {getattr(error, 'strerror', None) or error}"

    # -- bytes -----------------------------------------------------------------------------------------------

    def _read_pools(self) -> list[_Pool]:
        """The machine first, then the groups that hold us to less; empty if nobody tells."""
        machine = self._read_meminfo() if self._linux else None
        machine = machine or self._read_machine()
        if machine is None or machine.total_bytes <= 0:
            return []
        rooms = self._groups.read_rooms(machine.total_bytes) if self._groups else []
        return [machine, *(_Pool("linux-cgroup", *room) for room in rooms if room.limit_bytes > 0)]

    def _read_meminfo(self) -> _Pool | None:
        path = self._proc / "meminfo"
        try:
            kib = dict(re.findall(r"^(MemTotal|MemAvailable): +([0-9]+) kB", _text(path, MEMINFO_MAX_BYTES), re.M))
            if len(kib) < 2:
                raise ValueError("tells no MemTotal or no MemAvailable")
        except FAILED as error:
            self._note(str(path), error)
            return None
        self._problems.pop(str(path), None)
        return _Pool("linux-meminfo", int(kib["MemTotal"]) * 1024, int(kib["MemAvailable"]) * 1024)

    def _read_machine(self) -> _Pool | None:
        try:
            facts = self._machine.virtual_memory()
            self._problems.pop("psutil", None)
            return _Pool("macos" if self._mac else "psutil", facts.total, facts.available)
        except FAILED as error:
            self._note("psutil", error)
            return None

    # -- what the system says --------------------------------------------------------------------------------

    def _told(self, now: float) -> tuple[float, str]:
        """The share in use that the system's own judgement is worth (0.0: no complaint), and who says so."""
        if self._mac:
            level = self._read_mac_level()
            if level >= MAC_WARNS:
                return self._thresholds[level >= MAC_CRITICAL], "macos-level"
            return (self._thresholds.warning, "macos-swap") if self._swap_is_growing(now) else (0.0, "")
        if self._linux:
            places = [self._proc / "pressure" / "memory", self._groups.stalls]
            if max(_stalled_percent(place) for place in places) > STALLED_PERCENT:
                return self._thresholds.warning, "linux-psi"
        return 0.0, ""

    def _read_mac_level(self) -> int:
        try:
            level = self._sysctl(MAC_LEVEL)
            self._problems.pop(MAC_LEVEL, None)
            return level
        except FAILED as error:
            self._note(MAC_LEVEL, error)
            return 0

    def _swap_is_growing(self, now: float) -> bool:
        try:
            used = self._machine.swap_memory().used
            self._problems.pop("swap", None)
        except FAILED as error:
            self._note("swap", error)
            return False
        if self._swap is None:
            self._swap = now, used
        since, before = self._swap
        if now - since >= SWAP_OVER_S:
            self._swap_grows = used - before > SWAP_GROWTH_MAX_BYTES_PER_S * (now - since)
            self._swap = now, used
        return self._swap_grows

    def _device_bytes(self, total_bytes: int) -> int:
        """What Metal may use: what the operator has set, else the part of memory that macOS sets by itself."""
        if not self._mac:
            return 0
        try:
            set_mib = self._sysctl(MAC_GPU_LIMIT)
        except FAILED:
            set_mib = 0  # a system without this setting has the usual limit
        share = SMALL_MAC_GPU_SHARE if total_bytes <= SMALL_MAC_MAX_BYTES else LARGE_MAC_GPU_SHARE
        return set_mib * 1024 * 1024 if set_mib > 0 else int(total_bytes * share)

    # -- injected --------------------------------------------------------------------------------------------

    def _read_injected(self) -> float | None:
        if self._file is None:
            return None
        try:
            text = _text(self._file, FILE_MAX_BYTES).strip()
            used = float(text) if NUMBER.fullmatch(text) else -1.0
            if not 0 <= used <= 1:
                raise ValueError(f"{text!r} is no number from 0 to 1, so pressure is measured")
        except FAILED as error:
            self._note(f"{VARIABLE} {self._file}", error)
            return None
        self._problems.pop(f"{VARIABLE} {self._file}", None)
        return used


def _text(path: Path, max_bytes: int) -> str:
    # A named pipe under that name would hold the loop up for ever, so nothing is opened that can block.
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        return os.read(fd, max_bytes).decode(errors="replace")
    finally:
        os.close(fd)


def _stalled_percent(path: Path | None) -> float:
    """The share of the last 10 s in which all processes waited for memory; 0.0 where the kernel does not count it."""
    try:
        lines = _text(path, STALLS_MAX_BYTES).splitlines() if path else []
        return max((float(word.removeprefix("avg10=")) for line in lines if line.startswith("full ")
                    for word in line.split() if word.startswith("avg10=")), default=0.0)
    except FAILED:
        return 0.0
