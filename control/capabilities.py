"""What the model in a directory can do, read from its files: for lists, for clients that ask, and for workers.

Only small files are read, and of `tokenizer.json` only its beginning, where the added tokens stand. A file that is
missing or broken says nothing; nothing is raised. Files are read anew only when they change.
"""

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from control.model_markers import calls_are_read, can_think, find_fill_in, template_knows_tools
from control.pooling import CONFIG_FILE, MODULES_FILE, POOLING_FILE, read_pooling

TEMPLATE_FILE, TOKENIZER_CONFIG, TOKENIZER, ADDED = (
    "chat_template.jinja", "tokenizer_config.json", "tokenizer.json", "added_tokens.json")
OLDER_TEMPLATE_FILE = "chat_template.json"  # of models with a processor
READ = (TEMPLATE_FILE, OLDER_TEMPLATE_FILE, TOKENIZER_CONFIG, TOKENIZER, ADDED, POOLING_FILE, MODULES_FILE, CONFIG_FILE)
TEMPLATE_MAX_BYTES = 1024 * 1024
CONFIG_MAX_BYTES = 16 * 1024 * 1024
ADDED_WITHIN_BYTES = 2 * 1024 * 1024
REMEMBERED_MAX = 128
DEFAULT, FOR_TOOLS = "default", "tool_use"  # names of a model that has several templates

_CONTENT = re.compile(r'"content"\s*:\s*("(?:[^"\\]|\\.)*")')


class Capabilities(NamedTuple):
    """`completion`: it writes text. `insert`: between two texts. `pooling`: see `control.pooling`; "" without
    `embedding`. `template`: its chat template, "" without one.
    """

    completion: bool = True
    tools: bool = False
    thinking: bool = False
    insert: bool = False
    embedding: bool = False
    pooling: str = ""
    template: str = ""


def read_capabilities(path: str) -> Capabilities:
    """Of the model in this directory; of "" (an engine without files): it writes text, no more."""
    if not path or "\0" in path:
        return Capabilities()
    return _read(path, tuple(_changed_ns(Path(path, name)) for name in READ))


def name_capabilities(can: Capabilities) -> list[str]:
    """As Ollama's clients know them."""
    return [name for name in ("completion", "tools", "insert", "thinking", "embedding") if getattr(can, name)]


@lru_cache(maxsize=REMEMBERED_MAX)
def _read(path: str, changed_ns: tuple[int, ...]) -> Capabilities:
    config = _object(Path(path, TOKENIZER_CONFIG))
    templates = _templates(Path(path), config)
    tokens, every = _tokens(Path(path), config), "\n".join(templates.values())
    pooling = read_pooling(path).how
    custom = isinstance(config.get("chat_template_type"), str)  # mlx_lm renders it by a program of its own
    reader = isinstance(config.get("tool_parser_type"), str) or calls_are_read(every, tokens)
    return Capabilities(
        completion=not pooling,
        tools=reader and (custom or template_knows_tools(every)) and not pooling,
        thinking=can_think(every, tokens) and not pooling,
        insert=find_fill_in(tokens) is not None and not pooling,
        embedding=bool(pooling),
        pooling=pooling,
        template=templates.get(DEFAULT, next(iter(templates.values()), "")),
    )


def _templates(path: Path, config: dict) -> dict[str, str]:
    """By name. A file of its own beats tokenizer_config.json, as in transformers."""
    alone = _bytes(path / TEMPLATE_FILE, TEMPLATE_MAX_BYTES).decode("utf-8", "replace")
    if alone:
        return {DEFAULT: alone}
    said = config.get("chat_template") or _object(path / OLDER_TEMPLATE_FILE).get("chat_template")
    if isinstance(said, str):
        return {DEFAULT: said}
    listed = said if isinstance(said, list) else []
    return {str(each.get("name")): each["template"] for each in listed
            if isinstance(each, dict) and isinstance(each.get("template"), str)}


def _tokens(path: Path, config: dict) -> set[str]:
    """The added tokens: what has a meaning beside text is always one of them."""
    decoder = config.get("added_tokens_decoder")
    entries = decoder.values() if isinstance(decoder, dict) else ()
    found = {str(entry.get("content")) for entry in entries if isinstance(entry, dict)}
    found.update(_object(path / ADDED))
    text = _bytes(path / TOKENIZER, ADDED_WITHIN_BYTES).decode("utf-8", "replace")
    begin = text.find('"added_tokens"')
    if begin >= 0:
        end = text.find('"normalizer"', begin)
        found.update(_unquoted(quoted) for quoted in _CONTENT.findall(text, begin, end if end > 0 else len(text)))
    return found


def _unquoted(text: str) -> str:
    try:
        return json.loads(text)
    except ValueError:
        return ""


def _changed_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except (OSError, ValueError):
        return 0


def _object(path: Path) -> dict:
    try:
        found = json.loads(_bytes(path, CONFIG_MAX_BYTES))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _bytes(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(most)
    except (OSError, ValueError):
        return b""
