"""What a call may know and ask of the connection that it came by, beside ASGI: `scope["extensions"][PEER]`.

Why, beside `receive` and `send`: a task that waits for the end of a connection, and a timer around each read and each
write, cost more than the request itself (some 60 us of 560, measured). Here the caller's leaving is a call back, a body
that has come is read without a timer, and only a connection that is full needs one.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

if TYPE_CHECKING:
    from gateway.http.connection import Connection

PEER = "warden.peer"


class Peer:
    """Of one request. `abort` ends the connection and drops what waits to be sent."""

    def __init__(self, cycle: RequestResponseCycle, connection: "Connection") -> None:
        self.abort = connection.abort
        self.send = cycle.send  # for pieces of a body, in which nobody between here and there has a part
        self._cycle, self._watching = cycle, connection.watching
        self._on_gone: Callable[[], None] | None = None

    @property
    def has_sent_all(self) -> bool:
        """The body is here, to its end."""
        return not self._cycle.more_body

    @property
    def is_behind(self) -> bool:
        """The caller reads more slowly than we write: a send would have to wait."""
        return self._cycle.flow.write_paused

    def write(self, piece: bytes) -> bool:
        """Send this piece of a body that goes on, now. False: it is not that simple, and needs `send`. A token that is
        sent so costs a third less: no coroutine, no message, no look at what it may be.
        """
        cycle = self._cycle
        if not piece or not cycle.chunked_encoding or cycle.disconnected or self.is_behind:
            return False
        cycle.transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        return True

    def watch(self, on_gone: Callable[[], None]) -> None:
        """`on_gone` is called when the caller goes, now if it is gone already. Only after the body was read."""
        self._on_gone = on_gone
        self._watching.add(self)
        self._cycle.flow.resume_reading()  # a large body stopped it, and who does not read hears of no end
        if self._cycle.disconnected:
            self.gone()

    def unwatch(self) -> None:
        self._watching.discard(self)
        self._on_gone = None

    def gone(self) -> None:
        on_gone = self._on_gone
        self.unwatch()
        if on_gone is not None:
            on_gone()
