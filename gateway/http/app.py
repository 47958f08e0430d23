"""Which path is answered by whom. The table of routes, the guard around them, and errors that no handler raised."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from gateway.http import chat_api, ollama_api, ollama_models, openai_api, ops_api
from gateway.http.call import Call, Endpoint, Handler, Services
from gateway.http.errors import Problem, dialect_of, error_body, error_headers
from gateway.http.guard import Guard
from gateway.protocol import ERRORS


def absent(what: str) -> Handler:
    """501 where a dialect has an endpoint that we do not: its clients read 404 as "no such model"."""
    async def refuse(call: Call) -> None:
        raise Problem("not_offered", f"{call.scope['path'][:200]}: {what} not offered in this version")

    return refuse


ROUTES: dict[str, dict[str, Handler]] = {
    "/": {"GET": ops_api.root},
    "/chat": {"GET": ops_api.chat_page},
    "/health": {"GET": ops_api.health},
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
    "/v1/models": {"GET": openai_api.models},
    "/v1/models/{name:path}": {"GET": openai_api.model},
    "/v1/chat/completions": {"POST": openai_api.chat_completions},
    "/api/create": {"POST": absent("making models is")},
    "/api/push": {"POST": absent("pushing models is")},
    "/api/pull": {"POST": absent("pulling models is")},
    "/api/copy": {"POST": absent("copying models is")},
    "/api/delete": {"DELETE": absent("deleting models is")},
    "/api/embed": {"POST": absent("embedding is")},
    "/api/embeddings": {"POST": absent("embedding is")},
    "/api/blobs/{digest}": dict.fromkeys(("GET", "POST"), absent("a blob store is")),  # HEAD comes as GET
    "/v1/completions": {"POST": absent("completion without a chat is")},
    "/v1/embeddings": {"POST": absent("embedding is")},
    "/v1/responses": {"POST": absent("the responses API is")},
    "/v1/messages": {"POST": absent("Anthropic's API is")},
    "/v1/messages/count_tokens": {"POST": absent("Anthropic's API is")},
}


def make_app(services: Services) -> Guard:
    """The ASGI app, inside its guard. Its lifespan starts the client, gateway or not, and closes what it opened."""
    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await services.client.start(wait=False)
        try:
            yield
        finally:
            await services.client.close()
            services.table.close()

    app = Starlette(
        routes=[Route(path, Endpoint(services, dialect_of(path), **methods)) for path, methods in ROUTES.items()],
        exception_handlers={404: on_no_route, Exception: on_bug},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return Guard(app, services.config)


async def on_no_route(request: Request, _: HTTPException) -> JSONResponse:
    path = request.url.path
    return answer(path, "not_found", f"there is nothing at {path[:200]}")


async def on_bug(request: Request, _: Exception) -> JSONResponse:
    """An exception nobody expected: the server writes it to the journal, the caller gets no more than its id."""
    return answer(request.url.path, "internal", f"internal error; the journal of http names it beside request "
                  f"{request.scope.get('request_id', '')}")


def answer(path: str, code: str, message: str) -> JSONResponse:
    return JSONResponse(error_body(dialect_of(path), code, message), ERRORS[code].status, error_headers(code))
