"""The line in which a person types in `warden run`: editing, history, completion of commands, several lines.

Enter ends a message unless it is open (`chat_lines`); Alt+Enter, and a paste of several lines, go on in a further line.
Ctrl-R looks through what was typed before, Up through what began so. Ctrl-C raises KeyboardInterrupt, Ctrl-D on an
empty line EOFError. The terminal is never asked where its cursor is, for not every one answers.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator

from prompt_toolkit import PromptSession
from prompt_toolkit.application import create_app_session, get_app
from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import has_focus
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.history import History
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output.plain_text import PlainTextOutput
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.shortcuts import CompleteStyle
from prompt_toolkit.utils import is_dumb_terminal

from gateway.cli.chat_file import TypedBefore
from gateway.cli.chat_lines import is_command, is_open

PROMPT, GOES_ON = ">>> ", "... "
FILE_COMMANDS = ("/save ", "/load ")


class Prompt:
    """`complete`: a command that is being typed -> what its last word may be. `status`: a line above the prompt, or
    "". Call `refresh` when it has changed.
    """

    def __init__(self, typed: TypedBefore, complete: Callable[[str], list[str]], status: Callable[[], str]) -> None:
        self._status = status
        how = {"key_bindings": make_bindings(), "history": Typed(typed), "completer": Commands(complete)}
        self._session: PromptSession[str] = plain_session(**how) if is_dumb_terminal() else PromptSession(
            self._message, multiline=True, prompt_continuation=goes_on, complete_while_typing=False,
            complete_style=CompleteStyle.READLINE_LIKE, enable_history_search=True, enable_suspend=True,
            enable_open_in_editor=True, output=make_output(), **how)

    async def read(self) -> str:
        """Raises: KeyboardInterrupt, EOFError."""
        return await self._session.prompt_async()

    @property
    def is_empty(self) -> bool:
        """Was nothing typed when it ended?"""
        return not self._session.default_buffer.text

    def refresh(self) -> None:
        if self._session.app.is_running:
            self._session.app.invalidate()

    def _message(self) -> StyleAndTextTuples:
        status = "" if get_app().is_done else self._status()
        return [("fg:ansibrightblack", f"{status}\n")] * bool(status) + [("", PROMPT)]


def plain_session(**how: object) -> PromptSession[str]:
    """For a terminal that can only append: no editing, and not one escape sequence."""
    with create_app_session(output=PlainTextOutput(sys.stdout)):
        return PromptSession(PROMPT, multiline=True, **how)


def make_output() -> Vt100_Output:
    output = Vt100_Output.from_pty(sys.stdout, os.environ.get("TERM"))
    output.enable_cpr = False
    return output


def goes_on(width: int, line: int, wraps: int) -> str:
    """What stands before a further line; one that is only too long for the terminal has nothing before it."""
    return "" if wraps else GOES_ON


def make_bindings() -> KeyBindings:
    bindings = KeyBindings()
    typing = has_focus(DEFAULT_BUFFER)

    @bindings.add("enter", filter=typing)
    def end_or_go_on(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if is_open(buffer.text) and buffer.document.is_cursor_at_the_end:
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    @bindings.add("escape", "enter", filter=typing)
    def go_on(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return bindings


class Typed(History):
    """What was typed before, as the file has it."""

    def __init__(self, typed: TypedBefore) -> None:
        super().__init__()
        self._typed = typed

    def load_history_strings(self) -> Iterable[str]:
        return reversed(self._typed.read())

    def store_string(self, string: str) -> None:
        self._typed.add(string)


class Commands(Completer):
    """Commands, their words, and paths after those that take one. Nothing in a message."""

    def __init__(self, complete: Callable[[str], list[str]]) -> None:
        self._complete = complete
        self._paths = PathCompleter(expanduser=True)

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        text = document.text_before_cursor
        if not is_command(text):
            return
        if text.startswith(FILE_COMMANDS):
            yield from self._paths.get_completions(Document(text.split(" ", 1)[1]), complete_event)
            return
        last = text.rpartition(" ")[2]
        for choice in self._complete(text):
            yield Completion(choice, start_position=-len(last))
