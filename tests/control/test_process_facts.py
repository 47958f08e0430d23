"""Facts about real processes: this one, a child that lives, a child that is dead and not yet reaped."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from control.process_facts import footprint_bytes, footprint_self_bytes, is_alive, process_start_time_us
from tests.support.mac_library import processes

MIB = 1024 * 1024
NO_PROCESS = [0, -1, 2**31, 2**64 - 1]
CHILD = "import mmap, sys; block = {block}; print('ready', flush=True); sys.stdin.read()"


def start(block: str = "None") -> subprocess.Popen:
    """A child that holds what this expression gives and lives until its standard input ends."""
    child = subprocess.Popen([sys.executable, "-c", CHILD.format(block=block)], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"ready\n"
    return child


@pytest.fixture
def child() -> Iterator[subprocess.Popen]:
    with start() as child:
        yield child
        child.kill()


def test_the_start_time_names_this_process_and_stays() -> None:
    first = process_start_time_us(os.getpid())
    assert isinstance(first, int) and first > 0
    assert process_start_time_us(os.getpid()) == first


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs Linux's /proc")
def test_the_start_time_is_the_kernels_and_does_not_move_with_the_clock() -> None:
    with open("/proc/self/stat", "rb") as file:
        ticks = int(file.read().rpartition(b")")[2].split()[19])
    assert process_start_time_us(os.getpid()) == ticks * 1_000_000 // os.sysconf("SC_CLK_TCK")


def test_a_child_lives_until_it_is_dead_and_a_zombie_is_dead(child: subprocess.Popen) -> None:
    born = process_start_time_us(child.pid)
    assert born >= process_start_time_us(os.getpid())
    assert is_alive(child.pid, born)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, and still in the table of processes
    assert process_start_time_us(child.pid) in (born, None)
    assert not is_alive(child.pid, born)
    child.wait()
    assert process_start_time_us(child.pid) is None
    assert not is_alive(child.pid, born)
    assert footprint_bytes(child.pid) is None


def test_another_start_time_is_another_process() -> None:
    born = process_start_time_us(os.getpid())
    assert is_alive(os.getpid(), born)
    assert not is_alive(os.getpid(), born + 1)
    assert not is_alive(os.getpid(), 0)


@pytest.mark.parametrize("pid", NO_PROCESS)
def test_a_number_that_is_no_process(pid: int) -> None:
    assert process_start_time_us(pid) is None
    assert not is_alive(pid, 0)
    assert footprint_bytes(pid) is None


@pytest.mark.parametrize("block", [
    f"bytearray({64 * MIB})",  # anonymous pages, as weights and KV are
    f"(b := mmap.mmap(-1, {64 * MIB}), b.write(bytes({64 * MIB})))[0]",  # pages that could be shared
])
def test_the_footprint_counts_what_goes_with_the_process(child: subprocess.Popen, block: str) -> None:
    with start(block) as big:
        difference = footprint_bytes(big.pid) - footprint_bytes(child.pid)
        big.kill()
    assert 60 * MIB < difference < 90 * MIB
    assert footprint_self_bytes() > MIB


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's /proc")
def test_the_footprint_leaves_out_file_pages_that_stay(child: subprocess.Popen, tmp_path: Path) -> None:
    file, base = tmp_path / "weights", footprint_bytes(child.pid)
    file.write_bytes(bytes(64 * MIB))
    mapped = f"(f := open({str(file)!r}, 'r+b'), b := mmap.mmap(f.fileno(), 0), sum(b[::4096]))"
    with start(mapped) as reader:
        resident, difference = psutil.Process(reader.pid).memory_info().rss, footprint_bytes(reader.pid) - base
        in_memory = f"RssShmem:\t   {64 * MIB // 1024}" in Path(f"/proc/{reader.pid}/status").read_text()
        reader.kill()
    if in_memory:
        pytest.skip("the directory for temporary files is in memory, so its pages go with the file")
    assert resident > 60 * MIB and abs(difference) < 16 * MIB


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's /proc")
def test_a_zombie_has_nothing_left(child: subprocess.Popen) -> None:
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert footprint_bytes(child.pid) == 0


def test_on_macos_it_is_what_the_kernel_says(child: subprocess.Popen) -> None:
    assert footprint_bytes(child.pid, "darwin", processes({child.pid: 12 * 1024 * MIB})) == 12 * 1024 * MIB


def test_on_macos_without_that_call_it_is_the_unique_or_the_resident_set(child: subprocess.Popen) -> None:
    facts = psutil.Process(child.pid).memory_full_info()
    told = footprint_bytes(child.pid, "darwin", processes({}))
    assert 0 < told <= facts.rss and abs(told - facts.uss) < 2 * MIB
    child.kill()
    child.wait()
    assert footprint_bytes(child.pid, "darwin", processes({})) is None


def test_psutil_is_not_imported_before_it_is_needed() -> None:
    code = "import sys, control.process_facts; print({'psutil', 'ctypes'} & set(sys.modules))"
    root = Path(__file__).parents[2]
    assert subprocess.check_output([sys.executable, "-c", code], cwd=root) == b"set()\n"
