"""Models that lie on this machine: which directories hold one, and what can be served from each.

Read are names of files, `config.json`, the tokenizer's settings and the headers of the weights; no weights are opened,
nothing is fetched, and no library is imported. What stands in the way is one clause that a person understands:
a broken-off download, GGUF, an architecture that writes no text, a type that mlx_lm does not know.
"""

import importlib.util
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

from control.config import ModelConfig, slug_of
from control.model_size import SizeUnknown, read_facts
from control.weights import (
    CONFIG_MAX_BYTES,
    HUGGING_FACE_ID,
    WEIGHTS,
    expand,
    hub_cache,
    may_write_text,
    read_object,
    snapshot_of,
    what_is_lacking,
)
from gateway.cli.proposal import CHATS, COMPLETES, EMBEDS, Found

HUB, LM_STUDIO, MODELS_DIR, PULLED = "Hugging Face cache", "LM Studio", "models directory", "pulled before"
BROKEN_OFF = "incomplete: the download was broken off; `warden pull` goes on with it"
FOLDERS_MAX = 256  # looked into, of one place
SHARD = re.compile(r"model-\d+-of-(\d+)\.safetensors")
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "*.tiktoken", "spiece.model")
EMBEDDERS = ("1_Pooling/config.json", "modules.json", "sentence_bert_config.json")
RENAMED = {  # model_type -> module of mlx_lm that reads it, where they differ; a test holds it against mlx_lm's
    "mistral": "llama", "llava": "mistral3", "phi-msft": "phixtral", "falcon_mamba": "mamba",
    "joyai_llm_flash": "deepseek_v3", "kimi_k2": "deepseek_v3", "qwen2_5_vl": "qwen2_vl", "minimax_m2": "minimax",
    "iquestcoder": "llama", "xverse": "llama", "gemma4_unified": "gemma4", "deepseek_v41_text": "deepseek_v41",
}
QUANTISED_READ = {"bitnet", "mxfp4", "mxfp8", "fp8", "compressed-tensors", "modelopt", "awq", "gptq"}


def hub_models(env: Mapping[str, str], is_late: Callable[[], bool]) -> Iterator[Found]:
    """Everything in the Hugging Face cache, by id. Once it `is_late`, the rest is named and not looked at."""
    cache_dir = hub_cache(env)
    for number, folder in enumerate(_folders(cache_dir, "models--")):
        title = folder.name.removeprefix("models--").replace("--", "/", 1)
        place = snapshot_of(cache_dir, title)
        path = title if HUGGING_FACE_ID.fullmatch(title) else str(place)
        if place is None or not place.is_dir():
            yield Found(title, HUB, path, problem=BROKEN_OFF)
            continue
        found = _look(title, HUB, path, place, is_late() or number >= FOLDERS_MAX)
        is_broken = found.problem and next((folder / "blobs").glob("*.incomplete"), None)
        yield found._replace(problem=BROKEN_OFF) if is_broken else found


def folder_models(root: Path, origin: str, env: Mapping[str, str], is_late: Callable[[], bool]) -> Iterator[Found]:
    """Models in directories of `root`, or one deeper: NAME or ORG/NAME."""
    for number, place in enumerate(_model_folders(root)):
        yield _look(place.relative_to(root).as_posix(), origin, below_home(place, env), place,
                    is_late() or number >= FOLDERS_MAX)


def lm_studio_folders(env: Mapping[str, str]) -> list[Path]:
    """Where LM Studio keeps models: as it says itself, and where it does by default."""
    said = (read_object(expand("~/.lmstudio/settings.json", env), CONFIG_MAX_BYTES) or {}).get("downloadsFolder")
    places = [Path(said)] if isinstance(said, str) and said.startswith("/") and "\0" not in said else []
    places += [expand(place, env) for place in ("~/.lmstudio/models", "~/.cache/lm-studio/models")]
    return list({os.path.realpath(place): place for place in places if place.is_dir()}.values())


def below_home(place: Path, env: Mapping[str, str]) -> str:
    """With ~ for the home directory, as people write it."""
    home = expand("~", env)
    return f"~/{place.relative_to(home).as_posix()}" if place.is_relative_to(home) and place != home else str(place)


def look_at(title: str, origin: str, path: str, place: Path) -> Found:
    """What this directory holds. Raises nothing: what cannot be read is a problem like any other."""
    try:
        problem = choose_problem(place)
        config = {} if problem else read_object(place / "config.json", CONFIG_MAX_BYTES) or {}
        if problem:
            return Found(title, origin, path, problem=problem)
        facts = read_facts(ModelConfig(name=title, slug=slug_of(title), path=str(place)))
        fetched_at = int((place / "config.json").stat().st_mtime)
    except SizeUnknown as unknown:
        return Found(title, origin, path, problem=f"its size is not known: {unknown}")
    except (OSError, ValueError) as error:
        return Found(title, origin, path, problem=f"cannot be read ({getattr(error, 'strerror', None) or error})")
    return Found(title, origin, path, facts, kind=_kind_of(place, title), bits=_bits_of(config),
                 sees=isinstance(config.get("vision_config"), dict), fetched_at=fetched_at)


