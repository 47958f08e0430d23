"""What a batch tells meanwhile: a line now and then in a pipe, one line that grows on a terminal."""

import io

import pytest

from gateway.cli.batch_progress import described, shown
from gateway.client import Tally


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def told(stream: io.StringIO, tallies: list[Tally], *, answers_on_terminal: bool = False) -> str:
    with shown(tallies[0].total, stream, answers_on_terminal=answers_on_terminal) as show:
        for tally in tallies:
            show.update(tally)
        show.line("line 3: model \x1b[31m not found")
    return stream.getvalue()


def test_in_a_pipe_every_tenth_is_a_line_and_what_failed() -> None:
    lines = told(io.StringIO(), [Tally(1000, n, n // 100, 8) for n in range(0, 1000, 7)]).splitlines()
    assert len(lines) == 11 and lines[0] == "106 of 1000 (1 failed)" and lines[-1] == "line 3: model  [31m not found"


def test_a_pause_is_told_once_with_its_reason() -> None:
    pause = Tally(1000, 1, 0, 2, 12.4, "50 wait")
    again = pause._replace(pause_s=11.0, answered=2)
    lines = told(io.StringIO(), [Tally(1000, 0, 0, 8), pause, again, Tally(1000, 3, 0, 8), pause]).splitlines()
    assert lines[:2] == ["1 of 1000 (told to wait 13 s: 50 wait)"] * 2 and len(lines) == 3


def test_two_models_that_are_waited_for_in_turn_are_told_once_each() -> None:
    a, b = (Tally(1000, 0, 0, 0, 5.0, f"{name} is quarantined") for name in "ab")
    lines = told(io.StringIO(), [a, b, a, b, a._replace(pause_s=0.0, reason=""), a]).splitlines()
    assert lines[:-1] == [f"0 of 1000 (told to wait 5 s: {name} is quarantined)" for name in "aba"]


@pytest.mark.parametrize("on_terminal", [True, False])
def test_no_bar_where_the_answers_are_on_the_same_terminal(on_terminal: bool) -> None:
    text = told(Terminal(), [Tally(4, 0, 0, 2), Tally(4, 2, 1, 1)], answers_on_terminal=on_terminal)
    assert ("\x1b[" in text) is not on_terminal and "line 3: model" in text and "\x1b[31m not" not in text


def test_the_bar_is_gone_in_the_end_and_says_how_far_it_was() -> None:
    text = told(Terminal(), [Tally(4, 2, 1, 1)])
    assert "3/4" in text and "1 failed" in text and text.endswith("\x1b[2K")


def test_words_beside_the_bar() -> None:
    assert described(Tally(4, 2, 0, 2)) == ""
    assert described(Tally(4, 2, 1, 0, 3.0, "full")) == "1 failed, told to wait 3 s: full"
    assert described(Tally(4, 2, 0, 0, 0.04, "full")) == "told to wait 1 s: full"
