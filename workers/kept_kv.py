"""What one model keeps of its rows' KV caches: in memory for the next turn, in memory for a pause, and on disk.

Guarantees
1. A row that joins is given what is kept of the beginning of its tokens, as caches of its own: BatchGenerator copies
   what it is given into the batch, and what has to be trimmed is trimmed on a copy that shares the arrays, which are
   values. So an entry is never changed.
2. Memory: what is kept fits into what the rows in the batch at their longest, as they have reserved it, cannot need
   (`Division.spare_bytes`), and MLX's buffer cache into what is left of that then. It gives way before anybody waits.
   While a row leaves it still counts as inside, since its cache is copied out of the batch's.
3. The disk is read when it holds LOAD_MIN_TOKENS more than memory does, and written while there is nothing else to do.
   Beside other rows no more than LOAD_BESIDE_MAX_BYTES is read at once, since they stand still meanwhile.
   Measured, CPU time: 64 tokens are computed in 44 ms and loaded in 1.7 (1 M), 1,300 and 4.2 (26 M).

Touches MLX, so only in the engine's thread.
"""

import copy
from collections.abc import Hashable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from mlx.utils import tree_map
from mlx_lm.models.cache import can_trim_prompt_cache, load_prompt_cache, save_prompt_cache

from control.home import HomeRefused
from workers.engine import Spill
from workers.memory_share import Division
from workers.mlx_batch import RowKv
from workers.model_digest import digest_model
from workers.prefix_cache import Entry, PrefixCache, usable
from workers.prefix_disk import PrefixDisk

KEPT_MAX_BYTES = 1024**3  # without a share
LOAD_MIN_TOKENS = 64
LOAD_BESIDE_MAX_BYTES = 256 * 1024**2  # checked and read in about 0.25 s: as long as a chunk of a prompt


class KeptKv:
    """`shared`: rows find what others left. `spill` None: nothing goes to disk."""

    def __init__(self, division: Division, path: str, *, shared: bool = True, spill: Spill | None = None) -> None:
        self.shared = shared
        self._division, self._reserved = division, [-1]
        self._store = PrefixCache(0, shared=shared)
        self._disk = _open_disk(spill, path) if shared and spill is not None and spill.max_bytes else None
        self.give_way([])

    @property
    def bytes(self) -> int:
        return self._store.bytes

    @property
    def spilled_bytes(self) -> int:
        return self._disk.bytes if self._disk else 0

    def find(self, tokens: Sequence[int], own: Hashable | None = None) -> RowKv | None:
        """Caches that hold a beginning of `tokens`, to be handed to the batch; None: all is to be computed.

        What `own` had pinned is let go: it goes on now.
        """
        if self._disk:
            self._load(np.asarray(tokens, np.int32))
        found = self._store.find(tokens, own)
        self._store.unpin(own)
        self._tell_mlx()
        if found is None:
            return None
        caches = found.caches if not found.excess else [_trimmed(cache, found.excess) for cache in found.caches]
        return RowKv(list(tokens[: found.tokens]), caches)

    def keep(self, kv: RowKv, pinned: Hashable | None = None) -> bool:
        """The caches of a row that has left the batch, or of a part of its prompt. False: there is no room."""
        entry = self._store.put(kv.tokens, kv.caches, kv.bytes, can_trim_prompt_cache(kv.caches), pinned)
        if entry is not None and entry.caches is kv.caches:
            _settle(kv.caches)
            self._tell_mlx()
        return entry is not None

    def unpin(self, key: Hashable) -> None:
        """The job will not go on."""
        self._store.unpin(key)

    def give_way(self, reserved: list[int]) -> None:
        """Rows that have reserved so many tokens are in the batch from now on (2)."""
        if reserved != self._reserved:
            self._reserved = reserved
            spare_bytes = self._division.spare_bytes(reserved)
            self._store.limit(KEPT_MAX_BYTES if spare_bytes is None else spare_bytes)
            self._tell_mlx()

    def trim(self) -> None:
        """The machine is short of memory: only what paused jobs go on from stays."""
        self._store.drop_unpinned()
        self._tell_mlx()

    def idle(self) -> bool:
        """Write one entry to disk. True: there is more to write."""
        left = self._unspilled() if self._disk else []
        if left:
            entry = left[0]
            self._disk.save(entry.tokens, entry.trims, entry.bytes,
                            lambda path, told: save_prompt_cache(path, entry.caches, told))
            entry.spilled = True  # also when it could not be written: it would not the next time either
        return len(left) > 1

    def _unspilled(self) -> list[Entry]:
        return [entry for entry in self._store if not entry.spilled and len(entry.tokens) > LOAD_MIN_TOKENS]

    def _load(self, asked: np.ndarray) -> None:
        """From disk into memory, if that saves enough."""
        known = max((usable(entry.tokens, asked, entry.trims) for entry in self._store), default=0)
        file = self._disk.find(asked, known + LOAD_MIN_TOKENS)
        if file is None or not self._store.has_room(file.bytes) or not may_load(file.bytes, len(self._reserved)):
            return
        caches = self._disk.load(file, _read)
        if caches is not None:
            entry = self._store.put(file.tokens, caches, sum(cache.nbytes for cache in caches), file.trims)
            if entry is not None:
                entry.spilled = True

    def _tell_mlx(self) -> None:
        if self._division.room.room_bytes is not None:
            mx.set_cache_limit(max(0, self._division.cache_bytes(self._reserved) - self._store.bytes))


def may_load(size_bytes: int, rows: int) -> bool:
    """So much from disk, for one of so many rows that are in the batch or join it (3)?"""
    return rows <= 1 or size_bytes <= LOAD_BESIDE_MAX_BYTES


def _open_disk(spill: Spill, path: str) -> PrefixDisk | None:
    try:
        return PrefixDisk(spill, digest_model(Path(path), f"mlx-lm {version('mlx-lm')}"))
    except (OSError, HomeRefused) as problem:
        spill.note("prefix_cache_not_on_disk", reason=str(problem))
        return None


def _read(path: str) -> list[Any]:
    caches = load_prompt_cache(path)
    mx.eval([cache.state for cache in caches])
    return caches


def _trimmed(cache: Any, tokens: int) -> Any:
    """A copy without the last `tokens`, which shares its arrays with `cache`."""
    other = copy.copy(cache)
    if hasattr(cache, "caches"):  # a layer with several of them
        other.caches = tuple(_trimmed(each, tokens) for each in cache.caches)
    else:
        other.trim(tokens)
    return other


def _settle(caches: list[Any]) -> None:
    """Let them hold their own row alone: a part of an array keeps all of it alive, and one that was not computed yet
    keeps what it will be made of. The step under way is not waited for.
    """
    for cache in caches:
        cache.state = tree_map(lambda part: mx.contiguous(part) if isinstance(part, mx.array) else part, cache.state)
    mx.async_eval([cache.state for cache in caches])
