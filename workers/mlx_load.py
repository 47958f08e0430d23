"""Opening a model directory with mlx_lm: its weights in pieces, with progress; and what the GPU has for all processes.

No code out of a model's directory is run, and nothing is downloaded. Touches MLX, so only in the engine's thread, but
for the tokenizer: that is made beside the weights in a thread of its own, since MLX reads without Python's lock and a
vocabulary of 128,000 tokens takes 1.9 s of CPU here. What was tried and gains nothing: asking the system to read the
files ahead (MLX reads them in parallel already).
"""

import importlib
import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

READ_CHUNK_BYTES = 128 * 1024 * 1024  # weights are read in such pieces, with progress after each
WEIGHTS_PART = 0.9  # of the load's progress; the rest is the warm-up


def prepare_load(path: str) -> None:
    """All that a load of this directory can have behind it before anybody asks for the model: the device made ready (on
    a GPU its library is read then), and the modules of this very architecture. What cannot be told now fails then.
    """
    import mlx.core as mx
    from mlx_lm.utils import MODEL_REMAPPING

    mx.eval(mx.zeros(1) + 1)
    with suppress(OSError, ValueError, TypeError, KeyError, ImportError):
        kind = json.loads((Path(path) / "config.json").read_bytes())["model_type"]
        importlib.import_module(f"mlx_lm.models.{MODEL_REMAPPING.get(kind, kind)}")
        sys.modules["transformers"].CONFIG_MAPPING[kind]  # mlx_lm's, which makes its tokenizers with that


def open_model(path: str, on_progress: Callable[[float], None]) -> tuple[Any, Any, dict]:
    """(model, tokenizer, config), all of it in memory.

    Raises FileNotFoundError, and what mlx_lm raises for a directory that is no model.
    """
    from mlx_lm.utils import load_model, load_tokenizer

    folder = Path(path)
    if not folder.is_dir():
        raise FileNotFoundError(f"{path}: no such model directory")
    model, config = load_model(folder, lazy=True, trust_remote_code=False)
    with ThreadPoolExecutor(1, "tokenizer") as beside:
        tokenizer = beside.submit(load_tokenizer, folder, {"trust_remote_code": False, "local_files_only": True},
                                  eos_token_ids=config.get("eos_token_id"))
        read_weights(model, on_progress)
        return model, tokenizer.result(), config


def read_weights(model: Any, on_progress: Callable[[float], None]) -> None:
    """mlx_lm opened the files lazily: read them now, in pieces."""
    import mlx.core as mx
    from mlx.utils import tree_flatten

    arrays = [array for _, array in tree_flatten(model.parameters())]
    total_bytes, read_bytes, piece, piece_bytes = sum(array.nbytes for array in arrays), 0, [], 0
    for array in arrays:
        piece.append(array)
        piece_bytes += array.nbytes
        if piece_bytes >= READ_CHUNK_BYTES or array is arrays[-1]:
            mx.eval(piece)
            read_bytes += piece_bytes
            on_progress(WEIGHTS_PART * read_bytes / total_bytes)
            piece, piece_bytes = [], 0


def recommended_bytes() -> int:
    """What the GPU is recommended to use for all processes together; 0 without a GPU."""
    import mlx.core as mx

    return mx.device_info()["max_recommended_working_set_size"] if mx.metal.is_available() else 0
