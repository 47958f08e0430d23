"""What both relays need of HTTP: one session, its time limits, and failures named in the closed list of codes.

1. The connection, the first byte and every pause have a limit each; what is exceeded is named, with the setting.
2. No redirect is followed, no proxy of the environment is used, no cookie kept.
3. A line of an answer is at most LINE_MAX_BYTES; of an error's text PROBLEM_MAX_CHARS are passed on.
4. Each request has a connection of its own. One that is kept may just be closed by the server when a request goes out
   on it; that request would have failed, for nothing is asked twice.
5. Nothing here blocks the loop: the key file, which may lie on a mount that hangs, is read in a thread.
"""

import asyncio
import json
import os
import threading
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import aiohttp
from aiohttp.http_exceptions import LineTooLong

from workers.relay import HOP_HEADER, LINE_MAX_BYTES, PROBLEM_MAX_CHARS, Limits, UpstreamFailed

PROBE_WITHIN_S = 5.0
KEY_WITHIN_S = 2.0
FAREWELL_S = 1.0
BODY_MAX_BYTES = 1024 * 1024  # of a list of models, of an error
HEADER_MAX_CHARS = 200
REDIRECTS = range(300, 400)
CALLERS_FAULT = {400: "invalid_request", 404: "model_not_found", 413: "invalid_request", 422: "invalid_request",
                 501: "not_offered", 508: "loop_detected"}
BUSY_FOR_US = 429  # we ask more than it allows us, which says nothing about others
TIMEOUTS = {408, 504}
KEY_REFUSED = {401, 403}


@dataclass
class _Patience:
    """What is waited for: the limit, and the setting that it comes from."""

    limit_s: float
    setting: str


class Remote:
    """One server by its URL. `key_file`: where the API key stands; "" for none. Errors raise: UpstreamFailed."""

    def __init__(self, name: str, url: str, key_file: str, limits: Limits) -> None:
        self.name, self.url, self.limits = name, url.rstrip("/"), limits
        self._key_file = key_file
        self._reading: Future[str] | None = None
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        timeout = aiohttp.ClientTimeout(total=None, connect=self.limits.connect_s)
        tracing = aiohttp.TraceConfig()
        tracing.on_connection_create_end.append(_tell_connected)
        self._session = aiohttp.ClientSession(
            timeout=timeout, cookie_jar=aiohttp.DummyCookieJar(), trace_configs=[tracing],
            connector=aiohttp.TCPConnector(limit=0, force_close=True))

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(self, path: str) -> bytes:
        """The body of a small answer with status 200, within PROBE_WITHIN_S."""
        async with self._failures_named(_Patience(PROBE_WITHIN_S, "when asked for a sign of life")):
            async with asyncio.timeout(PROBE_WITHIN_S):
                headers = await self._headers()
                async with self._session.get(self.url + path, headers=headers, allow_redirects=False) as reply:
                    await self._check(reply)
                    return await body_of(reply)

    async def lines(self, path: str, body: object, hop: int, **headers: str) -> AsyncIterator[bytes]:
        """POST, and each line of the answer as it comes, without its end; blank ones too. Close it with `aclosing`."""
        patience = _Patience(self.limits.first_byte_s, "relay_first_byte_s")
        async with self._failures_named(patience):
            async with asyncio.timeout(None) as clock:
                headers = await self._headers(**{HOP_HEADER: str(hop)}, **headers)
                async with self._session.post(self.url + path, json=body, headers=headers, allow_redirects=False,
                                              trace_request_ctx=lambda: wait_at_most(clock, patience)) as reply:
                    await self._check(reply)
                    while line := await reply.content.readline(max_line_length=LINE_MAX_BYTES):
                        clock.reschedule(None)  # whoever reads us may be slow
                        yield line.rstrip(b"\r\n")
                        patience.limit_s, patience.setting = self.limits.idle_s, "relay_idle_s"
                        wait_at_most(clock, patience)

    async def _headers(self, **more: str) -> dict[str, str]:
        """The key is read each time: a new one needs no restart, and a missing file is the server's failure."""
        headers = {name: header_text(text) for name, text in more.items()} | {"Accept-Encoding": "identity"}
        if self._key_file:
            headers["Authorization"] = f"Bearer {await self._read_key()}"
        return headers

    async def _read_key(self) -> str:
        """One reading at a time: one that hangs is waited for again, and no further thread hangs beside it."""
        if self._reading is None or self._reading.done():
            self._reading = read_aside(Path(self._key_file))
        try:
            async with asyncio.timeout(KEY_WITHIN_S):
                return (await asyncio.shield(asyncio.wrap_future(self._reading))).strip()
        except (OSError, ValueError) as problem:  # TimeoutError is an OSError
            why = f"not within {KEY_WITHIN_S:g} s" if isinstance(problem, TimeoutError) else why_of(problem)
            raise UpstreamFailed("upstream_failed", f"{self.name}: the key in {self.name}_key_file cannot be read "
                                 f"({why})") from None

    async def _check(self, reply: aiohttp.ClientResponse) -> None:
        if reply.status == 200:
            return
        if reply.status in REDIRECTS:
            raise UpstreamFailed("upstream_failed", f"{self.name} redirects, which is not followed; correct "
                                 f" {self.name}_url in [relays]")
        body = await body_of(reply)
        said = f"{self.name} answered {reply.status}: {problem_in(body)}"
        if reply.status == 404 and b'"error"' not in body:  # it is no model that is missing
            raise UpstreamFailed("upstream_failed", f"{said}; is {self.name}_url in [relays] really its address?")
        if reply.status in CALLERS_FAULT:
            raise UpstreamFailed(CALLERS_FAULT[reply.status], said, is_its_fault=False)
        if reply.status in KEY_REFUSED:
            said = f"{said}; its key is {self.name}_key_file in [relays]"
        raise UpstreamFailed("upstream_timeout" if reply.status in TIMEOUTS else "upstream_failed", said,
                             is_its_fault=reply.status != BUSY_FOR_US)

    @asynccontextmanager
    async def _failures_named(self, patience: _Patience) -> AsyncIterator[None]:
        try:
            yield
        except aiohttp.ConnectionTimeoutError:
            raise UpstreamFailed("upstream_failed", f"{self.name} was not reached within "
                                 f"{self.limits.connect_s:g} s (relay_connect_s)") from None
        except TimeoutError:
            raise UpstreamFailed("upstream_timeout", f"{self.name} said nothing for {patience.limit_s:g} s "
                                 f"({patience.setting})") from None
        except LineTooLong:  # its own text quotes what came
            raise UpstreamFailed("upstream_failed", f"{self.name} sent a line of more than "
                                 f"{LINE_MAX_BYTES:,} bytes") from None
        except (aiohttp.ClientPayloadError, aiohttp.ClientResponseError):  # so do theirs
            raise UpstreamFailed("upstream_failed", f"{self.name} broke off its answer, or does not "
                                 "keep to HTTP") from None
        except (aiohttp.ClientError, OSError, ValueError) as problem:
            raise UpstreamFailed("upstream_failed", f"{self.name}: {why_of(problem)}") from None


