"""What a model's directory says about it: bytes of its weights, when they were last changed, kind, size, quantisation.

For lists that people and their clients read; nothing is decided here. Of weights only the headers are read, in which
the names and shapes of the tensors stand, and `config.json` beside them; anew only when files change. What is missing
or broken says nothing. A model without a directory (engine echo) has size 0 and no date.
"""

import os
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

CONFIG_MAX_BYTES = 4 * 1024 * 1024
HEADER_MAX_BYTES = 64 * 1024 * 1024
LICENSE_MAX_BYTES = 256 * 1024
LENGTH_BYTES = 8  # in front of a header, little-endian
ENTRIES_MAX = 10_000  # of one directory
REMEMBERED_MAX = 128
WORD_BITS = 32  # quantised weights are packed into such
METADATA, WEIGHT, SCALES, BIASES = "__metadata__", ".weight", ".scales", ".biases"
LICENSES = ("LICENSE", "LICENSE.txt", "LICENSE.md")
DTYPES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}  # as Ollama's clients know them


class Tensor(NamedTuple):
    name: str
    dtype: str
    shape: tuple[int, ...]


class ModelFiles(NamedTuple):
    """`modified_s`: seconds since 1970, 0 if not known; `quantization`: such as "4bit" or "BF16", "" if unknown.

    `context_length`: tokens that the model was made for; `parameters`: how many it has; both 0 if not known. `config`:
    what config.json says.
    """

    size_bytes: int
    modified_s: float
    family: str
    quantization: str
    context_length: int
    parameters: int = 0
    config: dict[str, Any] = {}


NO_FILES = ModelFiles(0, 0.0, "", "", 0)


def read_model_files(path: str) -> ModelFiles:
    size, modified, weights = 0, 0.0, []
    try:
        with os.scandir(path or os.devnull) as entries:
            for entry, _ in zip(entries, range(ENTRIES_MAX), strict=False):
                facts = entry.stat()  # follows the links of the Hugging Face cache
                modified = max(modified, facts.st_mtime)
                if entry.name.endswith(".safetensors"):
                    size += facts.st_size
                    weights.append(entry.name)
    except OSError:
        return NO_FILES
    config = _object(os.path.join(path, "config.json"), CONFIG_MAX_BYTES)
    inner = text_config(config)
    bits = _whole(config.get("quantization"), "bits")
    dtype = next((said for name in ("dtype", "torch_dtype") for part in (config, inner)
                  if isinstance(said := part.get(name), str)), "")
    family = config.get("model_type")
    return ModelFiles(size, modified, family if isinstance(family, str) else "",
                      f"{bits}bit" if bits else DTYPES.get(dtype, dtype), _whole(inner, "max_position_embeddings"),
                      _count(path, tuple(sorted(weights)), size, modified), config)


def modified_s(path: str) -> float:
    return read_model_files(path).modified_s


def text_config(config: dict[str, Any]) -> dict[str, Any]:
    """The part about the language model, where a model has others too."""
    inner = config.get("text_config")
    return {**config, **inner} if isinstance(inner, dict) else config


def read_tensors(path: str) -> list[Tensor]:
    """Of all weights in this directory, by name. Read each time: for who asks for them."""
    try:
        names = sorted(name for name in os.listdir(path or os.devnull) if name.endswith(".safetensors"))
    except OSError:
        return []
    return sorted(tensor for name in names[:ENTRIES_MAX] for tensor in _header(os.path.join(path, name)))


def read_license(path: str) -> str:
    """The text of the licence that lies beside the weights, "" if none does."""
    for name in LICENSES if path else ():
        try:
            with open(os.path.join(path, name), "rb") as file:
                return file.read(LICENSE_MAX_BYTES).decode(errors="replace")
        except OSError:
            continue
    return ""


@lru_cache(maxsize=REMEMBERED_MAX)
def _count(path: str, weights: tuple[str, ...], size_bytes: int, modified_s: float) -> int:
    """How many parameters, as the headers say. Packed words count for what they hold, their scales for nothing."""
    quantization = _object(os.path.join(path, "config.json"), CONFIG_MAX_BYTES).get("quantization")
    tensors = {tensor.name: tensor for name in weights for tensor in _header(os.path.join(path, name))}
    parameters = 0
    for tensor in tensors.values():
        stem, _, kind = tensor.name.rpartition(".")
        if f".{kind}" in (SCALES, BIASES) and f"{stem}{WEIGHT}" in tensors:
            continue
        packed = f".{kind}" == WEIGHT and f"{stem}{SCALES}" in tensors and tensor.dtype == "U32"
        own = quantization.get(stem) if packed and isinstance(quantization, dict) else None
        bits = _whole(own, "bits") or _whole(quantization, "bits")
        parameters += _product(tensor.shape) * WORD_BITS // bits if packed and bits else _product(tensor.shape)
    return parameters


def _product(shape: tuple[int, ...]) -> int:
    product = 1
    for extent in shape:
        product *= extent
    return product


def _header(path: str) -> list[Tensor]:
    try:
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(LENGTH_BYTES), "little")
            said = msgspec.json.decode(file.read(min(length, HEADER_MAX_BYTES)), type=dict[str, dict[str, Any]])
        return [Tensor(name, each["dtype"], msgspec.convert(each["shape"], tuple[int, ...]))
                for name, each in said.items() if name != METADATA]
    except (OSError, KeyError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return []


def _object(path: str, most_bytes: int) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            return msgspec.json.decode(file.read(most_bytes), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}


def _whole(config: object, name: str) -> int:
    """A whole number above 0 that stands there, else 0."""
    found = config.get(name) if isinstance(config, dict) else None
    return found if isinstance(found, int) and not isinstance(found, bool) and found > 0 else 0
