"""What a model's directory says about it: bytes of its weights, when they were last changed, kind and quantisation.

For lists that people and their clients read; nothing is decided here. Only `config.json` is opened, never weights.
A model without a directory (engine echo) has size 0 and no date.
"""

import os
from typing import NamedTuple

import msgspec

CONFIG_MAX_BYTES = 4 * 1024 * 1024
ENTRIES_MAX = 10_000  # of one directory


class Quantization(msgspec.Struct):
    bits: int = 0


class ModelConfigJson(msgspec.Struct):
    """The fields of a Hugging Face config.json that we show."""

    model_type: str = ""
    quantization: Quantization | None = None
    torch_dtype: str | None = None
    max_position_embeddings: int | None = None


class ModelFiles(NamedTuple):
    """`modified_s`: seconds since 1970, 0 if not known; `quantization`: such as "4bit" or "bfloat16", "" if unknown.

    `context_length`: tokens that the model was made for, 0 if not known.
    """

    size_bytes: int
    modified_s: float
    family: str
    quantization: str
    context_length: int


def read_model_files(path: str) -> ModelFiles:
    size, modified = 0, 0.0
    try:
        with os.scandir(path or os.devnull) as entries:
            for entry, _ in zip(entries, range(ENTRIES_MAX), strict=False):
                facts = entry.stat()  # follows the links of the Hugging Face cache
                modified = max(modified, facts.st_mtime)
                if entry.name.endswith(".safetensors"):
                    size += facts.st_size
    except OSError:
        return ModelFiles(0, 0.0, "", "", 0)
    config = read_config(os.path.join(path, "config.json"))
    bits = config.quantization.bits if config.quantization else 0
    quantization = f"{bits}bit" if bits else config.torch_dtype or ""
    return ModelFiles(size, modified, config.model_type, quantization, max(config.max_position_embeddings or 0, 0))


def modified_s(path: str) -> float:
    return read_model_files(path).modified_s


def read_config(path: str) -> ModelConfigJson:
    try:
        with open(path, "rb") as file:
            return msgspec.json.decode(file.read(CONFIG_MAX_BYTES), type=ModelConfigJson)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return ModelConfigJson()
