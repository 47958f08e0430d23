"""The running batch of one model: mlx_lm's one `BatchGenerator` for the process's life, and the rows in and out of it.

Guarantees
1. A row goes in with what it has of its tokens' KV cache (`RowKv`), or with none; only the rest is computed. What it
   goes in with is copied, and never changed.
2. A row that asks for nothing besides words costs nothing besides: masks are made for the rows that have a guide.
3. What a step held on the way is measured, for whoever keeps to a share (`workers/memory_share.py`).
4. The first token of a row can be had before it goes in (`read_first`), by the model alone: BatchGenerator reads a
   prompt but for its last token in one step, that token in the next, and tells what came in the third, and in each of
   them all other rows go before it.
5. Rows are read together as they would be alone. Layers with a state read what a shorter prompt is padded with, unless
   they heed lengths, which not all of mlx_lm's do (mamba, rwkv7, recurrent_gemma): such prompts are read in chunks that
   end with the shortest (`choose_chunk`). A row without a cache gets a state of zeros beside one that has a cache;
   where a model takes that for the middle of a text (recurrent_gemma), it goes in with its first token read.

Which rows go in, and when, is `workers/mlx_rows.py`; what their tokens mean, `workers/answer_row.py`. One thread
only: MLX's streams belong to it.
"""

import copy
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import mlx.core as mx
from mlx_lm.generate import BatchGenerator
from mlx_lm.models.cache import can_trim_prompt_cache, make_prompt_cache

from workers.answer_row import AnswerRow, Chance
from workers.kv_room import LayerKv, measure_layers
from workers.layer_states import begins_with_zeros
from workers.masking import Masks
from workers.memory_share import Transients
from workers.protocol import FinishReason
from workers.sampling import (
    ForcedSampler,
    LogitsProcessor,
    Sampler,
    choose_bias,
    choose_penalties,
    choose_sampler,
    read_chances,
)

WARM_UP_TOKENS = 32  # of the prompt that shows what a chunk and a row take; on a GPU its kernels are compiled by it
CPU_WARM_UP_TOKENS = 2  # shows the same there (a token takes 34.2 kB in chunks of 2 and of 32), and 0.6 s sooner (26 M)
WARM_UP_PASSES, LONG_PASS_S = 3, 0.05
FIRST_LOGITS_TOKENS = 32  # of a prompt that is read at once, so many at most get logits that only the last one needs
TAIL_TOKENS = 16  # what templates open an answer with, and drop from it when it is told back


class RowKv(NamedTuple):
    """The KV caches of one row, layer by layer as mlx_lm has them: they hold exactly `tokens`."""

    tokens: list[int]
    caches: list[Any]

    @property
    def bytes(self) -> int:
        return sum(cache.nbytes for cache in self.caches)

    @property
    def trims(self) -> bool:
        return can_trim_prompt_cache(self.caches)

    def copy(self) -> "RowKv":
        """One that may be written to. MLX copies what is written, and that when it is."""
        return RowKv(list(self.tokens), copy.deepcopy(self.caches))


class First(NamedTuple):
    """The first token of a row: `reason` if it is the last one too. `kv` holds all that the row was given; `part` a
    beginning of it that others may begin with, where caches may not trim.
    """

    token: int
    chance: Chance | None
    reason: FinishReason | None
    kv: RowKv
    part: RowKv | None
    transient_bytes: int


class Seen(NamedTuple):
    """What the warm-up showed: the width of the logits, what a step holds on the way, what a row's cache takes, and how
    long a token of a prompt, in seconds (rather too long: of a short chunk).
    """

    vocabulary: int
    transients: Transients
    layers: list[LayerKv]
    token_s: float


