"""Messages of a chat in the OpenAI dialect, read into the client protocol.

Content is text, parts of text and images, or nothing (an assistant that calls tools). Where reasoning stands in a
conversation (`reasoning_content` or `reasoning`, as we answer, or a part of an assistant's turn), it is handed on; so
is a refusal, as the text that it is. A message of the old role `function` is the answer of a tool, and a
`function_call` a call. Pure.
"""

from typing import Literal

import msgspec

from gateway import protocol
from gateway.http.errors import Problem
from gateway.http.images import from_data_url
from gateway.http.tools import Called, FunctionCall, function_calls, make_call

TEXTS = ("text", "input_text", "output_text", "refusal")
IMAGES = ("image_url", "input_image")
THOUGHTS = ("thinking", "reasoning")
ASSISTANT = "assistant"


class ImageUrl(msgspec.Struct):
    url: str


class Part(msgspec.Struct):
    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: ImageUrl | str | None = None
    thinking: str | list["Part"] | None = None
    reasoning: str | None = None


class OpenAIMessage(msgspec.Struct):
    role: Literal["system", "user", "assistant", "tool", "developer", "function"]
    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: list[FunctionCall] | None = None
    tool_call_id: str | None = None
    function_call: Called | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None


def message_of(number: int, message: OpenAIMessage) -> protocol.Message:
    """Raises: Problem; `not_offered` for a part that is neither text nor an image, and an image that stands elsewhere.
    """
    field = f"messages[{number}]"
    content, thoughts = message.content, ""
    if isinstance(content, list) and message.role == ASSISTANT:
        thoughts = "".join(thought_in(part) for part in content if part.type in THOUGHTS)
        content = [part for part in content if part.type not in THOUGHTS]
    text, images = content_of(content, f"{field}.content")
    calls = function_calls(message.tool_calls, f"{field}.tool_calls")
    if message.function_call is not None:
        one = message.function_call
        calls.append(make_call(f"{field}.function_call", one.name, one.arguments))
    return protocol.Message(
        "tool" if message.role == "function" else message.role, text or message.refusal or "", images, calls,
        message.tool_call_id or "", message.name or "",
        message.reasoning_content or message.reasoning or thoughts)


def content_of(content: str | list[Part] | None, field: str) -> tuple[str, list[str]]:
    """Text and images (base64). Raises: Problem."""
    if not isinstance(content, list):
        return content or "", []
    texts, images = [], []
    for number, part in enumerate(content):
        place = f"{field}[{number}]"
        if part.type in IMAGES:
            images.append(image_of(part, f"{place}.image_url"))
        elif part.type in TEXTS:
            texts.append(part.text or part.refusal or "")
        else:
            raise Problem("not_offered", f"{place}: parts of type {part.type[:40]!r} are not offered; send text or "
                          "images", place)
    return "".join(texts), images


def thought_in(part: Part) -> str:
    """The text of a part of reasoning, wherever its client writes it: there is no rule for it in this dialect."""
    given = part.thinking or part.reasoning or part.text or ""
    return given if isinstance(given, str) else "".join(inner.text or "" for inner in given)


def image_of(part: Part, field: str) -> str:
    """Its base64. Raises: Problem."""
    given = part.image_url
    if given is None:
        raise Problem("invalid_request", f"{field}: is required for a part of type {part.type}", field)
    return from_data_url(given if isinstance(given, str) else given.url, field)
