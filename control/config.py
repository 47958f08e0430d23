"""From `warden.toml` and the environment to a checked, frozen `Config`, or to one line that says what to mend.

The file: $WARDEN_CONFIG, else ./warden.toml, else $WARDEN_HOME/warden.toml, else the built-in defaults. Steps:

1. read the file (UTF-8, at most FILE_MAX_BYTES, TOML);
2. check every table and key of it against `control/settings.py`, also those that a variable will replace;
3. put the variables over it;
4. find the weights of each model, and check what only several settings together can get wrong: names and aliases
   that meet, a default model that does not exist, more slots reserved than there are;
5. add what was pulled and copied (`control/library.py`), where the file does not say otherwise.

Guarantee: `load_config` returns a Config about which nothing is unchecked, or raises `ConfigError`, for any text and
any variables whatever. It writes nothing and starts nothing. Weights are looked for, not opened, and never fetched.
Refused rather than ignored: unknown keys, and variables that look like a misspelt one of ours.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from ipaddress import ip_address
from os.path import normpath
from pathlib import Path

from control.config_checks import DEFAULT, advice, canonical, check_categories, check_names, check_together
from control.config_files import key_file, models_dir, read_file
from control.config_tables import (
    ConfigError,
    close,
    read_categories,
    read_sections,
    read_table,
    refuse_misspelt,
    variable_of,
)
from control.library import Library, library_path, read_library
from control.settings import (
    MODEL_TABLES,
    Control,
    EchoConfig,
    Limits,
    Memory,
    ModelSettings,
    Relays,
    Routing,
    SamplingSettings,
    Server,
    settings_of,
)
from control.toml_text import TomlFile, shown
from control.weights import (
    BUILT_IN_MODEL,
    built_in_model,
    expand,
    find_built_in,
    find_weights,
    place_of_weights,
)

__all__ = ["BUILT_IN", "MODELS_MAX", "NO_MODEL", "RELAYS", "Config", "ConfigError", "EchoConfig", "ModelConfig",
           "canonical", "load_config", "slug_of", "with_library"]

MODELS_MAX = 64  # rows of the table
RELAYS = {"ollama": "relay-ollama", "victoria": "relay-victoria"}  # their programs, rows and locks
NO_MODEL = "{slug} is a relay and holds no model; `warden ctl stop {slug}` and `warden ctl start {slug}` are for it"
HOSTS_MAX = 8  # remembered: a program has one
BUILT_IN = "built-in defaults"
BUILT_IN_ANSWER_MAX_TOKENS = 400  # its longest answer has 230; of what it has not learnt it would talk without end


@lru_cache(maxsize=HOSTS_MAX)
def is_loopback(host: str) -> bool:
    return host == "localhost" or ip_address(host).is_loopback


@dataclass(frozen=True, kw_only=True)
class ModelConfig(ModelSettings, SamplingSettings):
    """One model. `path` is absolute and resolved ("" for engine echo); `slug` names its process and its row.

    `pulled`: the library names it, not the file. `copies`: those of its aliases that the library gives it.
    """

    name: str
    slug: str
    echo: EchoConfig = field(default_factory=EchoConfig)
    pulled: bool = False
    copies: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Config(Server, Limits, Control, Memory, Routing, Relays):
    """All settings. `source` is the file's path, or BUILT_IN. `models` is in the order of the file, never empty.

    `categories` are names of models by category (lower case). `places` says for messages where each setting that was
    given stands: `file:line: key`, or the variable's name; of a model under `models.NAME`.
    """

    source: str
    models: tuple[ModelConfig, ...]
    categories: Mapping[str, str] = field(default_factory=dict)
    places: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    def find(self, name: str) -> ModelConfig | None:
        """The model of this name or alias, in any case and with or without ":latest"; "" is the default model."""
        return self._by_name.get(canonical(name)) if name else self.default

    @cached_property
    def default(self) -> ModelConfig | None:
        """Who answers requests that name nothing: never a model that is reserved for agents, unless all are."""
        name = self.default_model or self.categories.get(DEFAULT, "")
        if name:
            return self._by_name.get(canonical(name))
        return next((model for model in self.models if model.audience == "all"), self.models[0])

    @cached_property
    def agents_model(self) -> ModelConfig | None:
        """What agents use among themselves: the first model that is reserved for them."""
        return next((model for model in self.models if model.audience == "agents"), None)

    @cached_property
    def by_slug(self) -> dict[str, ModelConfig]:
        return {model.slug: model for model in self.models}

    @cached_property
    def reserved_names(self) -> frozenset[str]:
        """How models that are reserved for agents are called, here and at Ollama; as `canonical` makes it."""
        return frozenset(canonical(name) for model in self.models if model.audience == "agents"
                         for name in (model.name, *model.aliases, model.ollama_model) if name)

    @property
    def relays(self) -> dict[str, str]:
        """The backends besides MLX that are configured, and the slugs of their processes."""
        return {name: slug for name, slug in RELAYS.items() if getattr(self, f"{name}_url")}

    @property
    def rows_max(self) -> int:
        """Answers that run on MLX at most: `max_running`, and one for whoever a relay's server calls back."""
        return self.max_running + bool(self.relays)

    @property
    def is_reachable(self) -> bool:
        """Can other machines reach the HTTP face?"""
        return not is_loopback(self.host)

    @property
    def needs_key(self) -> bool:
        """Does who asks over HTTP have to give an API key?"""
        return self.require_key or self.is_reachable

    def close_names(self, name: str) -> list[str]:
        """Up to three configured names or aliases that resemble `name`, nearest first, or else begin with it."""
        spelt = {canonical(each): each for model in self.models for each in (model.name, *model.aliases)}
        wanted = canonical(name)
        near = close(wanted, spelt) or [each for each in spelt if wanted and each.startswith(wanted)]
        return [spelt[each] for each in near[:3]]

    @cached_property
    def _by_name(self) -> dict[str, ModelConfig]:
        """Also by slug, which is what processes, logs and tables are called by, where no name is the same."""
        return self.by_slug | {canonical(name): model for model in self.models for name in (model.name, *model.aliases)}


