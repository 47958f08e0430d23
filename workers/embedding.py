"""Embeddings in the engine's thread: texts or token ids in, one L2-normalised vector for each out, between two steps.

`Embedder` keeps the promises of `workers/engine.py`, with vectors in place of tokens. One step is one of these, each
about as long as a chunk of a prompt, so that streams beside it go on:

1. some texts of a job become tokens (ENCODED_CHARS at a time); one that cannot be embedded ends the job, by its number,
   before anything was computed for it;
2. a group of inputs that together are no longer than a chunk is read at once, padded on the right: no token sees a
   later one, so the padding changes nothing;
3. a chunk of an input that is longer than that is read, with a cache that holds what came before. At most one such
   input is under way, and it is begun only when `room` has place for its cache.

Jobs take turns after each of these, but for an input under way, which is finished first.
A text gets the tokens that the tokenizer puts around texts (Qwen3-Embedding's end of text, say), also when it is cut.
"""

import time
from array import array
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from workers.embedding_inputs import InputEncoder
from workers.engine import EngineJob, JobKey, JobRefused, Output
from workers.job_parts import More
from workers.prefill_pace import PrefillPace
from workers.protocol import FRAME_MAX_BYTES, End
from workers.text_tokens import refuse

ENCODED_CHARS = 32_768  # of texts that become tokens in one step, or one text if it is longer
INPUT_LEAST_CHARS = 32  # what one counts at least: empty ones cost some time too
VECTORS_MAX_BYTES = FRAME_MAX_BYTES // 4  # of one step
PROBE_TOKENS = 2
FLOAT_BYTES = 4
LEAST_NORM = 1e-12
INNER = ("model", "transformer", "backbone")  # what mlx_lm's models call themselves without the head
OFFERED = "inputs: this model gives no embeddings"


class Room(Protocol):
    """What the engine has left beside its own jobs."""

    def has_place(self, tokens: int) -> bool:
        """For the cache of one more row of this length."""

    def free_bytes(self, held_bytes: int) -> int | None:
        """What may be held for a moment beside these; None: anything."""


class Boundless:
    """Room without an end."""

    def has_place(self, tokens: int) -> bool:
        return True

    def free_bytes(self, held_bytes: int) -> int | None:
        return None


class _Work:
    """One job. `encoded` and `sent` count from the front of its inputs. `joined_s` is of `time.perf_counter`."""

    __slots__ = ("key", "inputs", "truncate", "num_ctx", "encoded", "sent", "tokens", "joined_s")

    def __init__(self, job: EngineJob) -> None:
        self.key = job.key
        self.inputs: Sequence[str | list[int]] = job.inputs or []
        self.truncate, self.num_ctx = job.extras.truncate, job.extras.num_ctx
        self.encoded: list[array] = []
        self.sent = self.tokens = 0
        self.joined_s = time.perf_counter()

    @property
    def is_encoded(self) -> bool:
        return len(self.encoded) == len(self.inputs)


class _Long(NamedTuple):
    """An input that is read in chunks: so many of its tokens are in the cache. `pooled`: what they add up to."""

    key: JobKey
    ids: array
    cache: Any
    read: int
    pooled: Any