def read_aside(path: Path) -> Future[str]:
    """The text of a file, read in a thread of its own that keeps no process from ending."""
    reading: Future[str] = Future()

    def read() -> None:
        try:
            reading.set_result(path.read_text())
        except (OSError, ValueError) as problem:
            reading.set_exception(problem)

    threading.Thread(target=read, name="key", daemon=True).start()
    return reading


async def _tell_connected(session: aiohttp.ClientSession, context: SimpleNamespace, params: object) -> None:
    if context.trace_request_ctx is not None:
        context.trace_request_ctx()


def wait_at_most(clock: asyncio.Timeout, patience: _Patience) -> None:
    """From now on."""
    clock.reschedule(asyncio.get_running_loop().time() + patience.limit_s)


def trace_headers(traceparent: str) -> dict[str, str]:
    """Where the request stands in a distributed trace; nothing if it is in none."""
    return {"traceparent": traceparent} if traceparent else {}


async def finish(lines: AsyncIterator[bytes]) -> None:
    """After the last line that counts: read on to the end for a moment, else the server takes its caller for gone."""
    with suppress(TimeoutError, UpstreamFailed):
        async with asyncio.timeout(FAREWELL_S):
            async for _ in lines:
                pass


async def body_of(reply: aiohttp.ClientResponse) -> bytes:
    """All of it, in however many parts it comes; beyond BODY_MAX_BYTES it is cut off."""
    body = bytearray()
    async for block in reply.content.iter_any():
        body += block
        if len(body) >= BODY_MAX_BYTES:
            break
    return bytes(body[:BODY_MAX_BYTES])


def why_of(problem: Exception) -> str:
    """Without the address: callers hear it, and where our servers are is no business of theirs."""
    if isinstance(problem, aiohttp.ClientConnectorDNSError):
        return "its name was not found"
    number = getattr(problem, "errno", None)
    return os.strerror(number).lower() if number else type(problem).__name__


def header_text(text: str) -> str:
    """What a header may hold of a caller's own words."""
    return "".join(char for char in text if char.isascii() and char.isprintable())[:HEADER_MAX_CHARS]


def problem_in(body: bytes) -> str:
    """The words of an error in any of the shapes that servers use."""
    try:
        said = json.loads(body)
        error = said.get("error", said) if isinstance(said, dict) else said
        text = error.get("message", error) if isinstance(error, dict) else error
        return str(text)[:PROBLEM_MAX_CHARS]
    except (ValueError, RecursionError):  # no JSON, or nested without end
        return body.decode(errors="replace").strip()[:PROBLEM_MAX_CHARS]
