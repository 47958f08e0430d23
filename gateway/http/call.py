"""One HTTP request and its answer: reading the body within limits, typed decoding, replies, errors, and leaving.

`Endpoint` is where every route begins and every error ends: a handler raises `Problem` or lets a `GatewayError` pass,
and the caller sees it in its dialect. Raw ASGI, so that a token costs one `send` and nothing else.

Limits: body size before and while reading, BODY_IDLE_S between two pieces of a body, BODY_WITHIN_S for all of it,
SEND_WITHIN_S for a caller that does not read: it is cut off.

The journal gets one line for each POST that was answered, refused for what it said, failed for want of us (500 and
more) or was left by its caller (499), with the id that the caller was given (X-Request-Id), as the gateway's have it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, TypeVar

import msgspec
from starlette.types import Message, Receive, Scope, Send

from control.config import Config
from gateway.client import GatewayClient, GatewayError
from gateway.http.dashboard_feed import Feed
from gateway.http.errors import (
    ANTHROPIC_VERSION,
    Elsewhere,
    Problem,
    dialect_of,
    error_body,
    error_headers,
    rate_headers,
    status_of,
)
from gateway.http.table_reader import TableReader
from gateway.http.tracing import PassedOn, Tracing
from gateway.http.wrong_fields import decode, invalid, problem_of
from gateway.protocol import ERRORS, PRIORITIES, Done

BODY_IDLE_S = 10.0
BODY_WITHIN_S = 120.0
SEND_WITHIN_S = 30.0
ROUTE = "x-warden-route"
ABORT = "warden.abort"  # scope extension of `connection`: end the connection without sending what waits
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
        self._receive = receive
        self._send = send

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
        limit = self.services.config.body_max_bytes
        too_large = Problem("body_too_large", f"the body has more than {limit} bytes; the limit is the setting "
                            "`body_max_bytes` in [server]")
        if int(self.headers.get("content-length") or 0) > limit:
            raise too_large
        parts, size = [], 0
        try:
            async with asyncio.timeout(BODY_WITHIN_S):
                while True:
                    async with asyncio.timeout(BODY_IDLE_S):
                        message = await self._receive()
                    if message["type"] == "http.disconnect":
                        self.failed(*LEFT)
                        raise CallerGone
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > limit:
                        raise too_large
                    if not message.get("more_body", False):
                        return b"".join(parts)
        except TimeoutError:
            raise Problem("request_timeout", f"the body did not come within {BODY_IDLE_S:g} s after its last piece, "
                          f"or not within {BODY_WITHIN_S:g} s", headers={"connection": "close"}) from None

    @asynccontextmanager
    async def watching(self, on_gone: Callable[[], None]) -> AsyncIterator[None]:
        """Within it, `on_gone` is called when the caller goes away. Only after the body was read."""
        async def watch() -> None:
            while (await self._receive())["type"] != "http.disconnect":
                pass
            self.failed(*LEFT)
            on_gone()

        watcher = asyncio.create_task(watch())
        try:
            yield
        finally:
            watcher.cancel()

    # -- what we say ------------------------------------------------------------------------------------------

    def failed(self, status: int, code: str) -> None:
        """The first reason counts: what comes after it follows from it."""
        self.failure = self.failure or (status, code)

    def was_left(self) -> None:
        """For a stream that has no end of its own: that its caller goes is how it ends, and no failure."""
        self.failure, self.complete = None, True

    async def send(self, message: Message) -> None:
        """Raises: SlowReader."""
        try:
            async with asyncio.timeout(SEND_WITHIN_S):
                await self._send(message)
        except TimeoutError:
            raise SlowReader from None

    async def start(self, status: int, media_type: str, headers: Mapping[str, str]) -> None:
        self.started = True
        pairs = [(b"content-type", media_type.encode())]
        pairs += [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
        await self.send({"type": "http.response.start", "status": status, "headers": pairs})

    async def body(self, body: bytes, *, more: bool) -> None:
        await self.send({"type": "http.response.body", "body": body, "more_body": more})
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


Handler = Callable[[Call], Awaitable[None]]


class Endpoint:
    """The ASGI app of one route: a handler for each method, and the one place where errors become answers."""

    def __init__(self, services: Services, dialect: str, **handlers: Handler) -> None:
        self.services = services
        self.dialect = dialect
        self.handlers = handlers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = Call(self.services, self.dialect, scope, receive, send)
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        try:
            await self._answer(call, self.handlers.get(method))
        except SlowReader:
            self._cut(call, "slow_reader")
        except CallerGone:
            pass
        except asyncio.CancelledError:  # only by a server that stops now: this is the last word, not to be passed on
            await self._end_now(call)
        finally:
            self._note_end(call)

    async def _answer(self, call: Call, handler: Handler | None) -> None:
        try:
            if handler is None:
                allow, scope = ", ".join(self.handlers), call.scope
                raise Problem("method_not_allowed", f"{scope['method']} is not offered on {scope['path']}; use {allow}",
                              headers={"allow": allow})
            await handler(call)
        except Problem as problem:
            await call.fail(problem.code, problem.message, problem.param, headers=problem.headers)
        except GatewayError as error:
            found = problem_of(error.code, call.hidden(error.message), call.names)
            await call.fail(found.code, found.message, found.param, retry_after_s=error.retry_after_s,
                            status=error.status,
                            headers=rate_headers(error.rate) | call.told)

    async def _end_now(self, call: Call) -> None:
        """For who still sends a body, or does not take what is sent: the latter can be told nothing more."""
        if not call.started:
            code, message, retry_after_s = STOPPING
            await call.fail(code, message, retry_after_s=retry_after_s)
        elif not call.complete:
            self._cut(call, STOPPING[0])

    def _note_end(self, call: Call) -> None:
        """One line for an answer or a failure, and no word of what was asked. An unexpected exception is `internal`."""
        if not call.complete:
            call.failed(500, "internal")
        status, code = call.failure or (200, "")
        self.services.tracing.end(call, status, code)
        event = "request_failed" if status >= LEFT[0] else "request_refused" if code else "request_ended"
        if call.scope["method"] != "POST" and event != "request_failed":  # lists and pages
            return
        facts = {"model": call.model, "code": code, "route": call.told.get(ROUTE, "")}
        self.services.note(event, request_id=call.request_id,
                           path=call.scope["path"], status=status,
                           **{name: value for name, value in facts.items() if value},
                           ms=round((time.monotonic() - call.began_at) * 1000))

    def _cut(self, call: Call, code: str) -> None:
        """What waits to be sent is thrown away; closing politely would wait for the very reader that does not read."""
        call.failed(LEFT[0], code)
        abort = call.scope.get("extensions", {}).get(ABORT)
        if abort is not None:
            abort()
