"""From the tables of a TOML file and the environment to values checked against their declarations.

Everything here goes by `control/settings.py` and knows no single setting by name. Errors are `ConfigError`, one line
that says where the value was given, what is wrong with it and what to write instead. Pure.
"""

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from control.setting_rules import Setting, check, from_text, remedy
from control.settings import MODEL_TABLES, SECTIONS, ModelSettings, settings_of
from control.toml_text import TomlFile, dotted, shown

CATEGORIES = "categories"
CATEGORY_MAX_CHARS = 64
ANY_ORIGIN = ("*", "http://*", "https://*")
NAME_MAX_CHARS = 128  # longer ones are not compared with ours
TABLES = {**SECTIONS, "models.NAME": ModelSettings, **{f"models.NAME.{n}": cls for n, cls in MODEL_TABLES.items()}}


class ConfigError(Exception):
    """`str()` is one line: `file:line: key: what is wrong; remedy`, or the variable's name before the first colon."""

    def __init__(self, where: str, problem: str, what_to_do: str) -> None:
        line = f"{where}: {problem}; {what_to_do}"
        super().__init__("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line))


class Place(NamedTuple):
    """Where the value that counts was given, for messages, and the directory that relative paths in it start from."""

    where: str
    base: Path


def read_table(file: TomlFile, keys: tuple[str, ...], subtables: Iterable[str] = ()) -> dict[str, object]:
    """The checked settings of the table at `keys`, without its subtables; empty if the file has no such table.

    Raises:
        ConfigError: it is no table, or holds an unknown key or a refused value.
    """
    data: object = file.data
    for key in keys:
        data = data.get(key, {})
    if not isinstance(data, dict):
        name = dotted(keys) if len(keys) != 2 else "models.NAME"
        raise ConfigError(file.where(*keys), f"must be a table, not {shown(data)}",
                          f"write [{name}] on a line of its own and the settings below it")
    known = settings_of(TABLES[".".join(["models", "NAME", *keys[2:]]) if keys[0] == "models" else keys[0]])
    found = {}
    for key, value in data.items():
        if key in known:
            found[key] = _checked(known[key], value, file.where(*keys, key))
        elif key not in subtables:
            raise _unknown(file, (*keys, key), value, [*known, *subtables])
    return found


def read_sections(file: TomlFile | None, env: Mapping[str, str], cwd: Path) -> tuple[dict, dict[str, Place]]:
    """The values given in the sections of the file and, over them, in variables; and where each was given.

    Raises:
        ConfigError: also for a table at the top of the file that there is not.
    """
    values: dict[str, object] = {}
    places: dict[str, Place] = {}
    for key, value in (file.data if file else {}).items():
        if key not in (*SECTIONS, "models", CATEGORIES):
            raise _unknown(file, (key,), value, [*SECTIONS, "models", CATEGORIES])
    for section, cls in SECTIONS.items():
        if file:
            found = read_table(file, (section,))
            values |= found
            places |= {key: Place(file.where(section, key), file.path.parent) for key in found}
        for key, item in settings_of(cls).items():
            variable = variable_of(item, env)
            if variable:
                values[key] = _checked(item, from_text(item, said_by(variable, env)), variable, variable)
                places[key] = Place(variable, cwd)
    return values, places


def read_categories(file: TomlFile | None) -> dict[str, str]:
    """The names of models by category, in lower case, not yet looked up.

    Raises:
        ConfigError: it is no table of texts, or two names of a category differ in nothing but case.
    """
    data = file.data.get(CATEGORIES, {}) if file else {}
    if not isinstance(data, dict):
        raise ConfigError(file.where(CATEGORIES), f"must be a table, not {shown(data)}",
                          f'write [{CATEGORIES}] on a line of its own and lines such as coding = "NAME" below it')
    for category, model in data.items():
        if not isinstance(model, str):
            raise ConfigError(file.where(CATEGORIES, category), f"must be the name of a model, not {shown(model)}",
                              f'write {category} = "NAME"')
        if not 0 < len(category) <= CATEGORY_MAX_CHARS:
            raise ConfigError(file.where(CATEGORIES, category), f"is {len(category)} characters long",
                              f"use 1 to {CATEGORY_MAX_CHARS}")
        if any(c.isspace() or not c.isprintable() for c in category):
            raise ConfigError(file.where(CATEGORIES, category), "holds a blank, so no request can name it",
                              f'write {"".join(c if c.isalnum() else "_" for c in category.strip())} = {shown(model)}')
        twin = next((other for other in data if other != category and other.lower() == category.lower()), None)
        if twin is not None:
            raise ConfigError(file.where(CATEGORIES, category), f"is the same category as {shown(twin)}",
                              "case does not count: keep one of them")
    return {category.lower(): model for category, model in data.items()}


def variable_of(item: Setting, env: Mapping[str, str]) -> str:
    """The variable that sets this, or ""."""
    return next((name for name in item.variables if name in env), "")


def said_by(variable: str, env: Mapping[str, str]) -> str:
    """Its text. Who lets every website ask Ollama has not said so of us, and shall not have to unset that."""
    if variable != "OLLAMA_ORIGINS":
        return env[variable]
    return ",".join(part for part in env[variable].split(",") if part.strip() not in ANY_ORIGIN)


def refuse_misspelt(env: Mapping[str, str]) -> None:
    """Raises: ConfigError for a WARDEN_ variable that is no setting and looks much like one (WARDEN_HOME does not)."""
    ours = {name for cls in TABLES.values() for item in settings_of(cls).values() for name in item.variables}
    bare = [name.removeprefix("WARDEN_") for name in sorted(ours) if name.startswith("WARDEN_")]
    for name in env:
        if name.startswith("WARDEN_") and name not in ours:
            near = close(name.removeprefix("WARDEN_"), bare, 0.75)
            if near:
                raise ConfigError(name, "is no setting", f"did you mean WARDEN_{near[0]}?")


def close(name: str, names: Iterable[str], cutoff: float = 0.6) -> list[str]:
    """Up to three of `names` that resemble `name` in any case, nearest first."""
    spelt = {each.lower(): each for each in names}
    if len(name) > NAME_MAX_CHARS:
        return []
    return [spelt[each] for each in difflib.get_close_matches(name.lower(), spelt, 3, cutoff)]


def _checked(item: Setting, value: object, where: str, variable: str = "") -> object:
    try:
        return check(item, value)
    except ValueError as error:
        raise ConfigError(where, str(error), remedy(item, value, variable)) from None


def _unknown(file: TomlFile, keys: tuple[str, ...], value: object, known: list[str]) -> ConfigError:
    """The error for a key that no declaration knows, with the likeliest reason."""
    key = keys[-1]
    in_model = keys[0] == "models"
    homes = [table for table, cls in TABLES.items() if key in settings_of(cls)]
    near = close(key, known)
    if homes:
        advice = f"it belongs below [{homes[0].replace('NAME', dotted(keys[1:2]) if in_model else 'NAME')}]"
    elif near:
        advice = f"did you mean {near[0]}?"
    elif in_model and isinstance(value, dict):
        advice = f'if the dot belongs to the model\'s name, write [models."{".".join(keys[1:])}"]'
    else:
        advice = f"known here: {', '.join(known)}"
    return ConfigError(file.where(*keys), f"unknown {'table' if isinstance(value, dict) else 'setting'}", advice)
