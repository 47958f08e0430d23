"""One reading from whatever a system says: Linux, macOS played, others; injected, failing, old."""

import os
import sys
from collections import namedtuple
from pathlib import Path

import psutil
import pytest

from control.pressure import READING_MAX_AGE_S, STALLED_PERCENT, SWAP_OVER_S, PressureReader, Reading
from control.pressure_level import Thresholds
from tests.support.linux_memory import GIB, MIB, LinuxMemory

NOW = 1_000.0
THRESHOLDS = Thresholds(0.7, 0.8, 0.9)
Memory = namedtuple("Memory", "total available")
Swap = namedtuple("Swap", "used")


class Mac:
    """psutil and the kernel's numbers on a Mac of 64 GiB, half of it free; what is set to an exception is raised."""

    def __init__(self) -> None:
        self.memory: object = Memory(64 * GIB, 32 * GIB)
        self.swap: object = Swap(0)
        self.numbers: dict[str, object] = {"kern.memorystatus_vm_pressure_level": 1, "iogpu.wired_limit_mb": 0}

    def virtual_memory(self) -> Memory:
        return given(self.memory)

    def swap_memory(self) -> Swap:
        return given(self.swap)

    def sysctl(self, name: str) -> int:
        return given(self.numbers.get(name, OSError(2, "No such file or directory")))

    def reader(self, **env: str) -> PressureReader:
        return PressureReader(env, THRESHOLDS, platform="darwin", proc=Path("/nowhere"), sysctl=self.sysctl,
                              machine=self)

    @property
    def level(self) -> object:
        return self.numbers["kern.memorystatus_vm_pressure_level"]

    @level.setter
    def level(self, level: object) -> None:
        self.numbers["kern.memorystatus_vm_pressure_level"] = level


def given(value):
    if isinstance(value, Exception):
        raise value
    return value


@pytest.fixture
def mac() -> Mac:
    return Mac()


@pytest.fixture
def linux(tmp_path: Path) -> LinuxMemory:
    return LinuxMemory(tmp_path)


def no_mac(name: str) -> int:
    raise AssertionError("only a Mac is asked this")


def on_linux(linux: LinuxMemory, machine: object = None, **env: str) -> PressureReader:
    return PressureReader(env, THRESHOLDS, platform="linux", proc=linux.proc, sysctl=no_mac, machine=machine or Mac())


# -- this machine

@pytest.mark.skipif(sys.platform not in ("linux", "darwin"), reason="another system")
def test_this_machine_is_read() -> None:
    reader = PressureReader({})
    reading = reader.read(NOW)
    assert 0 < reading.used < 1 and reading.read_at == NOW and reader.trouble == ""
    assert reading.source.startswith(sys.platform.replace("darwin", "macos"))
    assert reading.total_bytes == psutil.virtual_memory().total
    assert 0 < reading.available_bytes < reading.limit_bytes <= reading.total_bytes
    assert (reading.device_bytes > 0) == (sys.platform == "darwin")


# -- Linux

def test_linux_says_it_in_meminfo(linux: LinuxMemory) -> None:
    reader = on_linux(linux)
    assert reader.read(NOW) == Reading(0.5, "linux-meminfo", NOW, 64 * GIB, 32 * GIB, 64 * GIB, 0)
    linux.has(64 * GIB, 0)
    assert reader.read(NOW + 1)[:3] == (1.0, "linux-meminfo", NOW + 1)


def test_the_fullest_of_machine_and_groups_counts(linux: LinuxMemory) -> None:
    linux.in_group("/a/b")
    linux.limit("/a/b", 8 * GIB, 6 * GIB)
    linux.limit("/a", 16 * GIB, 7 * GIB)
    reader = on_linux(linux)
    assert reader.read(NOW) == Reading(0.75, "linux-cgroup", NOW, 64 * GIB, 2 * GIB, 8 * GIB, 0)
    linux.has(64 * GIB, 8 * GIB)  # now the machine is fuller, and the group still has the least to give
    assert reader.read(NOW) == Reading(0.875, "linux-meminfo", NOW, 64 * GIB, 2 * GIB, 8 * GIB, 0)
    linux.has(64 * GIB, 1 * GIB)
    assert reader.read(NOW).available_bytes == 1 * GIB


def test_a_machine_that_stands_still_for_memory_is_warned_of_and_no_more(linux: LinuxMemory) -> None:
    reader = on_linux(linux)
    linux.stalls(STALLED_PERCENT)
    assert reader.read(NOW)[:2] == (0.5, "linux-meminfo")
    linux.stalls(STALLED_PERCENT + 1)
    assert reader.read(NOW) == Reading(0.7, "linux-psi", NOW, 64 * GIB, 32 * GIB, 64 * GIB, 0)
    linux.stalls(100.0)
    assert reader.read(NOW).used == 0.7
    linux.has(64 * GIB, 16 * GIB)  # more is used than the warning is worth
    assert reader.read(NOW)[:2] == (0.75, "linux-meminfo")


