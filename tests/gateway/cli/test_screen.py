"""A live view's terminal: frames in place, keys by name, and whatever ends it, the terminal as it was."""

import os
import sys
from pathlib import Path

import pytest
from rich.text import Text

from gateway.cli.screen import BEGIN, END, can_draw, rendered
from tests.support.supervisor_home import ROOT
from tests.support.terminal import CTRL_C, DOWN, UP, Terminal

PROGRAM = """
import termios
from gateway.cli.screen import Screen
frame = ["begun"]
try:
    with Screen() as screen:
        for _ in range(50):
            screen.draw([*frame, "", f"{screen.size[0]} columns", *["more"] * 100])
            keys = screen.wait(10)
            frame.append(",".join(keys) or "looked")
            if "q" in keys:
                break
            if "x" in keys:
                raise ValueError("broken")
except KeyboardInterrupt:
    print("interrupted")
print("echo" if termios.tcgetattr(0)[3] & termios.ECHO else "no echo", "is left")
"""


@pytest.fixture
def terminal(tmp_path: Path):
    made = Terminal([], dict(os.environ) | {"PYTHONPATH": str(ROOT), "LANG": "C.UTF-8"}, columns=50, lines=12,
                    command=[sys.executable, "-c", PROGRAM])
    with made:
        made.wait("50 columns")
        yield made


def assert_restored(terminal: Terminal) -> None:
    raw = terminal.raw.decode()
    assert raw.count(BEGIN) == raw.count(END) and raw.rindex(END) > raw.rindex(BEGIN)


def test_keys_have_names_and_each_frame_replaces_the_one_before(terminal: Terminal) -> None:
    for keys, names in ((UP, "up"), (DOWN + "\x1bOA", "down,up"), ("pé", "p,é"), ("\x1b[5~", "page up")):
        terminal.type(keys)
        terminal.wait(names)
    assert len(terminal.screen) == 12 and terminal.screen[:2] == ["begun", "up"] and "begun" not in terminal.screen[1:]
    terminal.type("q")
    assert terminal.end() == 0 and "echo is left" in terminal.text and "no echo" not in terminal.text
    assert_restored(terminal)


def test_a_new_size_of_the_window_ends_a_wait(terminal: Terminal) -> None:
    terminal.resize(30, 8)
    terminal.wait("30 columns")
    terminal.type("q")
    assert terminal.end() == 0


@pytest.mark.parametrize(("keys", "code", "told"), [(CTRL_C, 0, "interrupted"), ("x", 1, "ValueError: broken")])
def test_an_interruption_or_an_error_leaves_nothing_behind(terminal: Terminal, keys: str, code: int, told: str) -> None:
    terminal.type(keys)
    terminal.wait(told)
    assert terminal.end() == code
    assert_restored(terminal)
    assert END.encode() in terminal.raw[:terminal.raw.rindex(told.encode())]


def test_ctrl_z_lends_the_terminal_to_the_shell(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    env = dict(os.environ) | {"PYTHONPATH": str(ROOT), "PS1": "prompt> "}
    with Terminal([], env, columns=50, lines=12, command=["bash", "--norc", "-i"]) as terminal:
        terminal.wait("prompt>")
        terminal.type(f"{sys.executable} {script}\r")
        terminal.wait("50 columns")
        terminal.type("\x1a")
        terminal.wait("Stopped")
        assert_restored(terminal)
        terminal.type("fg\r")
        terminal.wait(lambda _: terminal.raw.decode().count(BEGIN) == 2 and "begun" in terminal.screen[0])
        terminal.type("q")
        terminal.wait("echo is left")
        assert_restored(terminal)
        terminal.type("exit\r")
        assert terminal.end() == 0


def test_lines_are_cut_to_the_terminal_and_markup_is_text() -> None:
    lines = [Text("[bold]x"), Text("long " * 9, style="red"), Text("")]
    assert rendered(lines, 10, colour=False) == ["[bold]x", "long long…", ""]
    assert rendered(lines, 10, colour=True)[1].startswith("\x1b[31mlong")


@pytest.mark.parametrize("term", ["", "dumb"])
def test_a_terminal_without_a_cursor_is_not_drawn_on(monkeypatch: pytest.MonkeyPatch, term: str) -> None:
    monkeypatch.setenv("TERM", term)
    assert not can_draw()
