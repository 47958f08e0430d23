"""The Ollama dialect: /api/generate and /api/chat. What it lists and shows is next door in `ollama_models`.

Unknown fields and options are accepted (an unknown option is noted in the journal once), wrong types are refused by
name, and what this version does not offer (tools, format, thinking, ...) is refused with 501 rather than
ignored, unless the field is empty. `keep_alive` goes with the request; the operator's cap bounds it further on.
A request without a prompt loads the model, or unloads it if `keep_alive` is 0: that is answered at once, and a model
that is in use then goes when it is idle.
"""

from typing import Annotated, Literal, TypeVar

import msgspec

from control.keep_alive import parse_keep_alive
from gateway import protocol
from gateway.client import Answer
from gateway.http.answering import stream_answer, wall_clock, whole_answer
from gateway.http.asking import how_asked, who_asks
from gateway.http.call import JSON, Call, invalid, is_given, not_offered
from gateway.http.errors import Problem
from gateway.http.images import check_images
from gateway.http.streams import OllamaFace

NOTED_OPTIONS_MAX = 256  # names of unknown options that are remembered as noted
OPTION_NAME_MAX_CHARS = 64
FOR_EVER_S = -1.0  # in the client protocol
UNSET = msgspec.Raw()
Images = Annotated[list[str], msgspec.Meta(max_length=protocol.IMAGES_MAX)] | None
T = TypeVar("T", bound="Asked")
OUR_NAMES = {"max_tokens": "num_predict"}
noted_options: set[str] = set()


class OllamaOptions(msgspec.Struct):
    """The options that have an effect. Ranges are those of the client protocol."""

    num_predict: int | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    repeat_penalty: float | None = None
    repeat_last_n: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None


class Asked(msgspec.Struct, kw_only=True):
    """What /api/generate and /api/chat have in common."""

    model: str = ""
    stream: bool | None = None
    options: msgspec.Raw = UNSET
    keep_alive: float | str | None = None
    format: msgspec.Raw = UNSET
    think: msgspec.Raw = UNSET
    category: str | None = None  # ours: chooses a model where none is named


class GenerateRequest(Asked):
    prompt: str | None = None
    system: str | None = None
    raw: bool | None = None
    suffix: msgspec.Raw = UNSET
    template: msgspec.Raw = UNSET
    context: msgspec.Raw = UNSET
    images: Images = None


class OllamaMessage(msgspec.Struct):
    role: Literal["system", "user", "assistant", "tool"]
    content: str | None = None
    images: Images = None
    tool_calls: msgspec.Raw = UNSET


class ChatRequest(Asked):
    messages: Annotated[list[OllamaMessage], msgspec.Meta(max_length=protocol.MESSAGES_MAX)] | None = None
    tools: msgspec.Raw = UNSET


async def generate(call: Call) -> None:
    asked = await read(call, GenerateRequest)
    refuse(asked, format="structured output is", think="thinking is", suffix="filling in the middle is",
           template="another template than the model's is", context="a context of token ids is")
    if not asked.prompt:
        await load(call, asked, chat=False)
    elif asked.raw:
        if asked.images:
            raise not_offered("images", "images with raw, which leaves them no place, are")
        await ask(call, asked, chat=False, prompt=asked.prompt)
    else:
        system = [protocol.Message("system", asked.system)] if asked.system else []
        await ask(call, asked, chat=False, messages=[*system, protocol.Message("user", asked.prompt,
                                                                               check_images(asked.images, "images"))])


async def chat(call: Call) -> None:
    asked = await read(call, ChatRequest)
    refuse(asked, format="structured output is", think="thinking is", tools="tools are")
    for number, message in enumerate(asked.messages or ()):
        refuse(message, f"messages[{number}].", tool_calls="tool calls are")
    if not asked.messages:
        await load(call, asked, chat=True)
    else:
        await ask(call, asked, chat=True, messages=[
            protocol.Message(m.role, m.content or "", check_images(m.images, f"messages[{number}].images"))
            for number, m in enumerate(asked.messages)])


