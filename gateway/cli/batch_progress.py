"""How far a batch is, on stderr: one line that grows on a terminal, else a line for every tenth and for each pause.

Nothing of it goes to stdout, which may hold the answers; where both are the same terminal, lines are used and no bar.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

from gateway.cli.terminal_size import console_on
from gateway.cli.text_table import printable
from gateway.client import Tally

STEPS = 10  # lines for the whole of it


class Shown(Protocol):
    def update(self, tally: Tally) -> None: ...

    def line(self, text: str) -> None:
        """Something that stays: a request that failed, for what reason."""


@contextmanager
def shown(total: int, terminal: TextIO, *, answers_on_terminal: bool) -> Iterator[Shown]:
    if not terminal.isatty() or answers_on_terminal:
        yield Lines(terminal)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(bar_width=20), MofNCompleteColumn(), TimeRemainingColumn(compact=True),
               TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=console_on(terminal), transient=True) as progress:
        yield Bar(progress, progress.add_task("", total=total))


def described(tally: Tally) -> str:
    """What the numbers beside the bar do not say."""
    parts = [f"{tally.failed} failed"] * bool(tally.failed)
    if tally.pause_s:
        parts.append(f"told to wait {math.ceil(tally.pause_s)} s: {tally.reason}")
    return ", ".join(parts)


class Bar:
    def __init__(self, progress, task) -> None:
        self._progress, self._task = progress, task

    def update(self, tally: Tally) -> None:
        self._progress.update(self._task, completed=tally.answered + tally.failed, description=described(tally))

    def line(self, text: str) -> None:
        self._progress.console.print(printable(text), markup=False, highlight=False, soft_wrap=True)


class Lines:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._step = 0
        self._told: set[str] = set()  # reasons of this pause: two models may be waited for in turn

    def update(self, tally: Tally) -> None:
        ended = tally.answered + tally.failed
        step, is_new = ended * STEPS // tally.total, tally.reason not in self._told
        if step != self._step or (tally.reason and is_new):
            more = described(tally if is_new else tally._replace(pause_s=0.0))
            self.line(f"{ended} of {tally.total}" + (f" ({more})" if more else ""))
        self._step = step
        self._told = self._told | {tally.reason} if tally.reason else set()

    def line(self, text: str) -> None:
        print(printable(text), file=self._stream, flush=True)
