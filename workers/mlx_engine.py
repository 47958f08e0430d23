"""The MLX engine: one model, and one mlx_lm `BatchGenerator` for the process's life, into which jobs come and go.

Guarantees, beside those of `workers/engine.py`:
1. The constructor touches no MLX. All else happens in one thread, whichever: MLX's streams belong to threads. `close`
   is the last thing in it, since it takes these streams down; a process that leaves without it may abort on the way.
2. A step takes about STEP_TARGET_S however long the prompts are (`workers/prefill_pace.py`). So no stream stops, and
   whoever waits for this thread waits for one step.
3. A token that ends an answer (eos) is in neither its ids, its text nor its count.
4. No code out of a model's directory is run, and nothing is downloaded.
5. With a share it keeps to it: MLX's limits are the model's part of it, and a job joins the batch only when the whole
   batch at its longest fits (`workers/kv_room.py`). One that waits for that is active, and can be removed.

What it does not do: keep prompts' caches, or sample as mlx_lm does (see `workers/sampling.py`).
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from workers.engine import EngineJob, JobKey, LoadPlan, MemoryFacts, ModelFacts, Output
from workers.kv_room import measure_layers
from workers.memory_share import Division, Transients, clamp_limits, divide_share, model_bytes
from workers.prefill_pace import PrefillPace
from workers.prompt import PromptEncoder, choose_context
from workers.protocol import End, FinishReason
from workers.text import Detokenizer, StopMatcher, choose_detokenizer, vocabulary_of

WARM_UP_TOKENS = 32  # of the prompt that shows what a chunk and a row take
READ_CHUNK_BYTES = 128 * 1024 * 1024  # weights are read in such pieces, with progress after each
WEIGHTS_PART = 0.9  # of the load's progress; the rest is the warm-up


class _Waiting(NamedTuple):
    """A job that has not joined the batch. `reserved_tokens`: its prompt and the longest answer it may have."""

    job: EngineJob
    tokens: list[int]
    reserved_tokens: int


class _Running:
    """One job inside the generator. Times are of `time.perf_counter`."""

    __slots__ = ("key", "prompt_tokens", "reserved_tokens", "detokenizer", "matcher", "tokens", "prefilled", "joined_s",
                 "first_s")

    def __init__(self, waiting: _Waiting, detokenizer: Detokenizer, joined_s: float) -> None:
        job = waiting.job
        self.key = job.key
        self.prompt_tokens = len(waiting.tokens)
        self.reserved_tokens = waiting.reserved_tokens
        self.detokenizer = detokenizer
        self.matcher = StopMatcher(job.stop)
        self.tokens = 0
        self.prefilled = 0
        self.joined_s = joined_s
        self.first_s = 0.0


class MlxEngine:
    """See `workers.engine.Engine`. `path` is a model directory; `context_length` 0 is the model's own.

    `steps_run` counts decode steps of the whole batch since `load`. Raises out of `load` what mlx_lm raises for a
    directory that is no model, and MemoryError for a share that is too small.
    """

    def __init__(self, path: str, *, batch_max: int, context_length: int) -> None:
        self.batch_max = batch_max
        self.steps_run = 0
        self._path = path
        self._context_length = context_length
        self._pace = PrefillPace()
        self._peak_bytes = self._held_bytes = 0  # of MLX: most ever, and before or after the last step
        self._generator: Any = None
        self._share: Division
        self._encoder: PromptEncoder
        self._new_detokenizer: Callable[[], Detokenizer]
        self._reserved: list[int] = []  # by those that ran in the last step
        self._waiting: dict[JobKey, _Waiting] = {}  # in the order they came
        self._running: dict[int, _Running] = {}  # by the generator's uid
        self._uids: dict[JobKey, int] = {}

    def prepare(self) -> None:
        import mlx.core as mx
        import mlx_lm.generate  # noqa: F401

        import workers.sampling  # noqa: F401

        if mx.default_device() == mx.cpu:
            mx.disable_compile()  # on the CPU it calls a C++ compiler while all streams wait, and gains nothing

    def load(self, on_progress: Callable[[float], None], plan: LoadPlan = LoadPlan()) -> ModelFacts:
        import mlx.core as mx
        from mlx_lm import load
        from mlx_lm.generate import BatchGenerator

        if not Path(self._path).is_dir():
            raise FileNotFoundError(f"{self._path}: no such model directory")
        on_progress(0.0)
        self.batch_max = min(self.batch_max, plan.batch_max or self.batch_max)
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
        clamp_limits(mx, model_bytes(plan), _recommended_bytes())
        vocabulary, self._share = self._warm_up(plan, choose_context(config, self._context_length))
        context_length = self._share.context_length
        self._encoder = PromptEncoder(tokenizer, context_length, vocabulary, self._share.why_too_long)
        self._new_detokenizer = choose_detokenizer(vocabulary_of(tokenizer))
        on_progress(1.0)
        return ModelFacts(context_length=context_length, vocabulary=vocabulary)

    def _warm_up(self, plan: LoadPlan, own_context: int) -> tuple[int, Division]:
        """One token through the generator: the size of the vocabulary, and how the share is divided."""
        import mlx.core as mx

        self._generator.prefill_step_size = WARM_UP_TOKENS
        self._generator.insert([[0] * (WARM_UP_TOKENS + 1)], max_tokens=[1])
        _, responses, chunk_bytes = self._advance()
        row_bytes = 0
        while not responses:
            _, responses, transient_bytes = self._advance()
            row_bytes = max(row_bytes, transient_bytes)
        vocabulary, layers = responses[0].logprobs.shape[-1], measure_layers(responses[0].prompt_cache)
        del responses
        mx.clear_cache()
        transients = Transients(-(-chunk_bytes // WARM_UP_TOKENS), row_bytes)
        share = divide_share(plan, mx.get_active_memory(), transients, layers, self.batch_max, own_context)
        return vocabulary, share

    @property
    def active(self) -> int:
        return len(self._running) + len(self._waiting)

    def add(self, job: EngineJob) -> None:
        assert self.active < self.batch_max and job.key not in self._uids and job.key not in self._waiting
        tokens, share = self._encoder.encode(job), self._share
        reserved_tokens = share.room.choose_reservation(len(tokens), job.max_tokens, share.context_length)
        self._waiting[job.key] = _Waiting(job, tokens, reserved_tokens)

    def remove(self, key: JobKey) -> None:
        self._waiting.pop(key, None)
        uid = self._uids.pop(key, None)
        if uid is not None:
            del self._running[uid]
            self._generator.remove([uid])

    def step(self) -> list[Output]:
        self._join()
        prompting = sum(job.prefilled < job.prompt_tokens for job in self._running.values())
        if prompting:
            self._generator.prefill_step_size = max(1, self._pace.chunk_tokens // prompting)
        started_s = time.perf_counter()
        prompts, responses, transient_bytes = self._advance()
        now_s = time.perf_counter()
        if prompts:
            tokens = self._note_progress(prompts)
            self._pace.on_chunk(tokens, now_s - started_s, transient_bytes, self._share.free_bytes(self._held_bytes))
        if not responses:
            return []
        self.steps_run += 1
        stopped: list[int] = []
        outputs = [self._on_token(response, now_s, stopped) for response in responses]
        if stopped:
            self._generator.remove(stopped)
        return outputs

    def _join(self) -> None:
        """Those at the front of the waiting that fit beside the running ones join them."""
        import mlx.core as mx

        from workers.sampling import choose_penalties, choose_sampler

        share, inside = self._share, [job.reserved_tokens for job in self._running.values()]
        waiting = list(self._waiting.values())
        joining = waiting[: share.room.choose_joining(inside, [each.reserved_tokens for each in waiting])]
        reserved = inside + [each.reserved_tokens for each in joining]
        if share.room.room_bytes is not None and reserved != self._reserved:
            self._reserved = reserved
            mx.set_cache_limit(share.cache_bytes(reserved))
        for each in joining:
            job, tokens = each.job, each.tokens
            [uid] = self._generator.insert(
                [tokens],
                max_tokens=[each.reserved_tokens - len(tokens)],
                samplers=[choose_sampler(job.sampling)],
                logits_processors=[choose_penalties(job.sampling, len(tokens))],
            )
            self._running[uid] = _Running(each, self._new_detokenizer(), time.perf_counter())
            self._uids[job.key] = uid
            del self._waiting[job.key]

    def _advance(self) -> tuple[list, list, int]:
        """One step of the generator, and how many bytes it held on the way beyond those before and after it."""
        import mlx.core as mx

        before_bytes = mx.get_active_memory()
        self._peak_bytes = max(self._peak_bytes, mx.get_peak_memory())
        mx.reset_peak_memory()
        prompts, responses = self._generator.next()
        self._held_bytes = max(before_bytes, mx.get_active_memory())
        return prompts, responses, max(0, mx.get_peak_memory() - self._held_bytes)

    def _note_progress(self, prompts: list) -> int:
        """Note how far the prompts are. Returns how many tokens were read, padding included."""
        longest = 0
        for prompt in prompts:
            job, (done, total) = self._running[prompt.uid], prompt.progress
            if prompt.end_of_prompt:  # only its last token was left, and is counted as a decode step
                job.prefilled = total
            else:
                longest = max(longest, done - job.prefilled)
                job.prefilled = done
        return longest * len(prompts)  # the rows are padded to the longest

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

        return MemoryFacts(mx.get_active_memory(), max(self._peak_bytes, mx.get_peak_memory()), mx.get_cache_memory(),
                           _recommended_bytes())

    def trim(self) -> None:
        import mlx.core as mx

        mx.clear_cache()

    def close(self) -> None:
        import mlx.core as mx

        if self._generator is not None:
            self._generator.close()
            self._generator = None
        self._running.clear()
        self._waiting.clear()
        self._uids.clear()
        mx.clear_streams()


def _end(job: _Running, reason: FinishReason, now_s: float) -> End:
    prompt_ms, decode_ms = (job.first_s - job.joined_s) * 1e3, (now_s - job.first_s) * 1e3
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


def _recommended_bytes() -> int:
    """What the GPU is recommended to use for all processes together; 0 without a GPU."""
    import mlx.core as mx

    return mx.device_info()["max_recommended_working_set_size"] if mx.metal.is_available() else 0
