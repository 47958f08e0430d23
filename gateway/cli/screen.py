"""The whole terminal for a live view: frames drawn in place, keys as they are typed, and all as before at the end.

1. Whatever ends the view (a key, Ctrl-C, TERM, an error, or Ctrl-Z for a while), the terminal gets back its own screen,
   its cursor and its echo.
2. A frame is one write, has at most as many lines as fit, and no line of it wraps. The same frame is not drawn twice.
3. A key and a change of the window's size end a wait at once.
"""

import os
import re
import select
import signal
import sys
import termios
import tty
from collections.abc import Iterable
from io import StringIO
from typing import TYPE_CHECKING

from gateway.cli.terminal_size import size_of

if TYPE_CHECKING:
    from rich.text import Text

READ_MAX_BYTES = 1024
BEGIN = "\x1b[?1049h\x1b[?25l\x1b[?7l"  # the other screen, no cursor, no wrapping
END = "\x1b[?7h\x1b[?25h\x1b[?1049l"
KEY = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1bO.|.", re.DOTALL)
UP, DOWN, PAGE_UP, PAGE_DOWN, QUIT = "up", "down", "page up", "page down", "q"
NAMES = {"\x1b[A": UP, "\x1bOA": UP, "\x1b[B": DOWN, "\x1bOB": DOWN, "\x1b[5~": PAGE_UP, "\x1b[6~": PAGE_DOWN}


def can_draw() -> bool:
    """Is standard output a terminal on which frames can be drawn in place?"""
    return sys.stdout.isatty() and os.environ.get("TERM", "") not in ("", "dumb", "unknown")


def wants_colour() -> bool:
    return can_draw() and not os.environ.get("NO_COLOR")


def rendered(lines: Iterable["Text"], width: int, *, colour: bool) -> list[str]:
    """Each as the text that a terminal of this width takes, cut where it is too long for it."""
    from rich.console import Console

    file = StringIO()
    console = Console(file=file, width=width, force_terminal=colour, color_system="standard" if colour else None,
                      legacy_windows=False, highlight=False, markup=False, emoji=False)
    for line in lines:
        console.print(line, no_wrap=True, overflow="ellipsis", crop=True)
    return file.getvalue().splitlines()


class Screen:
    """A context. Without a terminal at standard input it hears no keys."""

    def __init__(self) -> None:
        self._keyboard = sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else -1
        self._before: list = []
        self._handlers: dict[int, object] = {}
        self._wake, self._woken = -1, -1
        self._shown: tuple | None = None

    def __enter__(self) -> "Screen":
        self._wake, self._woken = os.pipe()
        for fd in (self._wake, self._woken):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(self._woken, warn_on_full_buffer=False)
        for number, handler in ((signal.SIGWINCH, lambda *_: None), (signal.SIGTSTP, self._pause),
                                (signal.SIGTERM, self._end_of), (signal.SIGHUP, self._end_of)):
            self._handlers[number] = signal.signal(number, handler)
        self._begin()
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(-1)
        os.close(self._wake)
        os.close(self._woken)

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines."""
        return tuple(size_of(sys.stdout))

    def draw(self, lines: list[str]) -> None:
        """A frame; `lines` as `rendered` gives them."""
        columns, height = self.size
        if self._shown == (columns, height, lines):
            return
        clear = self._shown is None or self._shown[:2] != (columns, height)
        self._shown = columns, height, list(lines)
        frame = "".join(f"\x1b[{row};1H\x1b[2K{line}" for row, line in enumerate(lines[:height], 1))
        rest = f"\x1b[{len(lines) + 1};1H\x1b[J" if len(lines) < height else ""
        self._write(("\x1b[H\x1b[2J" if clear else "") + frame + rest)

    def wait(self, wait_s: float) -> list[str]:
        """Keys that were typed, by name or as characters; none after `wait_s`, or if the window changed."""
        ready, _, _ = select.select([self._wake, *([self._keyboard] if self._keyboard >= 0 else [])], [], [], wait_s)
        if self._wake in ready:
            os.read(self._wake, READ_MAX_BYTES)
        if self._keyboard not in ready:
            return []
        data = os.read(self._keyboard, READ_MAX_BYTES)
        if not data:
            return [QUIT]  # nobody is there any more
        return [NAMES.get(key, key) for key in KEY.findall(data.decode(errors="replace"))]

    def _begin(self) -> None:
        if self._keyboard >= 0:
            self._before = termios.tcgetattr(self._keyboard)
            tty.setcbreak(self._keyboard)
        self._shown = None
        self._write(BEGIN)

    def _restore(self) -> None:
        self._write(END)
        if self._keyboard >= 0:
            termios.tcsetattr(self._keyboard, termios.TCSADRAIN, self._before)

    def _pause(self, *_: object) -> None:
        """Ctrl-Z: the shell gets its terminal as it was; afterwards the view goes on."""
        self._restore()
        ours = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, ours)
        self._begin()

    def _end_of(self, number: int, *_: object) -> None:
        raise SystemExit(128 + number)

    def _write(self, text: str) -> None:
        sys.stdout.buffer.write(text.encode(sys.stdout.encoding or "utf-8", errors="replace"))
        sys.stdout.buffer.flush()
