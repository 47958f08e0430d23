"""How short of memory the machine is: one of four levels, from the share of memory in use.

What each level is for (who acts on it: `control/evictor.py`, `gateway/dispatcher.py`):

    NORMAL      nothing is done
    WARN        idle models go, but for the most useful one
    CRITICAL    every idle model goes, nothing new is loaded
    EMERGENCY   besides, no new work of the two lower classes is begun

1. A level is reached as soon as the share in use reaches its threshold, several at once if need be.
2. It is left only when the share is below the threshold less HYSTERESIS, so that a share that wavers about a threshold
   does not unload and load a model again and again.
3. No reading keeps the level: what cannot be seen has not become better, and nothing is unloaded for it either.

A level never ends an answer or a load. Pure.
"""

from enum import IntEnum
from typing import NamedTuple

HYSTERESIS = 0.02


class Level(IntEnum):
    """How short memory is; the number stands in the table."""

    NORMAL = 0
    WARN = 1
    CRITICAL = 2
    EMERGENCY = 3


class Thresholds(NamedTuple):
    """Shares of memory in use, 0..1, rising: where each level above NORMAL begins."""

    warning: float
    critical: float
    emergency: float


def next_level(level: Level, used: float | None, thresholds: Thresholds) -> Level:
    """The level after a reading of `used`, 0..1; None: there was none."""
    if used is None:
        return level
    reached = sum(used >= threshold for threshold in thresholds)
    held = sum(used >= threshold - HYSTERESIS for threshold in thresholds)
    return Level(max(reached, min(level, held)))
