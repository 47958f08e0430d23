"""A TCP connection that says exactly what a test wants, for callers no HTTP library would play."""

import socket
import time

WAIT_S = 5.0
BETWEEN_S = 0.01  # between two pieces of a trickle


class RawHttp:
    def __init__(self, port: int, receive_buffer_bytes: int = 0) -> None:
        self.socket = socket.socket()
        if receive_buffer_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self.socket.settimeout(WAIT_S)
        self.socket.connect(("127.0.0.1", port))

    def __enter__(self) -> "RawHttp":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def post(self, path: str, body: bytes, *, more_headers: bytes = b"") -> None:
        self.send(b"POST %b HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n" % path.encode()
                  + b"content-length: %d\r\n%b\r\n" % (len(body), more_headers) + body)

    def trickle(self, piece: bytes) -> bytes:
        """Send `piece` again and again until the other side ends it; its last words, b"" if a reset ate them."""
        self.socket.settimeout(BETWEEN_S)
        give_up_at = time.monotonic() + WAIT_S
        while time.monotonic() < give_up_at:
            try:
                self.socket.sendall(piece)
                return self.socket.recv(65_536)
            except TimeoutError:
                continue
            except (ConnectionResetError, BrokenPipeError):
                return b""
        raise AssertionError(f"nothing ended this within {WAIT_S} s")

    def read_until(self, mark: bytes) -> bytes:
        """Everything up to the first read that completes `mark`."""
        data = b""
        while mark not in data:
            part = self.socket.recv(65_536)
            assert part, f"closed before {mark!r}: {data!r}"
            data += part
        return data

    def read_to_end(self) -> bytes:
        """Everything until the other side closes; a reset counts as that."""
        data = b""
        try:
            while part := self.socket.recv(65_536):
                data += part
        except ConnectionResetError:
            pass
        return data
