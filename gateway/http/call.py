"""One HTTP request and its answer: reading the body within limits, typed decoding, replies, errors, and leaving.

A handler raises `Problem` or lets a `GatewayError` pass, and `endpoint` shows it in the caller's dialect. Raw ASGI, so
that a token costs one `send` and nothing else.

Limits: body size before and while reading, BODY_IDLE_S between two pieces of a body, BODY_WITHIN_S for all of it,
SEND_WITHIN_S for a caller that does not read: it is cut off.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import msgspec
from starlette.types import Message, Receive, Scope, Send

from control.config import Config
from gateway.client import GatewayClient
from gateway.http.dashboard_feed import Feed
from gateway.http.errors import (
    ANTHROPIC_VERSION,
    Elsewhere,
    Problem,
    dialect_of,
    error_body,
    error_headers,
    status_of,
)
from gateway.http.peer import PEER, Peer
from gateway.http.table_reader import TableReader
from gateway.http.tracing import PassedOn, Tracing
from gateway.http.wrong_fields import decode, invalid
from gateway.protocol import ERRORS, PRIORITIES, Done

BODY_IDLE_S = 10.0
BODY_WITHIN_S = 120.0
SEND_WITHIN_S = 30.0
ROUTE = "x-warden-route"
JSON = "application/json"
LEFT = (499, "caller_left")  # as nginx logs it; nobody is sent this
STOPPING = ("gateway_unavailable", "the server is stopping; ask again", 1.0)  # code, message, retry_after_s
T = TypeVar("T")


class Services(NamedTuple):
    """What the handlers work with. `note(event, **facts)` writes one line of the journal."""

    config: Config
    client: GatewayClient
    table: TableReader
    note: Callable[..., None]
    feed: Feed
    tracing: Tracing = PassedOn()


class SlowReader(Exception):
    """The caller took nothing for SEND_WITHIN_S."""


class CallerGone(Exception):
    """The caller left before its request was complete; there is nobody to answer."""


class Call:
    def __init__(self, services: Services, dialect: str, scope: Scope, receive: Receive, send: Send) -> None:
        self.services = services
        self.scope = scope
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self.dialect = dialect_of(scope["path"], versioned=True) if ANTHROPIC_VERSION in self.headers else dialect
        self.request_id: str = scope["request_id"]
        self.began_at = time.monotonic()
        self.started = False
        self.complete = False
        self.model = ""  # as asked for, then as resolved
        self.failure: tuple[int, str] | None = None  # status, code
        self.told: dict[str, str] = {}  # headers for an error: how far the request came
        self.done: Done | None = None
        self.span: Any = None  # of the trace, which also says what was asked for
        self.asked_model = ""
        self.elsewhere = Elsewhere()
        self.names: Mapping[str, str] = {}  # our names of fields, for errors found further on -> the caller's
        # None: not by our `connection`. Taken out, or the two would keep each other until somebody looks for garbage.
        self.peer: Peer | None = scope.get("extensions", {}).pop(PEER, None)
        self._receive = receive
        self._send = send
        self._send_piece = send if self.peer is None else self.peer.send

    # -- what the caller said ---------------------------------------------------------------------------------

    @property
    def caller(self) -> str:
        """Whose share of the queue this request counts for."""
        return (self.scope.get("client") or ("local",))[0]

    @property
    def now_ns(self) -> int:
        """Monotonic, as the table's times."""
        return time.monotonic_ns()

    def read_priority(self, default: str = "medium") -> str:
        """The class that the header asks for. Raises: Problem `invalid_request`, which names the three."""
        given = self.headers.get("x-request-priority", default).strip().lower()
        if given not in PRIORITIES:
            known = ", ".join(PRIORITIES)
            raise Problem("invalid_request", f"X-Request-Priority: {given[:40]!r} is not one of {known}",
                          "X-Request-Priority")
        return given

    def hidden(self, text: str) -> str:
        """Without the names of models that are reserved for agents: who was let in to one of those hears everything."""
        model = self.services.config.find(self.model)
        return text if model is not None and model.audience == "agents" else self.services.feed.hide(text)

    async def read_json(self, kind: type[T]) -> T:
        """The body as `kind`. Raises: Problem `not_json`, `body_too_large`, `request_timeout`, `invalid_request`."""
        media_type = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != JSON:
            raise Problem("not_json", f"Content-Type is {media_type[:80]!r}; send JSON with the header "
                          "`Content-Type: application/json` (curl: -H 'Content-Type: application/json')")
        encoding = self.headers.get("content-encoding", "").strip().lower()
        if encoding not in ("", "identity"):
            raise Problem("not_json", f"Content-Encoding: {encoding[:80]!r} is not read here; send the body as it is",
                          "Content-Encoding")
        body = await self._read_body()
        if not body or body.isspace():
            raise Problem("invalid_request", "the body is empty; send a JSON object")
        try:
            return decode(body, kind)
        except msgspec.ValidationError as problem:
            raise invalid(problem, kind=kind) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
            raise Problem("invalid_request", f"the body is not valid JSON: {problem}") from None

    async def _read_body(self) -> bytes:
        self._check_size(int(self.headers.get("content-length") or 0))
        if self.peer is not None and self.peer.has_sent_all:
            return self._piece(await self._receive())
        parts, size = [], 0
        try:
            async with asyncio.timeout(BODY_WITHIN_S):
                while True:
                    async with asyncio.timeout(BODY_IDLE_S):
                        message = await self._receive()
                    parts.append(self._piece(message, size))
                    size += len(parts[-1])
                    if not message.get("more_body", False):
                        return b"".join(parts)
        except TimeoutError:
            raise Problem("request_timeout", f"the body did not come within {BODY_IDLE_S:g} s after its last piece, "
                          f"or not within {BODY_WITHIN_S:g} s", headers={"connection": "close"}) from None

    def _piece(self, message: Message, size: int = 0) -> bytes:
        """Of the body, after `size` bytes of it. Raises: CallerGone, Problem."""
        if message["type"] == "http.disconnect":
            self.failed(*LEFT)
            raise CallerGone
        piece: bytes = message.get("body", b"")
        self._check_size(size + len(piece))
        return piece

    def _check_size(self, size: int) -> None:
        limit = self.services.config.body_max_bytes
        if size > limit:
            raise Problem("body_too_large", f"the body has more than {limit} bytes; the limit is the setting "
                          "`body_max_bytes` in [server]")

    def watching(self, on_gone: Callable[[], None]) -> "Watching":
        """Within it, `on_gone` is called when the caller goes away. Only after the body was read."""
        return Watching(self, on_gone)

    # -- what we say ------------------------------------------------------------------------------------------

    def failed(self, status: int, code: str) -> None:
        """The first reason counts: what comes after it follows from it."""
        self.failure = self.failure or (status, code)

    def was_left(self) -> None:
        """For a stream that has no end of its own: that its caller goes is how it ends, and no failure."""
        self.failure, self.complete = None, True

    async def _send_within(self, send: Send, message: Message) -> None:
        """Only a caller that is behind can make us wait. Raises: SlowReader."""
        if self.peer is not None and not self.peer.is_behind:
            await send(message)
            return
        try:
            async with asyncio.timeout(SEND_WITHIN_S):
                await send(message)
        except TimeoutError:
            raise SlowReader from None

    async def start(self, status: int, media_type: str, headers: Mapping[str, str]) -> None:
        self.started = True
        pairs = [(b"content-type", media_type.encode())]
        pairs += [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
        await self._send_within(self._send, {"type": "http.response.start", "status": status, "headers": pairs})

    async def body(self, body: bytes, *, more: bool) -> None:
        if more and self.peer is not None and self.peer.write(body):
            return
        await self._send_within(self._send_piece, {"type": "http.response.body", "body": body, "more_body": more})
        self.complete = not more

    async def reply(self, body: bytes, media_type: str = JSON, *, status: int = 200,
                    headers: Mapping[str, str] = {}) -> None:
        await self.start(status, media_type, {"content-length": str(len(body)), **headers})
        await self.body(body, more=False)

    async def reply_json(self, value: object, *, status: int = 200, headers: Mapping[str, str] = {}) -> None:
        await self.reply(msgspec.json.encode(value), status=status, headers=headers)

    async def fail(self, code: str, message: str, param: str | None = None, *, retry_after_s: float = 0.0,
                   status: int = 0, headers: Mapping[str, str] = {}) -> None:
        """The error in the caller's dialect. A code that is not in the list came from a newer gateway."""
        code = code if code in ERRORS else "internal"
        status = status_of(self.dialect, code, status)
        self.failed(status, code)
        await self.reply_json(error_body(self.dialect, code, message, param, self.request_id), status=status,
                              headers={**error_headers(code, retry_after_s, once=self.elsewhere.forbids(code)),
                                       **headers})


class Watching:
    """See `Call.watching`. Written out, since each answer begins one: a generator for it takes 3 us, this 1."""

    def __init__(self, call: Call, on_gone: Callable[[], None]) -> None:
        self._call, self._on_gone = call, on_gone

    def __enter__(self) -> None:
        if self._call.peer is not None:
            self._call.peer.watch(self._gone)

    def __exit__(self, *_: object) -> None:
        if self._call.peer is not None:
            self._call.peer.unwatch()

    def _gone(self) -> None:
        self._call.failed(*LEFT)
        self._on_gone()


Handler = Callable[[Call], Awaitable[None]]
