"""Much work for one gateway, for asyncio and without it: `submit_many` of both clients.

Guarantees: those of `gateway.task_schedule`, which decides what is asked when. Leaving early, by whatever exception,
cancels what is on its way. A field that cannot be sent ends its own item and no other.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

from gateway.inbox import GatewayError, Inbox
from gateway.protocol import Message
from gateway.task_schedule import CONCURRENCY, PATIENCE_S, Outcome, Piece, Schedule, Tally

if TYPE_CHECKING:
    from gateway.blocking_client import BlockingClient
    from gateway.client import GatewayClient

__all__ = ["CONCURRENCY", "PATIENCE_S", "OnProgress", "Outcome", "Tally", "submit_many", "submit_many_blocking",
           "with_defaults"]

LOOK_EVERY_S = 0.25  # longest turn without asyncio
Fields = dict[str, object]
Begun = TypeVar("Begun")
OnProgress = Callable[[Tally, Outcome | None], None]  # the outcome is None if a request is only put off


class _Told:
    """Says to the caller what ended, and when a pause begins."""

    def __init__(self, schedule: Schedule, on_progress: OnProgress | None) -> None:
        self._schedule, self._on_progress = schedule, on_progress

    def ended(self, index: int, piece: Piece, error: GatewayError | None) -> None:
        schedule, now = self._schedule, time.monotonic()
        if error is None:
            outcomes = [schedule.on_answer(index, piece, now)]
        else:
            outcomes = schedule.on_error(index, piece, error, now) or [None]
        for outcome in outcomes:
            if self._on_progress is not None:
                self._on_progress(schedule.tally(now), outcome)


async def submit_many(client: "GatewayClient", items: Sequence[Fields], *, concurrency: int, patience_s: float,
                      on_progress: OnProgress | None) -> list[Outcome]:
    """See `GatewayClient.submit_many`."""
    schedule = Schedule(len(items), concurrency, patience_s)
    told, tasks = _Told(schedule, on_progress), set()

    async def ask(index: int) -> None:
        piece = Piece()
        try:
            answer = begun(client.ask, items[index])
            try:
                async for event in answer:
                    piece.take(event)
            finally:
                answer.leave()
        except GatewayError as error:
            told.ended(index, piece, error)
        else:
            told.ended(index, piece, None)

    try:
        while not schedule.ended:
            while (index := schedule.next(time.monotonic())) is not None:
                tasks.add(asyncio.create_task(ask(index)))
            wake_at = schedule.wake_at()
            within_s = None if wake_at is None else max(0.0, wake_at - time.monotonic())
            if tasks:
                ended, tasks = await asyncio.wait(tasks, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
                for task in ended:
                    task.result()  # what the callback raised
            elif within_s is not None:
                await asyncio.sleep(within_s)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return schedule.outcomes


def submit_many_blocking(client: "BlockingClient", items: Sequence[Fields], *, concurrency: int, patience_s: float,
                         on_progress: OnProgress | None) -> list[Outcome]:
    """See `BlockingClient.submit_many`."""
    schedule = Schedule(len(items), concurrency, patience_s)
    told = _Told(schedule, on_progress)
    asked: dict[int, tuple[str, Inbox, Piece]] = {}
    try:
        while not schedule.ended:
            while (index := schedule.next(time.monotonic())) is not None:
                try:
                    asked[index] = (*begun(client.ask, items[index]), Piece())
                except GatewayError as error:
                    told.ended(index, Piece(), error)
            wake_at = schedule.wake_at()
            left_s = LOOK_EVERY_S if wake_at is None else wake_at - time.monotonic()
            client.turn(min(LOOK_EVERY_S, max(0.0, left_s)))
            for index, (request_id, inbox, piece) in list(asked.items()):
                if (ended := _read(inbox, piece)) is not None:
                    del asked[index]
                    client.leave(request_id)
                    told.ended(index, piece, ended[0])
    finally:
        for request_id, _, _ in asked.values():
            client.leave(request_id)
    return schedule.outcomes


def begun(ask: Callable[..., Begun], fields: Fields) -> Begun:
    """Raises: GatewayError, also for a value that cannot be sent at all: that item is bad, the others are not."""
    try:
        return ask(**fields)
    except (TypeError, ValueError, OverflowError) as problem:
        raise GatewayError("invalid_request", str(problem)) from None


def _read(inbox: Inbox, piece: Piece) -> tuple[GatewayError | None] | None:
    """Take all that has come. None: it goes on; else the error that ended it, if one did."""
    try:
        while (event := inbox.take()) is not None:
            piece.take(event)
    except GatewayError as error:
        return (error,)
    return (None,) if inbox.ended else None


def with_defaults(items: Iterable[Fields | str], common: Fields) -> list[Fields]:
    """Fields of `protocol.Submit` for each item: class MEDIUM, `common`, its own. A text is what a user says."""
    given = ({"messages": [Message("user", item)]} if isinstance(item, str) else item for item in items)
    return [{"priority": "medium", **common, **item} for item in given]
