"""FAULTS row 38: supervisord's answers come late, or not at all. What serves goes on serving; loads wait for it.

A stand-in takes the place of supervisord's socket and hands on what it is asked, as late as the test says.
"""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from control.states import Phase
from tests.support.live_stack import LiveStack
from tests.support.supervisor_home import wait_until
from tests.support.transcripts import Caller, Transcript, calling

pytestmark = pytest.mark.integration

SETTINGS = """
[control]
prewarm = 0
[limits]
rate_limit_max = 0
[models.a]
engine = "echo"
[models.b]
engine = "echo"
"""
LATE_S = 1.5
CHUNK_BYTES = 65_536


class SlowDoor:
    """Stands at `path`; what it is asked goes on to the real socket, whose answer comes `late_s` later or never."""

    def __init__(self, path: Path, real: Path) -> None:
        self.late_s, self.lost, self.asked = 0.0, False, 0
        self._real = real
        self._closing = threading.Event()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(16)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                caller, _ = self._listener.accept()
            except OSError:
                return  # closed
            self.asked += 1
            threading.Thread(target=self._hand_on, args=(caller,), daemon=True).start()

    def _hand_on(self, caller: socket.socket) -> None:
        with caller, socket.socket(socket.AF_UNIX) as real:
            if self.lost:
                self._closing.wait()
                return
            real.connect(str(self._real))
            back = threading.Thread(target=self._answer, args=(real, caller, self.late_s), daemon=True)
            back.start()
            pass_on(caller, real)
            back.join()

    def _answer(self, real: socket.socket, caller: socket.socket, late_s: float) -> None:
        self._closing.wait(late_s)
        pass_on(real, caller)

    def close(self) -> None:
        self._closing.set()
        self._listener.close()


def pass_on(source: socket.socket, target: socket.socket) -> None:
    """Until one of the two has had enough."""
    try:
        while data := source.recv(CHUNK_BYTES):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


@contextmanager
def slow_door(stack: LiveStack) -> Iterator[SlowDoor]:
    path = stack.paths.supervisor_socket
    real = path.with_name("real.sock")
    os.rename(path, real)
    door = SlowDoor(path, real)
    try:
        yield door
    finally:
        os.rename(real, path)
        door.close()


def test_row_38_while_supervisord_is_late_or_silent_answers_go_on_and_a_load_is_only_late(make_stack):
    stack = make_stack(SETTINGS).up()
    stack.load("a")
    with slow_door(stack) as door, calling(Caller(stack, ("a",), 30)) as [caller]:
        door.late_s = LATE_S
        asked = door.asked
        wait_until("control to ask it again and again", lambda: door.asked > asked + 2)
        Transcript(stack, "b", "#tokens=30").check_whole(30)
        assert stack.starts_of("b") == 1, "started once, although the answer to that was late"

        door.lost = True
        read_at_ns = stack.control_words().supervisord_at_ns
        wait_until("control to know nothing new", lambda: (
            stack.control_words().heartbeat_ns - read_at_ns > 2.5e9))
        assert stack.phase("a") is Phase.READY and stack.phase("b") is Phase.READY, "nobody is taken for dead"
        heard = caller.answered("a")
        wait_until("a to answer on", lambda: caller.answered("a") > heard)
        Transcript(stack, "b", "#tokens=30").check_whole(30)
        door.lost, door.late_s = False, 0.0
        known_at_ns = stack.control_words().supervisord_at_ns
        wait_until("news of the processes", lambda: stack.control_words().supervisord_at_ns > known_at_ns)
    assert stack.control_words().forced_kills == 0
    assert (stack.starts_of("a"), stack.starts_of("b")) == (1, 1)
