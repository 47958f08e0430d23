"""Embeddings: /api/embed and /api/embeddings in the Ollama dialect, /v1/embeddings in OpenAI's.

A model gives them if its files or its `embeddings` setting say how; any other is refused with 501 before it is loaded.
In Ollama's dialect a text that is too long is cut unless `truncate` is false, and no text at all loads the model. In
OpenAI's it is refused, and ids of tokens are taken as well.
"""

from typing import Annotated, Any, Literal

import msgspec

from gateway import protocol
from gateway.client import Answer, GatewayError
from gateway.http.answering import whole_answer
from gateway.http.asking import how_asked, who_asks
from gateway.http.call import Call
from gateway.http.common_fields import NamesModel
from gateway.http.embed_face import EmbedFace, OldOllamaEmbedFace, OllamaEmbedFace, OpenAIEmbedFace
from gateway.http.errors import Problem
from gateway.http.fields import Asks
from gateway.http.ollama_api import keep_alive_s, options_of
from gateway.http.ollama_fields import OTHER_OPTIONS, UNSET, OllamaOptions

OURS = "inputs"  # what the field is called further on
Dimensions = Annotated[int, msgspec.Meta(ge=0)] | None
Ids = Annotated[list[int], msgspec.Meta(max_length=protocol.TOKENS_MAX)]


class EmbedCommon(NamesModel, kw_only=True):
    options: msgspec.Raw = UNSET
    keep_alive: float | str | None = None
    category: str | None = None  # ours: chooses a model where none is named


class EmbedRequest(EmbedCommon):
    input: str | list[str] | None = None
    truncate: bool | None = None
    dimensions: Dimensions = None


class OldEmbedRequest(EmbedCommon):
    prompt: str | None = None


class OpenAIEmbedRequest(NamesModel, kw_only=True):
    """`input`: a text, texts, the ids of one, or the ids of several."""

    input: str | Annotated[list[str | int | Ids], msgspec.Meta(max_length=protocol.TOKENS_MAX)]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Dimensions = None


ALL_OPTIONS = (*OllamaOptions.__struct_fields__, *OTHER_OPTIONS)
COMMON: dict[str, Any] = {
    "notes": {"model": "absent: the one of `category`, else the default", "options.num_ctx": "no more tokens of a text",
              "keep_alive": "bounded by `keep_alive_max`", "category": "ours"},
    "examples": {"keep_alive": "5m", "options": {"num_ctx": 512}},
    "ignored": {f"options.{name}": "an embedding is not sampled" for name in ALL_OPTIONS if name != "num_ctx"},
}
ASKS = (
    Asks("ollama", "/api/embed", EmbedRequest, {"model": "embedder", "input": "hi"}, parts={"options": OllamaOptions},
         notes={**COMMON["notes"], "input": "empty: load", "truncate": "absent: true",
                "dimensions": "fewer than the model has, cut and of length one again; more: 400"},
         examples=COMMON["examples"], ignored=COMMON["ignored"]),
    Asks("ollama", "/api/embeddings", OldEmbedRequest, {"model": "embedder", "prompt": "hi"},
         parts={"options": OllamaOptions}, notes={**COMMON["notes"], "prompt": "empty: load"},
         examples=COMMON["examples"], ignored=COMMON["ignored"]),
    Asks("openai", "/v1/embeddings", OpenAIEmbedRequest, {"model": "embedder", "input": "hi"},
         notes={"input": "a text, texts, ids of tokens, or lists of them", "encoding_format": "absent: float",
                "dimensions": "fewer than the model has, cut and of length one again; more: 400"},
         ignored={"user": "the key says who asks"}),
)


async def embed(call: Call) -> None:
    asked = await call.read_json(EmbedRequest)
    inputs = [asked.input] if isinstance(asked.input, str) and asked.input else asked.input or []
    face = OllamaEmbedFace(asked.model, asked.dimensions or 0)
    await ask_ollama(call, asked, face, inputs, "input" if inputs != asked.input else "",
                     truncate=asked.truncate is not False)


async def old_embeddings(call: Call) -> None:
    asked = await call.read_json(OldEmbedRequest)
    await ask_ollama(call, asked, OldOllamaEmbedFace(asked.model), [asked.prompt] if asked.prompt else [], "prompt",
                     truncate=True)


async def ask_ollama(call: Call, asked: EmbedCommon, face: EmbedFace, inputs: list[str], single: str, *,
                     truncate: bool) -> None:
    """`single`: the field, if it holds one text; "" if it is a list."""
    call.model = asked.model
    options, seconds = options_of(call, asked.options), keep_alive_s(asked)
    if not inputs:
        call.read_priority()
        answer = call.services.client.ask_load(asked.model, keep_alive_s=seconds, **who_asks(call))
    else:
        category = {"category": asked.category} if asked.category else {}
        answer = call.services.client.ask(model=asked.model, inputs=inputs, options=options, keep_alive_s=seconds,
                                          truncate=truncate, **{**how_asked(call), **category})
    await respond(call, face, answer, single)


async def openai_embeddings(call: Call) -> None:
    asked = await call.read_json(OpenAIEmbedRequest)
    call.model = asked.model
    inputs, is_single = inputs_of(asked.input)
    face = OpenAIEmbedFace(asked.dimensions or 0, as_base64=asked.encoding_format == "base64")
    await respond(call, face, call.services.client.ask(model=asked.model, inputs=inputs, **how_asked(call)),
                  "input" if is_single else "")


def inputs_of(given: str | list[str | int | list[int]]) -> tuple[list[str | list[int]], bool]:
    """What is to be embedded, and whether that is one text or list of ids. Raises: Problem."""
    if not given:
        raise Problem("invalid_request", "input: it is empty; give a text, or ids of tokens", "input")
    if isinstance(given, str):
        return [given], True
    kinds = {type(each) for each in given}
    if len(kinds) > 1:
        raise Problem("invalid_request", "input: give texts alone, ids alone, or lists of ids alone", "input")
    return ([given], True) if kinds == {int} else (given, False)


async def respond(call: Call, face: EmbedFace, answer: Answer, single: str) -> None:
    """What is said of `inputs` further on is told by the field that the caller knows."""
    field = single or "input"
    call.names = {OURS: field, "prompt": field}
    try:
        await whole_answer(call, face, answer)
    except GatewayError as error:
        first = f"{OURS}[0]"
        if single and error.message.startswith(first):  # there is no list
            error.message = field + error.message.removeprefix(first)
        raise
