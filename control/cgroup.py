"""The memory limits that Linux control groups put on this process, and how much of each is left.

A group may hold less memory than the machine has (a container, a systemd slice), and so may every group around it; the
kernel ends processes when any of them is full, whatever the machine has free. So all of them are looked at. Version 2
groups have `memory.max` and `memory.high` (above which the kernel brakes every process; the lower of the two counts),
version 1 groups `memory.limit_in_bytes`. What is used is the group's usage less `inactive_file`: file pages that the
kernel drops first, and that reading weights leaves behind by the gigabyte.

Where the groups are is found once, since a process is not moved between groups; a limit may be changed at any time and
is read each time. What cannot be read is no limit: then the machine's own memory counts. supervisord starts all our
processes, so the limits of this one are those of the workers.
"""

from pathlib import Path, PurePosixPath
from typing import NamedTuple

STAT_MAX_BYTES = 16 * 1024


class Room(NamedTuple):
    """A group's limit and what is left of it, in bytes."""

    limit_bytes: int
    available_bytes: int


class _Version(NamedTuple):
    limits: tuple[str, ...]
    usage: str
    reclaimable: str


V1 = _Version(("memory.limit_in_bytes",), "memory.usage_in_bytes", "total_inactive_file ")
V2 = _Version(("memory.max", "memory.high"), "memory.current", "inactive_file ")


class Cgroups:
    """The groups of the process whose `/proc/PID` directory is `proc`, from the innermost on."""

    def __init__(self, proc: Path) -> None:
        self._groups = _find(proc)
        inner = next((folder for version, folder in self._groups if version is V2), None)
        self.stalls: Path | None = inner / "memory.pressure" if inner else None

    def read_rooms(self, total_bytes: int) -> list[Room]:
        """Each group that is held to less than the machine's `total_bytes`."""
        rooms = []
        for version, folder in self._groups:
            try:
                limit = min(_limit(folder / name) for name in version.limits if (folder / name).exists())
                if limit < total_bytes:
                    used = int(_read(folder / version.usage)) - _reclaimable(folder, version)
                    rooms.append(Room(int(limit), max(0, int(limit) - max(0, used))))
            except (OSError, ValueError):
                continue  # a group that is gone, or a controller that was switched off
        return rooms


def _limit(path: Path) -> float:
    text = _read(path).strip()
    return float("inf") if text == "max" else int(text)


def _reclaimable(folder: Path, version: _Version) -> int:
    for line in _read(folder / "memory.stat").splitlines():
        if line.startswith(version.reclaimable):
            return int(line.removeprefix(version.reclaimable))
    return 0


def _read(path: Path) -> str:
    with open(path, "rb") as file:
        return file.read(STAT_MAX_BYTES).decode(errors="replace")


def _find(proc: Path) -> list[tuple[_Version, Path]]:
    """Every group with a memory controller that this process is in, and those around it."""
    try:
        memberships = [line.split(":", 2) for line in _read(proc / "cgroup").splitlines() if line.count(":") >= 2]
        mounts = [line.split() for line in (proc / "mountinfo").read_text(errors="replace").splitlines()]
    except OSError:
        return []
    found = []
    for mount in mounts:
        if "-" not in mount[6:] or len(mount) < mount.index("-", 6) + 4:
            continue
        kind, _, options = mount[mount.index("-", 6) + 1:][:3]
        controllers = options.split(",")
        for _, names, path in memberships:
            if kind == "cgroup2" and not names:
                found += _upwards(V2, path, *mount[3:5])
            elif kind == "cgroup" and "memory" in controllers and "memory" in names.split(","):
                found += _upwards(V1, path, *mount[3:5])
    return found


def _upwards(version: _Version, path: str, root: str, mount: str) -> list[tuple[_Version, Path]]:
    """The group at `path` of a hierarchy whose group `root` is mounted at `mount`, and all up to the mount.

    In a container `path` may not lie below `root`; then the mount itself is the innermost group to be seen.
    """
    inner = PurePosixPath(path)
    below = inner.relative_to(root).parts if inner.is_relative_to(root) and ".." not in inner.parts else ()
    folders = [Path(mount, *below[:depth]) for depth in range(len(below), -1, -1)]
    return [(version, folder) for folder in folders if (folder / version.limits[0]).exists()]
