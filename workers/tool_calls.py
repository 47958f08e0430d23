"""In which form a model writes its calls, and from such a text to calls that callers understand.

A model whose chat template knows tools writes them as mlx_lm's parser of its family reads them. Any other is told in
words (`chat_turns.tell_tools`) to write the GENERIC form: JSON between <tool_call> and </tool_call>.

A text that cannot be read is no call: `read_calls` says None, and the text is shown as it is. Arguments are always a
JSON object as text, whatever the model or its parser made of them. Pure.
"""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from workers.chat_turns import CALL_CLOSE, CALL_OPEN, Turn, describe_tools
from workers.job_parts import NONE, Extras

# What mlx_lm's parsers raise for a text that they cannot read: those of json, ast and regex, and what bad values do.
UNREADABLE = (ValueError, SyntaxError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError,
              MemoryError)
NAME_OF_UNREADABLE = "unknown"  # of mlx_lm's GLM parser, which raises nothing
GENERIC, JSON_TOOLS = "generic", "json_tools"

Parser = Callable[[str, list[Turn] | None], Any]
ReadCalls = Callable[[str], "list[Call] | None"]


class Call(NamedTuple):
    """`arguments`: a JSON object as text."""

    name: str
    arguments: str


class CallForm(NamedTuple):
    """`family`: the name of mlx_lm's parser, or GENERIC. `end` "": a call lasts until the answer ends."""

    family: str
    start: str
    end: str
    parse: Parser

    @property
    def is_json(self) -> bool:
        """Does JSON alone stand between `start` and `end`?"""
        return self.family in (GENERIC, JSON_TOOLS)


def read_json(text: str, tools: list[Turn] | None = None) -> Any:
    """The generic parser: one object or a list. Raises ValueError for anything but JSON."""
    return json.loads(text.strip())


GENERIC_FORM = CallForm(GENERIC, CALL_OPEN, CALL_CLOSE, read_json)


def choose_form(tokenizer: Any, knows_tools: bool) -> CallForm:
    """How the model of this mlx_lm tokenizer writes calls. `knows_tools`: its chat template tells it of tools."""
    if not knows_tools:
        return GENERIC_FORM
    parse = tokenizer.tool_parser
    family = parse.__module__.rpartition(".")[2]
    return CallForm(family, tokenizer.tool_call_start, tokenizer.tool_call_end or "", parse)


def calls_wanted(extras: Extras) -> bool:
    """May this job's answer hold calls?"""
    return bool(extras.tools) and extras.tool_choice != NONE


def reader_of(form: CallForm, extras: Extras) -> ReadCalls | None:
    """What reads the calls of a job's answer; None if there can be none."""
    if not calls_wanted(extras):
        return None
    tools = describe_tools(extras)
    return lambda text: read_calls(text, form, tools)


def read_calls(text: str, form: CallForm, tools: list[Turn]) -> list[Call] | None:
    """The calls of a text without its markers; None if it is no call. `tools`: as templates take them."""
    names = {tool["function"]["name"] for tool in tools}
    try:
        parsed = form.parse(text, tools)
        calls = [_read_call(each, names) for each in (parsed if isinstance(parsed, list) else [parsed])]
    except UNREADABLE:
        return None
    return calls or None


def _read_call(parsed: Any, names: set[str]) -> Call:
    """Raises one of UNREADABLE."""
    parsed = parsed.get("function") if isinstance(parsed.get("function"), dict) else parsed
    name = parsed["name"]
    if not isinstance(name, str) or not name:
        raise ValueError("a call without a name")
    if name == NAME_OF_UNREADABLE and name not in names:
        raise ValueError("no call")
    arguments = parsed["arguments"] if "arguments" in parsed else parsed.get("parameters")
    if isinstance(arguments, str):
        arguments = json.loads(arguments) if arguments.strip() else {}
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, dict):
        raise ValueError("arguments that are no object")
    text = json.dumps(arguments, ensure_ascii=False, allow_nan=False)
    text.encode()  # a lone surrogate cannot be sent
    return Call(name, text)
