"""The conversation of a request in Anthropic's dialect: blocks in, messages of the client protocol out.

* A turn of blocks becomes one message, its texts with a blank line between two; each result of a tool becomes a message
  of its own, in its place. What a search found (tools too), and documents of text, become text with their titles.
* Blocks that need what only Anthropic has (tools that its servers run, files, PDF) are refused with 501 by their type;
  blocks that do not belong into a turn of that role, with 400.
"""

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from gateway.http.errors import Problem
from gateway.http.images import check_image
from gateway.http.tools import make_call
from gateway.http.wrong_fields import invalid, is_given
from gateway.protocol import Message

UNSET = msgspec.Raw()
BETWEEN = "\n\n"
TEXT = ("text",)
SAID = ("text", "image", "document", "search_result")
FOUND = (*SAID, "tool_reference")  # of a tool that looks for tools
BLOCKS = {"user": (*SAID, "tool_result"), "system": TEXT,
          "assistant": ("text", "tool_use", "thinking", "redacted_thinking")}
KNOWN = frozenset(FOUND).union(*BLOCKS.values())


class Source(msgspec.Struct):
    """Of an image or a document: `data` in base64 or as text, or `content`, a text or blocks."""

    type: str
    data: str | None = None
    content: msgspec.Raw = UNSET


class Block(msgspec.Struct):
    """Of any type; `type` says which of the fields it has."""

    type: str
    text: str | None = None
    source: Source | str | None = None
    content: msgspec.Raw = UNSET
    title: str | None = None
    context: str | None = None
    id: str | None = None
    name: str | None = None
    input: dict[str, Any] | None = None
    tool_use_id: str | None = None
    is_error: bool | None = None
    thinking: str | None = None
    tool_name: str | None = None


class AnthropicMessage(msgspec.Struct):
    role: Literal["user", "assistant", "system"]
    content: str | list[Block]


def read_messages(system: str | list[Block] | None, messages: list[AnthropicMessage]) -> list[Message]:
    """The whole conversation, `system` first. Raises: Problem."""
    instructions, _ = said_in(system or "", "system", TEXT)
    found = [Message("system", instructions)] if instructions else []
    functions: dict[str, str] = {}  # their names, by the ids of their calls
    for number, message in enumerate(messages):
        field = f"messages[{number}].content"
        if message.role == "assistant":
            found.append(assistant_turn(message.content, field, functions))
        else:
            found += turns(message, field, functions)
    return found


def assistant_turn(content: str | list[Block], field: str, functions: dict[str, str]) -> Message:
    """Notes the names of the functions that it called. Raises: Problem."""
    if isinstance(content, str):
        return Message("assistant", content)
    texts, thoughts, calls = [], [], []
    for number, block in enumerate(content):
        place = f"{field}[{number}]"
        match check_type(block, BLOCKS["assistant"], place):
            case "text":
                texts.append(needed(block, "text", place))
            case "thinking":
                thoughts.append(needed(block, "thinking", place))
            case "tool_use":
                call = make_call(place, needed(block, "name", place), needed(block, "input", place),
                                 needed(block, "id", place), arguments_name="input")
                functions[call.id] = call.name
                calls.append(call)
    return Message("assistant", join(texts), tool_calls=calls, thinking=join(thoughts))


def turns(message: AnthropicMessage, field: str, functions: dict[str, str]) -> list[Message]:
    """Of a user, or a word of the system on the way: what is said, and results of tools, in their order."""
    if isinstance(message.content, str):
        return [Message(message.role, message.content)]
    found: list[Message] = []
    said: list[tuple[str, list[str]]] = []

    def end_of_saying() -> None:
        if said:
            found.append(Message(message.role, join(text for text, _ in said),
                                 [image for _, images in said for image in images]))
            said.clear()

    for number, block in enumerate(message.content):
        place = f"{field}[{number}]"
        if check_type(block, BLOCKS[message.role], place) == "tool_result":
            end_of_saying()
            found.append(tool_result(block, place, functions))
        else:
            said.append(read_said(block, place))
    end_of_saying()
    return found or [Message(message.role, "")]


