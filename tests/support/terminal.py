"""A program on a pseudo-terminal, seen as a person sees it: pyte keeps the screen, keys are typed, sizes change.

    with Terminal(["ps", "--watch"], stack.env, columns=60) as terminal:
        terminal.wait("guide")
        terminal.type("q")
        assert terminal.end() == 0
"""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyte

WITHIN_S = 30.0
READ_MAX_BYTES = 65_536
STALE_SIZE = {"COLUMNS": "80", "LINES": "24"}  # as programs above export it; the terminal itself knows better
CTRL_C, CTRL_D, ENTER, ESCAPE, UP, DOWN, TAB = "\x03", "\x04", "\r", "\x1b", "\x1b[A", "\x1b[B", "\t"


class Terminal:
    """`warden WORDS` (or `command`) on a terminal. `raw` is all that it wrote, escape sequences included."""

    def __init__(self, words: Sequence[str], env: Mapping[str, str], *, columns: int = 100, lines: int = 30,
                 cwd: Path | None = None, command: Sequence[str] = ()) -> None:
        self.raw = b""
        self._history = pyte.HistoryScreen(columns, lines, history=2000)
        self._stream = pyte.ByteStream(self._history)
        self._ours, theirs = pty.openpty()
        self._size(columns, lines)
        command = list(command) or [sys.executable, "-P", "-m", "gateway.cli.main", *words]
        self.process = subprocess.Popen(
            command, env={**STALE_SIZE, **env, "TERM": "xterm-256color"}, cwd=cwd, stdin=theirs, stdout=theirs,
            stderr=theirs, start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(theirs)

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(WITHIN_S)
        os.close(self._ours)

    @property
    def screen(self) -> list[str]:
        """The lines that are to be seen now, without spaces at their ends."""
        return [line.rstrip() for line in self._history.display]

    @property
    def text(self) -> str:
        """What scrolled away and what is to be seen."""
        gone = ["".join(line[column].data for column in range(self._history.columns)).rstrip()
                for line in self._history.history.top]
        return "\n".join([*gone, *self.screen]).rstrip()

    def type(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def resize(self, columns: int, lines: int) -> None:
        """The program is told by SIGWINCH."""
        self._history.resize(lines, columns)
        self._size(columns, lines)

    def wait(self, wanted: str | Callable[[str], bool], within_s: float = WITHIN_S) -> None:
        """Until a text stands in `text`, or the function of it is true."""
        is_there = wanted if callable(wanted) else lambda text: wanted in text
        give_up_at = time.monotonic() + within_s
        while not is_there(self.text):
            assert time.monotonic() < give_up_at, f"never seen: {wanted!r}\n{self.text}"
            more = self._read(give_up_at - time.monotonic())
            assert more or is_there(self.text), f"it ended before {wanted!r}:\n{self.text}"

    def end(self, within_s: float = WITHIN_S) -> int:
        """Wait until the program has ended; its exit code, negative for a signal."""
        give_up_at = time.monotonic() + within_s
        while self._read(give_up_at - time.monotonic()):
            assert time.monotonic() < give_up_at, f"it goes on\n{self.text}"
        return self.process.wait(max(0.1, give_up_at - time.monotonic()))

    def signal(self, number: int = signal.SIGINT) -> None:
        self.process.send_signal(number)

    def _read(self, wait_s: float) -> bool:
        """What there is, at most for `wait_s`. False: there will be no more."""
        if not select.select([self._ours], [], [], max(0.0, wait_s))[0]:
            return True
        try:
            data = os.read(self._ours, READ_MAX_BYTES)
        except OSError:  # how Linux says that nobody has the other end any more
            return False
        self.raw += data
        self._stream.feed(data)
        return bool(data)

    def _size(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
