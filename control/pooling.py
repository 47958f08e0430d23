"""Which embeddings a model gives, from its setting and from the files that sentence-transformers keeps beside weights.

`1_Pooling/config.json` says what becomes of the hidden states. A directory whose `modules.json` names further layers
after that, or whose config.json says that each token looks at all others, gives other vectors than we could compute:
then there are none, with the reason, rather than wrong ones. Files are read anew only when they change.
"""

import json
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

OFF = "off"
POOLINGS = {"pooling_mode_lasttoken": "last", "pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
BY_NAME = {"lasttoken": "last", "mean": "mean", "cls": "cls"}  # as newer files say it
POOLING_FILE, MODULES_FILE, CONFIG_FILE = "1_Pooling/config.json", "modules.json", "config.json"
PLAIN_MODULES = ("Transformer", "Pooling", "Normalize")
BOTH_WAYS = ("use_bidirectional_attention", "is_bidirectional")
FILE_MAX_BYTES = 1024 * 1024
REMEMBERED_MAX = 128
REMEDY = 'set embeddings = "last" or "mean" in [models.NAME], or configure an embedding model'


class Pooling(NamedTuple):
    """`how`: last | mean | cls; "": none, and `why` says why, for people."""

    how: str
    why: str = ""


def choose_pooling(engine: str, path: str, setting: str) -> Pooling:
    """Of a model of this engine at this path. `setting`: `embeddings` of [models.NAME], "" for as its files say."""
    if setting == OFF:
        return Pooling("", 'embeddings = "off" is set in [models.NAME]')
    if engine != "mlx":
        return Pooling("", f"engine {engine} has none; configure an embedding model")
    return Pooling(setting) if setting else read_pooling(path)


def read_pooling(path: str) -> Pooling:
    """What the files of this directory say. Unreadable ones say nothing."""
    folder = Path(path)
    return _read(path, tuple(_changed_ns(folder / name) for name in (POOLING_FILE, MODULES_FILE, CONFIG_FILE)))


@lru_cache(maxsize=REMEMBERED_MAX)
def _read(path: str, changed_ns: tuple[int, ...]) -> Pooling:
    said, config = _object(Path(path, POOLING_FILE)), _object(Path(path, CONFIG_FILE))
    named = said.get("pooling_mode")
    found = [how for name, how in POOLINGS.items() if said.get(name) is True or BY_NAME.get(str(named)) == how]
    if not said:
        return Pooling("", REMEDY)
    if len(found) != 1:
        return Pooling("", f"{POOLING_FILE} asks for another way of pooling than last, mean or cls; {REMEDY}")
    further = _further_modules(Path(path, MODULES_FILE))
    if further:
        return Pooling("", f"its {MODULES_FILE} asks for layers that are not offered ({', '.join(further)})")
    if any(config.get(name) is True for name in BOTH_WAYS):
        return Pooling("", "its tokens look at those after them too, which mlx_lm does not compute")
    return Pooling(found[0])


def _further_modules(path: Path) -> list[str]:
    modules = _json(path)
    names = [str(each.get("type", "")).rpartition(".")[2] for each in modules if isinstance(each, dict)] if isinstance(
        modules, list) else []
    return [name for name in names if name not in PLAIN_MODULES]


def _changed_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _object(path: Path) -> dict:
    found = _json(path)
    return found if isinstance(found, dict) else {}


def _json(path: Path) -> object:
    try:
        with path.open("rb") as file:
            return json.loads(file.read(FILE_MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