def tool_result(block: Block, field: str, functions: dict[str, str]) -> Message:
    """Raises: Problem."""
    text, images = said_in(block.content, f"{field}.content", FOUND)
    call_id = needed(block, "tool_use_id", field)
    return Message("tool", f"Error: {text}" if block.is_error else text, images, tool_call_id=call_id,
                   name=functions.get(call_id, ""))


def said_in(content: str | list[Block] | msgspec.Raw, field: str,
            allowed: tuple[str, ...]) -> tuple[str, list[str]]:
    """The text and the images of a content inside a block, or of `system`. Raises: Problem."""
    if isinstance(content, msgspec.Raw):
        content = decode_content(content, field)
    if isinstance(content, str):
        return content, []
    texts, images = [], []
    for number, block in enumerate(content):
        place = f"{field}[{number}]"
        check_type(block, allowed, place)
        text, found = read_said(block, place)
        texts.append(text)
        images += found
    return join(texts), images


def decode_content(content: msgspec.Raw, field: str) -> str | list[Block]:
    """Raises: Problem."""
    if not is_given(content):
        return ""
    try:
        return msgspec.json.decode(content, type=str | list[Block])
    except msgspec.ValidationError as problem:
        raise invalid(problem, field, kind=str | list[Block]) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:  # not looked into before
        raise Problem("invalid_request", f"{field}: is not valid JSON: {problem}", field) from None


def read_said(block: Block, field: str) -> tuple[str, list[str]]:
    """The text and the images of one block of a user. Raises: Problem."""
    if block.type == "text":
        return needed(block, "text", field), []
    if block.type == "tool_reference":
        return f"Tool: {needed(block, 'tool_name', field)}", []
    if block.type == "search_result":
        if isinstance(block.source, Source):
            raise Problem("invalid_request", f"{field}.source: expected a text for {block.type!r}", f"{field}.source")
        text, images = said_in(block.content, f"{field}.content", TEXT)
        return join([block.title or "", block.source or "", text]), images
    source = block.source
    if not isinstance(source, Source):
        raise Problem("invalid_request", f"{field}.source: expected an object with a type for {block.type!r}",
                      f"{field}.source")
    if block.type == "image":
        if source.type != "base64":
            raise Problem("not_offered", f"{field}.source.type: {source.type[:40]!r} is not offered, for nothing is "
                          'fetched; send the image itself: "type": "base64"', f"{field}.source.type")
        return "", [check_image(source.data or "", f"{field}.source.data")]
    if source.type not in ("text", "content"):
        raise Problem("not_offered", f"{field}.source.type: documents of type {source.type[:40]!r} are not offered; "
                      'send their text: "type": "text"', f"{field}.source.type")
    if source.type == "content":
        text, images = said_in(source.content, f"{field}.source.content", SAID)
    else:
        text, images = source.data or "", []
    return join([block.title or "", block.context or "", text]), images


def join(texts: Iterable[str]) -> str:
    return BETWEEN.join(text for text in texts if text)


def check_type(block: Block, allowed: tuple[str, ...], field: str) -> str:
    """Raises: Problem `not_offered` for a type that we do not have, `invalid_request` for one that stands wrong."""
    field = f"{field}.type"
    if block.type not in KNOWN:
        raise Problem("not_offered", f"{field}: blocks of type {block.type[:40]!r} are not offered", field)
    if block.type not in allowed:
        raise Problem("invalid_request", f"{field}: a block of type {block.type!r} does not belong here; expected "
                      f"{' or '.join(allowed)}", field)
    return block.type


def needed(block: Block, name: str, field: str) -> Any:
    """Raises: Problem `invalid_request` if the block has no such field."""
    value = getattr(block, name)
    if value is None:
        raise Problem("invalid_request", f"{field}.{name}: is required for a block of type {block.type!r}",
                      f"{field}.{name}")
    return value
