"""Tools, choices of tools, calls and JSON schemas, from requests of all dialects into the client protocol.

What is wrong is refused here by the name that its caller gave it (`field`), before anybody else gets to see it:

* a tool has a name of NAME_MAX_CHARS characters at most, none twice, and an object as the schema of its arguments;
* a choice names one of the tools that are there;
* the arguments of a call in a conversation are a JSON object, given as text (OpenAI) or as it is (Ollama, Anthropic);
* nothing is nested deeper than DEPTH_MAX, so that whoever walks through it later needs no limit of its own.

Whether a schema can be enforced is for the worker to find out. Pure.
"""

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from gateway.http.errors import Problem
from gateway.protocol import AUTO, NAMED, NONE, REQUIRED, TOOLS_MAX, Think, Tool, ToolCall

NAME_MAX_CHARS = 128
DEPTH_MAX = 64
INTEGER_MIN, INTEGER_MAX = -2**63, 2**64 - 1
TOOL_NAME = re.compile(rf"[\w.:/$-]{{1,{NAME_MAX_CHARS}}}")
JSON_OBJECT: dict[str, Any] = {"type": "object"}  # the schema of "any JSON object"
EFFORTS: dict[str, Think] = {"none": False, "minimal": "low", "low": "low", "medium": "medium", "high": "high",
                             "xhigh": "high", "max": "high"}
MODES = (AUTO, NONE, REQUIRED)
NO_ARGUMENTS = ("", "null", "[]")
encode = msgspec.json.Encoder().encode