class MlxBatch:
    """At most `rows_max` rows. `peak_bytes`: the most that MLX ever held, `held_bytes`: before or after a step.

    `always_trims`: caches can be cut back whatever they hold. Those of recurrent layers and of sliding windows cannot:
    whoever begins with a prompt of theirs again needs the cache as it was at some place before its end (`parts`).
    """

    def __init__(self, model: Any, eos_ids: Iterable[int], rows_max: int) -> None:
        self.peak_bytes = self.held_bytes = 0
        self._masks: Masks | None = None
        self._vocabulary = 0
        self.always_trims = True
        self._has_states = self._begins_alone = False
        self._model, self._eos_ids = model, frozenset(eos_ids)
        self._generator = BatchGenerator(model, stop_tokens=[[token] for token in sorted(eos_ids)],
                                         completion_batch_size=rows_max, prefill_batch_size=rows_max)

    def warm_up(self) -> Seen:
        """One token through the generator. It need not be told, which would cost the next one besides.

        A small model is asked more than once, and the most that it took counts: where a step is over sooner than it is
        laid out, some of what it holds is free again before the rest is there (1 M: a quarter, in one of five loads).
        On a GPU the first time compiles, so that it tells no time.
        """
        is_cpu = mx.default_device() == mx.cpu
        tokens = CPU_WARM_UP_TOKENS if is_cpu else WARM_UP_TOKENS
        passes = []
        for number in range(WARM_UP_PASSES):
            started_s = time.perf_counter()
            [uid] = self._generator.insert([[0] * (tokens + 1)], max_tokens=[1])
            _, _, chunk_bytes = self.advance(tokens)
            chunk_s = time.perf_counter() - started_s
            _, _, row_bytes = self.advance(tokens)
            caches = self.take_out([uid])[uid].caches
            passes.append((chunk_bytes, row_bytes, chunk_s))
            if time.perf_counter() - started_s > LONG_PASS_S and (is_cpu or number):
                break
        chunks_bytes, rows_bytes, chunks_s = zip(*passes, strict=True)
        self._vocabulary = self._model(mx.array([[0]])).shape[-1]  # its shape is known before it is computed
        layers = measure_layers(caches)
        self.always_trims = can_trim_prompt_cache(caches) and not any(layer.window for layer in layers)
        self._has_states = any(layer.row_bytes for layer in layers)
        with mx.stream(self._generator.stream):
            self._begins_alone = self._has_states and not begins_with_zeros(self._model)
        del caches
        mx.clear_cache()
        return Seen(self._vocabulary, Transients(-(-max(chunks_bytes) // tokens), max(rows_bytes)), layers,
                    min(chunks_s) / tokens)

    def begin(self, given: list[int]) -> RowKv | None:
        """What a row is to go in with that has nothing yet; None: nothing (5)."""
        if not self._begins_alone or len(given) < 2:
            return None
        with mx.stream(self._generator.stream):
            kv = RowKv(given[:1], make_prompt_cache(self._model))
            self._model(mx.array([kv.tokens]), cache=kv.caches)
        return kv

    def insert(self, row: AnswerRow, kv: RowKv | None = None) -> int:
        """Returns the row's uid. `kv` holds a beginning of `row.given`, and not all of it."""
        sampler, processors = self._choose(row)
        known = kv.tokens if kv is not None else []
        prompt = row.given[len(known):]
        at = 0 if self.always_trims else tail_of(prompt)
        [uid] = self._generator.insert_segments(
            [[prompt[:at], prompt[at:]]], max_tokens=[row.room_tokens], samplers=[sampler],
            caches=[kv.caches] if kv is not None else None, all_tokens=[list(known)], logits_processors=[processors])
        return uid

    def _choose(self, row: AnswerRow) -> tuple[Sampler, list[LogitsProcessor]]:
        """From the next token of the row on."""
        sampling = row.job.sampling
        sampler = choose_sampler(sampling, row.tokens + len(row.forced))
        if row.forced:
            sampler = ForcedSampler(row.forced, sampler)
        processors = choose_penalties(sampling, row.own_from)
        processors += choose_bias(row.job.extras.logit_bias, self._vocabulary)
        if row.guide is not None:
            self._masks = self._masks or Masks(self._vocabulary, row.guide.mask_bits)
            row.guided = self._masks.join(row.guide, sampler)
            sampler = row.guided.sample
            processors.append(row.guided.process)
        return sampler, processors

    def read_first(self, row: AnswerRow, kv: RowKv | None) -> First:
        """Read what the row is given, but for what `kv` holds, and sample its first token. It does not go in."""
        sampler, processors = self._choose(row)
        part = None

        def read() -> tuple[mx.array, mx.array]:
            nonlocal part
            unread = row.given[len(held.tokens):]
            at = max(0, len(unread) - FIRST_LOGITS_TOKENS) if self.always_trims else tail_of(unread)
            if at:  # the logits of what is read here are never computed
                self._model(mx.array([unread[:at]]), cache=held.caches)
                if not self.always_trims:
                    part = RowKv(row.given[: len(row.given) - len(unread) + at], held.caches).copy()
            logits = self._model(mx.array([unread[at:]]), cache=held.caches)[:, -1, :]
            for process in processors:
                logits = process(mx.array(row.given), logits)
            logprobs = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
            sampled = sampler(logprobs)
            mx.eval(sampled, [cache.state for cache in held.caches])
            return sampled, logprobs

        with mx.stream(self._generator.stream):
            held = kv.copy() if kv is not None else RowKv([], make_prompt_cache(self._model))
            (sampled, logprobs), transient_bytes = self._measure(read)
        token, asked = int(sampled.item()), row.job.extras.logprobs or 0
        chance = read_chances([(logprobs[0], token, asked)])[0] if row.wants_chance else None
        self.leave(row)
        if row.guide is not None:
            row.guide.consume(token)
        reason = "stop" if token in self._eos_ids else "length" if row.room_tokens == 1 else None
        return First(token, chance, reason, RowKv(list(row.given), held.caches), part, transient_bytes)

    def remove(self, uids: list[int]) -> None:
        self._generator.remove(uids)

    def copy_out(self, uid: int) -> RowKv:
        """What `take_out` would give, of a row that stays."""
        with mx.stream(self._generator.stream):
            [(caches, tokens)] = self._generator.extract_cache([uid]).values()
        return RowKv(list(tokens), caches)

    def take_out(self, uids: list[int]) -> dict[int, RowKv]:
        """Remove them. Their caches hold what was read and said of each; the token that the generator has sampled ahead
        is not among them. Nothing is copied before somebody wants it.
        """
        with mx.stream(self._generator.stream):
            taken = self._generator.remove(uids, return_prompt_caches=True)
        return {uid: RowKv(tokens, caches) for uid, (caches, tokens) in taken.items()}

    def left_by(self, response: Any) -> RowKv:
        """What a row leaves that the generator knows to be over."""
        return RowKv(response.all_tokens, response.prompt_cache)

    def parts(self, prompts: list) -> list[RowKv]:
        """Of prompts that were read up to TAIL_TOKENS before their end in this step, if their caches may not trim."""
        due = [prompt.uid for prompt in prompts if prompt.end_of_segment and not prompt.end_of_prompt
               and prompt.progress[1] - prompt.progress[0] == 1 + TAIL_TOKENS]
        if self.always_trims or not due:
            return []
        with mx.stream(self._generator.stream):
            return [RowKv(list(tokens), caches) for caches, tokens in self._generator.extract_cache(due).values()]

    def read_chances(self, responses: list, rows: dict[int, AnswerRow]) -> dict[int, Chance]:
        """Of the rows that ask for them, by uid."""
        asking = [(response, row) for response in responses if (row := rows[response.uid]).wants_chance]
        if not asking:
            return {}
        chances = read_chances([(response.logprobs, response.token, row.job.extras.logprobs or 0)
                                for response, row in asking])
        return {response.uid: chance for (response, _), chance in zip(asking, chances, strict=True)}

    def leave(self, row: AnswerRow) -> None:
        """The row is no longer in the batch, or is about to be removed."""
        if row.guided is not None and self._masks is not None:
            self._masks.leave(row.guided)
            row.guided = None

    def choose_chunk(self, most: int, unread: Sequence[int]) -> int:
        """How much is read of each prompt, of which so many tokens are left, two at least: `most`, if it may be (5)."""
        if not self._has_states:
            return most
        return min([most, *(left_of_segment(tokens) for tokens in unread)])

    def advance(self, chunk_tokens: int) -> tuple[list, list, int]:
        """One step: (how far prompts are, tokens that came, bytes held on the way beyond those before and after it).

        At most `chunk_tokens` of each row's prompt are read.
        """
        self._generator.prefill_step_size = chunk_tokens
        (prompts, responses), transient_bytes = self._measure(self._generator.next)
        return prompts, responses, transient_bytes

    def _measure(self, work: Callable[[], tuple]) -> tuple[tuple, int]:
        before_bytes = mx.get_active_memory()
        self.peak_bytes = max(self.peak_bytes, mx.get_peak_memory())
        mx.reset_peak_memory()
        done = work()
        self.held_bytes = max(before_bytes, mx.get_active_memory())
        return done, max(0, mx.get_peak_memory() - self.held_bytes)

    def close(self) -> None:
        self._generator.close()


def tail_of(prompt: list[int]) -> int:
    """Where its last token and the TAIL_TOKENS before that begin."""
    return max(0, len(prompt) - 1 - TAIL_TOKENS)


def left_of_segment(unread_tokens: int) -> int:
    """How many of them may be read at once: those before the tail, or of it all but the last."""
    before_last = unread_tokens - 1
    return before_last - TAIL_TOKENS if before_last > TAIL_TOKENS else before_last
