"""A made-up `/proc` and the control groups it speaks of, as files: what Linux says about memory, at will."""

from pathlib import Path

MIB = 1024**2
GIB = 1024**3


class LinuxMemory:
    """A machine of 64 GiB, half of it free, whose process is in no group that limits it."""

    def __init__(self, root: Path) -> None:
        self.proc = root / "proc"
        self.mount = root / "cgroup"
        (self.proc / "self").mkdir(parents=True)
        (self.proc / "pressure").mkdir()
        self.mount.mkdir()
        self.has(64 * GIB, 32 * GIB)
        self.stalls(0.0)
        self.in_group("/")

    def has(self, total: int, available: int) -> None:
        """What /proc/meminfo says."""
        (self.proc / "meminfo").write_text(
            f"MemTotal:       {total // 1024} kB\nMemFree:        {available // 4096} kB\n"
            f"MemAvailable:   {available // 1024} kB\nBuffers:            3180 kB\nHugePages_Total:       0\n")

    def stalls(self, full_percent: float, some_percent: float = 99.0, place: Path | None = None) -> None:
        """What PSI says of the last ten seconds."""
        (place or self.proc / "pressure" / "memory").write_text(
            f"some avg10={some_percent:.2f} avg60=99.00 avg300=99.00 total=18446744073709551615\n"
            f"full avg10={full_percent:.2f} avg60=99.00 avg300=99.00 total=18446744073709551615\n")

    def in_group(self, path: str, version: int = 2, root: str = "/") -> None:
        """The process's group, and the group that is mounted."""
        member = f"0::{path}\n" if version == 2 else f"9:name=systemd:/x\n4:cpu,memory:{path}\n0::/\n"
        (self.proc / "self" / "cgroup").write_text(member)
        kind = "cgroup2 cgroup2 rw,nsdelegate" if version == 2 else "cgroup cgroup rw,memory"
        (self.proc / "self" / "mountinfo").write_text(
            "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
            f"30 22 0:26 / {self.mount}/elsewhere rw - cgroup cgroup rw,cpu\n"
            f"31 22 0:27 {root} {self.mount} rw,nosuid shared:9 master:3 - {kind}\n")

    def limit(self, path: str, limit: int | str, usage: int, inactive_file: int = 0, version: int = 2) -> Path:
        """Make a group below the mount with a limit; returns its directory."""
        group = self.mount / path.strip("/")
        group.mkdir(parents=True, exist_ok=True)
        names = ("memory.max", "memory.current") if version == 2 else ("memory.limit_in_bytes", "memory.usage_in_bytes")
        for name, value in zip(names, (limit, usage), strict=True):
            (group / name).write_text(f"{value}\n")
        total = "" if version == 2 else f"inactive_file 1\ntotal_inactive_file {inactive_file}\n"
        (group / "memory.stat").write_text(total or f"anon 5\nfile 6\ninactive_file {inactive_file}\nactive_file 7\n")
        return group
