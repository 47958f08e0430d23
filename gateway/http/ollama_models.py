"""The Ollama dialect about models: /api/tags, /api/ps, /api/show, /api/version.

Clients expect things of a blob store that we do not have, and get the nearest true thing: every name shows a tag; a
digest is 64 hex characters, the SHA-256 of the model's name and directory (it tells models apart, and changes when
the configuration points elsewhere; it is no hash of the weights); what stays for ever expires in the far future. All
of a model is in memory that the GPU reaches, so both its sizes are the same: its share of the budget.

Every name by which a model can be asked is in the list, further names too: clients look there before they ask.

`version` is the version of Ollama whose API this is, and not ours: editors refuse to speak with an Ollama that is older
than what they need of it (VS Code wants 0.6.4, others 0.14.2). Ours stands beside it.
"""

import hashlib
import time
from datetime import UTC, datetime

import msgspec

from control.config import Config
from control.keep_alive import choose_keep_alive_s
from gateway import VERSION, protocol
from gateway.http.asking import who_asks
from gateway.http.call import Call
from gateway.http.errors import Problem
from gateway.http.fields import Asks
from gateway.http.model_files import ModelFiles, read_model_files
from gateway.http.ollama_show import shown

OLLAMA_VERSION = "0.14.2"
LOADING = "loading"
LOADED = (LOADING, "ready", "draining")
UNKNOWN_TIME = "0001-01-01T00:00:00Z"  # Go's zero time, which Ollama's clients know
NEVER, NEVER_AT_S = "2318-01-01T00:00:00Z", 10_981_785_600.0


class ShowRequest(msgspec.Struct):
    model: str | None = None
    name: str | None = None
    verbose: bool | None = None
    system: str | None = None
    template: str | None = None
    options: msgspec.Raw = msgspec.Raw()


NOT_STORED = "the request shows a model, it does not change it"
ASKS = (Asks("ollama", "/api/show", ShowRequest, {"model": "tiny"},
             notes={"name": "older clients say so", "verbose": "the tensors too"},
             ignored=dict.fromkeys(("system", "template", "options"), NOT_STORED), examples={"options": {}}),)


def tagged(name: str) -> str:
    """With a `:tag`, as Ollama's names always have."""
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def digest(info: protocol.ModelInfo) -> str:
    return hashlib.sha256(f"{info.name}\0{info.path}".encode()).hexdigest()


def details(info: protocol.ModelInfo, files: ModelFiles) -> dict[str, object]:
    family = files.family or info.engine
    return {"parent_model": "", "format": "safetensors" if info.path else info.engine, "family": family,
            "families": [family], "parameter_size": human(files.parameters),
            "quantization_level": files.quantization}


def human(parameters: int) -> str:
    """As 1.5B, 361.82M or 12K; "" if it is not known."""
    for scale, letter, digits in ((10**9, "B", 1), (10**6, "M", 2), (1000, "K", 0)):
        if parameters >= scale:
            return f"{parameters / scale:.{digits}f}{letter}"
    return str(parameters or "")


def context_length(info: protocol.ModelInfo, files: ModelFiles, config: Config) -> int:
    """Tokens: what the worker took, or would take once it loads the model; 0 if that is not known."""
    model = config.find(info.name)
    known = (files.context_length, model.context_length if model is not None else 0)
    return info.context_length or min((tokens for tokens in known if tokens), default=0)


def time_text(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z") if seconds else UNKNOWN_TIME


def listed(info: protocol.ModelInfo, config: Config) -> list[dict[str, object]]:
    """Under each of its names."""
    files = read_model_files(info.path)
    tokens = context_length(info, files, config)
    facts = {"modified_at": time_text(files.modified_s), "size": files.size_bytes, "digest": digest(info),
             "details": details(info, files)} | ({"context_length": tokens} if tokens else {})
    names = dict.fromkeys(map(tagged, (info.name, *info.aliases)))
    return [{"name": name, "model": name, **facts} for name in names]


def running(info: protocol.ModelInfo, config: Config, wall_s: float) -> dict[str, object]:
    files = read_model_files(info.path)
    tokens = context_length(info, files, config)
    size = info.share_bytes or info.memory_bytes
    return {"name": tagged(info.name), "model": tagged(info.name), "size": size, "digest": digest(info),
            "details": details(info, files), "expires_at": expires_at(info, config, wall_s), "size_vram": size} | (
                {"context_length": tokens} if tokens else {})


def expires_at(info: protocol.ModelInfo, config: Config, wall_s: float) -> str:
    """When the model may go for want of use. One that loads has the time it will have; one that drains goes now."""
    left_s = info.keep_until_s
    if left_s is None and info.state == LOADING:
        model = config.find(info.name)
        left_s = choose_keep_alive_s(None, model.keep_alive if model else "", config.keep_alive, config.keep_alive_max)
    at_s = wall_s + (left_s or 0.0)
    return NEVER if info.pinned or at_s < wall_s or at_s > NEVER_AT_S else time_text(at_s)


async def version(call: Call) -> None:
    await call.reply_json({"version": OLLAMA_VERSION, "warden": VERSION})


async def tags(call: Call) -> None:
    models = await call.services.client.list_models(**who_asks(call))
    await call.reply_json({"models": [each for info in models for each in listed(info, call.services.config)]})


async def ps(call: Call) -> None:
    models = await call.services.client.list_models(**who_asks(call))
    now_s = time.time()
    await call.reply_json({"models": [running(info, call.services.config, now_s) for info in models
                                      if info.state in LOADED]})


async def show(call: Call) -> None:
    asked = await call.read_json(ShowRequest)
    if not (asked.model or asked.name):
        raise Problem("invalid_request", "model: is required", "model")
    info = await call.services.client.show(asked.model or asked.name, **who_asks(call))
    files = read_model_files(info.path)
    config = call.services.config
    await call.reply_json({
        **shown(info, files, config, context_length(info, files, config), verbose=bool(asked.verbose)),
        "details": details(info, files),
        "modified_at": time_text(files.modified_s),
    })
