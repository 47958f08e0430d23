"""How large a terminal is: it is asked itself, whatever the environment says, and anew each time."""

import fcntl
import io
import pty
import struct
import termios
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

import pytest

from gateway.cli.terminal_size import console_on, size_of

Resize = Callable[[int, int], None]


@pytest.fixture(autouse=True)
def stale_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    monkeypatch.setenv("LINES", "7")
    monkeypatch.setenv("TERM", "xterm-256color")


@pytest.fixture
def window() -> Iterator[tuple[TextIO, Resize]]:
    ours, theirs = pty.openpty()
    with open(ours, "rb"), open(theirs, "w") as stream:
        yield stream, lambda columns, lines: fcntl.ioctl(ours, termios.TIOCSWINSZ,
                                                         struct.pack("HHHH", lines, columns, 0, 0))


def test_the_terminal_is_asked_each_time_and_not_the_environment(window: tuple[TextIO, Resize]) -> None:
    stream, resize = window
    console = console_on(stream)
    for size in ((33, 11), (120, 40)):
        resize(*size)
        assert size_of(stream) == size and console.size == size and console.width == size[0]


def test_a_terminal_that_does_not_know_its_size_has_that_of_the_environment(window: tuple[TextIO, Resize]) -> None:
    assert size_of(window[0]) == (70, 7)


def test_what_is_no_terminal_has_the_size_of_the_environment(tmp_path: Path) -> None:
    with open(tmp_path / "file", "w") as file:
        assert size_of(file) == (70, 7)
    assert size_of(file) == (70, 7), "closed"
    assert size_of(io.StringIO()) == (70, 7)
