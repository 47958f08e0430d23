"""Which Accepts need not be said, since the first Step of their jobs says as much.

A job is accepted the moment it is taken; said is that after HOLD_S, unless a Step with a part of its answer leaves
before: then that is the word. An answer that comes at once costs one frame less, and nobody learns anything later than
he may (the gateway waits jobs.ACCEPT_WITHIN_S). Any other message lets all Accepts go first, so that the order in which
things are said of a job stays as it is. Pure: `now` is monotonic seconds.
"""

from collections.abc import Iterable

import msgspec

from workers.protocol import Accept, Step

HOLD_S = 0.002


class HeldAccepts:
    def __init__(self) -> None:
        self._held: dict[tuple[int, int], Accept] = {}  # by job and attempt
        self._until = 0.0

    def __bool__(self) -> bool:
        """Something is held: look again within HOLD_S."""
        return bool(self._held)

    def say(self, message: msgspec.Struct, now: float) -> Iterable[msgspec.Struct]:
        """What leaves now that this is said, in order."""
        if isinstance(message, Accept):
            if not self._held:
                self._until = now + HOLD_S
            self._held[message.job, message.attempt] = message
            return ()
        if not self._held:
            return (message,)
        if isinstance(message, Step):
            for item in message.items:
                self._held.pop((item.job, item.attempt), None)
            return (message,)
        return (*self.release(), message)

    def due(self, now: float) -> list[Accept]:
        """Those that waited long enough, and with them all others."""
        return self.release() if self._held and now >= self._until else []

    def release(self) -> list[Accept]:
        held = list(self._held.values())
        self._held.clear()
        return held
