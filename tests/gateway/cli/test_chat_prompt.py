"""The line in which a person types, on a real terminal: keys, history, completion, and one that can only append."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.supervisor_home import ROOT
from tests.support.terminal import CTRL_C, CTRL_D, ENTER, TAB, UP, Terminal

PROGRAM = """
import asyncio, sys
from pathlib import Path
from gateway.cli.chat_file import TypedBefore
from gateway.cli.chat_lines import completions
from gateway.cli.chat_prompt import Prompt

async def main():
    prompt = Prompt(TypedBefore(Path(sys.argv[1])), lambda text: completions(text, ["tiny"], []), lambda: "a status")
    number = 0
    while True:
        number += 1
        try:
            print(f"read {number}: {await prompt.read()!r}")
        except KeyboardInterrupt:
            print(f"read {number}: interrupted, {'empty' if prompt.is_empty else 'not empty'}")
        except EOFError:
            return

asyncio.run(main())
"""
ALT_ENTER, CTRL_R, LEFT = "\x1b\r", "\x12", "\x1b[D"
PASTE = "\x1b[200~{}\x1b[201~"


def opened(folder: Path, term: str = "xterm-256color", columns: int = 60) -> Terminal:
    command = ["env", f"TERM={term}", sys.executable, "-P", "-c", PROGRAM, str(folder)]
    return Terminal([], {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, columns=columns, command=command)


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """One for all that type and look."""
    with opened(tmp_path_factory.mktemp("home")) as terminal:
        terminal.number = 0
        terminal.wait(">>>")
        yield terminal


def read(terminal: Terminal, keys: str) -> str:
    """What the program got for these keys."""
    terminal.number += 1
    begin = f"read {terminal.number}: "
    terminal.type(keys)
    terminal.wait(lambda text: text.endswith(">>>") and begin in text)
    return terminal.text.split(begin)[1].split("\na status")[0]


@pytest.mark.parametrize(("keys", "text"), [
    (f"hello{ENTER}", "'hello'"), (f"helo{LEFT}l{ENTER}", "'hello'"),
    (f'"""a{ENTER}b"""{ENTER}', "'\"\"\"a\\nb\"\"\"'"),
    (f"a\\{ENTER}b{ENTER}", "'a\\\\\\nb'"), (f"a{ALT_ENTER}b{ENTER}", "'a\\nb'"),
    (PASTE.format("a\nb\x1b[2J") + ENTER, "'a\\nb\\x1b[2J'"), (f"/sh{TAB}{ENTER}", "'/show'"),
    (f"/model t{TAB}{ENTER}", "'/model tiny'"), (f"/mo{TAB} /{TAB}{ENTER}", "'/model /'"), (ENTER, "''")])
def test_what_keys_give(terminal: Terminal, keys: str, text: str) -> None:
    assert read(terminal, keys) == text


def test_what_was_typed_comes_back_by_its_beginning_and_by_search(terminal: Terminal) -> None:
    for text in ("first words", "second words"):
        read(terminal, text + ENTER)
    assert read(terminal, UP + UP + ENTER) == "'first words'"
    assert read(terminal, f"sec{UP}{ENTER}") == "'second words'"
    assert read(terminal, f"{CTRL_R}first{ENTER}{ENTER}") == "'first words'"


def test_ctrl_c_ends_the_line_and_says_whether_there_was_any(terminal: Terminal) -> None:
    assert read(terminal, f"half a{CTRL_C}") == "interrupted, not empty"
    assert read(terminal, CTRL_C) == "interrupted, empty"


def test_the_status_stands_above_the_prompt_only_while_one_types(terminal: Terminal) -> None:
    assert terminal.text.endswith("a status\n>>>") and terminal.text.count("a status") == 1


def test_the_terminal_is_not_asked_for_its_cursor(terminal: Terminal) -> None:
    assert b"\x1b[6n" not in terminal.raw


def test_the_next_session_knows_what_was_typed_in_this_one(tmp_path: Path) -> None:
    for keys, text in ((f"once upon{ENTER}", "'once upon'"), (f"{UP} a time{ENTER}", "'once upon a time'")):
        with opened(tmp_path) as terminal:
            terminal.number = 0
            terminal.wait(">>>")
            assert read(terminal, keys) == text
            terminal.type(CTRL_D)
            assert terminal.end() == 0


def test_a_long_line_wraps_in_a_narrow_terminal_with_nothing_before_it(tmp_path: Path) -> None:
    with opened(tmp_path, columns=40) as terminal:
        terminal.wait(">>>")
        terminal.type("x" * 50)
        terminal.wait("x" * 14)
        terminal.wait(f">>> {'x' * 36}\n{'x' * 14}")


def test_a_dumb_terminal_gets_no_escape_sequence(tmp_path: Path) -> None:
    with opened(tmp_path, "dumb") as terminal:
        terminal.number = 0
        terminal.wait(">>>")
        assert read(terminal, f'"""a{ENTER}b"""{ENTER}').startswith("'\"\"\"a\\nb\"\"\"'")
        assert b"\x1b" not in terminal.raw
