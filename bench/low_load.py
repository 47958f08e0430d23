"""A load of LOW requests that lasts as long as a block, and the same requests once more without anything beside them.

So many callers, each asking again when it is answered, so that as many run and wait at any time. When the block ends
those that run are heard to their end, and those that still wait leave. Questions are made one by one from a seed, so
that the same ones can be asked again: half of them greedy, half drawn with a seed of their own.
"""

import asyncio
from collections.abc import Iterator, Sequence
from random import Random
from typing import NamedTuple, Self

from bench.streams import Stream, asked, hear, text_of
from gateway.client import GatewayClient

PROMPT_CHARS = 60
DRAWN_TEMPERATURE = 0.8


class Question(NamedTuple):
    """`seed` None: greedy."""

    model: str
    text: str
    max_tokens: int
    seed: int | None

    def fields(self) -> dict[str, object]:
        """Of a submit."""
        options = {} if self.seed is None else {"temperature": DRAWN_TEMPERATURE, "seed": self.seed}
        return {"model": self.model, "priority": "low", **asked(self.text, self.max_tokens, **options)}


def questions(seed: str, model: str, max_tokens: int) -> Iterator[Question]:
    """Without end; every other one is drawn."""
    random = Random(f"{seed}/low")
    number = 0
    while True:
        yield Question(model, text_of(random, PROMPT_CHARS), max_tokens, number if number % 2 else None)
        number += 1


class LowLoad:
    """`async with LowLoad(client, questions, callers) as load`. Complete after it: `answered`, `errors`."""

    def __init__(self, client: GatewayClient, asking: Iterator[Question], callers: int) -> None:
        self.answered: dict[Question, Stream] = {}
        self.errors: list[str] = []
        self._client, self._asking, self._callers = client, asking, callers
        self._over = False
        self._under_way: dict[asyncio.Task[None], Stream] = {}  # by caller, its question of now

    async def __aenter__(self) -> Self:
        for _ in range(self._callers):
            self._under_way[asyncio.create_task(self._call())] = Stream()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over = True
        for task, stream in self._under_way.items():
            if not stream.frame_s:
                task.cancel()  # it still waits
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _call(self) -> None:
        while not self._over:
            question, stream = next(self._asking), Stream()
            self._under_way[asyncio.current_task()] = stream
            await hear(self._client, stream, **question.fields())
            if stream.done:
                self.answered[question] = stream
            else:
                self.errors.append(stream.error or "no end")


async def ask_again(client: GatewayClient, asking: Sequence[Question], at_once: int) -> dict[Question, Stream]:
    """All of them, so many at once."""
    found: dict[Question, Stream] = {}
    waiting = iter(asking)

    async def caller() -> None:
        for question in waiting:
            found[question] = await hear(client, **question.fields())

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(caller())
    return found