class Function(msgspec.Struct):
    """Of a tool (OpenAI's chat and Ollama). `parameters` None: it takes none that are known."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class FunctionTool(msgspec.Struct):
    type: str | None = "function"
    function: Function | None = None


class Called(msgspec.Struct):
    """`arguments` are JSON text (OpenAI) or an object (Ollama)."""

    name: str
    arguments: str | dict[str, Any] | None = None


class FunctionCall(msgspec.Struct):
    """A call in a conversation (OpenAI's chat and Ollama)."""

    function: Called | None = None
    id: str | None = None
    type: str | None = None


class Name(msgspec.Struct):
    name: str = ""


class ChosenTool(msgspec.Struct):
    """One tool in a choice: the chat's with `function`, that of responses with `name`."""

    type: str = "function"
    function: Name | None = None
    name: str | None = None


class AllowedTools(msgspec.Struct):
    mode: str = AUTO
    tools: list[ChosenTool] = []


class Choice(msgspec.Struct):
    """A choice that is more than a word: one function, or some of the tools (`allowed_tools`; responses give `mode` and
    `tools` without it).
    """

    type: str = "function"
    function: Name | None = None
    name: str | None = None
    allowed_tools: AllowedTools | None = None
    mode: str = AUTO
    tools: list[ChosenTool] = []


# -- tools --------------------------------------------------------------------------------------------------------


def function_tools(given: list[FunctionTool] | None, field: str = "tools") -> list[Tool]:
    """Those of OpenAI's chat and of Ollama. Raises: Problem; `not_offered` for a tool that is no function."""
    found = []
    for number, tool in enumerate(given or ()):
        place = f"{field}[{number}]"
        if tool.type not in (None, "", "function"):
            raise no_function(f"{place}.type", tool.type)
        if tool.function is None:
            raise Problem("invalid_request", f"{place}.function: is required", f"{place}.function")
        one = tool.function
        found.append(make_tool(f"{place}.function", one.name, one.description, one.parameters, strict=one.strict))
    return check_tools(found, field)


def make_tool(field: str, name: str, description: str | None, parameters: dict[str, Any] | None, *,
              strict: bool | None = None, schema_name: str = "parameters") -> Tool:
    """`field`: where `name` stands; `schema_name`: what its dialect calls the schema. Raises: Problem."""
    if not TOOL_NAME.fullmatch(name):
        raise Problem("invalid_request", f"{field}.name: {name[:40]!r} is no name of a tool; it has 1 to "
                      f"{NAME_MAX_CHARS} letters, digits, _ - . : / or $", f"{field}.name")
    place = f"{field}.{schema_name}"
    schema = parameters or {}
    if schema.get("type", "object") != "object":
        raise Problem("invalid_request", f"{place}: the arguments of a tool are an object, so its schema has "
                      '"type": "object"', place)
    return Tool(name, description or "", check_depth(schema, place), bool(strict))


def check_tools(tools: list[Tool], field: str = "tools") -> list[Tool]:
    """All of a request. Raises: Problem if there are too many, or two of one name."""
    if len(tools) > TOOLS_MAX:
        raise Problem("invalid_request", f"{field}: {len(tools)} tools; the limit is {TOOLS_MAX}", field)
    seen: set[str] = set()
    for number, tool in enumerate(tools):
        if tool.name in seen:
            raise Problem("invalid_request", f"{field}[{number}]: a tool {tool.name!r} stands there twice; give each "
                          "a name of its own", f"{field}[{number}]")
        seen.add(tool.name)
    return tools


def no_function(field: str, kind: str) -> Problem:
    """Searching the web, running code and tools of free text need what we do not have."""
    return Problem("not_offered", f"{field}: {kind[:40]!r} is not offered; tools are of type 'function'", field)


# -- choices ------------------------------------------------------------------------------------------------------


def choose(given: str | Choice | None, tools: list[Tool], field: str = "tool_choice") -> tuple[list[Tool], str]:
    """The tools that may be called and the choice among them, as OpenAI's dialects write it. Raises: Problem."""
    if given is None or given == "":
        return tools, AUTO
    if isinstance(given, str):
        return tools, check_mode(given, tools, field)
    if given.type == "allowed_tools":
        allowed = given.allowed_tools or AllowedTools(given.mode, given.tools)
        names = [named(name_of(each, field), tools, field).removeprefix(NAMED) for each in allowed.tools]
        kept = [tool for tool in tools if tool.name in names]
        return kept, check_mode(allowed.mode, kept, field)
    if given.type in MODES:  # the word, in an object as Anthropic's dialect has it
        return tools, check_mode(given.type, tools, field)
    return tools, named(name_of(given, field), tools, field)


def check_mode(mode: str, tools: list[Tool], field: str = "tool_choice") -> str:
    """Raises: Problem `invalid_request` unless it is auto, none or required, with tools to call if one must be."""
    if mode not in MODES:
        raise Problem("invalid_request", f"{field}: {mode[:40]!r} is not auto, none, required or a tool", field)
    if mode == REQUIRED and not tools:
        raise Problem("invalid_request", f"{field}: a call is required, but there are no tools; give `tools`", field)
    return mode


def named(name: str, tools: list[Tool], field: str = "tool_choice") -> str:
    """The choice of this one tool. Raises: Problem `invalid_request` if there is none of that name."""
    if all(tool.name != name for tool in tools):
        known = ", ".join(tool.name for tool in tools)[:400] or "there are none"
        raise Problem("invalid_request", f"{field}: no tool is called {name[:40]!r} (tools: {known})", field)
    return NAMED + name


def name_of(choice: ChosenTool | Choice, field: str) -> str:
    """Raises: Problem `not_offered` for what is no function."""
    if choice.type != "function":
        raise no_function(f"{field}.type", choice.type)
    return choice.function.name if choice.function is not None else choice.name or ""


# -- calls in a conversation --------------------------------------------------------------------------------------


def function_calls(given: Iterable[FunctionCall] | None, field: str) -> list[ToolCall]:
    """Those of an assistant's turn (OpenAI's chat and Ollama). Raises: Problem."""
    found = []
    for number, call in enumerate(given or ()):
        place = f"{field}[{number}].function"
        if call.type not in (None, "", "function"):
            raise no_function(f"{field}[{number}].type", call.type)
        if call.function is None:
            raise Problem("invalid_request", f"{place}: is required", place)
        found.append(make_call(place, call.function.name, call.function.arguments, call.id))
    return found


def make_call(field: str, name: str, arguments: str | dict[str, Any] | None, call_id: str | None = None, *,
              arguments_name: str = "arguments") -> ToolCall:
    """`field`: where `name` stands; `arguments_name`: what its dialect calls the arguments. Raises: Problem."""
    if not name or len(name) > NAME_MAX_CHARS:
        raise Problem("invalid_request", f"{field}.name: {name[:40]!r} is no name of a tool", f"{field}.name")
    return ToolCall(name, arguments_text(arguments, f"{field}.{arguments_name}"), call_id or "")


def arguments_text(given: str | dict[str, Any] | None, field: str) -> str:
    """A JSON object as text; nothing is the empty one, also as languages write it that know no empty object. Raises:
    Problem `invalid_request` for any other text.
    """
    if given is None or (isinstance(given, str) and given.strip() in NO_ARGUMENTS):
        return "{}"
    if isinstance(given, dict):
        return encode(check_depth(given, field)).decode()
    try:
        found = msgspec.json.decode(given, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise Problem("invalid_request", f"{field}: is not a JSON object as text, such as "
                      '"{\\"city\\": \\"Rome\\"}"', field) from None
    check_depth(found, field)
    return given


def arguments_object(text: str) -> dict[str, Any]:
    """The arguments of a call in an answer, for dialects that give them as an object."""
    return msgspec.json.decode(text, type=dict[str, Any]) if text else {}


# -- schemas and reasoning ----------------------------------------------------------------------------------------


def response_schema(kind: str, schema: dict[str, Any] | bool | None, field: str) -> dict[str, Any] | bool | None:
    """Of a format that is text, json_object or json_schema (OpenAI). `field`: where it stands. None: free.

    Raises:
        Problem: `invalid_request` for another kind, or one without the schema that belongs to it.
    """
    if kind in ("text", ""):
        return None
    if kind == "json_object":
        return JSON_OBJECT if schema is None else check_depth(schema, field)
    if kind != "json_schema":
        raise Problem("invalid_request", f"{field}.type: {kind[:40]!r} is not text, json_object or json_schema",
                      f"{field}.type")
    if schema is None:
        raise Problem("invalid_request", f"{field}: type json_schema needs a schema", field)
    return check_depth(schema, field)


def think_of_effort(effort: str | None, field: str = "reasoning_effort") -> Think:
    """None: as the model does when nobody says. Raises: Problem `invalid_request`."""
    if not effort:
        return None
    if effort not in EFFORTS:
        raise Problem("invalid_request", f"{field}: {effort[:40]!r} is not one of {', '.join(EFFORTS)}", field)
    return EFFORTS[effort]


def check_depth(value: Any, field: str) -> Any:
    """`value` itself. Raises: Problem `invalid_request` if it is nested deeper than DEPTH_MAX, or holds an integer of
    more than 64 bits, which no message can carry.
    """
    level = [value]
    for _ in range(DEPTH_MAX):
        if any(isinstance(each, int) and not INTEGER_MIN <= each <= INTEGER_MAX for each in level):
            raise Problem("invalid_request", f"{field}: holds an integer of more than 64 bits", field)
        level = [inner for each in level if isinstance(each, dict | list)
                 for inner in (each.values() if isinstance(each, dict) else each)]
        if not level:
            return value
    raise Problem("invalid_request", f"{field}: is nested deeper than {DEPTH_MAX}", field)
