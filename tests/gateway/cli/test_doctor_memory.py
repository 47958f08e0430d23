"""What follows from memory, its ceiling, its pressure, and the room on disks."""

import pytest

from control.budget import GIB, MIB, Ceiling
from control.pressure_level import Level
from gateway.cli.doctor_memory import DiskFact, MemoryFact, Place, check_disk, check_memory
from tests.support.findings import levels, told

MAC = MemoryFact(64 * GIB, 40 * GIB, 64 * GIB, 48 * GIB, 41.0, "darwin", Level.NORMAL,
                 Ceiling(48 * GIB, "what the GPU is recommended to use"))
HOME, CACHE = Place("disk of the home", "/h", 50 * GIB), Place("disk of the cache", "/c", 50 * GIB)


@pytest.mark.parametrize(("changes", "level", "words"), [
    ({}, "ok", ("64.0 GiB", "41 % used")),
    ({}, "ok", ("48.0 GiB", "what the GPU is recommended to use")),
    ({"wired_limit_mb": 57344}, "ok", ("iogpu.wired_limit_mb = 57344",)),
    ({"total_bytes": 0, "trouble": "meminfo: gone"}, "problem", ("meminfo: gone", "memory_budget_gb")),
    ({"ceiling": Ceiling(GIB, "90 % of this control group's limit"), "limit_bytes": GIB}, "warning",
     ("control group", "container")),
    ({"ceiling": Ceiling(GIB, "memory_budget_gb, as configured")}, "warning", ("raise memory_budget_gb",)),
    ({"ceiling": Ceiling(GIB, "90 % of this machine's memory")}, "warning", ("small models",)),
    ({"ceiling": Ceiling(48 * GIB, "the GPU; memory_budget_gb = 60 is more, and was cut")}, "note", ("lower",)),
    ({"level": Level.WARN, "used_percent": 88.0}, "warning", ("88 %", "idle models", "quit")),
    ({"level": Level.CRITICAL, "used_percent": 96.0}, "problem", ("critical", "96 %", "nothing is loaded")),
    ({"level": Level.EMERGENCY}, "problem", ("emergency",)),
    ({"source": "file"}, "warning", ("WARDEN_PRESSURE_FILE", "unset")),
    ({"swap_used_bytes": 20 * GIB}, "note", ("20.0 GiB", "disk")),
    ({"trouble": "sysctl x: no"}, "note", ("sysctl x: no",)),
])
def test_memory(changes: dict, level: str, words: tuple[str, ...]) -> None:
    told(check_memory(MAC._replace(**changes)), level, *words)


def test_memory_whose_use_is_unknown_is_no_trouble() -> None:
    assert levels(check_memory(MAC._replace(used_percent=None))) == ["ok", "ok"]


@pytest.mark.parametrize(("place", "level", "words"), [
    (HOME._replace(free_bytes=50 * MIB), "problem", ("full", "50 MiB", "/h")),
    (HOME._replace(free_bytes=500 * MIB), "warning", ("nearly full", "free some space")),
    (HOME._replace(kind="nfs4"), "warning", ("network", "nfs4", "WARDEN_HOME")),
    (HOME._replace(path="/Users/me/Library/CloudStorage/x/warden"), "warning", ("synchronised", "WARDEN_HOME")),
    (HOME._replace(kind="apfs"), "ok", ("50.0 GiB",)),
])
def test_the_disk_of_the_home(place: Place, level: str, words: tuple[str, ...]) -> None:
    told(check_disk(DiskFact((place,), 0)), level, *words)


def test_the_cache_may_lie_on_a_network_and_needs_more_room() -> None:
    full = CACHE._replace(free_bytes=5 * GIB, kind="nfs")
    told(check_disk(DiskFact((HOME, full), 0)), "warning", "nearly full", "HF_HOME")
    assert levels(check_disk(DiskFact((HOME, CACHE._replace(kind="nfs")), 0))) == ["ok", "ok"]


def test_large_logs_are_told_with_their_place() -> None:
    told(check_disk(DiskFact((HOME,), 3 * GIB, "/h/logs")), "note", "3.0 GiB", "/h/logs")
