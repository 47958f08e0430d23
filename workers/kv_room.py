"""Which jobs are in the batch: as many, in order, as the model's part of memory can hold at their longest.

mlx_lm pads a batch: its KV cache holds rows x longest row, and a short row beside a long one takes as much as that. So
a job is admitted by what the *whole* batch would take with it, at the length it has reserved, its answer included:

1. slots of a row = the longest reservation in steps of STEP_TOKENS, and one step more: caches grow in such steps, and a
   row that moved begins them anew.
2. copies: when some of the prompts that are read together are done, their rows are copied while the old whole still
   stands: of n rows at most n-1. Rows that join, leave or grow are copied layer by layer, two layers at once; MLX waits
   rather than copy more, since its memory limit is the share. `control/budget.py` plans with the same sum.
3. A job reserves its prompt and its answer, cut to the longest that fits alone. One that does not say how long its
   answer may be gets one row of the plan, and at least half a row for the answer alone, however long its prompt:
   enough for every ordinary answer, and as many short ones join as the plan has rows.
4. Nobody joins before the first that waits. Since that one fits alone, it joins at the latest when the batch is empty:
   no job starves, and the batch is never empty while somebody waits.

Without a limit (`room_bytes` None) everybody joins at once. Pure: bytes and tokens in, a number out.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

STEP_TOKENS = 256  # mlx_lm's caches grow by so many
COPIED_LAYERS = 2


class LayerKv(NamedTuple):
    """One layer of one row: `row_bytes`, and `token_bytes` for each token, or for the newest `window` only (0: all)."""

    token_bytes: int = 0
    window: int = 0
    row_bytes: int = 0

    def bytes(self, tokens: int) -> int:
        return self.row_bytes + self.token_bytes * (min(tokens, self.window) if self.window else tokens)


def measure_layers(caches: Iterable[Any]) -> list[LayerKv]:
    """From the caches of one row, as mlx_lm hands them back at its end: what they hold, divided by their tokens."""
    layers = []
    for cache in caches:
        if hasattr(cache, "caches"):  # a layer with several of them
            layers += measure_layers(cache.caches)
        elif cache.size():
            layers.append(LayerKv(-(-cache.nbytes // cache.size()), getattr(cache, "max_size", 0) or 0))
        else:  # a state whose size does not depend on the tokens
            layers.append(LayerKv(row_bytes=cache.nbytes))
    return layers


class KvRoom:
    """`room_bytes` for the KV cache of the whole batch, None: no limit. `row_tokens`: of the plan, 0: not planned."""

    def __init__(self, layers: Sequence[LayerKv] = (), room_bytes: int | None = None, row_tokens: int = 0) -> None:
        self.room_bytes, self._layers, self._row_tokens = room_bytes, layers, row_tokens

    def needs_bytes(self, rows: int, longest: int) -> int:
        """What `rows` rows take, copies included, when one of them has `longest` tokens (1, 2)."""
        if not rows:
            return 0
        slots = (-(-longest // STEP_TOKENS) + 1) * STEP_TOKENS
        layers = [layer.bytes(slots) for layer in self._layers]
        return (2 * rows - 1) * sum(layers) + COPIED_LAYERS * rows * max(layers, default=0)

    def choose_longest(self, context_length: int) -> int:
        """The longest row, answer included, that fits alone: at most `context_length`, 0 if none does."""
        if self.room_bytes is None or self.needs_bytes(1, context_length) <= self.room_bytes:
            return context_length
        fits, too_long = 0, context_length
        while too_long - fits > 1:
            middle = (fits + too_long) // 2
            if self.needs_bytes(1, middle) <= self.room_bytes:
                fits = middle
            else:
                too_long = middle
        return fits

    def choose_reservation(self, prompt_tokens: int, max_tokens: int, longest: int) -> int:
        """Tokens of prompt and answer together, at most `longest`. `max_tokens` 0: the job does not say (3)."""
        if max_tokens:
            return min(prompt_tokens + max_tokens, longest)
        if self.room_bytes is None or not self._row_tokens:
            return longest
        return min(max(self._row_tokens, prompt_tokens + self._row_tokens // 2), longest)

    def choose_joining(self, inside: Sequence[int], waiting: Sequence[int]) -> int:
        """How many of `waiting`, from the front, join the rows `inside` now; all numbers are reservations (4)."""
        if self.room_bytes is None:
            return len(waiting)
        rows, longest, joining = len(inside), max(inside, default=0), 0
        for reserved in waiting:
            rows, longest = rows + 1, max(longest, reserved)
            if self.needs_bytes(rows, longest) > self.room_bytes:
                break
            joining += 1
        return joining
