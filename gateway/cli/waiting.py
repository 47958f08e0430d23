"""What a request waits for, while it waits: one line that moves on a terminal, else a line whenever something changes.

`load`, `ask` and `run` show it the same way. On a terminal it is gone when the wait is over; it wraps where that
is narrow, and nothing of it is cut.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TextIO

from gateway.cli.terminal_size import console_on
from gateway.cli.text_table import printable

if TYPE_CHECKING:
    from gateway.protocol import Progress

STEP_PERCENT = 10  # of a load that is told in lines
BAR_COLUMNS, BAR_COLUMNS_NARROW, NARROW_COLUMNS = 24, 10, 60
FRAMES_PER_S = 8


class Shown(Protocol):
    def update(self, progress: "Progress") -> None: ...

    def say(self, text: str) -> None:
        """Something else than progress is known for the moment."""


def can_move(stream: TextIO) -> bool:
    """Is this a terminal on which a line can be written anew?"""
    return stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb", "unknown")


@contextmanager
def shown(stream: TextIO) -> Iterator[Shown]:
    """For as long as the block runs. Nothing is written before the first `update` or `say`."""
    if not can_move(stream):
        yield Lines(stream)
        return
    line = MovingLine(stream)
    try:
        yield line
    finally:
        line.close()


class Lines:
    """A line whenever something else is waited for, or STEP_PERCENT more are loaded."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._last: object = None

    def update(self, progress: "Progress") -> None:
        step = (progress.reason, progress.detail, int(progress.load_progress * 100) // STEP_PERCENT)
        if step != self._last:
            self.say(described(progress))
        self._last = step

    def say(self, text: str) -> None:
        print(f"[{printable(text)}]", file=self._stream, flush=True)


class MovingLine:
    """A spinner, or a bar where it is known how far a load is, and why it waits."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = self._spinner = None
        self._done, self._text = 0.0, ""

    def update(self, progress: "Progress") -> None:
        self._show(progress.load_progress, described(progress))

    def say(self, text: str) -> None:
        self._show(0.0, text)

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _show(self, done: float, text: str) -> None:
        from rich.live import Live
        from rich.spinner import Spinner

        self._done, self._text = done, printable(text)
        if self._live is None:
            self._spinner = Spinner("dots")
            self._live = Live(get_renderable=self._render, transient=True, refresh_per_second=FRAMES_PER_S,
                              console=console_on(self._stream), redirect_stdout=False,
                              redirect_stderr=False)
            self._live.start()

    def _render(self) -> object:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        line = Table.grid(padding=(0, 1))
        narrow = self._live is not None and self._live.console.width < NARROW_COLUMNS
        width = BAR_COLUMNS_NARROW if narrow else BAR_COLUMNS
        begin = ProgressBar(total=1.0, completed=self._done, width=width) if self._done else self._spinner
        line.add_row(begin, Text(self._text, overflow="fold"))
        return line


def described(progress: "Progress") -> str:
    """What is waited for, where in the queue, how far it is and for how long, as far as anybody can know."""
    percent = f" {progress.load_progress * 100:.0f} %" if progress.load_progress else ""
    position = f", {progress.position} before it" if progress.position else ""
    about = "" if progress.reason == "memory" else f", about {progress.estimate_s:.0f} s"  # nobody can know that
    more = f": {progress.detail}" if progress.detail not in ("", progress.reason) else ""
    return f"{progress.reason}{percent}{position}{about}{more}"
