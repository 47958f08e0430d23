"""Which limits hold this process: groups of both versions, those around them, containers, useless files."""

from pathlib import Path

import pytest

from control.cgroup import Cgroups, Room
from tests.support.linux_memory import GIB, MIB, LinuxMemory

TOTAL = 64 * GIB


@pytest.fixture
def linux(tmp_path: Path) -> LinuxMemory:
    return LinuxMemory(tmp_path)


def rooms(linux: LinuxMemory) -> list[Room]:
    return Cgroups(linux.proc / "self").read_rooms(TOTAL)


@pytest.mark.parametrize("version", [1, 2])
def test_what_is_left_of_a_limit_leaves_out_file_pages_that_go_first(linux: LinuxMemory, version: int) -> None:
    linux.in_group("/slice/warden", version)
    linux.limit("/slice/warden", 8 * GIB, 6 * GIB, 1 * GIB, version)
    assert rooms(linux) == [(8 * GIB, 3 * GIB)]


@pytest.mark.parametrize(("version", "limit"), [(2, "max"), (2, TOTAL), (1, 9_223_372_036_854_771_712)])
def test_a_group_that_may_have_the_whole_machine_is_no_limit(linux: LinuxMemory, version: int, limit: object) -> None:
    linux.in_group("/a", version)
    linux.limit("/a", limit, 6 * GIB, version=version)
    assert rooms(linux) == []


def test_every_group_around_counts_from_the_inside_out(linux: LinuxMemory) -> None:
    linux.in_group("/a/b/c")
    linux.limit("/a/b/c", 4 * GIB, 1 * GIB)
    linux.limit("/a/b", "max", 1 * GIB)
    linux.limit("/a", 8 * GIB, 7 * GIB)
    linux.limit("/a/b/other", 1 * GIB, 1 * GIB)
    assert rooms(linux) == [(4 * GIB, 3 * GIB), (8 * GIB, 1 * GIB)]


def test_a_container_sees_its_own_group_as_the_mount(linux: LinuxMemory) -> None:
    linux.limit("/", 8 * GIB, 2 * GIB)
    linux.limit("/../outside", 1 * GIB, 1 * GIB)  # not below the mount, so no group
    for path, root in (("/", "/"), ("/docker/1", "/docker/1"), ("/docker/1", "/docker/2"), ("/../outside", "/")):
        linux.in_group(path, root=root)
        assert rooms(linux) == [(8 * GIB, 6 * GIB)], (path, root)


def test_a_group_below_the_one_that_is_mounted(linux: LinuxMemory) -> None:
    linux.in_group("/docker/1/inner", root="/docker/1")
    linux.limit("/inner", 8 * GIB, 2 * GIB)
    assert rooms(linux) == [(8 * GIB, 6 * GIB)]


def test_the_brake_counts_where_it_is_lower(linux: LinuxMemory) -> None:
    linux.in_group("/a")
    group = linux.limit("/a", 8 * GIB, 2 * GIB)
    (group / "memory.high").write_text("max\n")
    assert rooms(linux) == [(8 * GIB, 6 * GIB)]
    (group / "memory.high").write_text(f"{5 * GIB}\n")
    assert rooms(linux) == [(5 * GIB, 3 * GIB)]


def test_a_limit_that_changes_is_seen_and_use_beyond_it_leaves_nothing(linux: LinuxMemory) -> None:
    linux.in_group("/a")
    linux.limit("/a", "max", 2 * GIB)
    groups = Cgroups(linux.proc / "self")
    assert groups.read_rooms(TOTAL) == []
    linux.limit("/a", 1 * GIB, 2 * GIB)
    assert groups.read_rooms(TOTAL) == [(1 * GIB, 0)]
    linux.limit("/a", 1 * GIB, 512 * MIB, inactive_file=600 * MIB)  # counted at different moments
    assert groups.read_rooms(TOTAL) == [(1 * GIB, 1 * GIB)]


def test_where_the_stalls_of_the_innermost_group_stand(linux: LinuxMemory) -> None:
    linux.in_group("/a/b")
    inner = linux.limit("/a/b", "max", 1)
    linux.limit("/a", 1 * GIB, 1)
    assert Cgroups(linux.proc / "self").stalls == inner / "memory.pressure"
    linux.in_group("/a", version=1)
    assert Cgroups(linux.proc / "self").stalls is None


def test_what_cannot_be_read_is_no_limit(linux: LinuxMemory) -> None:
    linux.in_group("/a")
    group = linux.limit("/a", 8 * GIB, 2 * GIB)
    groups = Cgroups(linux.proc / "self")
    for name, text in (("memory.max", "many"), ("memory.current", ""), ("memory.stat", "inactive_file x")):
        before = (group / name).read_text()
        (group / name).write_text(text)
        assert groups.read_rooms(TOTAL) == []
        (group / name).write_text(before)
    (group / "memory.stat").unlink()
    assert groups.read_rooms(TOTAL) == []
    (group / "memory.max").unlink()
    assert groups.read_rooms(TOTAL) == []


@pytest.mark.parametrize("name", ["cgroup", "mountinfo"])
@pytest.mark.parametrize("text", ["", "\n", "0\n", "a b c - \n", "31 22 0:27 / /nowhere rw -\n" * 3, None])
def test_a_system_that_does_not_say_where_has_no_limit(linux: LinuxMemory, name: str, text: str | None) -> None:
    linux.limit("/", 8 * GIB, 2 * GIB)
    file = linux.proc / "self" / name
    file.unlink()
    if text is not None:
        file.write_text(text)
    assert rooms(linux) == []
