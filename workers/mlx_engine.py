"""The MLX engine: one model, and its running batch (`workers/mlx_batch.py`), into which jobs come and go.

Guarantees, beside those of `workers/engine.py`:
1. The constructor touches no MLX. All else happens in one thread, whichever: MLX's streams belong to threads. `close`
   is the last thing in it, since it takes these streams down; a process that leaves without it may abort on the way.
2. A step takes its target time however long the prompts are (`workers/prefill_pace.py`). So no stream stops, and
   whoever waits for this thread waits for one step.
3. A token that ends an answer (eos) is in neither its ids, its text nor its count.
4. No code out of a model's directory is run, and nothing is downloaded.
5. With a share it keeps to it: MLX's limits are the model's part of it, and a job joins the batch only when the whole
   batch at its longest fits (`workers/kv_room.py`). One that waits for that is active, and can be removed.
6. A job that asks for nothing besides words costs nothing besides: masks, chances of tokens and calls are computed for
   the rows that ask, and inputs to embed wait their turn beside the streams (`workers/embedding.py`).
7. What was computed for a row is kept when it leaves, and who begins with the same tokens computes the rest only
   (`workers/kept_kv.py`); words, chances and counts are the same.

What it does not do: sample as mlx_lm does (see `workers/sampling.py`). A job that may go on beyond its context
(`shift`) forgets the older half of it and reads the rest again.
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from workers.answer_row import AnswerRow, learn_grammars, learn_speech
from workers.embedding import Embedder
from workers.engine import EngineJob, JobKey, LoadPlan, MemoryFacts, ModelFacts, Output, Spill
from workers.memory_share import Beside, Division, clamp_limits, divide_share, model_bytes
from workers.mlx_load import open_model, prepare_load, recommended_bytes
from workers.prefill_pace import PrefillPace
from workers.prompt import PromptEncoder, check_ids, choose_context, refuse

if TYPE_CHECKING:
    from workers.kept_kv import KeptKv
    from workers.mlx_batch import MlxBatch
    from workers.mlx_rows import MlxRows


class MlxEngine:
    """See `workers.engine.Engine`. `path` is a model directory; `context_length` 0 is the model's own. `pooling`: how
    embeddings are made, "" for not, and `why_no_vectors` (see `control/pooling.py`). `prefix_cache`: jobs begin with
    what others left, and with what lies on disk if `spill` says where.

    `steps_run` counts decode steps of the whole batch since `load`. Raises out of `load` what mlx_lm raises for a
    directory that is no model, and MemoryError for a share that is too small.
    """

    def __init__(self, path: str, *, batch_max: int, context_length: int, pooling: str = "",
                 why_no_vectors: str = "", prefix_cache: bool = True, spill: Spill | None = None) -> None:
        self.batch_max = batch_max
        self._path = path
        self._context_length = context_length
        self._pooling, self._why_no_vectors = pooling, why_no_vectors
        self._batch: MlxBatch | None = None
        self._prefix_cache, self._spill = prefix_cache, spill
        self._kept: KeptKv | None = None
        self._share: Division
        self._embedder: Embedder | None = None
        self._vocabulary = 0
        self._rows: MlxRows | None = None
        self._over: list[AnswerRow] = []  # all of their answers was emitted before

    def prepare(self) -> None:
        import mlx.core as mx

        import workers.mlx_rows  # noqa: F401

        if mx.default_device() == mx.cpu:
            mx.disable_compile()  # on the CPU it calls a C++ compiler while all streams wait, and gains nothing
        prepare_load(self._path)

    def load(self, on_progress: Callable[[float], None], plan: LoadPlan = LoadPlan()) -> ModelFacts:
        import mlx.core as mx

        from workers.kept_kv import KeptKv
        from workers.mlx_batch import MlxBatch
        from workers.mlx_rows import MlxRows

        on_progress(0.0)
        self.batch_max = min(self.batch_max, plan.batch_max or self.batch_max)
        model, tokenizer, config = open_model(self._path, on_progress)
        self._batch = MlxBatch(model, tokenizer.eos_token_ids, self.batch_max)
        clamp_limits(mx, model_bytes(plan), recommended_bytes())
        seen = self._batch.warm_up()
        self._vocabulary = seen.vocabulary
        self._share = divide_share(plan, mx.get_active_memory(), seen.transients, seen.layers, self.batch_max,
                                   choose_context(config, self._context_length))
        self._kept = KeptKv(self._share, self._path, shared=self._prefix_cache, spill=self._spill)
        pace = PrefillPace(seen.token_s, seen.transients.chunk_token, self._share.free_bytes(mx.get_active_memory()))
        self._rows = MlxRows(self._batch, self._kept, self._share, self.batch_max, pace)
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
                                  Beside(self._share, self._rows.inside), self._why_no_vectors)

    @property
    def active(self) -> int:
        if self._rows is None:
            return 0
        return self._rows.places.active + len(self._over) + self._embedder.active

    @property
    def paused(self) -> int:
        return len(self._rows.places.paused) if self._rows else 0

    @property
    def short(self) -> JobKey | None:
        return self._rows.short

    @property
    def steps_run(self) -> int:
        return self._rows.steps_run

    def add(self, job: EngineJob) -> None:
        assert job.key not in self._rows.places
        if job.inputs is not None:
            self._embedder.add(job)
            return
        prompt, share = self._encoder.encode(job), self._share
        if job.extras.logit_bias and max(job.extras.logit_bias) >= self._vocabulary:
            refuse(f"logit_bias: ids must be below {self._vocabulary}, the vocabulary of this model")
        markers = job.messages is not None or bool(job.extras.template) or prompt.thinks
        guide = self._grammars.guide(job.extras, reasons=prompt.thinks, may_reason=markers)
        reserved = share.room.choose_reservation(len(prompt.tokens), job.max_tokens, prompt.context_length)
        row = AnswerRow(job, prompt, reserved, self._speech, guide, has_markers=markers)
        if job.emitted:
            check_ids(job.emitted, self._vocabulary)
            try:
                row.begin_behind(job.emitted)
            except ValueError as problem:
                refuse(f"emitted: {problem}")
        if job.emitted and row.is_over:
            self._over.append(row)
        else:
            self._rows.places.wait(row)

    def remove(self, key: JobKey) -> None:
        self._over = [row for row in self._over if row.key != key]
        self._embedder.remove(key)
        self._rows.remove(key)

    def pause(self, key: JobKey) -> None:
        self._rows.pause(key)

    def take_paused(self) -> list[tuple[JobKey, bool]]:
        return self._rows.places.take_paused()

    def resume(self, key: JobKey) -> None:
        self._rows.resume(key)

    def step(self) -> list[Output]:
        vectors = self._embedder.step(beside=bool(self._rows.places.running)) if self._embedder.active else []
        if self._over:
            over, self._over = self._over, []
            return vectors + [row.tell_over(time.perf_counter()) for row in over]
        outputs = self._rows.step(self._embedder.reserved_tokens, is_closed=self._embedder.waits_for_room)
        return vectors + outputs if vectors else outputs

    def memory(self) -> MemoryFacts:
        import mlx.core as mx

        peak_bytes = max([mx.get_peak_memory(), *(part.peak_bytes for part in (self._batch, self._embedder) if part)])
        kept = self._kept
        return MemoryFacts(mx.get_active_memory(), peak_bytes, mx.get_cache_memory(), kept.bytes if kept else 0,
                           kept.spilled_bytes if kept else 0, recommended_bytes())

    def trim(self) -> None:
        import mlx.core as mx

        if self._kept is not None:
            self._kept.trim()
        mx.clear_cache()

    def idle(self) -> bool:
        return self._kept is not None and self._kept.idle()

    def close(self) -> None:
        import mlx.core as mx

        if self._batch is not None:
            self._batch.close()
            self._batch = self._kept = self._rows = self._embedder = None  # they hold the model, and each other
        self._over.clear()
        mx.clear_streams()

