"""Everything that a proposal for this machine depends on, gathered within a bounded time.

Looked into are the Hugging Face cache, LM Studio's folders, `models_dir` and what this home has pulled; asked are
Ollama and Victoria. Nothing is fetched, loaded, started or written. After LOOK_MAX_S further models are named and not
looked at.
"""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from control.budget import GIB, Ceiling, choose_ceiling
from control.library import library_path, read_library
from control.pressure import PressureReader
from control.weights import hub_cache
from gateway.cli.init_models import (
    HUB,
    LM_STUDIO,
    MODELS_DIR,
    PULLED,
    below_home,
    folder_models,
    hub_models,
    lm_studio_folders,
    look_at,
)
from gateway.cli.init_servers import find_ollama, find_victoria
from gateway.cli.proposal import Facts, Found

if TYPE_CHECKING:
    from control.config import Config
    from control.home import Home

LOOK_MAX_S = 10.0
CACHE_VARIABLES = ("HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME")


def gather_facts(config: "Config", home: "Home", env: Mapping[str, str]) -> Facts:
    """`config` is what counts now: its limits and its budget hold for the proposal too."""
    give_up_at = time.monotonic() + LOOK_MAX_S

    def is_late() -> bool:
        return time.monotonic() > give_up_at

    models = list(hub_models(env, is_late))
    places = [(f"{HUB} ({below_home(hub_cache(env), env)})", len(models))]
    for folder, origin in [*((folder, LM_STUDIO) for folder in lm_studio_folders(env)),
                           *([(Path(config.models_dir), MODELS_DIR)] if config.models_dir else [])]:
        there = list(folder_models(folder, origin, env, is_late))
        models += there
        places.append((f"{origin} ({below_home(folder, env)})", len(there)))
    ceiling, available_bytes = read_memory(config, env)
    return Facts(
        models=tuple(_with_pulled(models, home, env)), ceiling=ceiling, available_bytes=available_bytes,
        max_running=config.max_running, ollama=None if config.ollama_url else find_ollama(env),
        victoria_url="" if config.victoria_url else find_victoria(), places=tuple(places),
        cache_variables=tuple(name for name in CACHE_VARIABLES if env.get(name)))


def read_memory(config: "Config", env: Mapping[str, str]) -> tuple[Ceiling, int]:
    """What all models together may have, and what this machine could give just now, in bytes."""
    reading = PressureReader(env).read(time.monotonic())
    return choose_ceiling(int(config.memory_budget_gb * GIB), reading.device_bytes, reading.total_bytes,
                          reading.limit_bytes), reading.available_bytes


def _with_pulled(models: list[Found], home: "Home", env: Mapping[str, str]) -> list[Found]:
    """What this home serves already keeps its name there."""
    named = {entry.path: entry.name for entry in read_library(library_path(home.root)).models}
    served = []
    for found in models:
        place = hub_place(found, env)
        served.append(found._replace(served_as=named.pop(place, "")))
    return served + [look_at(name, PULLED, path, Path(path))._replace(served_as=name) for path, name in named.items()]


def hub_place(found: Found, env: Mapping[str, str]) -> str:
    """The resolved directory of a model, as the library of a home names it."""
    from control.weights import expand, snapshot_of

    if found.origin == HUB:
        return os.path.realpath(snapshot_of(hub_cache(env), found.title) or "")
    return os.path.realpath(expand(found.path, env))
