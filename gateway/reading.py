"""How a reader waits for events: an async iterator over what somebody else puts, in the same event loop.

One waits at a time. Whoever puts an event, or ends it, calls `wake`.
"""

import asyncio
from typing import Generic, Self, TypeVar

T = TypeVar("T")


class Reading(Generic[T]):
    """`ended`: what has been put is all. `take` gives the next event, None if there is none now."""

    ended: bool
    _waiter: asyncio.Future[None] | None = None

    def take(self) -> T | None:
        """What a reader that has events gives in place of this."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        event = await self.next()
        if event is None:
            raise StopAsyncIteration
        return event

    async def next(self, within_s: float | None = None) -> T | None:
        """The next event; None if none comes in time, or none will (then `ended` is true). Raises what `take` does."""
        if (event := self.take()) is not None or self.ended:
            return event
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            if within_s is None:  # a timeout that never comes costs as much as one that does
                await self._waiter
            else:
                async with asyncio.timeout(within_s):
                    await self._waiter
        except TimeoutError:
            return None
        finally:
            self._waiter = None
        return self.take()

    def wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