def test_a_group_that_stands_still_is_warned_of_too(linux: LinuxMemory) -> None:
    linux.in_group("/a")
    group = linux.limit("/a", 32 * GIB, 1 * GIB)
    reader = on_linux(linux)
    assert reader.read(NOW).source == "linux-meminfo"
    linux.stalls(50.0, place=group / "memory.pressure")
    assert reader.read(NOW)[:2] == (0.7, "linux-psi")


@pytest.mark.parametrize("text", ["", "full\n", "full avg10=x\n", "some avg10=99.00\n", "full avg10=\n", None])
def test_stalls_that_nobody_counts_are_none(linux: LinuxMemory, text: str | None) -> None:
    (linux.proc / "pressure" / "memory").unlink()
    if text is not None:
        (linux.proc / "pressure" / "memory").write_text(text)
    assert on_linux(linux).read(NOW)[:2] == (0.5, "linux-meminfo")


@pytest.mark.parametrize("text", ["", "MemTotal: 5 kB\n", "MemAvailable: 5 kB\n",
                                  "MemTotal: many kB\nMemAvailable: 1 kB", None])
def test_without_meminfo_psutil_is_asked(linux: LinuxMemory, mac: Mac, text: str | None) -> None:
    (linux.proc / "meminfo").unlink()
    if text is not None:
        (linux.proc / "meminfo").write_text(text)
    mac.memory = Memory(16 * GIB, 12 * GIB)
    reader = on_linux(linux, mac)
    assert reader.read(NOW) == Reading(0.25, "psutil", NOW, 16 * GIB, 12 * GIB, 16 * GIB, 0)
    assert reader.trouble.startswith(f"{linux.proc}/meminfo: ")
    linux.has(64 * GIB, 32 * GIB)
    assert (reader.read(NOW).source, reader.trouble) == ("linux-meminfo", "")


def test_another_system_is_read_by_psutil_alone(linux: LinuxMemory, mac: Mac) -> None:
    reader = PressureReader({}, platform="freebsd14", proc=linux.proc, sysctl=no_mac, machine=mac)
    assert reader.read(NOW) == Reading(0.5, "psutil", NOW, 64 * GIB, 32 * GIB, 64 * GIB, 0)


# -- macOS

def test_a_mac_counts_its_memory_and_what_its_gpu_may_use(mac: Mac) -> None:
    reader = mac.reader()
    assert reader.read(NOW) == Reading(0.5, "macos", NOW, 64 * GIB, 32 * GIB, 64 * GIB, 48 * GIB)
    mac.memory = Memory(36 * GIB, 9 * GIB)
    assert (reader.read(NOW).used, reader.read(NOW).device_bytes) == (0.75, 24 * GIB)
    mac.numbers["iogpu.wired_limit_mb"] = 30_000
    assert reader.read(NOW).device_bytes == 30_000 * MIB
    del mac.numbers["iogpu.wired_limit_mb"]  # no such setting
    assert (reader.read(NOW).device_bytes, reader.trouble) == (24 * GIB, "")


@pytest.mark.parametrize(("level", "used", "source"), [
    (1, 0.5, "macos"), (2, 0.7, "macos-level"), (4, 0.8, "macos-level"), (0, 0.5, "macos"), (-1, 0.5, "macos")])
def test_what_macos_says_of_its_pressure_is_worth_a_level(mac: Mac, level: int, used: float, source: str) -> None:
    mac.level = level
    assert mac.reader().read(NOW)[:2] == (used, source)


def test_bytes_that_are_worse_than_what_macos_says_count(mac: Mac) -> None:
    mac.level, mac.memory = 2, Memory(64 * GIB, 8 * GIB)
    assert mac.reader().read(NOW)[:2] == (0.875, "macos")


def test_a_mac_that_does_not_say_its_pressure_goes_by_its_bytes(mac: Mac) -> None:
    reader = mac.reader()
    mac.level = OSError(1, "Operation not permitted")
    for _ in range(2):
        assert reader.read(NOW)[:2] == (0.5, "macos")
        assert reader.trouble == "kern.memorystatus_vm_pressure_level: Operation not permitted"
    mac.level = 2
    assert (reader.read(NOW).used, reader.trouble) == (0.7, "")


def test_swap_that_grows_fast_is_warned_of_and_swap_that_stays_is_not(mac: Mac) -> None:
    reader, at = mac.reader(), NOW
    sources = []
    for used in (9 * GIB, 9 * GIB, 10 * GIB, 11 * GIB, 11 * GIB, 10 * GIB):
        mac.swap = Swap(used)
        sources += [reader.read(at).source, reader.read(at + SWAP_OVER_S / 2).source]
        at += SWAP_OVER_S
    assert sources == ["macos"] * 4 + ["macos-swap"] * 4 + ["macos"] * 4


