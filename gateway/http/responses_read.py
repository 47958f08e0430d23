"""OpenAI's Responses API, what it asks: from the body of a request to the client protocol.

Input items become a conversation: reasoning, words and calls that follow one another are one turn of the assistant, an
output of a function is a turn of a tool. Nothing is kept here between requests, so whatever refers to an earlier
response is refused by name, and answers say `store: false`. Tools that OpenAI itself would run are refused unless they
stand beside functions.
"""

from typing import Annotated, Any, Literal

import msgspec

from gateway import protocol
from gateway.http.errors import Problem
from gateway.http.images import from_data_url
from gateway.http.openai_options import HowChosen, options_of
from gateway.http.tools import Choice, check_tools, make_call, make_tool, no_function
from gateway.http.wrong_fields import is_given
from gateway.protocol import Message, Tool, ToolCall

UNSET = msgspec.Raw()
Count = Annotated[int, msgspec.Meta(ge=1)]
CallId = Annotated[str, msgspec.Meta(max_length=256)] | None
LOGPROBS = "message.output_text.logprobs"  # in `include`
TEXT_PARTS = ("input_text", "output_text", "text", "summary_text", "reasoning_text", "refusal")
STATELESS = "nothing is kept here between requests; send the whole conversation in `input`"
REFUSED = {"previous_response_id": STATELESS, "conversation": STATELESS,
           "prompt": "there are no stored prompts here; send `instructions` and `input`",
           "background": "an answer is given at once or as a stream"}


class Part(msgspec.Struct):
    type: str = "input_text"
    text: str = ""
    refusal: str = ""
    image_url: str | None = None


class Item(msgspec.Struct):
    """Of the input. Without a `type` it is a message if it has a role, else a reference."""

    type: str | None = None
    role: Literal["system", "developer", "user", "assistant"] | None = None
    content: str | list[Part] | None = None
    call_id: CallId = None
    name: CallId = None
    arguments: str | None = None
    output: str | list[Part] | None = None
    summary: list[Part] | None = None


class AskedTool(msgspec.Struct):
    type: str = "function"
    name: str = ""
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Format(msgspec.Struct):
    type: str = "text"
    name: str | None = None
    schema: dict[str, Any] | bool | None = None
    strict: bool | None = None


class Text(msgspec.Struct):
    format: Format | None = None
    verbosity: str | None = None


class Reasoning(msgspec.Struct):
    effort: str | None = None
    summary: str | None = None


class ResponseAsked(HowChosen, kw_only=True):
    input: str | Annotated[list[Item], msgspec.Meta(max_length=protocol.MESSAGES_MAX - 1)] | None = None
    instructions: str | None = None
    stream: bool | None = None
    max_output_tokens: Count | None = None
    include: list[str] | None = None
    top_logprobs: Annotated[int, msgspec.Meta(ge=0, le=protocol.LOGPROBS_MAX)] | None = None
    tools: list[AskedTool] | None = None
    tool_choice: str | Choice | None = None
    parallel_tool_calls: bool | None = None
    text: Text | None = None
    reasoning: Reasoning | None = None
    truncation: Literal["auto", "disabled"] | None = None
    metadata: dict[str, str] | None = None
    previous_response_id: msgspec.Raw = UNSET
    conversation: msgspec.Raw = UNSET
    prompt: msgspec.Raw = UNSET
    background: msgspec.Raw = UNSET


def refuse(asked: ResponseAsked) -> None:
    """Raises: Problem `not_offered` for the first field that needs what is not kept here."""
    for field, why in REFUSED.items():
        if is_given(getattr(asked, field)):
            raise Problem("not_offered", f"{field}: {why}", field)


def sampling_of(asked: ResponseAsked) -> protocol.Options:
    """As in chats: it has the same fields. Raises: Problem `invalid_request`."""
    return options_of(asked, asked.max_output_tokens, {"max_tokens": "max_output_tokens"})


