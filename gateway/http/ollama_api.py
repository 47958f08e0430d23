"""The Ollama dialect: /api/generate and /api/chat. What it lists and shows is next door in `ollama_models`.

`ollama_fields` says what a request may hold. Unknown fields and options are accepted (an unknown option is noted in the
journal once). `keep_alive` goes with the request; the operator's cap bounds it further on. A request without a prompt
loads the model, or unloads it if `keep_alive` is 0: that is answered at once, and a model that is in use then goes when
it is idle.
"""

from typing import TypeVar

import msgspec

from control.keep_alive import parse_keep_alive
from gateway import protocol
from gateway.client import Answer
from gateway.http.answering import stream_answer, wall_clock, whole_answer
from gateway.http.asking import how_asked, who_asks
from gateway.http.call import JSON, Call
from gateway.http.errors import Problem
from gateway.http.images import check_images
from gateway.http.ollama_face import OllamaFace
from gateway.http.ollama_fields import (
    ASKS,
    NAMES,
    Asked,
    ChatRequest,
    GenerateRequest,
    asked_of_the_answer,
    messages_of,
    read_options,
    tools_of,
)
from gateway.http.wrong_fields import not_offered

__all__ = ["ASKS"]
NOTED_OPTIONS_MAX = 256  # names of unknown options that are remembered as noted
OPTION_NAME_MAX_CHARS = 64
FOR_EVER_S = -1.0  # in the client protocol
T = TypeVar("T", bound=msgspec.Struct)
noted_options: set[str] = set()


async def generate(call: Call) -> None:
    asked = await read(call, GenerateRequest)
    if not asked.prompt:
        await load(call, asked, chat=False)
    elif asked.raw or asked.suffix:
        check_plain(asked)
        await ask(call, asked, chat=False, prompt=asked.prompt, suffix=asked.suffix or None)
    else:
        system = [protocol.Message("system", asked.system)] if asked.system else []
        user = protocol.Message("user", asked.prompt, check_images(asked.images, "images"))
        await ask(call, asked, chat=False, messages=[*system, user], template=asked.template or "")


def check_plain(asked: GenerateRequest) -> None:
    """A prompt that is taken as it is has no place for anything else. Raises: Problem."""
    why = "raw" if asked.raw else "suffix"
    if asked.images:
        raise not_offered("images", f"images with {why}, which leaves them no place, are")
    for field in ("template", "system") if asked.raw else ("template",):
        if getattr(asked, field):
            raise Problem("invalid_request", f"{field}: has no place beside {why}, which takes the prompt as it is; "
                          "leave one of them out", field)


async def chat(call: Call) -> None:
    asked = await read(call, ChatRequest)
    tools = tools_of(asked.tools)
    if not asked.messages:
        await load(call, asked, chat=True)
    else:
        await ask(call, asked, chat=True, messages=messages_of(asked.messages), tools=tools)


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
    call.names = NAMES
    answer = call.services.client.ask(
        model=asked.model, options=options_of(call, asked.options), keep_alive_s=keep_alive_s(asked),
        **{**how_asked(call), **({"category": asked.category} if asked.category else {})},
        **asked_of_the_answer(asked), **prompt)
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


def options_of(call: Call, given: msgspec.Raw) -> protocol.Options:
    """Raises: Problem `invalid_request` that names the option."""
    options, unknown = read_options(given)
    for name in filter(str.isidentifier, unknown):  # whatever else stands there could be anybody's words
        if name not in noted_options and len(noted_options) < NOTED_OPTIONS_MAX:
            noted_options.add(name)
            call.services.note("option_ignored", option=name[:OPTION_NAME_MAX_CHARS])
    return options
