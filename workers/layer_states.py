"""What a model takes for the beginning of a text: no state at all, or one of zeros as well?

mlx_lm gives a row that has no cache zeros beside one that has a cache. Most recurrent layers begin with zeros anyway;
recurrent_gemma counts its first token in full only where there is no state, and says other words behind zeros.
Touches MLX, so only in the engine's thread.
"""

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import ArraysCache, make_prompt_cache

NEAR = 1e-3


def begins_with_zeros(model: Any) -> bool:
    """Are they the same to it? By one token."""
    none, zeros, token = make_prompt_cache(model), make_prompt_cache(model), mx.array([[0]])
    behind_none = model(token, cache=none)
    _fill_with_zeros(zeros, none)
    return mx.allclose(behind_none, model(token, cache=zeros), rtol=NEAR, atol=NEAR).item()


def _fill_with_zeros(caches: Sequence[Any], like: Sequence[Any]) -> None:
    for cache, other in zip(caches, like, strict=True):
        if hasattr(cache, "caches"):  # a layer with several of them
            _fill_with_zeros(cache.caches, other.caches)
        elif isinstance(cache, ArraysCache):
            cache.cache = [mx.zeros_like(state) if state is not None else None for state in other.cache]