class Embedder:
    """`pooling`: last | mean | cls, or "" and every job is refused, with `why`. `context_length` in tokens; ids are
    below `vocabulary`. `peak_bytes`: the most that MLX held before its counter was set back here.
    """

    def __init__(self, model: Any, tokenizer: Any, pooling: str, context_length: int, vocabulary: int,
                 room: Room | None = None, why: str = "") -> None:
        self.peak_bytes = 0
        self._model, self._pooling, self._why = model, pooling, why
        self._encoder = InputEncoder(tokenizer, context_length, vocabulary)
        self._room = room or Boundless()
        self._pace = PrefillPace()
        self._jobs: dict[JobKey, _Work] = {}  # the next in turn first
        self._long: _Long | None = None
        self._read: Callable[..., Any] | None = None
        self._width = 0

    @property
    def active(self) -> int:
        return len(self._jobs)

    @property
    def reserved_tokens(self) -> list[int]:
        """The rows that it holds in memory, or is about to, by their lengths: none or one."""
        tokens = len(self._long.ids) if self._long else self._begins
        return [tokens] if tokens and not self.waits_for_room else []

    @property
    def waits_for_room(self) -> bool:
        """The next input is a long one and there is no place for it: nobody else should take what becomes free."""
        return not self._long and self._begins > 0 and not self._room.has_place(self._begins)

    @property
    def _begins(self) -> int:
        """How long the next input is if it is longer than a chunk; else 0."""
        work = next(iter(self._jobs.values()), None)
        tokens = len(work.encoded[work.sent]) if work is not None and work.is_encoded else 0
        return tokens if tokens > self._pace.chunk_tokens else 0

    def add(self, job: EngineJob) -> None:
        """Raises: JobRefused `not_offered`, or `invalid_request` if there are no inputs or one of no ids."""
        if not self._pooling:
            raise JobRefused("not_offered", f"{OFFERED}; {self._why}")
        if not job.inputs:
            refuse("inputs: it is empty; give at least one")
        for number, each in enumerate(job.inputs):
            if each == []:
                refuse(f"inputs[{number}]: it is empty; give at least one id")
        if self._read is None:
            self._probe()
        self._jobs[job.key] = _Work(job)

    def remove(self, key: JobKey) -> None:
        self._jobs.pop(key, None)
        if self._long and self._long.key == key:
            self._long = None

    def step(self, *, beside: bool = False) -> list[Output]:
        """See the module. Must be called only while `active`. `beside`: streams wait for it."""
        self._pace.aim(beside=beside)
        work = self._jobs[self._long.key] if self._long else next(iter(self._jobs.values()))
        if not work.is_encoded:
            self._jobs[work.key] = self._jobs.pop(work.key)
            return self._encode_some(work)
        if self.waits_for_room:
            return []
        vectors = self._compute(work)
        if self._long is None:
            self._jobs[work.key] = self._jobs.pop(work.key)
        return self._say(work, vectors) if vectors else []

    def _say(self, work: _Work, vectors: list[bytes]) -> list[Output]:
        position, work.sent = work.sent, work.sent + len(vectors)
        end = None
        if work.sent == len(work.inputs):
            end = End("stop", work.tokens, 0, (time.perf_counter() - work.joined_s) * 1e3, 0.0)
            self.remove(work.key)
        return [Output(work.key, position, [], "", end, More(vectors=vectors))]

    # -- tokens ----------------------------------------------------------------------------------------------

    def _encode_some(self, work: _Work) -> list[Output]:
        chars = 0
        try:
            while not work.is_encoded and chars < ENCODED_CHARS:
                given = work.inputs[len(work.encoded)]
                chars += max(len(given), INPUT_LEAST_CHARS)
                ids = self._encoder.encode(given, f"inputs[{len(work.encoded)}]", cut=work.truncate,
                                           num_ctx=work.num_ctx)
                work.encoded.append(array("i", ids))
                work.tokens += len(ids)
        except JobRefused as refused:
            self.remove(work.key)
            return [Output(work.key, work.sent, [], "", failed=(refused.code, refused.message))]
        return []

    # -- vectors ---------------------------------------------------------------------------------------------

    def _probe(self) -> None:
        """Find the part of the model that gives hidden states. Raises: JobRefused `not_offered`."""
        import mlx.core as mx

        owners = (self._model, getattr(self._model, "language_model", None))
        found = [inner for owner in owners for name in INNER if callable(inner := getattr(owner, name, None))]
        try:
            self._read = found[0]
            states = self._read_ids([array("i", [0] * PROBE_TOKENS)])
        except (IndexError, AttributeError, TypeError, ValueError):  # nothing there, or it takes no ids alone
            states = None
        if not isinstance(states, mx.array) or states.ndim != 3 or states.shape[:2] != (1, PROBE_TOKENS):
            self._read = None
            raise JobRefused("not_offered", f"{OFFERED}: its architecture shows no hidden states")
        self._width = states.shape[2]

    def _read_ids(self, rows: list[array], cache: Any = None) -> Any:
        """Hidden states of the rows, padded on the right: [rows, longest, width]."""
        import mlx.core as mx

        longest = max(map(len, rows))
        ids = mx.array([[*row, *[0] * (longest - len(row))] for row in rows])
        return self._read(ids, cache=cache) if cache is not None else self._read(ids)

    def _compute(self, work: _Work) -> list[bytes]:
        """The next vectors of the job; none while a long input is under way."""
        import mlx.core as mx

        before_bytes, started_s = mx.get_active_memory(), time.perf_counter()
        self.peak_bytes = max(self.peak_bytes, mx.get_peak_memory())
        mx.reset_peak_memory()
        group = self._choose_group(work)
        if self._long or len(group[0]) > self._pace.chunk_tokens:
            tokens, pooled = self._read_chunk(work, group[0])
        else:
            tokens = len(group) * max(map(len, group))
            states = self._read_ids(group)
            pooled = mx.stack([self._pool(states[row, : len(ids)]) for row, ids in enumerate(group)])
            pooled = self._divide(pooled, mx.array([[len(ids)] for ids in group]))
        vectors = [] if pooled is None else _as_bytes(pooled)
        held_bytes = max(before_bytes, mx.get_active_memory())
        transient_bytes = max(0, mx.get_peak_memory() - held_bytes)
        self._pace.on_chunk(tokens, time.perf_counter() - started_s, transient_bytes, self._room.free_bytes(held_bytes))
        return vectors

    def _choose_group(self, work: _Work) -> list[array]:
        """The next inputs that fit into one chunk together, and at least one."""
        rows_max = max(1, VECTORS_MAX_BYTES // (self._width * FLOAT_BYTES))
        group, longest = [], 0
        for ids in work.encoded[work.sent : work.sent + rows_max]:
            longest = max(longest, len(ids))
            if group and longest * (len(group) + 1) > self._pace.chunk_tokens:
                break
            group.append(ids)
        return group

    def _read_chunk(self, work: _Work, ids: array) -> tuple[int, Any]:
        """(tokens read, the vector as [1, width] if that was the last chunk)."""
        import mlx.core as mx
        from mlx_lm.models.cache import make_prompt_cache

        long = self._long or _Long(work.key, ids, make_prompt_cache(self._model), 0, None)
        chunk = long.ids[long.read : long.read + self._pace.chunk_tokens]
        part = self._pool(self._read_ids([chunk], long.cache)[0])
        pooled = part
        if long.pooled is not None:
            pooled = {"last": part, "mean": long.pooled + part, "cls": long.pooled}[self._pooling]
        mx.eval(pooled, [cache.state for cache in long.cache])
        read = long.read + len(chunk)
        if read < len(long.ids):
            self._long = long._replace(read=read, pooled=pooled)
            return len(chunk), None
        self._long = None
        return len(chunk), self._divide(pooled[None], mx.array([[read]]))

    def _pool(self, states: Any) -> Any:
        """Of [tokens, width] to [width]; a mean is a sum yet, since more may come."""
        import mlx.core as mx

        states = states.astype(mx.float32)
        return {"last": lambda: states[-1], "cls": lambda: states[0], "mean": lambda: states.sum(axis=0)}[
            self._pooling]()

    def _divide(self, pooled: Any, tokens: Any) -> Any:
        return pooled / tokens if self._pooling == "mean" else pooled


def _as_bytes(vectors: Any) -> list[bytes]:
    """Each row of [rows, width], of length one."""
    import mlx.core as mx

    vectors = vectors / mx.maximum(mx.linalg.norm(vectors, axis=-1, keepdims=True), LEAST_NORM)
    mx.eval(vectors)
    flat, width = array("f", vectors.flatten().tolist()).tobytes(), vectors.shape[-1] * FLOAT_BYTES
    return [flat[start : start + width] for start in range(0, len(flat), width)]
