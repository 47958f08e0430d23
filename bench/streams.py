"""Answers over ZeroMQ as the benches see them that look inside: the moment of every frame, the ids, the usage.

`bench.load` generates load from other processes and brings back figures; here a few answers are asked from the bench's
own process, because what is asked next depends on how far the others are. Times are `time.monotonic()`, of the moment
the client library hands an event over. Nothing is asked again: an answer that ended otherwise says so in `error`.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from bench.arrivals import closed_loop
from bench.records import MS_PER_S
from gateway.client import GatewayClient, GatewayError
from gateway.protocol import Done, Message, Options, Tokens

SAMPLE_CHARS = 2_000  # of a text whose tokens are counted to find out how long another must be


@dataclass(slots=True)
class Stream:
    """One answer, filled while it comes. `frame_s`: when tokens came; `error` "": it ended well, or has not ended."""

    sent_s: float = 0.0
    frame_s: list[float] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    text: str = ""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    ended: bool = False
    error: str = ""

    @property
    def first_ms(self) -> float | None:
        """From sending to the first token; None: there was none."""
        return (self.frame_s[0] - self.sent_s) * MS_PER_S if self.frame_s else None

    @property
    def done(self) -> bool:
        return self.ended and not self.error


def asked(text: str, max_tokens: int, **options: object) -> dict[str, object]:
    """Fields of a submit: one message of a user, greedy unless `options` (of protocol.Options) say otherwise."""
    return said([Message("user", text)], max_tokens, **options)


def said(messages: list[Message], max_tokens: int, **options: object) -> dict[str, object]:
    """As `asked`, of a whole conversation."""
    return {"messages": messages, "options": Options(max_tokens=max_tokens, **({"temperature": 0.0} | options))}


async def hear(client: GatewayClient, stream: Stream | None = None, **fields: object) -> Stream:
    """Ask (fields of protocol.Submit) and hear it to its end. Cancelling this leaves the answer."""
    stream = Stream() if stream is None else stream
    stream.sent_s = time.monotonic()
    try:
        async for event in client.generate(**fields):
            if isinstance(event, Tokens) and event.ids:
                stream.frame_s.append(time.monotonic())
                stream.ids += event.ids
                stream.text += event.text
            elif isinstance(event, Done):
                stream.prompt_tokens, stream.cached_tokens = event.usage.prompt_tokens, event.usage.cached_tokens
                stream.error = "cancelled" if event.finish_reason == "cancelled" else ""
                stream.ended = True
    except GatewayError as problem:
        stream.error, stream.ended = str(problem), True
    return stream


async def sized_text(client: GatewayClient, model: str, random: Random, tokens: int) -> str:
    """Sentences that are about `tokens` tokens as the only message of a prompt. Raises: GatewayError."""
    sample = text_of(random, SAMPLE_CHARS)
    count = await client.tokenize(model=model, messages=[Message("user", sample)])
    return text_of(random, max(1, SAMPLE_CHARS * tokens // count.tokens))


def text_of(random: Random, chars: int) -> str:
    """Plain sentences that differ from all others from their first words on."""
    [ask] = closed_loop(random, 1, {"medium": 1.0}, chars, 1)
    return ask.prompt


def gaps_ms(frame_s: Sequence[float], from_s: float, until_s: float) -> list[float]:
    """The pauses between frames that lie in this time, wholly or in part."""
    return [(after - before) * MS_PER_S for before, after in zip(frame_s, frame_s[1:], strict=False)
            if after > from_s and before < until_s]
