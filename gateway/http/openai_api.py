"""The OpenAI dialect: /v1/models and /v1/chat/completions.

Unknown fields are accepted, wrong types refused by name, and what this version does not offer (tools, log
probabilities, structured output, several answers) is refused with 501 rather than ignored, unless the field is empty.
`top_k`, `min_p` and `repetition_penalty` are read as other local servers read them.
"""

import time
from typing import Annotated, Literal

import msgspec

from gateway import protocol
from gateway.http.answering import stream_answer, whole_answer
from gateway.http.asking import how_asked, who_asks
from gateway.http.call import Call, invalid, is_given, not_offered
from gateway.http.errors import Problem
from gateway.http.images import from_data_url
from gateway.http.model_files import modified_s
from gateway.http.streams import OpenAIFace

UNSET = msgspec.Raw()
Count = Annotated[int, msgspec.Meta(ge=1)]


class ImageUrl(msgspec.Struct):
    url: str


class Part(msgspec.Struct):
    type: str
    text: str = ""
    image_url: ImageUrl | str | None = None


class OpenAIMessage(msgspec.Struct):
    role: Literal["system", "user", "assistant", "tool", "developer"]
    content: str | list[Part] | None = None
    tool_calls: msgspec.Raw = UNSET


class ResponseFormat(msgspec.Struct):
    type: str


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class Completion(msgspec.Struct):
    messages: Annotated[list[OpenAIMessage], msgspec.Meta(max_length=protocol.MESSAGES_MAX)]
    model: str = ""
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    n: Count | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    repetition_penalty: float | None = None
    response_format: ResponseFormat | None = None
    tools: msgspec.Raw = UNSET
    functions: msgspec.Raw = UNSET
    logprobs: msgspec.Raw = UNSET
    logit_bias: msgspec.Raw = UNSET
    audio: msgspec.Raw = UNSET


NOT_OFFERED = {"tools": "tools are", "functions": "functions are", "logprobs": "log probabilities are",
               "logit_bias": "a bias on single tokens is", "audio": "audio is"}


async def chat_completions(call: Call) -> None:
    asked = await call.read_json(Completion)
    call.model = asked.model
    refuse(asked)
    if not asked.messages:
        raise Problem("invalid_request", "messages: give at least one", "messages")
    answer = call.services.client.ask(
        model=asked.model, messages=[message_of(number, m) for number, m in enumerate(asked.messages)],
        options=options_of(asked), **how_asked(call))
    usage = asked.stream_options is not None and bool(asked.stream_options.include_usage)
    face = OpenAIFace(f"chatcmpl-{call.request_id}", int(time.time()), include_usage=usage)
    if asked.stream:
        await stream_answer(call, face, answer)
    else:
        await whole_answer(call, face, answer)


def refuse(asked: Completion) -> None:
    """Raises: Problem `not_offered`."""
    for field, what in NOT_OFFERED.items():
        if is_given(getattr(asked, field)):
            raise not_offered(field, what)
    if asked.n is not None and asked.n != 1:
        raise not_offered("n", "more than one answer is")
    if asked.response_format is not None and asked.response_format.type != "text":
        raise not_offered("response_format", "structured output is")


def message_of(number: int, message: OpenAIMessage) -> protocol.Message:
    """Raises: Problem `not_offered` for a part that is neither text nor an image, or an image that stands elsewhere."""
    if is_given(message.tool_calls):
        raise not_offered(f"messages[{number}].tool_calls", "tool calls are")
    if not isinstance(message.content, list):
        return protocol.Message(message.role, message.content or "")
    images = []
    for place, part in enumerate(message.content):
        field = f"messages[{number}].content[{place}]"
        if part.type == "image_url":
            images.append(image_of(part, f"{field}.image_url"))
        elif part.type != "text":
            raise not_offered(field, f"parts of type {part.type[:40]!r} are")
    return protocol.Message(message.role, "".join(part.text for part in message.content), images)


def image_of(part: Part, field: str) -> str:
    """Its base64. Raises: Problem."""
    given = part.image_url
    if given is None:
        raise Problem("invalid_request", f"{field}: is required for a part of type image_url", field)
    return from_data_url(given if isinstance(given, str) else given.url, field)


def options_of(asked: Completion) -> protocol.Options:
    """Raises: Problem `invalid_request`."""
    stop = [asked.stop] if isinstance(asked.stop, str) else asked.stop or []
    try:
        return msgspec.convert({
            "max_tokens": asked.max_completion_tokens or asked.max_tokens,
            "temperature": asked.temperature,
            "top_p": asked.top_p,
            "top_k": asked.top_k if asked.top_k is None else max(asked.top_k, 0),  # -1: off
            "min_p": asked.min_p,
            "presence_penalty": asked.presence_penalty,
            "frequency_penalty": asked.frequency_penalty,
            "repeat_penalty": asked.repetition_penalty,
            "seed": asked.seed,
            "stop": [text for text in stop if text],
        }, protocol.Options)
    except msgspec.ValidationError as problem:
        raise invalid(problem, names={"repeat_penalty": "repetition_penalty"}) from None


# -- models -------------------------------------------------------------------------------------------------------


def model_object(info: protocol.ModelInfo) -> dict[str, object]:
    return {"id": info.name, "object": "model", "created": int(modified_s(info.path)), "owned_by": "mlx-warden"}


async def models(call: Call) -> None:
    listed = await call.services.client.list_models(**who_asks(call))
    await call.reply_json({"object": "list", "data": [model_object(info) for info in listed]})


async def model(call: Call) -> None:
    await call.reply_json(model_object(await call.services.client.show(call.scope["path_params"]["name"],
                                                                       **who_asks(call))))
