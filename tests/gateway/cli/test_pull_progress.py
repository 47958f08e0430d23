"""How far a pull is: one sum over all files, whatever was there before, and a line for each tenth in a pipe."""

import io

import pytest

from gateway.cli.pull_progress import Tally, amount, shown
from gateway.protocol import Fetching

MB = 10**6


def tally(*news: tuple) -> Tally:
    """`news`: status, file, total, completed, the last two in MB."""
    found = Tally()
    for status, file, total, completed in news:
        found = found.with_news(Fetching("1", status, file, "", total * MB, completed * MB))
    return found


WHOLE = ("pulling manifest", "", 100, 0)


@pytest.mark.parametrize(("news", "come", "total"), [
    ([], 0, 0),
    ([WHOLE], 0, 100),
    ([WHOLE, ("pulling", "a", 20, 0), ("pulling", "a", 20, 20), ("pulling", "b", 80, 0), ("pulling", "b", 80, 8)],
     28, 100),
    ([("pulling manifest", "", 100, 50), ("pulling", "b", 80, 40), ("pulling", "b", 80, 48)], 58, 100),
    ([("pulling manifest", "", 100, 90), ("pulling", "b", 80, 80)], 90, 100),
    ([("pulling", "a", 20, 20), ("pulling", "b", 80, 8)], 28, 100),
    ([WHOLE, ("pulling", "a", 100, 0), ("pulling", "a", 100, 100), ("verifying sha256 digest", "a", 100, 10)],
     100, 100),
])
def test_the_sum(news: list[tuple], come: int, total: int) -> None:
    found = tally(*news)
    assert (found.bytes, found.total_bytes) == (come * MB, total * MB)


def test_in_a_pipe_a_line_for_each_step_and_each_tenth() -> None:
    stream, found = io.StringIO(), Tally()
    with shown("org/tiny", stream) as show:
        for news in (("pulling manifest", "", 0, 0), WHOLE, *(("pulling", "a", 100, done) for done in range(0, 101, 4)),
                     ("writing manifest", "", 0, 0)):
            found = found.with_news(Fetching("1", news[0], news[1], "", news[2] * MB, news[3] * MB))
            show.update(found)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "[org/tiny: pulling manifest]" and lines[-1] == "[org/tiny: writing manifest]"
    assert " ".join(line.split()[1] for line in lines[1:-1]) == "0 12 20 32 40 52 60 72 80 92 100"
    assert lines[2] == "[org/tiny: 12 %, 12.0 MB of 100.0 MB]"


@pytest.mark.parametrize(("count", "text"), [
    (0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (2_400_000_000, "2.4 GB")])
def test_bytes_in_words(count: int, text: str) -> None:
    assert amount(count) == text


def test_on_a_terminal_it_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "40")
    screen = Screen()
    with shown("org/[tiny]", screen) as show:
        show.update(tally(WHOLE, ("pulling", "a\x1b[2Jb", 100, 0), ("pulling", "a\x1b[2Jb", 100, 43)))
    assert "org/[tiny]" in screen.getvalue() and "43%" in screen.getvalue() and "43.0/100.0 MB" in screen.getvalue()
    assert "\x1b[2Jb" not in screen.getvalue()
