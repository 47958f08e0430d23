"""How many answers this http process has begun, by route, method and status, for /metrics.

Around everything, so that refusals of the guard count too. A route is named as it is declared; what matches none is
NO_ROUTE, and methods that no route offers are OTHER, so that no caller can make series without end. A caller that left
before it was answered counts as 499. A stream that broke after its begin counts as what it began with.
"""

from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

METHODS = frozenset({"GET", "HEAD", "POST", "DELETE", "OPTIONS"})
OTHER, NO_ROUTE = "other", "none"
LEFT = 499


class Tally:
    """ASGI middleware. `counts` by (route, method, status); `routes`: what answers each, by how it is declared."""

    def __init__(self, app: ASGIApp, routes: Mapping[str, ASGIApp]) -> None:
        self.app = app
        self.counts: dict[tuple[str, str, str], int] = {}
        self._routes = {id(answers): path for path, answers in routes.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = LEFT

        async def send_and_see(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, send_and_see)
        finally:
            method = scope["method"] if scope["method"] in METHODS else OTHER
            key = self._routes.get(id(scope.get("endpoint")), NO_ROUTE), method, str(status)
            self.counts[key] = self.counts.get(key, 0) + 1
