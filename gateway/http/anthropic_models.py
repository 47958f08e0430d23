"""Lists of models in Anthropic's shape, for callers of /v1/models that send `anthropic-version`. In pages of `limit`
models from behind `after_id`, or up to `before_id`.
"""

from datetime import UTC, datetime
from urllib.parse import parse_qs

from control.config import Config
from gateway.http.asking import who_asks
from gateway.http.call import Call
from gateway.http.errors import Problem
from gateway.http.model_files import read_model_files
from gateway.http.ollama_models import context_length
from gateway.protocol import ModelInfo

PAGE_MODELS, PAGE_MAX_MODELS = 20, 1000


async def models(call: Call) -> None:
    found = await call.services.client.list_models(**who_asks(call))
    query = parse_qs(call.scope.get("query_string", b"").decode("latin-1"))
    limit, after, before = (query.get(name, [""])[-1] for name in ("limit", "after_id", "before_id"))
    await call.reply_json(page_of(found, call.services.config, limit_of(limit), after, before))


async def model(call: Call) -> None:
    name = call.scope["path_params"]["name"]
    if not name:  # /v1/models/
        await models(call)
        return
    await call.reply_json(model_object(await call.services.client.show(name, **who_asks(call)),
                                       call.services.config))


def limit_of(given: str) -> int:
    """Raises: Problem `invalid_request`."""
    if not given:
        return PAGE_MODELS
    if not (given.isascii() and given.isdigit() and len(given) <= len(str(PAGE_MAX_MODELS))
            and 1 <= int(given) <= PAGE_MAX_MODELS):
        raise Problem("invalid_request", f"limit: {given[:40]!r} is not a whole number from 1 to {PAGE_MAX_MODELS}",
                      "limit")
    return int(given)


def page_of(models: list[ModelInfo], config: Config, limit: int, after: str, before: str) -> dict[str, object]:
    """Raises: Problem `invalid_request` for a place in the list that there is not."""
    names = [info.name for info in models]
    if before and not after:
        end = place_of(names, before, "before_id")
        begin = max(end - limit, 0)
        more = begin > 0
    else:
        begin = place_of(names, after, "after_id") + 1 if after else 0
        end = begin + limit
        more = end < len(models)
    page = [model_object(info, config) for info in models[begin:end]]
    return {"data": page, "has_more": more, "first_id": page[0]["id"] if page else None,
            "last_id": page[-1]["id"] if page else None}


def place_of(names: list[str], name: str, field: str) -> int:
    if name not in names:
        raise Problem("invalid_request", f"{field}: there is no model {name[:80]!r} in this list", field)
    return names.index(name)


def model_object(info: ModelInfo, config: Config) -> dict[str, object]:
    """`created_at`: when its files were last changed, 1970 if nobody knows. Tokens: null if nobody knows."""
    files = read_model_files(info.path)
    tokens = context_length(info, files, config) or None
    created = datetime.fromtimestamp(int(files.modified_s), UTC).isoformat().replace("+00:00", "Z")
    return {"type": "model", "id": info.name, "display_name": info.name, "created_at": created, "lifecycle": "active",
            "max_input_tokens": tokens, "max_tokens": tokens}
