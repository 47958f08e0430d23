"""What only several settings together can get wrong, found before anything starts.

1. Names and aliases are well formed and given once; so is every slug, and none is a relay's.
2. The default model, and the model of each category, are configured.
3. The default model is not reserved for agents while there is another: people who name no model would be refused.
4. A chain names each backend once, and at least one that is there.
5. A relay's server is not this very stack, as far as its URL tells.
6. Fewer slots are reserved than there are; the levels of memory rise.

Each check raises `ConfigError` with file, line and key. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from itertools import pairwise
from typing import TYPE_CHECKING

from control.config_tables import CATEGORIES, NAME_MAX_CHARS, ConfigError, Place
from control.setting_texts import URL, is_address
from control.settings import Routing, settings_of
from control.states import AGENTS, BACKENDS, MLX
from control.toml_text import TomlFile, dotted, shown

if TYPE_CHECKING:
    from control.config import Config, ModelConfig

SLUG_MAX_BYTES = 96  # what a row of the table holds
NAME = re.compile(rf"[A-Za-z0-9._:/-]{{1,{NAME_MAX_CHARS}}}")
HUBS = ("https://", "hf.co/", "huggingface.co/")  # how people write the name of a repository, and Ollama's clients
DEFAULT = "default"  # the category of requests that name neither category nor model
RELAY = "relay-"  # how the names of the relays' rows and processes begin


def canonical(name: str) -> str:
    """What all spellings of one model's name have in common."""
    name = name.lower()
    for hub in HUBS:
        name = name.removeprefix(hub)
    return name.removesuffix(":latest")


def check_names(models: Sequence[ModelConfig], file: TomlFile) -> None:
    """Every name and alias is well formed and given once, and so is every slug."""
    names: dict[str, str] = {}
    slugs: dict[str, str] = {}
    for model in models:
        own = ("models", model.name)
        owner = f"{dotted(own)} (line {file.line(*own)})"
        for name, keys in [(model.name, own), *((alias, (*own, "aliases")) for alias in model.aliases)]:
            if not NAME.fullmatch(name) or not canonical(name):
                raise ConfigError(file.where(*keys), f"{shown(name)} cannot be a name",
                                  f"use 1 to {NAME_MAX_CHARS} letters, digits and . _ - : /")
            if canonical(name) in names:
                raise ConfigError(file.where(*keys), f"{shown(name)} is already a name of {names[canonical(name)]}",
                                  "every name and alias may stand once")
            names[canonical(name)] = owner
        if len(model.slug) > SLUG_MAX_BYTES:
            raise ConfigError(file.where(*own), f"is {len(model.name)} characters long; the limit is {SLUG_MAX_BYTES}",
                              "shorten the name and make the long one an alias")
        if model.slug.startswith(RELAY):
            raise ConfigError(file.where(*own), f"begins with {RELAY}, as the names of relays do",
                              "rename it; the old name can stay as an alias")
        if model.slug in slugs:
            raise ConfigError(file.where(*own), f"its process would be called worker-{model.slug}, like the one of "
                              f"{slugs[model.slug]}", "rename one; the old name can stay as an alias")
        slugs[model.slug] = owner


def check_categories(config: Config, file: TomlFile | None) -> None:
    for written, name in (file.data.get(CATEGORIES, {}) if file else {}).items():
        if not name or config.find(name) is None:
            raise ConfigError(file.where(CATEGORIES, written), f"{shown(name)} is no configured model",
                              advice(config, name))
        if written.lower() == DEFAULT:
            check_default(config, file.where(CATEGORIES, written), config.find(name))


def check_default(config: Config, where: str, model: ModelConfig) -> None:
    """A model that people get who name none."""
    if model.audience == "agents" and any(other.audience == "all" for other in config.models):
        raise ConfigError(where, f"{model.name} is reserved for agents, so people who name no model would be refused",
                          "choose another, or set its audience to \"all\"")


def check_chains(config: Config, places: Mapping[str, Place]) -> None:
    """The defaults pass, for all of them name MLX."""
    there = {MLX, *config.relays, *([AGENTS] if config.agents_model else [])}
    for key in [key for key in settings_of(Routing) if key.startswith("chain_") and key in places]:
        chain, where = getattr(config, key), places[key].where
        if not chain:
            raise ConfigError(where, "names no backend, so every such request would be refused",
                              f"name some of {', '.join(BACKENDS)}")
        twice = next((name for name in chain if chain.count(name) > 1), "")
        if twice:
            raise ConfigError(where, f"names {twice} twice", "what failed a request is not asked again: name it once")
        if there.isdisjoint(chain):
            raise ConfigError(where, f"names only {' and '.join(chain)}, and that is not configured here",
                              f"add one of {', '.join(name for name in BACKENDS if name in there)}")


def check_relays(config: Config, places: Mapping[str, Place]) -> None:
    for name in config.relays:
        address = URL.fullmatch(getattr(config, f"{name}_url"))
        host = address["host"] or address["v6"]
        here = host in ("localhost", config.host) or is_address(host) and ip_address(host).is_loopback
        if here and int(address["port"] or 80) == config.port:
            raise ConfigError(places[f"{name}_url"].where, f"is the address of this stack itself (port {config.port})",
                              "name the server that work is to be handed to")


def check_together(config: Config, places: Mapping[str, Place]) -> None:
    if config.default_model and config.default is None:
        raise ConfigError(places["default_model"].where, f"{shown(config.default_model)} is no configured model",
                          advice(config, config.default_model))
    if config.default_model:
        check_default(config, places["default_model"].where, config.default)
    check_chains(config, places)
    check_relays(config, places)
    if config.reserved_high >= config.max_running:
        source = places["max_running"].where if "max_running" in places else "the default"
        raise ConfigError(places["reserved_high"].where,
                          f"{config.reserved_high} is not smaller than max_running, {config.max_running} ({source})",
                          f"write at most {config.max_running - 1}, or raise max_running")
    levels = [f"memory_{name}_percent" for name in ("warning", "critical", "emergency")]
    for lower, higher in pairwise(levels):
        if getattr(config, lower) >= getattr(config, higher):
            given = places.get(higher) or places[lower]
            raise ConfigError(given.where, f"{lower} = {getattr(config, lower):g} is not below {higher} = "
                              f"{getattr(config, higher):g}", "they must rise: warning, critical, emergency")


def advice(config: Config, name: str) -> str:
    near = config.close_names(name)
    if near:
        return f"did you mean {near[0]}?"
    return f"configured: {', '.join(model.name for model in config.models[:8])}"
