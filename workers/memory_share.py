"""What a model does with its share of memory: how it is divided, the limits MLX gets, and what a too long prompt hears.

    share = runtime (Python and the libraries; told by control)
          + weights (measured once they are there)
          + reserve (what a step takes for a moment: a chunk of a prompt, logits; measured by the warm-up)
          + room    (what is left: the KV cache of the batch, see `kv_room`)

The reserve is at most half of what the weights leave, and less where the planned batch needs the room: chunks of
prompts get smaller before the batch does (`prefill_pace`). MLX is not imported but given, so that a test can give
another; everything else here is arithmetic in bytes.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from workers.engine import LoadPlan
from workers.kv_room import KvRoom, LayerKv
from workers.prefill_pace import PREFILL_CHUNK_MAX_TOKENS, PREFILL_CHUNK_MIN_TOKENS

ROW_LEAST_TOKENS = 2  # one of a prompt and one of its answer
MIB, GIB = 2**20, 2**30


class Transients(NamedTuple):
    """Bytes that a step held on the way, as the warm-up saw them: for a token of a chunk, for a row that answers."""

    chunk_token: int
    row: int


class Division(NamedTuple):
    """`context_length`: the longest row in tokens, answer included; `own_context`: the same without the share."""

    plan: LoadPlan
    weights_bytes: int
    reserve_bytes: int
    room: KvRoom
    own_context: int
    context_length: int

    def free_bytes(self, held_bytes: int) -> int | None:
        """What MLX may take beside `held_bytes`; None: anything."""
        return max(0, model_bytes(self.plan) - held_bytes) if self.plan.share_bytes else None

    def cache_bytes(self, reserved: Sequence[int]) -> int:
        """How much of freed memory MLX may keep for later beside these rows: what they and the weights cannot need.

        The reserve is part of it: between two steps nobody else uses it, and the next step takes it from there.
        """
        room_bytes = self.room.room_bytes or 0
        return max(0, self.reserve_bytes + room_bytes - self.room.needs_bytes(len(reserved), max(reserved, default=0)))

    def spare_bytes(self, reserved: Sequence[int]) -> int | None:
        """What may be kept beside these rows at their longest, so that none of it is missed; None: anything."""
        room_bytes = self.room.room_bytes
        if room_bytes is None:
            return None
        return max(0, room_bytes - self.room.needs_bytes(len(reserved), max(reserved, default=0)))

    def why_too_long(self, tokens: int) -> str:
        """To be added to "the context holds so many"; "" if it holds no more without the share."""
        if not self.plan.share_bytes or self.context_length >= self.own_context:
            return ""
        plan, room_bytes = self.plan, self.room.room_bytes or 0
        return (
            f". Without its memory share the model would hold {self.own_context}: {tokens + 1} tokens need "
            f"{readable(self.room.needs_bytes(1, tokens + 1))} of KV cache, and the share of "
            f"{readable(plan.share_bytes)} leaves {readable(room_bytes)} for all requests (weights "
            f"{readable(self.weights_bytes)}, prefill {readable(self.reserve_bytes)}, runtime "
            f"{readable(plan.runtime_bytes)}). Shorten the prompt, or raise the model's memory_gb or the "
            f"memory_budget_gb of all"
        )


class Beside(NamedTuple):
    """The room beside the rows that are in the batch: `inside` says what these have reserved."""

    division: Division
    inside: Callable[[], list[int]]

    def has_place(self, tokens: int) -> bool:
        return bool(self.division.room.choose_joining(self.inside(), [tokens]))

    def free_bytes(self, held_bytes: int) -> int | None:
        return self.division.free_bytes(held_bytes)


def model_bytes(plan: LoadPlan) -> int:
    """The part of the share that MLX may use; 0: not limited."""
    return max(1, plan.share_bytes - plan.runtime_bytes) if plan.share_bytes else 0


def clamp_limits(mx: Any, limit_bytes: int, device_bytes: int) -> None:
    """Keep this process to its part. After every BatchGenerator is made: making one wires the whole machine's set.

    The memory limit bounds what is in use, the cache limit what is kept besides; their sum is kept to the share by
    `Division.cache_bytes` as the batch changes, since not every allocator of MLX does that by itself.

    `device_bytes`: what the GPU is recommended to use, 0 without one. `limit_bytes` 0 changes nothing.
    """
    if not limit_bytes:
        return
    if device_bytes:
        limit_bytes = min(limit_bytes, device_bytes)
        mx.set_wired_limit(limit_bytes)
    mx.set_memory_limit(limit_bytes)
    mx.set_cache_limit(limit_bytes)


def divide_share(plan: LoadPlan, weights_bytes: int, transients: Transients, layers: Sequence[LayerKv],
                 batch_max: int, own_context: int) -> Division:
    """Raises MemoryError if what the weights leave holds not even the shortest row."""
    planned = min(own_context, plan.context_length or own_context)
    if not plan.share_bytes:
        return Division(plan, weights_bytes, 0, KvRoom(layers), own_context, planned)
    left_bytes = max(0, model_bytes(plan) - weights_bytes)
    rows_bytes = transients.row * batch_max
    reserve_bytes = min(transients.chunk_token * PREFILL_CHUNK_MAX_TOKENS + rows_bytes, left_bytes // 2)
    planned_bytes = KvRoom(layers).needs_bytes(batch_max, min(plan.row_tokens, planned))
    if planned_bytes + transients.chunk_token * PREFILL_CHUNK_MIN_TOKENS + rows_bytes <= left_bytes:
        reserve_bytes = min(reserve_bytes, left_bytes - planned_bytes)
    room = KvRoom(layers, left_bytes - reserve_bytes, plan.row_tokens)
    context_length = room.choose_longest(planned)
    if context_length < ROW_LEAST_TOKENS:
        raise MemoryError(
            f"the share of {readable(plan.share_bytes)} less runtime {readable(plan.runtime_bytes)} less weights "
            f"{readable(weights_bytes)} leaves {readable(left_bytes)}; the shortest request needs "
            f"{readable(room.needs_bytes(1, ROW_LEAST_TOKENS))} of KV cache and as much to read its prompt. "
            "Raise the model's memory_gb or the memory_budget_gb of all")
    return Division(plan, weights_bytes, reserve_bytes, room, own_context, context_length)


def readable(size_bytes: int) -> str:
    """GiB from one GiB on, else MiB."""
    return f"{size_bytes / GIB:.2f} GiB" if size_bytes >= GIB else f"{size_bytes / MIB:.1f} MiB"
