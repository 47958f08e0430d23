"""What `warden doctor` reads of the configuration, of keys, of the Hugging Face cache. No weights are opened."""

import os
import re
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from control.config import BUILT_IN, Config, ConfigError, load_config
from control.home import Home, HomeRefused
from control.weights import cached_models, find_weights, hub_cache
from gateway import key_file
from gateway.cli.check_suspicious import suspicious
from gateway.cli.doctor_models import CacheFact, ConfigFact
from gateway.keys import KeysRefused

CACHE_MAX_S = 1.5
LOADABLE = "model*.safetensors*"  # also an index alone: of a download that was broken off
OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
OTHERS_WRITE = 0o022
YES = re.compile(r"1|on|yes|true", re.IGNORECASE)


def read_configuration(env: Mapping[str, str]) -> tuple[Config | None, str]:
    """The configuration of this environment, else None and ConfigError's line."""
    try:
        return load_config(env, Path.cwd()), ""
    except ConfigError as error:
        return None, str(error)


def look_at_config(config: Config | None, error: str, home: Home) -> ConfigFact:
    keys, trouble = _keys(home)
    if config is None:
        return ConfigFact("", error, keys=keys, key_trouble=trouble)
    try:
        key_file.refuse_open_without_keys(config.is_reachable, config.host, home)
    except (HomeRefused, KeysRefused) as refused:
        trouble = str(refused)
    file = None if config.source == BUILT_IN else Path(config.source)
    mode = stat.S_IMODE(file.stat().st_mode) if file else 0
    in_home = home.root / "warden.toml"
    shadowed = str(in_home) if file and in_home.is_file() and not os.path.samefile(file, in_home) else ""
    return ConfigFact(
        config.source, "", tuple(model.name for model in config.models), config.default.name if config.default else "",
        sum(model.audience == "agents" for model in config.models), tuple(config.relays), shadowed,
        f"{mode:04o}" if mode & OTHERS_WRITE else "", keys, config.needs_key, trouble, tuple(suspicious(config, keys)))


def _keys(home: Home) -> tuple[int, str]:
    try:
        return len(key_file.read_keys(key_file.key_path(home))), ""
    except KeysRefused as refused:
        return 0, str(refused)


def look_at_cache(env: Mapping[str, str]) -> CacheFact:
    """Gives up counting after CACHE_MAX_S; what it has by then is told as a part."""
    cache = hub_cache(env)
    token = _token(env)
    offline = next((name for name in OFFLINE if YES.fullmatch(env.get(name, ""))), "")
    if not cache.is_dir():
        return CacheFact(str(cache), False, offline=offline, token=token)
    give_up_at = time.monotonic() + CACHE_MAX_S
    whole, broken, halves, other, total = [], [], [], 0, 0
    known = set(cached_models(env))
    complete = True
    for name, folder in _repositories(cache):
        if time.monotonic() > give_up_at:
            complete = False
            break
        size, unfinished = _blobs(folder)
        total += size
        halves += [name] * unfinished
        why = "" if name in known else _why_not_whole(name, folder, env)
        whole += [name] * (name in known)
        broken += [(name, why)] * bool(why)
        other += name not in known and not why
    return CacheFact(str(cache), True, total, tuple(whole), tuple(broken), tuple(halves), other, offline, token,
                     complete)


def _repositories(cache: Path) -> Iterator[tuple[str, Path]]:
    for folder in sorted(cache.glob("models--*")):
        yield folder.name.removeprefix("models--").replace("--", "/", 1), folder


def _blobs(folder: Path) -> tuple[int, bool]:
    """Bytes on disk, and is there a download that did not end?"""
    total, unfinished = 0, False
    try:
        with os.scandir(folder / "blobs") as entries:
            for entry in entries:
                total += entry.stat(follow_symlinks=False).st_size
                unfinished = unfinished or entry.name.endswith(".incomplete")
    except OSError:
        pass  # an empty repository has no blobs
    return total, unfinished


def _why_not_whole(name: str, folder: Path, env: Mapping[str, str]) -> str:
    """What a model for MLX lacks; "" for a repository of another kind (GGUF, PyTorch, embeddings)."""
    if not any(folder.glob(f"snapshots/*/{LOADABLE}")):
        return ""
    try:
        find_weights("", name, [], env)
    except ConfigError as error:
        return re.sub(rf"{re.escape(str(folder))}\S*/", "", str(error)[2:].partition("; ")[0])
    return ""


def _token(env: Mapping[str, str]) -> str:
    """Where a token of Hugging Face is; it is not read."""
    if env.get("HF_TOKEN"):
        return "HF_TOKEN"
    root = Path(env.get("HF_HOME") or Path(env.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")).expanduser()
    path = Path(env.get("HF_TOKEN_PATH") or root / "token").expanduser()
    return str(path) if path.is_file() else ""
