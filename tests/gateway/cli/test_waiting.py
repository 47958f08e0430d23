"""What is shown while a request waits: lines in a pipe, one moving line on a terminal, and nothing of it cut."""

import fcntl
import io
import os
import pty
import re
import struct
import termios

import pyte
import pytest

from gateway.cli import waiting
from gateway.protocol import Progress

HOSTILE = "\x1b[2Jgone\nnext"


class Screen(io.StringIO):
    """A terminal of which only the bytes matter."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    return Screen()


@pytest.mark.parametrize(("progress", "line"), [
    (Progress("1", 0, "loading", 2.0, 0.5, "loading"), "loading 50 %, about 2 s"),
    (Progress("1", 3, "queued", 12.0, 0.0, "queued"), "queued, 3 before it, about 12 s"),
    (Progress("1", 0, "memory", 9.0, 0.0, "waits for big"), "memory: waits for big"),
])
def test_what_is_waited_for_in_words(progress: Progress, line: str) -> None:
    assert waiting.described(progress) == line


def test_in_a_pipe_a_line_comes_for_each_change_and_not_for_each_event() -> None:
    stream = io.StringIO()
    with waiting.shown(stream) as show:
        for done in (0.1, 0.12, 0.19, 0.3):
            show.update(Progress("1", 0, "loading", 2.0, done))
        show.say("a note")
    assert stream.getvalue().splitlines() == ["[loading 10 %, about 2 s]", "[loading 30 %, about 2 s]", "[a note]"]


@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_terminal_that_can_only_append_gets_lines(screen: Screen, monkeypatch, term: str) -> None:
    monkeypatch.setenv("TERM", term)
    with waiting.shown(screen) as show:
        show.update(Progress("1", 0, "loading", 2.0))
    assert screen.getvalue() == "[loading, about 2 s]\n"


def test_on_a_terminal_it_is_a_line_that_goes_when_the_wait_is_over(screen: Screen, monkeypatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    with waiting.shown(screen) as show:
        show.update(Progress("1", 0, "loading", 2.0, 0.5, "half [of] it"))
    assert "━" in screen.getvalue() and "loading 50 %, about 2 s: half [of] it" in screen.getvalue()
    assert screen.getvalue().rstrip().endswith("\x1b[2K"), "erased"
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", screen.getvalue()), "no colour"


def test_nothing_is_written_before_there_is_something_to_say(screen: Screen) -> None:
    with waiting.shown(screen):
        pass
    assert screen.getvalue() == ""


@pytest.mark.parametrize("make", [Screen, io.StringIO])
def test_what_a_program_said_cannot_order_the_terminal_about(monkeypatch, make: type[io.StringIO]) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = make()
    with waiting.shown(stream) as show:
        show.say(HOSTILE)
    assert "\x1b[2Jgone" not in stream.getvalue() and "[2Jgone next" in stream.getvalue()


def test_in_a_narrow_terminal_the_words_wrap_and_none_is_lost(screen: Screen, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    words = [f"word{number}" for number in range(12)]
    with waiting.shown(screen) as show:
        show.update(Progress("1", 0, "memory", 1.0, 0.4, " ".join(words)))
    assert all(word in screen.getvalue() for word in words)


def test_a_line_longer_than_the_window_leaves_no_copy_whatever_the_environment_says(screen: Screen) -> None:
    """`screen` for its COLUMNS, which are more than there are."""
    columns, lines = 20, 10
    seen = pyte.Screen(columns, lines)
    ours, theirs = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    written = b""
    with open(ours, "rb", buffering=0) as master, open(theirs, "w") as stream:
        with waiting.shown(stream) as show:
            show.update(Progress("1", 0, "loading", 2.0, 0.5, "from a slow disk"))
            while written.count(b"disk") < len(("a frame", "and one in its place")):
                written += master.read(lines * columns)
        os.set_blocking(ours, False)
        pyte.ByteStream(seen).feed(written + master.read())
    assert "".join(seen.display).strip() == ""
