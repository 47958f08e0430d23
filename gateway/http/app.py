"""Which path is answered by whom. The table of routes, the guard around them, and errors that no handler raised."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from gateway.http import (
    anthropic_api,
    anthropic_count,
    anthropic_models,
    chat_api,
    dashboard_api,
    embed_api,
    metrics,
    ollama_api,
    ollama_library,
    ollama_models,
    openai_chat,
    openai_completions,
    openai_models,
    ops_api,
    pages,
    responses_api,
)
from gateway.http.call import Call, Handler, Services
from gateway.http.endpoint import Endpoint, Straight
from gateway.http.errors import ANTHROPIC_VERSION, Problem, dialect_of, error_body, error_headers, status_of
from gateway.http.guard import Guard
from gateway.http.metrics_tally import Tally
from gateway.http.openapi import served


def absent(what: str) -> Handler:
    """501 where a dialect has an endpoint that we do not: its clients read 404 as "no such model"."""
    async def refuse(call: Call) -> None:
        raise Problem("not_offered", f"{call.scope['path'][:200]}: {what} not offered in this version")

    refuse.offered = False  # for `openapi`
    return refuse


def by_dialect(openai: Handler, *, anthropic: Handler) -> Handler:
    """For a path that both have: Anthropic's clients send the version of their API."""
    async def answer_in_it(call: Call) -> None:
        await (anthropic if call.dialect == "anthropic" else openai)(call)

    return answer_in_it


ROUTES: dict[str, dict[str, Handler]] = {
    "/": {"GET": ops_api.root},
    "/chat": {"GET": pages.page("chat.html")},
    "/pages/{name}": {"GET": pages.page_file},
    "/dashboard/events": {"GET": dashboard_api.events},
    "/health": {"GET": ops_api.health},
    "/metrics": {"GET": metrics.metrics},
    "/livez": {"GET": ops_api.livez},
    "/readyz": {"GET": ops_api.readyz},
    "/queue/stats": {"GET": ops_api.queue_stats},
    "/chat/stream": {"POST": chat_api.stream},
    "/chat/send": {"POST": chat_api.send},
    "/status": {"GET": chat_api.status},
    "/models": {"GET": chat_api.models},
    "/api/version": {"GET": ollama_models.version},
    "/api/tags": {"GET": ollama_models.tags},
    "/api/ps": {"GET": ollama_models.ps},
    "/api/show": {"POST": ollama_models.show},
    "/api/generate": {"POST": ollama_api.generate},
    "/api/chat": {"POST": ollama_api.chat},
    "/v1/models": {"GET": by_dialect(openai_models.models, anthropic=anthropic_models.models)},
    "/v1/models/{name:path}": {"GET": by_dialect(openai_models.model, anthropic=anthropic_models.model)},
    "/v1/chat/completions": {"POST": openai_chat.chat_completions},
    "/api/create": {"POST": absent("making models is")},
    "/api/push": {"POST": absent("pushing models is")},
    "/api/pull": {"POST": ollama_library.pull},
    "/api/copy": {"POST": ollama_library.copy},
    "/api/delete": {"DELETE": ollama_library.delete},
    "/api/embed": {"POST": embed_api.embed},
    "/api/embeddings": {"POST": embed_api.old_embeddings},
    "/api/blobs/{digest}": dict.fromkeys(("GET", "POST"), absent("a blob store is")),  # HEAD comes as GET
    "/v1/completions": {"POST": openai_completions.completions},
    "/v1/embeddings": {"POST": embed_api.openai_embeddings},
    "/v1/responses": {"POST": responses_api.responses},
    "/v1/responses/input_tokens": {"POST": responses_api.input_tokens},
    "/v1/responses/compact": {"POST": responses_api.absent},
    "/v1/responses/{id}": dict.fromkeys(("GET", "DELETE"), responses_api.absent),
    "/v1/responses/{id}/cancel": {"POST": responses_api.absent},
    "/v1/responses/{id}/input_items": {"GET": responses_api.absent},
    "/v1/messages": {"POST": anthropic_api.messages},
    "/v1/messages/count_tokens": {"POST": anthropic_count.count_tokens},
    "/v1/messages/batches": dict.fromkeys(("GET", "POST"), absent("a batch of messages is")),
}
ROUTES["/openapi.json"] = {"GET": served(ROUTES)}


def make_app(services: Services) -> Tally:
    """The ASGI app in its guard, counted. Its lifespan starts the client, gateway or not, and closes what it opened."""
    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await services.client.start(wait=False)
        feed = asyncio.create_task(services.feed.run(services.note))
        try:
            yield
        finally:
            feed.cancel()
            await services.client.close()
            services.table.close()
            await asyncio.to_thread(services.tracing.close)

    endpoints = {path: Endpoint(services, dialect_of(path), **methods) for path, methods in ROUTES.items()}
    app = Starlette(
        routes=[Route(path, endpoint) for path, endpoint in endpoints.items()],
        exception_handlers={404: on_no_route},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    answering = ServerErrorMiddleware(Straight(app, endpoints), handler=on_bug)
    tally = Tally(Guard(answering, services.config), endpoints)
    app.state.scraper = metrics.Scraper(services, tally)
    return tally


async def on_no_route(request: Request, _: HTTPException) -> JSONResponse:
    return answer(request, "not_found", f"there is nothing at {request.url.path[:200]}")


async def on_bug(request: Request, _: Exception) -> JSONResponse:
    """An exception nobody expected: the server writes it to the journal, the caller gets no more than its id."""
    return answer(request, "internal", f"internal error; the journal of http names it beside request "
                  f"{request.scope.get('request_id', '')}")


def answer(request: Request, code: str, message: str) -> JSONResponse:
    dialect = dialect_of(request.url.path, versioned=ANTHROPIC_VERSION in request.headers)
    body = error_body(dialect, code, message, request_id=request.scope.get("request_id", ""))
    return JSONResponse(body, status_of(dialect, code), error_headers(code))
