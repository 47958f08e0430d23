"""What a person types in `warden run`: when a message is whole, and which command a line is.

1. A message ends with its line, unless the line ends in a backslash, or the message begins with three quotation marks
   and has not ended with three. What marks the end is no part of the message.
2. A line that begins with `/` is a command. With a space before it, it is a message.
3. A command that nobody knows is refused with the nearest one, and is never sent to a model.

Pure.
"""

import difflib
from typing import NamedTuple

QUOTES = '"""'
CONTINUES = "\\"
COMMANDS = {  # as it is called -> what follows it, and what it does
    "/help": ("", "This list; /? too."),
    "/bye": ("", "Leave. So do Ctrl-D, and Ctrl-C twice."),
    "/clear": ("", "Begin anew; the system text stays."),
    "/retry": ("", "Ask the last question again."),
    "/undo": ("", "Take back the last question and its answer."),
    "/model": ("[NAME]", "Go on with another model; without NAME: those there are."),
    "/show": ("", "Model, settings and length of this conversation."),
    "/save": ("FILE", "Write the conversation to a file, as JSON."),
    "/load": ("FILE", "Go on with a conversation from a file."),
    "/set system": ("[TEXT]", "What the model is told first; without TEXT: nothing."),
    "/set parameter": ("NAME [VALUE]", "Such as temperature 0.2; without VALUE: the model's own."),
    "/set think": ("HOW", "on, off, low, medium, high, or auto: as the model likes."),
    "/set verbose": ("", "Times and tokens after each answer; /set quiet: not."),
    "/set nowrap": ("", "Break no lines; /set wrap: between words."),
    "/set nohistory": ("", "Keep nothing of what you type; /set history: keep it."),
}
SETTINGS = ("system", "parameter", "think", "verbose", "quiet", "wrap", "nowrap", "history", "nohistory")
ALIASES = {"?": "help", "exit": "bye", "quit": "bye", "set wordwrap": "set wrap", "set nowordwrap": "set nowrap"}
WITH_ARGUMENT = {"model", "save", "load", "set system", "set parameter", "set think"}
NEEDS_ARGUMENT = {"save", "load", "set parameter", "set think"}


class Command(NamedTuple):
    """`name` as in COMMANDS without the stroke: "set system". `argument` "": none was given."""

    name: str
    argument: str = ""


class CommandRefused(Exception):
    """One line: what is wrong, and the remedy."""


def is_open(text: str) -> bool:
    """Is more to come (rule 1)?"""
    said = _without_command(text)
    if said.startswith(QUOTES):
        return not (len(said.rstrip()) >= 2 * len(QUOTES) and said.rstrip().endswith(QUOTES))
    return _continues(text)


def _continues(text: str) -> bool:
    return (len(text) - len(text.rstrip(CONTINUES))) % 2 == 1


def message_of(text: str) -> str:
    """The message without its marks; "" if there is none."""
    said = text.strip()
    if said.startswith(QUOTES):
        return said.removeprefix(QUOTES).removesuffix(QUOTES).strip("\n")
    *lines, last = said.split("\n")
    return "\n".join([*(line[:-1] if _continues(line) else line for line in lines), last])


def is_command(text: str) -> bool:
    return text.startswith("/")


def read_command(text: str) -> Command:
    """Raises: CommandRefused."""
    word, _, rest = text[1:].strip().partition(" ")
    name, argument = word.lower(), message_of(rest)
    if name == "set":
        setting, _, rest = rest.strip().partition(" ")
        if not setting:
            raise CommandRefused(f"/set: say what; there are {', '.join(SETTINGS)}")
        name, argument = f"set {setting.lower()}", message_of(rest)
    name = ALIASES.get(name, name)
    known = [command[1:] for command in COMMANDS] + [f"set {setting}" for setting in SETTINGS]
    if name not in known:
        near = difflib.get_close_matches(name, [*known, *ALIASES], 1)
        advice = f"did you mean /{near[0]}?" if near else "/? lists them; with a space before it, it goes to the model"
        raise CommandRefused(f"there is no command /{name}; {advice}")
    if argument and name not in WITH_ARGUMENT:
        raise CommandRefused(f"/{name} takes nothing after it; leave out {argument.split()[0]}")
    if not argument and name in NEEDS_ARGUMENT:
        what = COMMANDS[f"/{name}"][0]
        raise CommandRefused(f"/{name}: {what} is missing; /? shows how it is used")
    return Command(name, argument)


def completions(text: str, models: list[str], parameters: list[str]) -> list[str]:
    """What may stand in the place of the last word of `text`, a command that is being typed."""
    *before, last = text.split(" ")
    choices: list[str] = []
    if not before:
        choices = list(dict.fromkeys(command.split()[0] for command in COMMANDS))
    elif before == ["/set"]:
        choices = list(SETTINGS)
    elif before == ["/model"]:
        choices = models
    elif before == ["/set", "parameter"]:
        choices = parameters
    elif before == ["/set", "think"]:
        choices = ["on", "off", "low", "medium", "high", "auto"]
    return [choice for choice in choices if choice.startswith(last)]


def _without_command(text: str) -> str:
    """A command's text may be in quotation marks too: /set system \"\"\"..."""
    if is_command(text):
        words = text.split(None, 2 if text.startswith("/set ") else 1)
        return words[-1] if len(words) > 1 else ""
    return text.lstrip()