async def read(call: Call, kind: type[T]) -> T:
    """Raises: Problem."""
    asked = await call.read_json(kind)
    call.model = asked.model
    return asked


def keep_alive_s(asked: Asked) -> float | None:
    """Seconds, FOR_EVER_S, or None if the request leaves it to the configuration. Raises: Problem."""
    given = asked.keep_alive
    if given is None or (isinstance(given, str) and not given.strip()):
        return None
    try:
        seconds = parse_keep_alive(given)
    except ValueError as problem:
        raise Problem("invalid_request", f"keep_alive: {problem}", "keep_alive") from None
    return FOR_EVER_S if seconds > protocol.KEEP_ALIVE_MAX_S else seconds


async def ask(call: Call, asked: Asked, *, chat: bool, **prompt: object) -> None:
    answer = call.services.client.ask(
        model=asked.model, options=options_of(call, asked.options), keep_alive_s=keep_alive_s(asked),
        **{**how_asked(call), **({"category": asked.category} if asked.category else {})}, **prompt)
    await respond(call, asked, answer, chat=chat)


async def load(call: Call, asked: Asked, *, chat: bool) -> None:
    """Load, or unload: what is asked of a model and not of its words."""
    call.read_priority()  # neither has a class, but a wrong one is told all the same
    seconds = keep_alive_s(asked)
    if seconds == 0:
        await unload(call, asked, chat=chat)
    else:
        await respond(call, asked, call.services.client.ask_load(asked.model, keep_alive_s=seconds, **who_asks(call)),
                      chat=chat)


async def unload(call: Call, asked: Asked, *, chat: bool) -> None:
    if not asked.model:
        raise Problem("invalid_request", "model: is required; which one is to be unloaded?", "model")
    done = await call.services.client.unload(asked.model, **who_asks(call))
    call.model = done.model
    face = OllamaFace(asked.model, chat=chat)
    media_type = face.media_type if streamed(asked) else JSON
    await call.reply(face.unloaded(wall_clock()), media_type, headers={"x-warden-model": done.model})


async def respond(call: Call, asked: Asked, answer: Answer, *, chat: bool) -> None:
    face = OllamaFace(asked.model, chat=chat)
    if streamed(asked):
        await stream_answer(call, face, answer)
    else:
        await whole_answer(call, face, answer)


def streamed(asked: Asked) -> bool:
    return asked.stream is None or asked.stream


def refuse(asked: msgspec.Struct, under: str = "", **fields: str) -> None:
    """Raises: Problem `not_offered` for the first of these fields that is not empty."""
    for field, what in fields.items():
        if is_given(getattr(asked, field)):
            raise not_offered(under + field, what)


def options_of(call: Call, given: msgspec.Raw) -> protocol.Options:
    """Raises: Problem `invalid_request` that names the option."""
    if not is_given(given):
        return protocol.Options()
    try:
        options = msgspec.json.decode(given, type=OllamaOptions)
        unknown = msgspec.json.decode(given, type=dict[str, msgspec.Raw]).keys() - OllamaOptions.__struct_fields__
    except msgspec.ValidationError as problem:
        raise invalid(problem, "options.") from None
    for name in unknown:
        if name not in noted_options and len(noted_options) < NOTED_OPTIONS_MAX:
            noted_options.add(name)
            call.services.note("option_ignored", option=name[:OPTION_NAME_MAX_CHARS])
    try:
        values = msgspec.structs.asdict(options)
        num_predict, seed, stop = values.pop("num_predict"), values.pop("seed"), values.pop("stop")
        return msgspec.convert({
            **values,
            "max_tokens": num_predict if num_predict is not None and num_predict > 0 else None,  # -1, -2: all there is
            "seed": seed if seed is not None and seed >= 0 else None,  # -1: draw one
            "stop": [text for text in ([stop] if isinstance(stop, str) else stop or ()) if text],
        }, protocol.Options)
    except msgspec.ValidationError as problem:
        raise invalid(problem, "options.", OUR_NAMES) from None