def tools_of(asked: ResponseAsked) -> list[Tool]:
    """The functions. Others beside them are left out: agents send all that they know, and go on without what is not in
    the response's `tools`. Raises: Problem; `not_offered` if there are others alone.
    """
    given = asked.tools or []
    others = [number for number, tool in enumerate(given) if tool.type != "function"]
    if others and len(others) == len(given):
        raise no_function(f"tools[{others[0]}].type", given[others[0]].type)
    return check_tools([make_tool(f"tools[{number}]", tool.name, tool.description, tool.parameters, strict=tool.strict)
                        for number, tool in enumerate(given) if tool.type == "function"])


def logprobs_of(asked: ResponseAsked) -> int | None:
    """How many likely tokens are told at each place; None: no chances are."""
    wanted = LOGPROBS in (asked.include or ()) or asked.top_logprobs
    return (asked.top_logprobs or 0) if wanted else None


def messages_of(asked: ResponseAsked) -> list[Message]:
    """The conversation, instructions first. Raises: Problem."""
    turns = Turns()
    if asked.instructions:
        turns.messages.append(Message("system", asked.instructions))
    if isinstance(asked.input, str) and asked.input:
        turns.messages.append(Message("user", asked.input))
    elif asked.input:
        for number, item in enumerate(asked.input):
            turns.add(item, f"input[{number}]")
    turns.end_turn()
    if not turns.messages:
        raise Problem("invalid_request", "input: is required: a text, or a list of items with a message", "input")
    return turns.messages


class Turns:
    """Input items in order, as `messages`. The assistant's turn is kept open until something else comes."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._names: dict[str, str] = {}  # of functions, by the id of their call
        self._new_turn()

    def _new_turn(self) -> None:
        self._thinking, self._text, self._calls = "", "", []

    def add(self, item: Item, field: str) -> None:
        """Raises: Problem; `not_offered` for a kind of item that we do not read."""
        match item.type or ("message" if item.role else "item_reference"):
            case "message":
                self._add_message(item, field)
            case "reasoning":
                said = parts_of(item.content or item.summary, f"{field}.content")
                if self._text or self._calls:
                    self.end_turn()
                self._thinking += said[0]
            case "function_call":
                self._add_call(make_call(field, item.name or "", item.arguments, item.call_id))
            case "function_call_output":
                self.end_turn()
                text, images = parts_of(item.output, f"{field}.output")
                name = item.name or self._names.get(item.call_id or "", "")
                self.messages.append(Message("tool", text, images, tool_call_id=item.call_id or "", name=name))
            case "item_reference":
                raise Problem("not_offered", f"{field}: a reference to an item; {STATELESS}", field)
            case other:
                raise Problem("not_offered", f"{field}.type: items of type {other[:40]!r} are not offered",
                              f"{field}.type")

    def _add_message(self, item: Item, field: str) -> None:
        if item.role is None:
            raise Problem("invalid_request", f"{field}.role: is required for a message", f"{field}.role")
        text, images = parts_of(item.content, f"{field}.content")
        if item.role == "assistant" and not images:
            if self._text:
                self.end_turn()
            self._text = text
            return
        self.end_turn()
        self.messages.append(Message(item.role, text, images))

    def _add_call(self, call: ToolCall) -> None:
        self._calls.append(call)
        self._names[call.id] = call.name

    def end_turn(self) -> None:
        """Reasoning alone is no turn."""
        if self._text or self._calls:
            self.messages.append(Message("assistant", self._text, tool_calls=self._calls, thinking=self._thinking))
        self._new_turn()


def parts_of(content: str | list[Part] | None, field: str) -> tuple[str, list[str]]:
    """The text and the images (base64) of a content. Raises: Problem; `not_offered` for another part."""
    if not isinstance(content, list):
        return content or "", []
    texts, images = [], []
    for number, part in enumerate(content):
        place = f"{field}[{number}]"
        if part.type in TEXT_PARTS:
            texts.append(part.text or part.refusal)
        elif part.type != "input_image":
            raise Problem("not_offered", f"{place}.type: parts of type {part.type[:40]!r} are not offered",
                          f"{place}.type")
        elif not part.image_url:
            raise Problem("not_offered", f"{place}: files are not kept here; send the image itself in `image_url`: "
                          "data:image/png;base64,...", place)
        else:
            images.append(from_data_url(part.image_url, f"{place}.image_url"))
    return "".join(texts), images
