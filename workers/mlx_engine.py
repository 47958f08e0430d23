"""The MLX engine: one model, and one mlx_lm `BatchGenerator` for the process's life, into which jobs come and go.

Guarantees, beside those of `workers/engine.py`:
1. The constructor touches no MLX. All else happens in one thread, whichever: MLX's streams belong to threads. `close`
   is the last thing in it, since it takes these streams down; a process that leaves without it may abort on the way.
2. A step takes about STEP_TARGET_S however long the prompts are: prefill goes in chunks of at most
   PREFILL_CHUNK_MAX_TOKENS for all prompting jobs together, fewer where the machine is slow. So no stream stops, and
   whoever waits for this thread waits for one step.
3. A token that ends an answer (eos) is in neither its ids, its text nor its count.
4. No code out of a model's directory is run, and nothing is downloaded.

What it does not do: admit by memory, keep prompts' caches, or sample as mlx_lm does (see `workers/sampling.py`).
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workers.engine import EngineJob, JobKey, MemoryFacts, ModelFacts, Output
from workers.prompt import PromptEncoder
from workers.protocol import End, FinishReason
from workers.text import Detokenizer, StopMatcher, Vocabulary, choose_detokenizer

PREFILL_CHUNK_MAX_TOKENS = 512
PREFILL_CHUNK_MIN_TOKENS = 16
PREFILL_CHUNK_FIRST_TOKENS = 32  # before anything was measured
STEP_TARGET_S = 0.25
READ_CHUNK_BYTES = 128 * 1024 * 1024  # weights are read in such pieces, with progress after each
WEIGHTS_PART = 0.9  # of the load's progress; the rest is the warm-up
CONTEXT_FALLBACK_TOKENS = 4096  # for a model that does not say, if the operator does not either
CONTEXT_NAMES = ("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len", "seq_length")


class _Running:
    """One job inside the generator. Times are of `time.perf_counter`."""

    __slots__ = ("key", "prompt_tokens", "detokenizer", "matcher", "tokens", "prefilled", "added_s", "first_s")

    def __init__(self, job: EngineJob, prompt_tokens: int, detokenizer: Detokenizer, added_s: float) -> None:
        self.key = job.key
        self.prompt_tokens = prompt_tokens
        self.detokenizer = detokenizer
        self.matcher = StopMatcher(job.stop)
        self.tokens = 0
        self.prefilled = 0
        self.added_s = added_s
        self.first_s = 0.0


class MlxEngine:
    """See `workers.engine.Engine`. `path` is a model directory; `context_length` 0 is the model's own.

    `share_bytes` is this process's part of the machine's memory, 0 for no limit. `steps_run` counts decode steps of the
    whole batch since `load`. Raises out of `load` what mlx_lm raises for a directory that is no model.
    """

    def __init__(self, path: str, *, batch_max: int, context_length: int, share_bytes: int = 0) -> None:
        self.batch_max = batch_max
        self.steps_run = 0
        self._path = path
        self._context_length = context_length
        self._share_bytes = share_bytes
        self._chunk_tokens = PREFILL_CHUNK_FIRST_TOKENS
        self._generator: Any = None
        self._encoder: PromptEncoder
        self._new_detokenizer: Callable[[], Detokenizer]
        self._running: dict[int, _Running] = {}  # by the generator's uid
        self._uids: dict[JobKey, int] = {}

    def prepare(self) -> None:
        import mlx.core as mx
        import mlx_lm.generate  # noqa: F401

        import workers.sampling  # noqa: F401

        if mx.default_device() == mx.cpu:
            mx.disable_compile()  # on the CPU it calls a C++ compiler while all streams wait, and gains nothing

    def load(self, on_progress: Callable[[float], None]) -> ModelFacts:
        from mlx_lm import load
        from mlx_lm.generate import BatchGenerator

        if not Path(self._path).is_dir():
            raise FileNotFoundError(f"{self._path}: no such model directory")
        on_progress(0.0)
        model, tokenizer, config = load(
            self._path,
            tokenizer_config={"trust_remote_code": False, "local_files_only": True},
            lazy=True,
            return_config=True,
            trust_remote_code=False,
        )
        _read_weights(model, on_progress)
        self._generator = BatchGenerator(
            model,
            stop_tokens=[[token] for token in sorted(tokenizer.eos_token_ids)],
            completion_batch_size=self.batch_max,
            prefill_batch_size=self.batch_max,
        )
        _clamp_limits(self._share_bytes)
        vocabulary = self._warm_up()
        self._context_length = choose_context(config, self._context_length)
        self._encoder = PromptEncoder(tokenizer, self._context_length, vocabulary)
        self._new_detokenizer = choose_detokenizer(_vocabulary_of(tokenizer))
        on_progress(1.0)
        return ModelFacts(context_length=self._context_length, vocabulary=vocabulary)

    def _warm_up(self) -> int:
        """One token through the generator. Returns the size of the model's vocabulary."""
        self._generator.insert([[0, 0]], max_tokens=[1])
        while True:
            _, responses = self._generator.next()
            if responses:
                return responses[0].logprobs.shape[-1]

    @property
    def active(self) -> int:
        return len(self._running)

    def add(self, job: EngineJob) -> None:
        from workers.sampling import choose_penalties, choose_sampler

        assert self.active < self.batch_max and job.key not in self._uids
        added_s = time.perf_counter()
        tokens = self._encoder.encode(job)
        room = self._context_length - len(tokens)
        [uid] = self._generator.insert(
            [tokens],
            max_tokens=[min(job.max_tokens or room, room)],
            samplers=[choose_sampler(job.sampling)],
            logits_processors=[choose_penalties(job.sampling, len(tokens))],
        )
        self._running[uid] = _Running(job, len(tokens), self._new_detokenizer(), added_s)
        self._uids[job.key] = uid

    def remove(self, key: JobKey) -> None:
        uid = self._uids.pop(key, None)
        if uid is not None:
            del self._running[uid]
            self._generator.remove([uid])

    def step(self) -> list[Output]:
        prompting = sum(job.prefilled < job.prompt_tokens for job in self._running.values())
        if prompting:
            self._generator.prefill_step_size = max(1, self._chunk_tokens // prompting)
        started_s = time.perf_counter()
        prompts, responses = self._generator.next()
        now_s = time.perf_counter()
        if prompts:
            self._on_prefill(prompts, now_s - started_s)
        if not responses:
            return []
        self.steps_run += 1
        stopped: list[int] = []
        outputs = [self._on_token(response, now_s, stopped) for response in responses]
        if stopped:
            self._generator.remove(stopped)
        return outputs

    def _on_prefill(self, prompts: list, elapsed_s: float) -> None:
        """Note how far the prompts are, and choose the next chunk so that a step takes about STEP_TARGET_S."""
        longest = 0
        for prompt in prompts:
            job, (done, total) = self._running[prompt.uid], prompt.progress
            if prompt.end_of_prompt:  # only its last token was left, and is counted as a decode step
                job.prefilled = total
            else:
                longest = max(longest, done - job.prefilled)
                job.prefilled = done
        tokens = longest * len(prompts)  # the rows are padded to the longest
        fitting = int(tokens * STEP_TARGET_S / elapsed_s)
        if tokens and (fitting < self._chunk_tokens or 2 * tokens >= self._chunk_tokens):
            self._chunk_tokens = max(PREFILL_CHUNK_MIN_TOKENS, min(fitting, PREFILL_CHUNK_MAX_TOKENS))

    def _on_token(self, response: Any, now_s: float, stopped: list[int]) -> Output:
        """The output of one job in this step; adds to `stopped` what the generator does not know to be over."""
        job = self._running[response.uid]
        position, reason = job.tokens, response.finish_reason
        if position == 0:
            job.first_s = now_s
        if reason == "stop":  # by eos
            ids, text, found = [], "", False
        else:
            ids = [response.token]
            job.tokens += 1
            text, found = job.matcher.feed(job.detokenizer.add(response.token))
        if reason is None and not found:
            return Output(job.key, position, ids, text)
        if reason is None:
            stopped.append(response.uid)
        if not found:
            rest, found = job.matcher.feed(job.detokenizer.finish())
            text += rest + job.matcher.flush()
        del self._running[response.uid], self._uids[job.key]
        return Output(job.key, position, ids, text, _end(job, "stop" if found else reason, now_s))

    def memory(self) -> MemoryFacts:
        import mlx.core as mx

        return MemoryFacts(mx.get_active_memory(), mx.get_peak_memory(), mx.get_cache_memory())

    def close(self) -> None:
        import mlx.core as mx

        if self._generator is not None:
            self._generator.close()
            self._generator = None
        self._running.clear()
        self._uids.clear()
        mx.clear_streams()


def choose_context(config: dict, configured: int) -> int:
    """The smaller of what the model was made for and what the operator set (0: nothing), in tokens."""
    parts = (config, config.get("text_config") or {})
    said = [part[name] for part in parts for name in CONTEXT_NAMES if isinstance(part.get(name), int)]
    return min((tokens for tokens in (*said[:1], configured) if tokens > 0), default=CONTEXT_FALLBACK_TOKENS)


def _end(job: _Running, reason: FinishReason, now_s: float) -> End:
    prompt_ms, decode_ms = (job.first_s - job.added_s) * 1e3, (now_s - job.first_s) * 1e3
    return End(reason, job.prompt_tokens, job.tokens, prompt_ms, decode_ms)


def _read_weights(model: Any, on_progress: Callable[[float], None]) -> None:
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


def _clamp_limits(share_bytes: int) -> None:
    """Keep this process to its share. After every BatchGenerator is made: making one wires the whole machine's set."""
    import mlx.core as mx

    if share_bytes <= 0:
        return
    if mx.metal.is_available():
        mx.set_wired_limit(min(share_bytes, mx.device_info()["max_recommended_working_set_size"]))
    mx.set_memory_limit(share_bytes)
    mx.set_cache_limit(share_bytes)


def _vocabulary_of(tokenizer: Any) -> Vocabulary:
    backend, known = getattr(tokenizer, "backend_tokenizer", None), len(tokenizer)

    def decode(ids: list[int]) -> str:
        return tokenizer.decode([token for token in ids if token < known], skip_special_tokens=True)

    if backend is None:
        return Vocabulary(decoder=None, piece_of=lambda token: None, skip=(), decode=decode)
    return Vocabulary(
        decoder=json.loads(backend.decoder.__getstate__()) if backend.decoder else None,
        piece_of=backend.id_to_token,
        skip=[token for token, added in backend.get_added_tokens_decoder().items() if added.special],
        decode=decode,
    )
