"""Where the weights of a model lie: a directory beside the configuration, in models_dir, or in the Hugging Face cache.

The first of these that holds `config.json` is the one; for the path "guide" the last resort is the model that comes
with the product. It must then be whole: a readable `config.json`, weights under the name that mlx_lm loads, and every
file that the index names, which is what an interrupted download lacks. Nothing is fetched and no weights are opened.
The cache is read by its layout (`models--ORG--NAME/refs/main` names the snapshot), because importing huggingface_hub
would cost every process of the stack half a second at start.
"""

import json
import re
from collections.abc import Mapping, Sequence
from os.path import expanduser, isdir, isfile, realpath
from pathlib import Path

from control.config_tables import ConfigError
from control.toml_text import shown

HUGGING_FACE_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)?")
REFERENCE_MAX_CHARS = 128
WEIGHTS = "model*.safetensors"
INDEX = "model.safetensors.index.json"
CONFIG_MAX_BYTES = 4 * 1024 * 1024
INDEX_MAX_BYTES = 64 * 1024 * 1024  # the longest seen names 90 000 tensors in 9 MB
BUILT_IN_MODEL = "guide"
WRITES_TEXT = ("ForCausalLM", "ForConditionalGeneration", "LMHeadModel")  # how names of such architectures end


def expand(path: str, env: Mapping[str, str]) -> Path:
    """`~` is the home directory of `env`; anything else is left as it is."""
    if path == "~" or path.startswith("~/"):
        return Path(env.get("HOME") or expanduser("~"), path[2:])
    return Path(path)


def find_weights(where: str, path: str, roots: Sequence[Path], env: Mapping[str, str]) -> str:
    """The absolute, resolved directory of a model that was given as `path` at `where`.

    Raises:
        ConfigError: it is nowhere, no directory, or without config.json, with the places that were looked at; or it is
            not whole, with what it lacks.
    """
    places = list(dict.fromkeys(root / expand(path, env) for root in roots))
    cache = hub_cache(env)
    snapshot = snapshot_of(cache, path) if HUGGING_FACE_ID.fullmatch(path) else None
    for place in (*places, *([snapshot] if snapshot else [])):
        if isfile(place / "config.json"):
            lacking = what_is_lacking(place)
            if lacking:
                how = f" with: hf download {path}" if place == snapshot else ""
                raise ConfigError(where, lacking, f"fetch the model again{how} (a broken-off download looks like this)")
            return realpath(place)
    if path == BUILT_IN_MODEL:
        return find_built_in(where)
    there = next((place for place in places if isdir(place)), None)
    if there:
        raise ConfigError(where, f"{there} holds no config.json",
                          "give the directory that holds config.json and *.safetensors")
    a_file = next((place for place in places if isfile(place)), None)
    if a_file:
        raise ConfigError(where, f"{a_file} is a file",
                          "give a directory with config.json and *.safetensors (GGUF is not read)")
    looked = f"{shown(path)} is not a directory (looked for {' and '.join(map(str, places))})"
    if HUGGING_FACE_ID.fullmatch(path) and "/" in path:
        raise ConfigError(where, f"{looked} and not in the Hugging Face cache {cache}",
                          f"correct the path, or fetch the model with: hf download {path}")
    raise ConfigError(where, looked, "correct the path")


def place_of_weights(where: str, path: str, roots: Sequence[Path], env: Mapping[str, str]) -> str:
    """The same without a demand: what is not whole now is the trouble of that model's worker alone."""
    try:
        return find_weights(where, path, roots, env)
    except ConfigError:
        return str((roots[0] / expand(path, env)).absolute())


def built_in_model() -> Path:
    """The directory of the model that comes with the product."""
    return Path(__file__).resolve().parent.parent / "workers" / "guide" / "model"


def find_built_in(where: str) -> str:
    """The same, as text. Raises: ConfigError if it is not whole, as `find_weights` does."""
    lacking = what_is_lacking(built_in_model())
    if lacking:
        raise ConfigError(where, lacking, "it comes with the code: get that again, or train the model with: make guide")
    return str(built_in_model())


def cached_models(env: Mapping[str, str]) -> list[str]:
    """The ids in the Hugging Face cache under which whole weights lie, sorted. A cache that is not there is empty.

    Left out are models whose architecture writes no text: the cache is shared with programs that embed or classify.
    """
    cache = hub_cache(env)
    ids = (folder.name.removeprefix("models--").replace("--", "/", 1) for folder in cache.glob("models--*"))
    found = ((model_id, snapshot_of(cache, model_id)) for model_id in sorted(ids))
    return [model_id for model_id, place in found if place and not what_is_lacking(place) and may_write_text(place)]


def may_write_text(place: Path) -> bool:
    """Does its architecture say so, or say nothing? The cache is shared with programs that embed or classify."""
    named = (read_object(place / "config.json", CONFIG_MAX_BYTES) or {}).get("architectures")
    return not isinstance(named, list) or not named or any(str(each).endswith(WRITES_TEXT) for each in named)


def what_is_lacking(place: Path) -> str:
    """Why mlx_lm could not load this directory, as far as names show it; "" if nothing does."""
    if read_object(place / "config.json", CONFIG_MAX_BYTES) is None:
        return f"{place}/config.json is not a JSON object of at most {CONFIG_MAX_BYTES} bytes"
    if not any(isfile(file) for file in place.glob(WEIGHTS)):
        return f"{place} holds no {WEIGHTS}"
    if not isfile(place / INDEX):
        return ""
    index = read_object(place / INDEX, INDEX_MAX_BYTES)
    files = index.get("weight_map") if index else None
    if not isinstance(files, dict):
        return f"{place}/{INDEX} is not a JSON object with weight_map of at most {INDEX_MAX_BYTES} bytes"
    missing = next((name for name in sorted(set(map(str, files.values()))) if not isfile(place / name)), None)
    return f"{place} lacks {shown(missing)}, which {INDEX} names" if missing is not None else ""


def read_object(path: Path, limit_bytes: int) -> dict | None:
    """The JSON object in this file; None if there is none of at most so many bytes."""
    try:
        with open(path, "rb") as stream:
            data = stream.read(limit_bytes + 1)
        value = json.loads(data) if len(data) <= limit_bytes else None
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def hub_cache(env: Mapping[str, str]) -> Path:
    """Where Hugging Face's own tools keep what they fetched."""
    if env.get("HF_HUB_CACHE"):
        return expand(env["HF_HUB_CACHE"], env)
    if env.get("HF_HOME"):
        return expand(env["HF_HOME"], env) / "hub"
    return expand(env.get("XDG_CACHE_HOME") or "~/.cache", env) / "huggingface" / "hub"


def snapshot_of(cache: Path, model_id: str) -> Path | None:
    """The directory of what was fetched last under this id, which need not be whole; None if the cache has none."""
    folder = cache / f"models--{model_id.replace('/', '--')}"
    try:
        with open(folder / "refs" / "main", encoding="ascii") as stream:
            revision = stream.read(REFERENCE_MAX_CHARS).strip()
    except (OSError, ValueError):
        return None
    return folder / "snapshots" / revision if re.fullmatch(r"\w+", revision) else None