def test_a_little_swapping_between_two_quick_readings_is_nothing(mac: Mac) -> None:
    reader = mac.reader()
    for step in range(100):
        mac.swap = Swap(step * 2 * MIB)
        assert reader.read(NOW + step / 10).source == "macos"


def test_a_mac_without_swap_figures_has_its_other_ones(mac: Mac) -> None:
    reader = mac.reader()
    mac.swap = psutil.Error("no swap")
    assert reader.read(NOW)[:2] == (0.5, "macos") and reader.trouble.startswith("swap: ")
    mac.swap = Swap(5)
    assert (reader.read(NOW).source, reader.trouble) == ("macos", "")


# -- nothing to be read

@pytest.mark.parametrize("failure", [OSError("gone"), psutil.AccessDenied(), Memory(0, 0), Memory(-1, 5)])
def test_the_last_reading_stands_for_a_while_and_then_nothing_is_known(mac: Mac, failure: object) -> None:
    reader = mac.reader()
    good = reader.read(NOW)
    mac.memory = failure
    assert reader.read(NOW + READING_MAX_AGE_S) == good
    late = reader.read(NOW + READING_MAX_AGE_S + 0.1)
    assert late == good._replace(used=None, source="none")
    mac.memory = Memory(64 * GIB, 16 * GIB)
    assert reader.read(NOW + 60)[:3] == (0.75, "macos", NOW + 60)


def test_where_nothing_was_ever_read_nothing_is_known(mac: Mac) -> None:
    mac.memory = OSError("gone")
    for now in (0.5, NOW):
        assert mac.reader().read(now) == (None, "none", 0.0, 0, 0, 0, 0)


# -- injected

def test_an_injected_number_stands_for_used_and_for_nothing_else(linux: LinuxMemory, tmp_path: Path) -> None:
    file = tmp_path / "pressure"
    reader = on_linux(linux, WARDEN_PRESSURE_FILE=str(file))
    for text, used in [("0.96\n", 0.96), ("0", 0.0), ("1", 1.0), (" .5 ", 0.5), ("1.", 1.0)]:
        file.with_suffix(".new").write_text(text)
        os.rename(file.with_suffix(".new"), file)
        assert reader.read(NOW) == Reading(used, "file", NOW, 64 * GIB, 32 * GIB, 64 * GIB, 0)
        assert reader.trouble == ""


@pytest.mark.parametrize("text", ["", "x", "1.01", "-0.1", "nan", "inf", "1e-1", "0,5", "0.5 0.6", "5",
                                  "1" + "0" * 100, "\N{ARABIC-INDIC DIGIT ZERO}"])
def test_what_is_no_share_injects_nothing_and_is_said(linux: LinuxMemory, tmp_path: Path, text: str) -> None:
    file = tmp_path / "pressure"
    file.write_text(text)
    reader = on_linux(linux, WARDEN_PRESSURE_FILE=str(file))
    troubles = set()
    for _ in range(3):
        assert reader.read(NOW)[:2] == (0.5, "linux-meminfo")
        troubles.add(reader.trouble)
    (trouble,) = troubles
    assert trouble.startswith(f"WARDEN_PRESSURE_FILE {file}: ") and "is no number from 0 to 1" in trouble
    file.write_text("0.6")
    assert (reader.read(NOW).source, reader.trouble) == ("file", "")


def test_a_file_that_is_not_there_or_is_none_injects_nothing(linux: LinuxMemory, tmp_path: Path) -> None:
    file = tmp_path / "pressure"
    reader = on_linux(linux, WARDEN_PRESSURE_FILE=str(file))
    assert reader.read(NOW).source == "linux-meminfo"
    assert reader.trouble == f"WARDEN_PRESSURE_FILE {file}: No such file or directory"
    os.mkfifo(file)  # a read that would wait for a writer
    assert reader.read(NOW).source == "linux-meminfo" and "''" in reader.trouble
    file.unlink()
    file.mkdir()
    assert reader.read(NOW).source == "linux-meminfo" and "Is a directory" in reader.trouble


def test_injection_goes_on_where_nothing_else_can_be_read(mac: Mac, tmp_path: Path) -> None:
    file = tmp_path / "pressure"
    file.write_text("0.99")
    mac.memory = OSError("gone")
    reader = mac.reader(WARDEN_PRESSURE_FILE=str(file))
    assert reader.read(NOW) == (0.99, "file", NOW, 0, 0, 0, 0)
    assert reader.trouble == "psutil: gone"


def test_an_empty_variable_is_none_and_a_tilde_is_the_home(linux: LinuxMemory, tmp_path: Path) -> None:
    assert on_linux(linux, WARDEN_PRESSURE_FILE="").read(NOW).source == "linux-meminfo"
    reader = on_linux(linux, WARDEN_PRESSURE_FILE="~/no-such-pressure-file")
    reader.read(NOW)
    assert str(Path.home()) in reader.trouble
