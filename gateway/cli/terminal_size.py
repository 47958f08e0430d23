"""How large the terminal behind a stream is now.

The terminal itself is asked, each time. COLUMNS and LINES count only where there is none to ask: a program above may
have exported them long ago (some shells do, so does every Python program that imports readline), and they follow no
change of the window.
"""

import os
import shutil
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console


def size_of(stream: TextIO) -> os.terminal_size:
    """Columns and lines, each at least 1; those of the environment, else 80 and 24, for what is no terminal."""
    try:
        size = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):  # a file, a pipe, a stream without a file, or a closed one
        size = os.terminal_size((0, 0))
    return size if min(size) > 0 else shutil.get_terminal_size()  # a terminal that nobody has told its size says 0


def columns_of_output() -> int:
    return size_of(sys.stdout).columns


def console_on(stream: TextIO) -> "Console":
    """For what moves on a terminal. rich's own takes COLUMNS for the width, whatever the terminal says."""
    from rich.console import Console, ConsoleDimensions

    class TerminalConsole(Console):
        @property
        def size(self) -> ConsoleDimensions:
            return ConsoleDimensions(*size_of(stream))

    return TerminalConsole(file=stream, force_terminal=True)