def slug_of(name: str) -> str:
    """The name as it stands in the name of the model's process and row."""
    return re.sub(r"[^a-z0-9]", "-", name.lower())


def load_config(env: Mapping[str, str], cwd: Path, *, models_must_be_whole: bool = True) -> Config:
    """Read, check and join file and variables. A variable that is set to nothing counts as not set.

    `warden up` and `warden check` want every model to be whole, and every key's file to be there. The processes of a
    running stack do not: files of one backend that vanish must not keep the gateway from coming back for the others.

    Raises:
        ConfigError: one line, about the first thing that is wrong.
    """
    env = {name: value for name, value in env.items() if value}
    refuse_misspelt(env)
    home = Path(normpath(cwd / expand(env.get("WARDEN_HOME", "~/.warden"), env)))
    file = read_file(env, cwd, home)
    values, places = read_sections(file, env, cwd)
    if values.get("models_dir"):
        values["models_dir"] = models_dir(values["models_dir"], places["models_dir"], env)
    if file:
        find = find_weights if models_must_be_whole else place_of_weights
        models = _read_models(file, values.get("models_dir"), env, find)
    else:
        # It knows one right answer to a question, so it does not play dice; and it is small enough to be there at once.
        path = find_built_in(BUILT_IN) if models_must_be_whole else str(built_in_model())
        models = (ModelConfig(name=BUILT_IN_MODEL, slug=BUILT_IN_MODEL, path=path, temperature=0.0, preload=True,
                              max_tokens=BUILT_IN_ANSWER_MAX_TOKENS),)
    for name in ("ollama_key_file", "victoria_key_file"):
        if values.get(name):
            values[name] = key_file(values[name], places[name], env, must_be_there=models_must_be_whole)
    stand = {f"models.{model.name}": file.where("models", model.name) for model in models} if file else {}
    config = Config(source=str(file.path) if file else BUILT_IN, models=models, categories=read_categories(file),
                    places={key: place.where for key, place in places.items()} | stand, **values)
    check_together(config, places)
    check_categories(config, file)
    return with_library(_preloaded(config, env), read_library(library_path(home)))


