"""How an answer is written: byte for byte into a pipe; readable, wrapped and with dimmed reasoning on a terminal."""

import io

import pytest

from gateway.cli.answer_screen import AnswerScreen, has_colour, say
from gateway.protocol import Tokens

HOSTILE = "a\x1b[2Jb\x07\r"


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.delenv("NO_COLOR", raising=False)


def written(stream: io.StringIO, *said: tuple[str, str], **how: bool) -> str:
    """`said`: pieces of reasoning and text."""
    screen = AnswerScreen(stream, **how)
    for thinking, text in said:
        screen.show(Tokens("1", 0, [], text, thinking))
    screen.end()
    return stream.getvalue()


def test_a_pipe_gets_the_answer_as_it_is() -> None:
    assert written(io.StringIO(), ("hm", ""), ("", HOSTILE), ("", " and a line longer than any terminal")) == (
        f"{HOSTILE} and a line longer than any terminal\n")


def test_a_terminal_gets_it_readable_and_wrapped() -> None:
    assert written(Screen(), ("", HOSTILE), ("", " and a line longer than any")) == (
        "a\ufffd[2Jb\ufffd and a line\nlonger than any\n")


def test_unwrapped_if_a_person_wants_so() -> None:
    line = "a line longer than the terminal"
    assert written(Screen(), ("", line), wraps=False) == f"{line}\n"


def test_reasoning_is_dimmed() -> None:
    assert written(Screen(), ("\nhm ", ""), ("so", ""), ("", "\n\nyes")) == "\x1b[2mhm so\n\x1b[0m\nyes\n"


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_without_colour_reasoning_stands_between_marks(monkeypatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    assert written(Screen(), ("hm", ""), ("", "yes")) == "[thinking]\nhm\n[answer]\nyes\n"
    assert not has_colour(Screen())


def test_an_answer_that_ends_while_it_reasons_leaves_no_dimmed_terminal() -> None:
    assert written(Screen(), ("hm", "")).rstrip().endswith("\x1b[0m")


def test_a_line_of_ours_is_wrapped_and_cannot_order_the_terminal_about(capsys) -> None:
    say("model\x1b[2J is not there, did you mean tiny?")
    assert capsys.readouterr().out == "model [2J is not\nthere, did you mean\ntiny?\n"
