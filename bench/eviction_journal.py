"""What control's journal says about evictions: a log file read while it grows, and the time that each step took.

A log that supervisord rotates is followed: the old file is read to its end, then the new one from its beginning. A
line that is not whole yet is left for the next look; one that is no journal line, such as a traceback, is passed over.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

from bench.records import percentile
from bench.table import Table, figure

RECENT_MS = 100.0  # an eviction counts if the worker had traffic so recently
STEPS = ("handshake", "exit", "verify")
STEP_NAMES = {"handshake": "handshake: fence written to Quitting heard", "exit": "exit: to process gone",
              "verify": "verification: to memory measured back"}
decode_line = msgspec.json.Decoder(dict[str, object]).decode


class Evicted(NamedTuple):
    """One eviction, as control tells it. `idle_ms`: since the worker's last traffic; negative: there was none."""

    model: str
    incarnation: int
    handshake_ms: float
    exit_ms: float
    verify_ms: float
    total_ms: float
    footprint_bytes: int
    idle_ms: float

    @property
    def counts(self) -> bool:
        """Did its worker have traffic just before?"""
        return 0 <= self.idle_ms <= RECENT_MS


class Step(NamedTuple):
    """Milliseconds; `share` of the whole time of all evictions together, 0..1. None of nothing."""

    p50_ms: float | None
    p95_ms: float | None
    share: float | None


class JournalTail:
    """`read()` gives the lines since the last time. A file that is not there yet has none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._inode = 0
        self._rest = b""

    def read(self) -> list[dict[str, object]]:
        lines = self._read_file()
        try:
            inode = self._path.stat().st_ino
        except FileNotFoundError:
            return lines
        if inode != self._inode:
            lines += self._read_file()  # what was written to the old one until it was moved away
            self.close()
            self._file, self._inode = self._path.open("rb"), inode
            lines += self._read_file()
        return lines

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file, self._rest = None, b""

    def _read_file(self) -> list[dict[str, object]]:
        if self._file is None:
            return []
        *whole, self._rest = (self._rest + self._file.read()).split(b"\n")
        return [line for text in whole if (line := journal_line(text)) is not None]


def journal_line(text: bytes) -> dict[str, object] | None:
    """None for what is no line of the journal."""
    try:
        return decode_line(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def evictions_in(lines: Iterable[Mapping[str, object]]) -> list[Evicted]:
    """The evictions that were carried out to their end."""
    return [msgspec.convert([line.get(name) for name in Evicted._fields], Evicted)
            for line in lines if line.get("event") == "evicted"]


def refusals_in(lines: Iterable[Mapping[str, object]]) -> Counter[str]:
    """How many were refused, by whom: "gateway", "worker", "control", "nobody" (silence)."""
    return Counter(str(line.get("by")) for line in lines if line.get("event") == "evict_refused")


def steps_of(evicted: Sequence[Evicted]) -> dict[str, Step]:
    """Of handshake, exit, verify, and of all three together ("total")."""
    whole_ms = sum(one.total_ms for one in evicted)
    found = {}
    for name in (*STEPS, "total"):
        times_ms = [getattr(one, f"{name}_ms") for one in evicted]
        found[name] = Step(percentile(times_ms, 50), percentile(times_ms, 95),
                           sum(times_ms) / whole_ms if whole_ms else None)
    return found


def steps_table(evicted: Sequence[Evicted], of_whom: str) -> Table:
    rows = [(STEP_NAMES.get(name, name), figure(step.p50_ms), figure(step.p95_ms),
             "-" if step.share is None else f"{step.share:.0%}") for name, step in steps_of(evicted).items()]
    return Table(f"From the order to the memory back, {len(evicted)} evictions of {of_whom}",
                 ("", "p50, ms", "p95, ms", "of the whole"), rows)
