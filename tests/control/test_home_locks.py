"""Locks: held by a process and by nothing it leaves behind, and never taken by asking who holds them."""

import fcntl
import gc
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from control.home import PID_UNKNOWN, LockHeld, acquire_lock, lock_holder
from tests.support.table_files import open_descriptors

ROOT = Path(__file__).parents[2]
HOLDER = """
import sys
import threading
from pathlib import Path
from control.home import acquire_lock
lock = acquire_lock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.lock"


def test_a_lock_is_held_by_its_pid_until_it_is_released(path: Path) -> None:
    assert lock_holder(path) is None
    with acquire_lock(path) as lock:
        assert lock.path == path
        assert lock_holder(path) == os.getpid()
        assert path.stat().st_mode & 0o7777 == 0o600
        with pytest.raises(LockHeld, match=f"held by process {os.getpid()}; stop it") as caught:
            acquire_lock(path)
        assert (caught.value.path, caught.value.pid) == (path, os.getpid())
        assert lock_holder(path) == os.getpid()  # the attempt changed nothing
    assert lock_holder(path) is None
    lock.release()
    assert path.exists()
    acquire_lock(path).release()


def test_a_lock_lives_as_long_as_its_object(path: Path) -> None:
    lock = acquire_lock(path)
    assert lock_holder(path) == os.getpid()
    del lock
    gc.collect()
    assert lock_holder(path) is None


def test_the_kernel_frees_the_lock_of_a_process_that_is_killed(path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, path], cwd=ROOT, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"held\n"
        assert lock_holder(path) == child.pid
        with pytest.raises(LockHeld) as caught:
            acquire_lock(path)
        assert caught.value.pid == child.pid
        child.kill()
    assert path.read_text() == f"{child.pid}\n"  # what it left says nothing any more
    assert lock_holder(path) is None
    with acquire_lock(path):
        assert lock_holder(path) == os.getpid()


def test_a_program_that_we_execute_does_not_keep_the_lock(path: Path) -> None:
    lock = acquire_lock(path)
    with subprocess.Popen([sys.executable, "-c", "print('up', flush=True); input()"], close_fds=False,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"up\n"
        lock.release()
        assert child.poll() is None
        assert lock_holder(path) is None
        child.kill()


def test_who_asks_for_the_holder_never_looks_like_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("control.home.LOCK_TRIES", 10_000)  # so that a slow machine does not end the wait
    acquire_lock(path).release()
    asking = os.open(path, os.O_RDONLY)
    fcntl.flock(asking, fcntl.LOCK_SH)  # as lock_holder does for a moment
    assert lock_holder(path) is None
    answered = threading.Timer(0.05, os.close, (asking,))
    answered.start()
    with acquire_lock(path):
        assert lock_holder(path) == os.getpid()
    answered.join()


@pytest.mark.parametrize("text", ["", f"{2**22 + 1}\n", "no pid\n", "9" * 32])
def test_a_holder_that_has_not_written_its_pid_is_a_holder(path: Path, text: str,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("control.home.LOCK_TRIES", 2)
    path.write_text(text)
    with open(path, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert lock_holder(path) == PID_UNKNOWN
        with pytest.raises(LockHeld, match="held by a process that is just starting") as caught:
            acquire_lock(path)
    assert caught.value.pid == PID_UNKNOWN
    assert lock_holder(path) is None


def test_a_symlink_is_no_lock_file(path: Path, tmp_path: Path) -> None:
    path.symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="symbolic links"):
        acquire_lock(path)
    assert not (tmp_path / "target").exists()


def test_taking_and_asking_leaks_no_descriptor(path: Path) -> None:
    before = open_descriptors()
    with acquire_lock(path):
        lock_holder(path)
        with pytest.raises(LockHeld):
            acquire_lock(path)
    assert open_descriptors() == before
