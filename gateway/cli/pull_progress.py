"""How far a pull is: the sum over all its files, and the one that comes now.

On a terminal three lines that move: the model; bar, bytes, speed, time left; the file. Else a line for each tenth and
for each step besides the bytes. What was there before, or had begun, counts as come and not as speed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, Protocol, TextIO

from gateway.cli.terminal_size import console_on
from gateway.cli.text_table import printable
from gateway.cli.waiting import can_move

if TYPE_CHECKING:
    from gateway.protocol import Fetching

STEPS = 10  # lines for the whole of it
UNITS = (("GB", 10**9), ("MB", 10**6), ("kB", 10**3), ("bytes", 1))


class Part(NamedTuple):
    """A file: bytes in all, come, and come before it was heard of first."""

    total_bytes: int
    bytes: int
    before_bytes: int


class Tally(NamedTuple):
    """What was heard so far. `whole_bytes` 0: nobody has said it, so the files heard of count as all."""

    status: str = ""
    file: str = ""
    parts: tuple[tuple[str, Part], ...] = ()
    whole_bytes: int = 0
    there_bytes: int = 0

    @property
    def total_bytes(self) -> int:
        return self.whole_bytes or sum(part.total_bytes for _, part in self.parts)

    @property
    def bytes(self) -> int:
        if not self.whole_bytes:
            return sum(part.bytes for _, part in self.parts)
        come = self.there_bytes + sum(part.bytes - part.before_bytes for _, part in self.parts)
        return max(0, min(come, self.whole_bytes))

    @property
    def how_far(self) -> str:
        return f"{amount(self.bytes)} of {amount(self.total_bytes)}"

    def with_news(self, news: "Fetching") -> "Tally":
        """A digest that is being checked says nothing about what has come."""
        if not news.file:
            return self._replace(status=news.status, file="", whole_bytes=news.total_bytes or self.whole_bytes,
                                 there_bytes=news.completed_bytes if news.total_bytes else self.there_bytes)
        parts, done = dict(self.parts), news.completed_bytes
        known = parts.get(news.file)
        if news.status.startswith("verifying"):
            done = known.bytes if known else news.total_bytes
        parts[news.file] = Part(news.total_bytes, done, known.before_bytes if known else done)
        return self._replace(status=news.status, file=news.file, parts=tuple(parts.items()))


def amount(count: int) -> str:
    """Bytes as disks and networks count them: powers of ten."""
    name, size = next((unit for unit in UNITS if count >= unit[1]), UNITS[-1])
    return f"{count / size:.1f} {name}" if size > 1 else f"{count} {name}"


class Shown(Protocol):
    def update(self, tally: Tally) -> None: ...


@contextmanager
def shown(name: str, stream: TextIO) -> Iterator[Shown]:
    if not can_move(stream):
        yield Lines(name, stream)
        return
    from rich.console import Group
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TaskProgressColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.table import Column
    from rich.text import Text

    class Movement(Progress):
        """The bar between two lines of text, which wrap."""

        below = ""

        def get_renderables(self) -> "Iterator[Group]":
            yield Group(Text(printable(name), overflow="fold"), self.make_tasks_table(self.tasks),
                        Text(printable(self.below), overflow="fold", style="dim"))

    numbers = (TaskProgressColumn, DownloadColumn, TransferSpeedColumn, TimeRemainingColumn)
    columns = (BarColumn(bar_width=None), *(number(table_column=Column(no_wrap=True)) for number in numbers))
    with Movement(*columns, console=console_on(stream), transient=True, expand=True) as moving:
        yield Bar(moving)


class Bar:
    def __init__(self, moving) -> None:
        self._moving, self._task = moving, None

    def update(self, tally: Tally) -> None:
        self._moving.below = f"{tally.status} {tally.file}".strip()
        if not tally.total_bytes:
            self._moving.refresh()
        elif self._task is None:
            self._task = self._moving.add_task("", total=tally.total_bytes, completed=tally.bytes)
        else:
            self._moving.update(self._task, total=tally.total_bytes, completed=tally.bytes)


class Lines:
    def __init__(self, name: str, stream: TextIO) -> None:
        self._name, self._stream = name, stream
        self._status, self._step = "", -1

    def update(self, tally: Tally) -> None:
        step = tally.bytes * STEPS // tally.total_bytes if tally.total_bytes else -1
        if step > self._step:
            self._say(f"{tally.bytes * 100 // tally.total_bytes} %, {tally.how_far}")
        elif not tally.file and tally.status != self._status:
            self._say(tally.status)
        self._status, self._step = tally.status, max(step, self._step)

    def _say(self, text: str) -> None:
        print(printable(f"[{self._name}: {text}]"), file=self._stream, flush=True)
