"""What requests for chats and for completions have in common in the OpenAI dialect, read into the client protocol.

`max_tokens` of -1 asks for as much as there is, as local servers read it, and so does none at all, or one beyond all
limits; `top_k` of -1 is off. A seed belongs to the first choice; the next ones have the numbers after it, so that each
can be had again alone.
`top_k`, `min_p`, `repetition_penalty` and `chat_template_kwargs` are read as other local servers read them. Pure.
"""

from collections.abc import Mapping
from typing import Annotated

import msgspec

from gateway import protocol
from gateway.http.common_fields import NamesModel, bounded
from gateway.http.errors import Problem
from gateway.http.wrong_fields import invalid

N_MAX = 8  # answers to one prompt
BIAS_MAX = 100.0
TOKEN_MAX_DIGITS = 10
UNLIMITED = -1
SEEDS = 2**64

IGNORED = {  # of all that answer
    "user": "the key says who asks",
    "metadata": "nothing is kept",
    "store": "nothing is kept",
    "service_tier": "there is one; `X-Request-Priority` says how urgent it is",
    "safety_identifier": "the key says who asks",
    "prompt_cache_key": "nothing is kept",
    "prompt_cache_retention": "nothing is kept",
}


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class HowChosen(NamesModel, kw_only=True):
    """Which model, how the tokens of its answer are chosen, and where that ends; the Responses API has these too."""

    stop: str | list[str] | None = None
    seed: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    repetition_penalty: float | None = None


class Sampled(HowChosen, kw_only=True):
    """Fields of both kinds of request."""

    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=N_MAX)] | None = None
    logit_bias: dict[str, float] | None = None

    @property
    def include_usage(self) -> bool:
        return self.stream_options is not None and bool(self.stream_options.include_usage)


def options_of(asked: Sampled, max_tokens: int | None, names: Mapping[str, str] = {}) -> protocol.Options:
    """`names`: from ours to what this request calls them. Raises: Problem `invalid_request`."""
    stop = [asked.stop] if isinstance(asked.stop, str) else asked.stop or []
    try:
        return msgspec.convert({
            "max_tokens": None if max_tokens == UNLIMITED else bounded(max_tokens),
            "temperature": asked.temperature,
            "top_p": asked.top_p,
            "top_k": None if asked.top_k is None else max(asked.top_k, 0),
            "min_p": asked.min_p,
            "presence_penalty": asked.presence_penalty,
            "frequency_penalty": asked.frequency_penalty,
            "repeat_penalty": asked.repetition_penalty,
            "seed": asked.seed,
            "stop": [text for text in stop if text],
        }, protocol.Options)
    except msgspec.ValidationError as problem:
        raise invalid(problem, names={"repeat_penalty": "repetition_penalty", **names}) from None


def of_choice(options: protocol.Options, number: int) -> protocol.Options:
    """Those of a further choice: the same but for the seed, which stays within 64 bits."""
    if options.seed is None or number == 0:
        return options
    half = SEEDS // 2
    return msgspec.structs.replace(options, seed=(options.seed + number + half) % SEEDS - half)


def bias_of(given: Mapping[str, float] | None) -> dict[int, float]:
    """Token id -> bias. Raises: Problem `invalid_request` that names the token."""
    if given and len(given) > protocol.BIASES_MAX:
        raise Problem("invalid_request", f"logit_bias: {len(given)} tokens; the limit is {protocol.BIASES_MAX}",
                      "logit_bias")
    return {token_of(text): checked_bias(text, bias) for text, bias in (given or {}).items()}


def token_of(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= TOKEN_MAX_DIGITS):
        raise Problem("invalid_request", f"logit_bias: {text[:40]!r} is no token id; the keys are whole numbers as "
                      "text", "logit_bias")
    return int(text)


def checked_bias(text: str, bias: float) -> float:
    if not -BIAS_MAX <= bias <= BIAS_MAX:
        raise Problem("invalid_request", f"logit_bias.{text}: {bias:g} is not from {-BIAS_MAX:g} to {BIAS_MAX:g}",
                      f"logit_bias.{text}")
    return bias
