"""A TCP door in front of a server, which a test opens, leads elsewhere and shuts: the address stays the same.

    door.lead_to(port)     from now on callers reach that port of this machine
    door.shut()            nobody listens any more, and every connection through it is cut

So one stack can be relayed to a real server, to a scripted one, and to nothing, in turn.
"""

import selectors
import socket
import threading
from contextlib import suppress

from tests.support.supervisor_home import free_port

PIECE_BYTES = 65_536
BACKLOG = 128


class Door:
    """Shut at first. `url` is what callers ask."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.behind = 0  # the port that callers reach; 0: shut
        self._listener: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    def lead_to(self, port: int) -> None:
        if port == self.behind:
            return
        self.shut()
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(BACKLOG)
        self._listener, self.behind = listener, port
        threading.Thread(target=self._accept, args=(listener, port), daemon=True).start()

    def shut(self) -> None:
        with self._lock:
            closed = [*self._open, *([self._listener] if self._listener is not None else [])]
            self._open, self._listener, self.behind = set(), None, 0
        for each in closed:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)  # wakes whoever waits for it, who then closes it

    def _accept(self, listener: socket.socket, port: int) -> None:
        with listener, suppress(OSError):
            while True:
                caller, _ = listener.accept()
                threading.Thread(target=self._carry, args=(caller, listener, port), daemon=True).start()

    def _carry(self, caller: socket.socket, listener: socket.socket, port: int) -> None:
        with caller, socket.socket() as server, suppress(OSError):
            server.connect(("127.0.0.1", port))
            with self._lock:
                if listener is not self._listener:
                    return
                self._open |= {caller, server}
            pass_on(caller, server)
        with self._lock:
            self._open -= {caller, server}


def pass_on(one: socket.socket, other: socket.socket) -> None:
    """What each says to the other, until either ends it."""
    with selectors.DefaultSelector() as selector:
        selector.register(one, selectors.EVENT_READ, other)
        selector.register(other, selectors.EVENT_READ, one)
        while True:
            for key, _ in selector.select():
                data = key.fileobj.recv(PIECE_BYTES)
                if not data:
                    return
                key.data.sendall(data)
