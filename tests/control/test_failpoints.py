"""Failpoints in real processes: each action where it is armed, once, and nothing without the variable."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from control.failpoints import failpoint
from tests.support.armed import arm, has_acted

ROOT = Path(__file__).parents[2]
ENDS_WITHIN_S = 30
CHILD = """
import sys
from control.failpoints import Failpoint, failpoint
for line in sys.stdin:
    try:
        failpoint(line.strip())
        print("passed", line.strip(), flush=True)
    except Failpoint as failed:
        print("failed", failed, flush=True)
"""


class Passing:
    """A process that passes the failpoints whose names it is given."""

    def __init__(self, directory: str | None) -> None:
        env = {key: value for key, value in os.environ.items() if key != "WARDEN_FAILPOINTS"}
        if directory is not None:
            env["WARDEN_FAILPOINTS"] = directory
        self.process = subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, cwd=ROOT, env=env)

    def give(self, name: str) -> None:
        self.process.stdin.write(f"{name}\n")
        self.process.stdin.flush()

    def passes(self, name: str) -> str:
        """What the process says after it; "" if it said nothing and ended."""
        self.give(name)
        return self.process.stdout.readline().strip()


@pytest.fixture
def start() -> Iterator[Callable[[str | None], Passing]]:
    started: list[Passing] = []

    def starter(directory: str | None) -> Passing:
        started.append(Passing(directory))
        return started[-1]

    yield starter
    for child in started:
        with child.process as process:  # closes its pipes and waits for it
            process.kill()


def test_kill_is_sigkill_at_this_place(tmp_path: Path, start) -> None:
    child = start(str(tmp_path))
    arm(tmp_path, "control.fence.before", "kill")
    assert child.passes("control.fence.after") == "passed control.fence.after"
    assert not has_acted(tmp_path, "control.fence.before")
    assert child.passes("control.fence.before") == ""
    assert child.process.wait(ENDS_WITHIN_S) == -signal.SIGKILL
    assert has_acted(tmp_path, "control.fence.before")


def test_stop_holds_the_process_until_it_is_continued(tmp_path: Path, start) -> None:
    child = start(str(tmp_path))
    arm(tmp_path, "x", "stop\n")
    child.give("x")
    told = os.waitid(os.P_PID, child.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    assert (told.si_code, told.si_status) == (os.CLD_STOPPED, signal.SIGSTOP)
    os.kill(child.process.pid, signal.SIGCONT)
    assert child.process.stdout.readline() == "passed x\n"


def test_each_is_armed_anew_and_acts_once_in_one_process(tmp_path: Path, start) -> None:
    one, other = start(str(tmp_path)), start(str(tmp_path))
    for _ in range(2):
        arm(tmp_path, "x", "fail")
        assert one.passes("x") == "failed x"
        assert (one.passes("x"), other.passes("x")) == ("passed x", "passed x")
    assert os.listdir(tmp_path) == ["x.hit"]


def test_a_word_that_is_no_action_fails_loudly(tmp_path: Path, start) -> None:
    arm(tmp_path, "x", "explode")
    assert start(str(tmp_path)).passes("x") == "failed x: 'explode' is no action; write kill, stop or fail"


def test_without_the_variable_nothing_is_looked_at(tmp_path: Path, start) -> None:
    for directory in (None, ""):
        arm(tmp_path, "x", "kill")
        assert start(directory).passes(str(tmp_path / "x")) == f"passed {tmp_path / 'x'}"
    assert not has_acted(tmp_path, "x")
    failpoint("x")  # this process has none either


def test_a_directory_that_is_gone_is_no_failpoint(tmp_path: Path, start) -> None:
    assert start(str(tmp_path / "gone")).passes("x") == "passed x"
