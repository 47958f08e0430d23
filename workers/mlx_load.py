"""Opening a model directory with mlx_lm: its weights in pieces, with progress; and what the GPU has for all processes.

No code out of a model's directory is run, and nothing is downloaded. Touches MLX, so only in the engine's thread.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

READ_CHUNK_BYTES = 128 * 1024 * 1024  # weights are read in such pieces, with progress after each
WEIGHTS_PART = 0.9  # of the load's progress; the rest is the warm-up


def open_model(path: str) -> tuple[Any, Any, dict]:
    """(model, tokenizer, config); the weights are read when they are used, or by `read_weights`.

    Raises FileNotFoundError, and what mlx_lm raises for a directory that is no model.
    """
    from mlx_lm import load

    if not Path(path).is_dir():
        raise FileNotFoundError(f"{path}: no such model directory")
    return load(
        path,
        tokenizer_config={"trust_remote_code": False, "local_files_only": True},
        lazy=True,
        return_config=True,
        trust_remote_code=False,
    )


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
