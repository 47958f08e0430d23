"""Where every route begins and every error ends: a handler for each method of a path, and the shortest way to it.

The journal gets one line for each POST that was answered, refused for what it said, failed for want of us (500 and
more) or was left by its caller (499), with the id that the caller was given (X-Request-Id), as the gateway's have it.

A path that is declared in full is found by one look (`Straight`); those with a parameter go through Starlette's routes.
To try each of 40 patterns, in six layers of calls, was a tenth of the CPU time of a short request.
"""

import asyncio
import time
from collections.abc import Mapping

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.client import GatewayError
from gateway.http.call import LEFT, ROUTE, STOPPING, Call, CallerGone, Handler, Services, SlowReader
from gateway.http.errors import Problem, rate_headers
from gateway.http.wrong_fields import problem_of


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
        if call.peer is not None:
            call.peer.abort()


class Straight:
    """ASGI: `endpoints` by their paths, and `app` for all else. Sets what Starlette sets in a scope."""

    def __init__(self, app: ASGIApp, endpoints: Mapping[str, Endpoint]) -> None:
        self.app = app
        self._endpoints = {path: endpoint for path, endpoint in endpoints.items() if "{" not in path}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = self._endpoints.get(scope["path"]) if scope["type"] == "http" else None
        if endpoint is None:
            await self.app(scope, receive, send)
        else:
            scope["app"], scope["endpoint"] = self.app, endpoint
            await endpoint(scope, receive, send)
