"""Lines under a header. Only the last column, which holds sentences, wraps, and no cell is ever cut.

In a pipe nothing wraps, and in a terminal too narrow for a last column the terminal wraps whole lines.
"""

import shutil
import sys
import textwrap
from collections.abc import Iterator

GAP_COLUMNS = 2
LAST_MIN_COLUMNS = 24


def print_table(header: list[str], lines: list[list[str]]) -> None:
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for line in aligned([header, *lines], width):
        print(line)


def aligned(lines: list[list[str]], width: int | None) -> Iterator[str]:
    """The lines of a table for a terminal of `width` columns; None: of any width."""
    lines = [[printable(cell) for cell in line] for line in lines]
    widths = [max(map(len, column)) + GAP_COLUMNS for column in zip(*lines, strict=True)][:-1]
    left = sum(widths)
    for *cells, last in lines:
        start = "".join(cell.ljust(columns) for cell, columns in zip(cells, widths, strict=True))
        if width is None or width < left + LAST_MIN_COLUMNS:
            yield (start + last).rstrip()
            continue
        first, *rest = textwrap.wrap(last, width - left, break_on_hyphens=False) or [""]
        yield (start + first).rstrip()
        yield from (" " * left + part for part in rest)


def printable(text: str) -> str:
    """Reasons may quote what a program said; a terminal must not take it for orders."""
    return "".join(character if character.isprintable() else " " for character in text)
