"""What a body in Anthropic's dialect may say, and its wishes in the words of the client protocol.

Who does not ask for thinking gets none, where the model's template can do without: clients that never asked for it read
the first block of an answer as its text. Tools that Anthropic itself defines, and runs or knows, are refused with 501.
"""

from typing import Annotated, Any

import msgspec

from gateway import protocol
from gateway.http.anthropic_messages import AnthropicMessage, Block
from gateway.http.common_fields import NamesModel
from gateway.http.errors import Problem
from gateway.http.tools import check_mode, check_tools, make_tool, named, response_schema, think_of_effort
from gateway.protocol import AUTO, NONE, REQUIRED, Think, Tool

UNSET = msgspec.Raw()
CHOICES = {"": AUTO, "auto": AUTO, "any": REQUIRED, "none": NONE}
THINKING = {"": False, "disabled": False, "enabled": True, "adaptive": True, "between_tools": True}


class AnthropicTool(msgspec.Struct):
    """`type` None or "custom": the caller's own."""

    type: str | None = None
    name: str | None = None
    description: str | None = None
    input_schema: dict[str, Any] | None = None
    strict: bool | None = None


class ToolChoice(msgspec.Struct):
    type: str = ""
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Thinking(msgspec.Struct):
    type: str = ""


class Format(msgspec.Struct):
    type: str = ""
    schema: dict[str, Any] | None = None


class OutputConfig(msgspec.Struct):
    format: Format | None = None
    effort: str | None = None


class Prompted(NamesModel, kw_only=True):
    """What makes the prompt: all that counting its tokens needs."""

    messages: Annotated[list[AnthropicMessage], msgspec.Meta(min_length=1, max_length=protocol.MESSAGES_MAX)]
    system: str | list[Block] | None = None
    tools: list[AnthropicTool] | None = None
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    output_format: Format | None = None
    mcp_servers: msgspec.Raw = UNSET


class MessagesAsked(Prompted, kw_only=True):
    max_tokens: Annotated[int, msgspec.Meta(ge=1)]
    stream: bool | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: list[str] | None = None
    container: msgspec.Raw = UNSET


def tools_of(asked: Prompted) -> list[Tool]:
    """Raises: Problem; `not_offered` for the tools that Anthropic itself defines."""
    found = []
    for number, tool in enumerate(asked.tools or ()):
        place = f"tools[{number}]"
        if tool.type not in (None, "", "custom"):
            raise Problem("not_offered", f"{place}.type: {tool.type[:40]!r} is a tool of Anthropic's own, which is not "
                          "offered; give a name, a description and an input_schema", f"{place}.type")
        if tool.input_schema is None:
            raise Problem("invalid_request", f"{place}.input_schema: is required, a JSON schema of type object",
                          f"{place}.input_schema")
        found.append(make_tool(place, tool.name or "", tool.description, tool.input_schema, strict=tool.strict,
                               schema_name="input_schema"))
    return check_tools(found)


def choice_of(asked: Prompted, tools: list[Tool]) -> tuple[str, bool]:
    """What is to be called, and whether several at once may be. Raises: Problem."""
    choice = asked.tool_choice or ToolChoice()
    parallel = not choice.disable_parallel_tool_use
    if choice.type == "tool":
        return named(choice.name or "", tools, "tool_choice.name"), parallel
    if choice.type not in CHOICES:
        raise Problem("invalid_request", f"tool_choice.type: {choice.type[:40]!r} is not auto, any, tool or none",
                      "tool_choice.type")
    return check_mode(CHOICES[choice.type], tools, "tool_choice.type"), parallel


def think_of(asked: Prompted) -> Think:
    """Raises: Problem."""
    effort = asked.output_config.effort if asked.output_config is not None else None
    level = think_of_effort(effort, "output_config.effort")
    kind = asked.thinking.type if asked.thinking is not None else ""
    if kind not in THINKING:
        known = ", ".join(name for name in THINKING if name)
        raise Problem("invalid_request", f"thinking.type: {kind[:40]!r} is not one of {known}", "thinking.type")
    return THINKING[kind] and (level or True)


def schema_of(asked: Prompted) -> tuple[dict[str, Any] | bool | None, str]:
    """The schema of the answer, None if it is free, and the field where it stands. Raises: Problem."""
    given, field = asked.output_format, "output_format"
    if asked.output_config is not None and asked.output_config.format is not None:
        given, field = asked.output_config.format, "output_config.format"
    if given is None:
        return None, field
    return response_schema(given.type, given.schema, field), f"{field}.schema"