def with_library(config: Config, library: Library) -> Config:
    """The same file with this library, whatever library it was joined with before. The file wins where names clash: an
    entry that meets a name or a process of it, or that is one too many, is left out.
    """
    models = [replace(model, copies=(), aliases=tuple(name for name in model.aliases if name not in model.copies))
              for model in config.models if not model.pulled]
    taken = {canonical(name) for model in models for name in (model.name, *model.aliases)}
    slugs = {model.slug for model in models}
    for entry in library.models:
        slug = slug_of(entry.name)
        if canonical(entry.name) not in taken and slug not in slugs and len(models) < MODELS_MAX:
            models.append(ModelConfig(name=entry.name, slug=slug, path=entry.path, pulled=True))
            taken.add(canonical(entry.name))
            slugs.add(slug)
    named = {canonical(model.name): model for model in models}
    for alias, name in library.aliases.items():
        model = named.get(canonical(name))
        if model is not None and canonical(alias) not in taken:
            taken.add(canonical(alias))
            named[canonical(name)] = replace(model, copies=(*model.copies, alias), aliases=(*model.aliases, alias))
    return replace(config, models=tuple(named.values()))


def _read_models(file: TomlFile, models_dir: str | None, env: Mapping[str, str],
                 find: Callable[..., str]) -> tuple[ModelConfig, ...]:
    tables = file.data.get("models", {})
    if not isinstance(tables, dict):
        raise ConfigError(file.where("models"), f"must hold tables, not {shown(tables)}", "write [models.NAME]")
    if not tables:
        raise ConfigError(f"{file.path}: models", "no model is configured",
                          'add a line [models.NAME] and below it path = "the directory of the model"')
    if len(tables) > MODELS_MAX:
        raise ConfigError(file.where("models"), f"there are {len(tables)}; the limit is {MODELS_MAX}", "remove some")
    roots = [file.path.parent, *([Path(models_dir)] if models_dir else [])]
    models = tuple(_read_model(file, name, roots, env, find) for name in tables)
    check_names(models, file)
    return models


def _read_model(file: TomlFile, name: str, roots: Sequence[Path], env: Mapping[str, str],
                find: Callable[..., str]) -> ModelConfig:
    keys = ("models", name)
    found = read_table(file, keys, MODEL_TABLES)
    sampling, echo = (read_table(file, (*keys, table)) for table in ("sampling", "echo"))
    if found.get("engine") == "echo":
        found["path"] = ""
    elif found.get("path"):
        found["path"] = find(file.where(*keys, "path"), found["path"], roots, env)
    else:
        raise ConfigError(file.where(*keys), "has no path",
                          'add path = "the directory of the model" (only engine = "echo" needs none)')
    return ModelConfig(name=name, slug=slug_of(name), echo=EchoConfig(**echo), **found, **sampling)


def _preloaded(config: Config, env: Mapping[str, str]) -> Config:
    """The models that the variable lists are preloaded, and no others; without it, what the file says."""
    item = settings_of(ModelSettings)["preload"]
    variable = variable_of(item, env)
    if not variable:
        return config
    slugs = set()
    for name in (part.strip() for part in env[variable].split(",")):
        if name and config.find(name) is None:
            raise ConfigError(variable, f"{shown(name)} is no configured model", advice(config, name))
        slugs |= {config.find(name).slug} if name else set()
    return replace(config, models=tuple(replace(model, preload=model.slug in slugs) for model in config.models))
