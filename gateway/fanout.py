"""What goes back to each client, bounded: events of one turn leave together, and a client that does not read is cut.

Guarantees
1. Events of one client leave in the order in which they were said.
2. A client whose hello asked for it gets one frame per turn, an array of events; any other gets a frame per event.
3. Nothing waits unbounded: a client that leaves more than its buffer limit unread, or anything unread for
   UNREAD_MAX_S, is cut: `flush` returns it as TOO_SLOW and its buffer is emptied.
4. A client that is gone is returned as GONE at the first frame that cannot be delivered.

No socket here: `send` is given.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

import msgspec

from gateway.protocol import encode

PLAIN_BUFFER_MAX_BYTES = 1024 * 1024
BATCH_BUFFER_MAX_BYTES = 8 * 1024 * 1024  # one front end carries many callers
UNREAD_MAX_S = 30.0


class Sent(Enum):
    OK = "ok"
    FULL = "full"
    GONE = "gone"


class Lost(Enum):
    GONE = "gone"
    TOO_SLOW = "too slow"


@dataclass(slots=True)
class Link:
    batch: bool = False
    events: list[msgspec.Struct] = field(default_factory=list)
    frames: deque[bytes] = field(default_factory=deque)
    unread_bytes: int = 0
    unread_since: float | None = None


class Fanout:
    """`send(identity, frame)` tries to deliver one frame now and says how that went."""

    def __init__(self, send: Callable[[bytes, bytes], Sent]) -> None:
        self._send = send
        self._links: dict[bytes, Link] = {}
        self._dirty: set[bytes] = set()

    def open(self, identity: bytes, *, batch: bool) -> None:
        self._links.setdefault(identity, Link()).batch = batch

    def say(self, identity: bytes, event: msgspec.Struct) -> None:
        self._links.setdefault(identity, Link()).events.append(event)
        self._dirty.add(identity)

    def close(self, identity: bytes) -> None:
        self._links.pop(identity, None)
        self._dirty.discard(identity)

    @property
    def unread(self) -> bool:
        """Something could not be delivered yet: flush again soon."""
        return bool(self._dirty)

    def flush(self, now: float) -> list[tuple[bytes, Lost]]:
        """Deliver what was said since the last flush. Returns the clients that are lost; their links are closed."""
        lost = []
        for identity in list(self._dirty):
            outcome = self._flush_link(identity, self._links[identity], now)
            if outcome is not None:
                self.close(identity)
                lost.append((identity, outcome))
        return lost

    def _flush_link(self, identity: bytes, link: Link, now: float) -> Lost | None:
        for frame in [encode(link.events)] if link.batch and link.events else map(encode, link.events):
            link.frames.append(frame)
            link.unread_bytes += len(frame)
        link.events.clear()
        while link.frames:
            sent = self._send(identity, link.frames[0])
            if sent is Sent.GONE:
                return Lost.GONE
            if sent is Sent.FULL:
                return self._judge_unread(link, now)
            link.unread_bytes -= len(link.frames.popleft())
        link.unread_since = None
        self._dirty.discard(identity)
        return None

    def _judge_unread(self, link: Link, now: float) -> Lost | None:
        link.unread_since = now if link.unread_since is None else link.unread_since
        limit = BATCH_BUFFER_MAX_BYTES if link.batch else PLAIN_BUFFER_MAX_BYTES
        if link.unread_bytes > limit or now - link.unread_since > UNREAD_MAX_S:
            return Lost.TOO_SLOW
        return None
