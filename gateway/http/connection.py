"""What a TCP connection may cost us before and beside its requests; uvicorn has no such limits of its own.

1. The end of a request's head must follow its first byte within HEAD_WITHIN_S, else 408; a head that is not complete
   after HEAD_MAX_BYTES (looked at after each read) is refused with 431. A fresh connection gets the same time.
2. A caller that reads nothing can be cut at once: `scope["extensions"][ABORT]` drops what waits to be sent, where a
   polite close would wait for the reader.
"""

import asyncio
import socket
import struct

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.http.call import ABORT

HEAD_WITHIN_S = 10.0
HEAD_MAX_BYTES = 32 * 1024
NO_LINGER = struct.pack("ii", 1, 0)  # on, for 0 seconds
TOO_LATE = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class Connection(HttpToolsProtocol):
    _head_bytes = 0
    _in_head = True
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += min(len(data), HEAD_MAX_BYTES + 1)
        super().data_received(data)
        if self._in_head and self._head_bytes > HEAD_MAX_BYTES:
            self._refuse(TOO_LARGE)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {ABORT: self.abort}
        self._in_head = True
        if self._head_timer is None:
            self._await_head()

    def on_headers_complete(self) -> None:
        self._in_head, self._head_bytes = False, 0
        self._stop_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_head, self._head_bytes = True, 0  # what follows is the head of the next request

    def abort(self) -> None:
        """Close with a reset, so that neither we nor the kernel keep what the caller does not take (2)."""
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        self.transport.abort()

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_WITHIN_S, self._refuse, TOO_LATE)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, answer: bytes) -> None:
        """Say why, unless nothing was asked yet or the answer to an earlier request is under way."""
        self._stop_timer()
        if self.transport.is_closing():
            return
        if self._head_bytes and (self.cycle is None or self.cycle.response_complete):
            self.transport.write(answer)
        self.transport.close()