def choose_problem(place: Path) -> str:
    """Why nothing can be served from this directory, as far as names and config.json show it; "" if nothing does."""
    names = set(os.listdir(place))
    weights = sorted(place.glob(WEIGHTS))
    if not weights or "config.json" not in names:
        return _what_else(names, read_object(place / "config.json", CONFIG_MAX_BYTES) or {})
    lacking = what_is_lacking(place)
    shards = {found[1] for file in weights if (found := SHARD.fullmatch(file.name))}
    if lacking or any(len(weights) < int(total) for total in shards):
        return f"incomplete: {lacking.removeprefix(f'{place}/').removeprefix(f'{place} ') or 'weights are missing'}"
    config = read_object(place / "config.json", CONFIG_MAX_BYTES) or {}
    kind, known = str(config.get("model_type", "")), known_types()
    if not may_write_text(place):
        return f"no language model ({', '.join(map(str, config['architectures']))[:80]})"
    if known and RENAMED.get(kind, kind) not in known:
        return f"mlx_lm does not know its type, {kind[:40] or 'which it does not say'}"
    if "model_file" in config:
        return "it needs code of its own, which is never run"
    quantised = config.get("quantization_config")
    method = quantised.get("quant_method") if isinstance(quantised, dict) and "quantization" not in config else None
    if isinstance(method, str) and method not in QUANTISED_READ:
        return f"quantised by {method[:40]}, which MLX does not read"
    if not any(next(place.glob(pattern), None) for pattern in TOKENIZERS):
        return "incomplete: it has no tokenizer"
    return ""


@cache
def known_types() -> frozenset[str]:
    """The modules of mlx_lm that read models, without importing it; empty if it is not installed."""
    found = importlib.util.find_spec("mlx_lm")
    places = found.submodule_search_locations or [] if found else []
    return frozenset(file.stem for place in places for file in Path(place, "models").glob("*.py"))


def _look(title: str, origin: str, path: str, place: Path, is_late: bool) -> Found:
    if is_late:
        return Found(title, origin, path, problem="not looked at: there are too many, or reading them took too long")
    return look_at(title, origin, path, place)


def _what_else(names: set[str], config: dict) -> str:
    """A directory that holds no MLX model: what it holds instead."""
    endings = {os.path.splitext(name)[1] for name in names}
    if ".gguf" in endings:
        return "GGUF, which MLX does not read"
    if "model_index.json" in names:
        return "no language model (it makes images)"
    if "adapter_config.json" in names:
        return "an adapter, not a model"
    if endings & {".bin", ".pt", ".pth", ".npz"}:
        return "its weights are no safetensors"
    kind = config.get("model_type")
    if isinstance(kind, str) and RENAMED.get(kind, kind) in known_types():
        return f"incomplete: it has no weights ({WEIGHTS})"
    return f"no language model: it has no {WEIGHTS if config else 'config.json'}"


def _kind_of(place: Path, title: str) -> str:
    if "embed" in title.lower() or any((place / name).is_file() for name in EMBEDDERS):
        return EMBEDS
    said = read_object(place / "tokenizer_config.json", CONFIG_MAX_BYTES) or {}
    has_template = "chat_template" in said or any(
        (place / name).is_file() for name in ("chat_template.jinja", "chat_template.json"))
    return CHATS if has_template else COMPLETES


def _bits_of(config: dict) -> int:
    """Of the quantised weights; 0 if they are not."""
    for key in ("quantization", "quantization_config"):
        said = config.get(key)
        if isinstance(said, dict):
            bits = said.get("bits")
            return bits if type(bits) is int and bits > 0 else 4 if said.get("quant_method") == "mxfp4" else 8
    return 0


def _folders(root: Path, prefix: str = "") -> list[Path]:
    try:
        return sorted(place for place in root.iterdir() if place.name.startswith(prefix or "") and place.is_dir()
                      and not place.name.startswith("."))
    except OSError:
        return []


def _model_folders(root: Path) -> Iterator[Path]:
    for folder in _folders(root)[:FOLDERS_MAX]:
        if any(_is_model_file(file) for file in _files(folder)):
            yield folder
        else:
            yield from (inner for inner in _folders(folder)[:FOLDERS_MAX] if _files(inner))


def _files(folder: Path) -> list[Path]:
    try:
        return [file for file in folder.iterdir() if stat.S_ISREG(file.stat().st_mode)]
    except OSError:
        return []


def _is_model_file(file: Path) -> bool:
    return file.name == "config.json" or file.suffix in (".gguf", ".safetensors")
