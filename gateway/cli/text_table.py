"""Lines under a header. Only the last column, which holds sentences, wraps, and no cell is ever cut.

In a pipe nothing wraps, and in a terminal too narrow for a last column the terminal wraps whole lines.
"""

import sys
import textwrap
from collections.abc import Iterator

from gateway.cli.terminal_size import columns_of_output

GAP_COLUMNS = 2
LAST_MIN_COLUMNS = 24


def print_table(header: list[str], lines: list[list[str]]) -> None:
    for line in aligned([header, *lines], terminal_width()):
        print(line)


def terminal_width() -> int | None:
    """The columns of standard output; None if it is no terminal."""
    return columns_of_output() if sys.stdout.isatty() else None


def aligned(lines: list[list[str]], width: int | None) -> Iterator[str]:
    """The lines of a table for a terminal of `width` columns; None: of any width."""
    lines = [[printable(cell) for cell in line] for line in lines]
    widths = _widths(lines)
    left = sum(widths)
    for *cells, last in lines:
        start = "".join(cell.ljust(columns) for cell, columns in zip(cells, widths, strict=True))
        if width is None or width < left + LAST_MIN_COLUMNS:
            yield (start + last).rstrip()
            continue
        first, *rest = textwrap.wrap(last, width - left, break_on_hyphens=False) or [""]
        yield (start + first).rstrip()
        yield from (" " * left + part for part in rest)


def widest(lines: list[list[str]]) -> int:
    """What a table needs at least so that its last column can stand beside the others."""
    return sum(_widths(lines)) + LAST_MIN_COLUMNS


def _widths(lines: list[list[str]]) -> list[int]:
    """Of all columns but the last, with the gaps behind them."""
    return [max(map(len, column)) + GAP_COLUMNS for column in zip(*lines, strict=True)][:-1]


def printable(text: str) -> str:
    """Reasons may quote what a program said; a terminal must not take it for orders."""
    return "".join(character if character.isprintable() else " " for character in text)
