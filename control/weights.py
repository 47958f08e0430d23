"""Where the weights of a model lie: a directory beside the configuration, in models_dir, or in the Hugging Face cache.

Looks, and neither opens nor fetches: a directory counts when it holds `config.json`. The cache is read by its layout
(`models--ORG--NAME/refs/main` names the snapshot), because importing huggingface_hub would cost every process of the
stack half a second at start.
"""

import re
from collections.abc import Mapping, Sequence
from os.path import expanduser, isdir, isfile, realpath
from pathlib import Path

from control.config_tables import ConfigError
from control.toml_text import shown

HUGGING_FACE_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)?")
REFERENCE_MAX_CHARS = 128


def expand(path: str, env: Mapping[str, str]) -> Path:
    """`~` is the home directory of `env`; anything else is left as it is."""
    if path == "~" or path.startswith("~/"):
        return Path(env.get("HOME") or expanduser("~"), path[2:])
    return Path(path)


def find_weights(where: str, path: str, roots: Sequence[Path], env: Mapping[str, str]) -> str:
    """The absolute, resolved directory of a model that was given as `path` at `where`.

    Raises:
        ConfigError: it is nowhere, no directory, or without config.json; with the places that were looked at.
    """
    places = list(dict.fromkeys(root / expand(path, env) for root in roots))
    cache = hub_cache(env)
    snapshot = _snapshot(cache, path) if HUGGING_FACE_ID.fullmatch(path) else None
    for place in (*places, *([snapshot] if snapshot else [])):
        if isfile(place / "config.json"):
            return realpath(place)
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


def hub_cache(env: Mapping[str, str]) -> Path:
    """Where Hugging Face's own tools keep what they fetched."""
    if env.get("HF_HUB_CACHE"):
        return expand(env["HF_HUB_CACHE"], env)
    if env.get("HF_HOME"):
        return expand(env["HF_HOME"], env) / "hub"
    return expand(env.get("XDG_CACHE_HOME") or "~/.cache", env) / "huggingface" / "hub"


def _snapshot(cache: Path, model_id: str) -> Path | None:
    folder = cache / f"models--{model_id.replace('/', '--')}"
    try:
        with open(folder / "refs" / "main", encoding="ascii") as stream:
            revision = stream.read(REFERENCE_MAX_CHARS).strip()
    except (OSError, ValueError):
        return None
    return folder / "snapshots" / revision if re.fullmatch(r"\w+", revision) else None
