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

6. A job that asks for nothing besides words costs nothing besides: masks, chances of tokens and calls are computed for
   the rows that ask, and inputs to embed wait their turn beside the streams (`workers/embedding.py`).

What it does not do: keep prompts' caches, or sample as mlx_lm does (see `workers/sampling.py`). A job that may go on
beyond its context (`shift`) forgets the older half of it and reads the rest again.
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from workers.answer_row import AnswerRow, Chance, learn_grammars, learn_speech, merge_more
from workers.embedding import Embedder
from workers.engine import EngineJob, JobKey, LoadPlan, MemoryFacts, ModelFacts, Output
from workers.kv_room import measure_layers
from workers.memory_share import Beside, Division, Transients, clamp_limits, divide_share, model_bytes
from workers.mlx_load import open_model, read_weights, recommended_bytes
from workers.prefill_pace import PrefillPace
from workers.prompt import PromptEncoder, choose_context, refuse

if TYPE_CHECKING:
    from workers.masking import Masks

WARM_UP_TOKENS = 32  # of the prompt that shows what a chunk and a row take


class MlxEngine:
    """See `workers.engine.Engine`. `path` is a model directory; `context_length` 0 is the model's own. `pooling`: how
    embeddings are made, "" for not, and `why_no_vectors` (see `control/pooling.py`).

    `steps_run` counts decode steps of the whole batch since `load`. Raises out of `load` what mlx_lm raises for a
    directory that is no model, and MemoryError for a share that is too small.
    """

    def __init__(self, path: str, *, batch_max: int, context_length: int, pooling: str = "",
                 why_no_vectors: str = "") -> None:
        self.batch_max = batch_max
        self.steps_run = 0
        self._path = path
        self._context_length = context_length
        self._pooling, self._why_no_vectors = pooling, why_no_vectors
        self._pace = PrefillPace()
        self._peak_bytes = self._held_bytes = 0  # of MLX: most ever, and before or after the last step
        self._generator: Any = None
        self._share: Division
        self._masks: Masks | None = None
        self._embedder: Embedder | None = None
        self._vocabulary = 0
        self._reserved: list[int] = []  # by those that ran in the last step
        self._waiting: dict[JobKey, AnswerRow] = {}  # in the order they came
        self._running: dict[int, AnswerRow] = {}  # by the generator's uid
        self._uids: dict[JobKey, int] = {}

    def prepare(self) -> None:
        import mlx.core as mx
        import mlx_lm.generate  # noqa: F401

        import workers.masking  # noqa: F401
        import workers.sampling  # noqa: F401

        if mx.default_device() == mx.cpu:
            mx.disable_compile()  # on the CPU it calls a C++ compiler while all streams wait, and gains nothing

    def load(self, on_progress: Callable[[float], None], plan: LoadPlan = LoadPlan()) -> ModelFacts:
        import mlx.core as mx
        from mlx_lm.generate import BatchGenerator

        on_progress(0.0)
        self.batch_max = min(self.batch_max, plan.batch_max or self.batch_max)
        model, tokenizer, config = open_model(self._path)
        read_weights(model, on_progress)
        self._generator = BatchGenerator(
            model,
            stop_tokens=[[token] for token in sorted(tokenizer.eos_token_ids)],
            completion_batch_size=self.batch_max,
            prefill_batch_size=self.batch_max,
        )
        clamp_limits(mx, model_bytes(plan), recommended_bytes())
        self._vocabulary, self._share = self._warm_up(plan, choose_context(config, self._context_length))
        self._learn(model, tokenizer)
        on_progress(1.0)
        return ModelFacts(context_length=self._share.context_length, vocabulary=self._vocabulary)

    def _learn(self, model: Any, tokenizer: Any) -> None:
        """What the tokenizer says about prompts and answers."""
        vocabulary, context_length = self._vocabulary, self._share.context_length
        self._encoder = PromptEncoder(tokenizer, context_length, vocabulary, self._share.why_too_long)
        self._speech = learn_speech(tokenizer, knows_tools=self._encoder.knows_tools)
        self._grammars = learn_grammars(tokenizer, vocabulary, self._speech)
        self._embedder = Embedder(model, tokenizer, self._pooling, context_length, vocabulary,
                                  Beside(self._share, self._inside), self._why_no_vectors)

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
        return len(self._running) + len(self._waiting) + (self._embedder.active if self._embedder else 0)

    def add(self, job: EngineJob) -> None:
        assert self.active < self.batch_max and job.key not in self._uids and job.key not in self._waiting
        if job.inputs is not None:
            self._embedder.add(job)
            return
        prompt, share = self._encoder.encode(job), self._share
        if job.extras.logit_bias and max(job.extras.logit_bias) >= self._vocabulary:
            refuse(f"logit_bias: ids must be below {self._vocabulary}, the vocabulary of this model")
        markers = job.messages is not None or bool(job.extras.template) or prompt.thinks
        guide = self._grammars.guide(job.extras, reasons=prompt.thinks, may_reason=markers)
        reserved = share.room.choose_reservation(len(prompt.tokens), job.max_tokens, prompt.context_length)
        self._waiting[job.key] = AnswerRow(job, prompt, reserved, self._speech, guide, has_markers=markers)

    def remove(self, key: JobKey) -> None:
        self._waiting.pop(key, None)
        if self._embedder:
            self._embedder.remove(key)
        uid = self._uids.get(key)
        if uid is not None:
            self._forget(uid)
            self._generator.remove([uid])

    def _forget(self, uid: int) -> None:
        row = self._running.pop(uid)
        del self._uids[row.key]
        if row.guided is not None and self._masks is not None:
            self._masks.leave(row.guided)

    def step(self) -> list[Output]:
        vectors = self._embedder.step() if self._embedder.active else []
        self._join()
        if not self._running:
            return vectors
        prompting = sum(row.prefilled < len(row.given) for row in self._running.values())
        if prompting:
            self._generator.prefill_step_size = max(1, self._pace.chunk_tokens // prompting)
        started_s = time.perf_counter()
        prompts, responses, transient_bytes = self._advance()
        now_s = time.perf_counter()
        if prompts:
            tokens = self._note_progress(prompts)
            self._pace.on_chunk(tokens, now_s - started_s, transient_bytes, self._share.free_bytes(self._held_bytes))
        if not responses:
            return vectors
        self.steps_run += 1
        stopped: list[int] = []
        chances = self._read_chances(responses)
        outputs = [self._on_token(response, chances.get(response.uid), now_s, stopped) for response in responses]
        if stopped:
            self._generator.remove(stopped)
        return vectors + outputs if vectors else outputs

    def _inside(self) -> list[int]:
        """How many tokens those in the batch have reserved."""
        return [row.reserved_tokens for row in self._running.values()]

    def _join(self) -> None:
        """Those at the front of the waiting that fit beside the running ones join them."""
        import mlx.core as mx

        share, inside = self._share, self._inside() + self._embedder.reserved_tokens
        waiting = [] if self._embedder.waits_for_room else list(self._waiting.values())
        joining = waiting[: share.room.choose_joining(inside, [row.reserved_tokens for row in waiting])]
        reserved = inside + [row.reserved_tokens for row in joining]
        if share.room.room_bytes is not None and reserved != self._reserved:
            self._reserved = reserved
            mx.set_cache_limit(share.cache_bytes(reserved))
        for row in joining:
            del self._waiting[row.key]
            self._insert(row)

    def _insert(self, row: AnswerRow) -> None:
        """Into the batch, for the first time or after its context was full."""
        from workers.masking import Masks
        from workers.sampling import choose_bias, choose_penalties, choose_sampler

        sampling = row.job.sampling
        sampler = choose_sampler(sampling, row.tokens)
        processors = choose_penalties(sampling, row.own_from)
        processors += choose_bias(row.job.extras.logit_bias, self._vocabulary)
        if row.guide is not None:
            self._masks = self._masks or Masks(self._vocabulary, self._grammars.mask_bits)
            row.guided = self._masks.join(row.guide, sampler)
            sampler = row.guided.sample
            processors.append(row.guided.process)
        [uid] = self._generator.insert([row.given], max_tokens=[row.room_tokens], samplers=[sampler],
                                       logits_processors=[processors])
        row.joined_s = row.joined_s or time.perf_counter()
        self._running[uid] = row
        self._uids[row.key] = uid

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
            row, (done, total) = self._running[prompt.uid], prompt.progress
            if prompt.end_of_prompt:  # only its last token was left, and is counted as a decode step
                row.prefilled = total
            else:
                longest = max(longest, done - row.prefilled)
                row.prefilled = done
        return longest * len(prompts)  # the rows are padded to the longest

    def _read_chances(self, responses: list) -> dict[int, Chance]:
        """Of the rows that ask for them, by uid."""
        from workers.sampling import read_chances

        asking = [(response, row) for response in responses if (row := self._running[response.uid]).wants_chance]
        if not asking:
            return {}
        chances = read_chances([(response.logprobs, response.token, row.job.extras.logprobs or 0)
                                for response, row in asking])
        return {response.uid: chance for (response, _), chance in zip(asking, chances, strict=True)}

    def _on_token(self, response: Any, chance: Chance | None, now_s: float, stopped: list[int]) -> Output:
        """The output of one job in this step; adds to `stopped` what the generator does not know to be over."""
        row, reason = self._running[response.uid], response.finish_reason
        position = row.tokens
        row.first_s = row.first_s or now_s
        if row.guide is not None and row.guide.problem:
            if reason is None:
                stopped.append(response.uid)
            self._forget(response.uid)
            return Output(row.key, position, [], "", failed=("invalid_request", row.guide.failure))
        ids = [] if reason == "stop" else [response.token]  # stop: by eos
        text, more, over = row.take(response.token, chance) if ids else ("", None, False)
        if reason is None and not over:
            return Output(row.key, position, ids, text, more=more)
        if reason is None:
            stopped.append(response.uid)
        self._forget(response.uid)
        if reason == "length" and not over and row.goes_on and row.tokens < row.job.max_tokens:
            row.shift()
            self._insert(row)
            return Output(row.key, position, ids, text, more=more)
        if not over:
            rest, last, over = row.finish()
            text, more = text + rest, merge_more(more, last)
        return Output(row.key, position, ids, text, row.end("stop" if over else reason, now_s), more)

    def memory(self) -> MemoryFacts:
        import mlx.core as mx

        peak_bytes = max(self._peak_bytes, mx.get_peak_memory(), self._embedder.peak_bytes if self._embedder else 0)
        return MemoryFacts(mx.get_active_memory(), peak_bytes, mx.get_cache_memory(), recommended_bytes())

    def trim(self) -> None:
        import mlx.core as mx

        mx.clear_cache()

    def close(self) -> None:
        import mlx.core as mx

        if self._generator is not None:
            self._generator.close()
            self._generator = self._embedder = None  # it holds the model, and asks this engine for room: a circle
        for rows in (self._running, self._waiting, self._uids):
            rows.clear()
        mx.clear_streams()

