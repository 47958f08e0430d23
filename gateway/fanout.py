"""What goes back to each client, bounded: events of one turn leave together, and a client that does not read is cut.

Guarantees
1. Events of one client leave in the order in which they were said.
2. A client whose hello asked for it gets one frame per turn, an array of events; any other gets a frame per event.
3. Nothing waits unbounded: a client that leaves more than its buffer limit unread, or anything unread for
   UNREAD_MAX_S, is cut: `flush` returns it as TOO_SLOW, and what it has not read is thrown away.
4. What is said with `hold` may wait for the next event of its client, but no longer than HOLD_S: that a request was
   accepted and began leaves with its first token if that comes at once. (Of an answer of one token that spares two of
   three frames, each of which wakes four threads.) `hurry` ends the wait.
5. A client that is gone is returned as GONE at the first frame that cannot be delivered. What is still said to it is
   kept for UNREAD_MAX_S and tried every RETRY_EVERY_S: one whose connection broke for a moment (a stopped process,
   say) still hears how its requests ended.

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
RETRY_EVERY_S = 1.0
HOLD_S = 0.002
LINKS_MAX = 4096  # clients remembered; the one that was silent longest is forgotten, and greets again


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
    held_until: float | None = None  # None: nothing waits for company, or not seen by a flush yet
    lost: Lost | None = None  # reported as such; kept only for last words
    retry_at: float = 0.0


class Fanout:
    """`send(identity, frame)` tries to deliver one frame now and says how that went."""

    def __init__(self, send: Callable[[bytes, bytes], Sent]) -> None:
        self._send = send
        self._links: dict[bytes, Link] = {}
        self._dirty: set[bytes] = set()
        self._held: set[bytes] = set()  # with something said that may wait; some may be dirty as well

    def _link(self, identity: bytes) -> Link:
        link = self._links.get(identity)
        if link is None:
            link = self._links[identity] = Link()
        return link

    def open(self, identity: bytes, *, batch: bool) -> None:
        self._link(identity).batch = batch

    def say(self, identity: bytes, event: msgspec.Struct) -> None:
        self._link(identity).events.append(event)
        self._dirty.add(identity)

    def hold(self, identity: bytes, event: msgspec.Struct) -> None:
        """As `say`, but it may wait for company (4)."""
        self._link(identity).events.append(event)
        self._held.add(identity)

    def hurry(self, identity: bytes) -> None:
        """What is held for this client leaves with this turn."""
        if identity in self._held:
            self._dirty.add(identity)

    def say_now(self, identity: bytes, event: msgspec.Struct, now: float) -> None:
        """Before anything else is sent to anybody, if it can be delivered. Who is lost is found by the next `flush`."""
        self.say(identity, event)
        link = self._links[identity]
        if link.lost is None and now >= link.retry_at:
            self._flush_link(identity, link, now)

    def close(self, identity: bytes) -> None:
        self._links.pop(identity, None)
        self._dirty.discard(identity)
        self._held.discard(identity)

    def flush(self, now: float) -> list[tuple[bytes, Lost]]:
        """Deliver what was said since the last flush. Returns the clients that are lost from now on, each once."""
        if self._held:
            self._end_waits(now)
        lost = []
        for identity in list(self._dirty):
            link = self._links[identity]
            outcome = self._flush_link(identity, link, now) if now >= link.retry_at else None
            if outcome is None:
                continue
            if link.lost is not None and outcome is Lost.TOO_SLOW:
                self.close(identity)
            elif link.lost is None:
                link.lost = outcome
                lost.append((identity, outcome))
        return lost

    @property
    def holds(self) -> bool:
        """Something waits for company: flush again within HOLD_S."""
        return bool(self._held)

    def _end_waits(self, now: float) -> None:
        for identity in list(self._held):
            link = self._links[identity]
            if link.held_until is None:
                link.held_until = now + HOLD_S
            if now >= link.held_until or identity in self._dirty:
                self._held.remove(identity)
                self._dirty.add(identity)

    def _flush_link(self, identity: bytes, link: Link, now: float) -> Lost | None:
        """Whether it is lost. A link that is heard again after all is as good as new."""
        for frame in [encode(link.events)] if link.batch and link.events else map(encode, link.events):
            link.frames.append(frame)
            link.unread_bytes += len(frame)
        link.events.clear()
        link.held_until = None
        self._held.discard(identity)
        while link.frames:
            sent = self._send(identity, link.frames[0])
            if sent is not Sent.OK:
                link.retry_at = now + RETRY_EVERY_S if sent is Sent.GONE else now
                return self._judge_unread(link, now) or (Lost.GONE if sent is Sent.GONE else None)
            link.unread_bytes -= len(link.frames.popleft())
        link.unread_since = link.lost = None
        self._dirty.discard(identity)
        self._links[identity] = self._links.pop(identity)  # heard of last
        while len(self._links) > LINKS_MAX:
            self.close(next(each for each in self._links if each not in self._dirty and each not in self._held))
        return None

    def _judge_unread(self, link: Link, now: float) -> Lost | None:
        link.unread_since = now if link.unread_since is None else link.unread_since
        limit = BATCH_BUFFER_MAX_BYTES if link.batch else PLAIN_BUFFER_MAX_BYTES
        if link.unread_bytes <= limit and now - link.unread_since <= UNREAD_MAX_S:
            return None
        link.frames.clear()
        link.unread_bytes, link.unread_since = 0, None
        return Lost.TOO_SLOW
