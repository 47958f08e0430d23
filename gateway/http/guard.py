"""Who may talk to us at all: the Host allow-list and the Origin rule, on every route, before anything is routed.

Why: a page in a browser can make its own name resolve to 127.0.0.1 (DNS rebinding) or post to us from another site.
1. Host must be a name of this machine or of `allowed_hosts`, with any port. Where other machines can reach us, any
   address written in figures will do: nobody can make an address resolve to us, and behind a router or a tunnel the
   address that a caller knows need not be one that we can see. Containers know this machine by two names below
   `internal`, a domain that nobody can register, so no page of the web can have come from there.
2. Origin, when the browser sends one, must be this very server, a host of `allowed_hosts`, or one of `allowed_origins`
   (apps and browser extensions have no host that could be listed); only the latter two get cross-origin headers, and
   never a `*`.
Refused with 403 and the setting to change. Every response gets its request id, and `nosniff`.
"""

import re
import secrets
from collections.abc import Iterable, Iterator
from functools import lru_cache, partial
from ipaddress import ip_address
from urllib.parse import urlsplit

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from control.config import Config
from gateway.http.errors import ANTHROPIC_VERSION, Problem, dialect_of, error_body, status_of
from gateway.http.origins import compile_origins

OWN_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]", "host.docker.internal", "host.containers.internal"})
NO_ORIGINS = compile_origins(())
ID_BYTES, IDS_AT_ONCE = 12, 100
HOSTS_KNOWN = 32  # names that were looked at and are allowed
SANE_ID = re.compile(rb"[A-Za-z0-9._:-]{1,64}")
HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?", re.IGNORECASE)
MAY_ASK = (b"content-type, x-request-priority, x-request-id, authorization, x-api-key, x-warden-kind, "
           b"x-warden-category, x-warden-progress, anthropic-version, anthropic-beta, "
           b"anthropic-dangerous-direct-browser-access, "
           b"x-stainless-arch, x-stainless-helper, x-stainless-helper-method, x-stainless-lang, x-stainless-os, "
           b"x-stainless-package-version, x-stainless-poll-helper, x-stainless-retry-count, x-stainless-runtime, "
           b"x-stainless-runtime-version, x-stainless-timeout")
MAY_READ = (b"x-warden-model, x-warden-route, x-warden-reason, x-warden-priority, x-request-id, request-id, "
            b"server-timing, retry-after, x-should-retry, x-ratelimit-limit-requests, x-ratelimit-remaining-requests, "
            b"x-ratelimit-reset-requests")


def fresh_ids() -> Iterator[bytes]:
    """Ids for requests that bring none: 24 hexadecimal digits that nobody can guess, made a hundred at a time."""
    while True:
        digits = secrets.token_hex(ID_BYTES * IDS_AT_ONCE).encode()
        yield from (digits[start:start + 2 * ID_BYTES] for start in range(0, len(digits), 2 * ID_BYTES))


def name_in(host: str) -> str:
    """The name in a Host header or an authority, in lower case and without its port; "" if it is not one."""
    found = HOST.fullmatch(host)
    return found[1].lower().rstrip(".") if found else ""


def is_address(name: str) -> bool:
    """An IP address in its usual writing, IPv6 in brackets; `127.1` and the like are names."""
    try:
        ip_address(name[1:-1] if name.startswith("[") else name)
    except ValueError:
        return False
    return True


def check_host(host: str, allowed: frozenset[str], *, addresses: bool = False) -> None:
    """`addresses`: any address is allowed too. Raises: Problem `host_not_allowed`."""
    name = name_in(host)
    if name not in allowed and not (addresses and is_address(name)):
        raise Problem("host_not_allowed", f"the host {host[:80]!r} is not allowed here; add it to `allowed_hosts` in "
                      "[server] (or WARDEN_ALLOWED_HOSTS) if it is a name of this machine")


def check_origin(origin: str, host: str, configured: Iterable[str], origins: re.Pattern[str] = NO_ORIGINS) -> bool:
    """True if the origin is another site that is configured, False if it is this server. `origins`: further ones, of
    `compile_origins`.

    Raises:
        Problem: `origin_not_allowed`.
    """
    try:
        there = urlsplit(origin)
    except ValueError:
        there = urlsplit("")
    if there.scheme in ("http", "https") and there.netloc:
        if there.netloc.lower() == host.lower():
            return False
        if name_in(there.netloc) in configured:
            return True
    if origins.fullmatch(origin.lower()):
        return True
    raise Problem("origin_not_allowed", f"pages of {origin[:80]!r} may not use this server; if they shall, add their "
                  "host to `allowed_hosts` in [server] (or WARDEN_ALLOWED_HOSTS), or this origin to `allowed_origins` "
                  "(or OLLAMA_ORIGINS)")


class Guard:
    """ASGI middleware around everything. Sets `scope["request_id"]`."""

    def __init__(self, app: ASGIApp, config: Config) -> None:
        self.app = app
        self.configured = frozenset(host.lower() for host in config.allowed_hosts)
        self.origins = compile_origins(config.allowed_origins)
        bound = f"[{config.host}]" if ":" in config.host else config.host
        self.allowed = OWN_NAMES | self.configured | {bound.lower()}
        self.addresses = config.is_reachable
        self._ids = fresh_ids()
        self._check_host = lru_cache(HOSTS_KNOWN)(partial(check_host, allowed=self.allowed, addresses=self.addresses))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        request_id = headers.get(b"x-request-id", b"")
        if not (request_id and SANE_ID.fullmatch(request_id)):
            request_id = next(self._ids)
        scope["request_id"] = request_id.decode()
        added = [(b"x-request-id", request_id), (b"x-content-type-options", b"nosniff")]
        dialect = dialect_of(scope["path"], versioned=ANTHROPIC_VERSION.encode() in headers)
        if dialect == "anthropic":
            added.append((b"request-id", request_id))  # where its clients look for it

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *added]}
            await send(message)

        try:
            host = headers.get(b"host", b"").decode("latin-1")
            self._check_host(host)
            origin = headers.get(b"origin")
            if origin is not None and check_origin(origin.decode("latin-1"), host, self.configured,
                                                   self.origins):
                added += [(b"access-control-allow-origin", origin), (b"vary", b"origin"),
                          (b"access-control-expose-headers", MAY_READ)]
                if scope["method"] == "OPTIONS":
                    await preflight(send_with_id)
                    return
        except Problem as problem:
            await refuse(problem, dialect, scope["request_id"], send_with_id)
            return
        await self.app(scope, receive, send_with_id)


async def preflight(send: Send) -> None:
    """A configured site asks what it may send."""
    await send({"type": "http.response.start", "status": 204, "headers": [
        (b"access-control-allow-methods", b"GET, HEAD, POST, DELETE"), (b"access-control-allow-headers", MAY_ASK)]})
    await send({"type": "http.response.body", "body": b""})


async def refuse(problem: Problem, dialect: str, request_id: str, send: Send) -> None:
    body = msgspec.json.encode(error_body(dialect, problem.code, problem.message, request_id=request_id))
    await send({"type": "http.response.start", "status": status_of(dialect, problem.code), "headers": [
        (b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": body})
