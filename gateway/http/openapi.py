"""/openapi.json: what is served here, described for machines (OpenAPI 3.1).

Made of the table of routes, of the structs that bodies are read as (`fields.Asks`) and of the closed list of errors in
the shape of each dialect, so that there is no second list of anything. It tells nothing that is secret, so it needs no
key. What a field means and what is refused is in the README's table (`field_table`).
"""

import re
from collections.abc import Mapping
from typing import Any

from gateway import VERSION
from gateway.http.asking import KINDS
from gateway.http.call import JSON, Call, Handler
from gateway.http.errors import dialect_of, error_body, status_of
from gateway.http.fields import Asks, collect
from gateway.http.json_schema import Schemas, schema_like
from gateway.protocol import ERRORS, PRIORITIES

Json = dict[str, Any]
Routes = Mapping[str, Mapping[str, Handler]]
STREAMS = {"ollama": "application/x-ndjson", "openai": "text/event-stream", "anthropic": "text/event-stream",
           "chat": "text/event-stream"}
OTHER_MEDIA = {"/": "text/plain", "/chat": "text/html", "/pages/{name}": "text/*",
               "/dashboard/events": "text/event-stream", "/metrics": "text/plain"}
STATUS_SAYS_HOW_WE_ARE = ("/readyz",)  # its 503 is an answer and no error
IN_PATH = re.compile(r"\{(\w+)(?::\w+)?\}")
ERROR_SHAPES = ("ollama", "openai", "anthropic")


def served(routes: Routes) -> Handler:
    """The handler of /openapi.json. `routes` are read when it is asked first: its own may be among them."""
    made: list[Json] = []

    async def openapi(call: Call) -> None:
        if not made:
            made.append(describe(routes))
        await call.reply_json(made[0])

    return openapi


def describe(routes: Routes) -> Json:
    """The whole description."""
    asked, schemas = collect(routes), Schemas()
    paths = {IN_PATH.sub(r"{\1}", path): {
        method.lower(): operation(method, path, handler, asked.get((method, path)), schemas)
        for method, handler in methods.items()} for path, methods in routes.items()}
    errors = {f"{dialect}_error": schema_like(error_body(dialect, "internal", "why")) for dialect in ERROR_SHAPES}
    return {
        "openapi": "3.1.0",
        "info": {"title": "mlx-warden", "version": VERSION, "license": {"name": "MIT", "identifier": "MIT"}},
        "security": [{}, {"bearer": []}, {"header": []}],
        "paths": paths,
        "components": {
            "schemas": {**schemas.found, **errors},
            "responses": {f"{dialect}_{status}": error_response(dialect, codes)
                          for dialect in ERROR_SHAPES for status, codes in codes_by_status(dialect).items()},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"},
                                "header": {"type": "apiKey", "in": "header", "name": "x-api-key"}},
        },
    }


def codes_by_status(dialect: str) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for code in ERRORS:
        found.setdefault(status_of(dialect, code), []).append(code)
    return dict(sorted(found.items()))


def error_response(dialect: str, codes: list[str]) -> Json:
    return {"description": ", ".join(codes),
            "content": {JSON: {"schema": {"$ref": f"#/components/schemas/{dialect}_error"}}}}


def operation(method: str, path: str, handler: Handler, asks: Asks | None, schemas: Schemas) -> Json:
    """What one method of one path takes and gives."""
    dialect = dialect_of(path)
    found: Json = {"operationId": f"{method.lower()} {path}", "tags": [asks.dialect if asks is not None else dialect],
                   "responses": responses(path, handler, asks)}
    parameters = [{"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
                  for name in IN_PATH.findall(path)]
    if asks is not None:
        parameters += [{"name": name, "in": "header", "schema": {"enum": list(values)}}
                       for name, values in (("X-Request-Priority", PRIORITIES), ("X-Warden-Kind", KINDS))]
        found["requestBody"] = {"required": True, "content": {
            JSON: {"schema": schemas.of(asks.struct), "example": dict(asks.body)}}}
    return found | ({"parameters": parameters} if parameters else {})


def responses(path: str, handler: Handler, asks: Asks | None) -> Json:
    """By status. What is not offered has no answer but errors."""
    dialect = dialect_of(path)
    errors = {str(status): {"$ref": f"#/components/responses/{dialect}_{status}"}
              for status in codes_by_status(dialect)}
    if not getattr(handler, "offered", True):
        return errors
    whole = {"schema": schema_like(asks.answer) if asks is not None and asks.answer else {}}
    media = {OTHER_MEDIA.get(path, JSON): whole}
    if asks is not None and ("stream" in asks.struct.__struct_fields__ or path.endswith("/stream")):
        media[STREAMS[asks.dialect]] = {}
    good = {"200": {"description": "as asked", "content": media}}
    if path in STATUS_SAYS_HOW_WE_ARE:
        errors["503"] = {"description": "not ready, and why", "content": media}
    return good | errors
