"""Facts about real processes: this one, a child that lives, a child that is dead and not yet reaped."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from control.process_facts import footprint_bytes, footprint_self_bytes, is_alive, process_start_time_us

MIB = 1024 * 1024
NO_PROCESS = [0, -1, 2**31, 2**64 - 1]
CHILD = "import sys; block = bytearray({size}); print('ready', flush=True); sys.stdin.read()"


def start(size: int = 0) -> subprocess.Popen:
    """A child that holds `size` bytes and lives until its standard input ends."""
    child = subprocess.Popen([sys.executable, "-c", CHILD.format(size=size)], stdin=subprocess.PIPE,
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


def test_the_footprint_counts_what_a_process_holds(child: subprocess.Popen) -> None:
    with start(64 * MIB) as big:
        assert footprint_bytes(big.pid) > footprint_bytes(child.pid) + 60 * MIB
        big.kill()
    assert footprint_self_bytes() > MIB


def test_psutil_is_not_imported_before_it_is_needed() -> None:
    code = "import sys, control.process_facts; print('psutil' in sys.modules)"
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    assert subprocess.check_output([sys.executable, "-c", code], cwd=root) == b"False\n"
