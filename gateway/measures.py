"""What the gateway measures of each request, for /metrics: how long it waited, how fast its answer was, how it ended.

Kept for each model (at most 64) and for each class, since this gateway began; asked for by `protocol.Metrics`.

1. A request is measured when it is given to a backend first (its wait), at its first token, and at its end; a token
   costs nothing. What is live besides (tokens of answers under way) is added up when somebody asks.
2. The times of a whole answer are those of answers that ended by themselves (stop, length). One that was cancelled or
   failed would only make the figures look fast; it is counted among the ends, and its tokens among the tokens.
3. The time between tokens is observed once, as the mean of the answer, weighted by how many gaps it had: sum and count
   are what single observations would have given, only the spread within one answer is lost.
4. Answers are entered in the histograms many at a time, when somebody asks or ANSWERS_MAX have ended: one by one it
   would cost three times as much.
5. What a relay answers is not measured as a model's: its server counts tokens as it likes. Its wait and its end are.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import add
from typing import TYPE_CHECKING

from control.states import Priority
from gateway import protocol
from gateway.error_codes import ERRORS
from gateway.histograms import VLLM, WAIT_S, Histogram

if TYPE_CHECKING:
    from control.config import ModelConfig
    from gateway.dispatcher import Dispatcher
    from gateway.requests import Request

ENDS = ("stop", "length", "cancelled", *ERRORS)
FINISHED = ("stop", "length")
VLLM_REASONS = {"stop": "stop", "length": "length", "cancelled": "abort"}  # every other end is an error
MS = 0.001
ANSWERS_MAX = 256  # that wait to be entered in the histograms


class ModelMeasures:
    """Of one model. `ended` by vLLM's names of reasons; `answers` are those not yet in the histograms (4)."""

    __slots__ = ("answers", "cached_tokens", "ended", "generation_tokens", "histograms", "preemptions", "prompt_tokens",
                 "queried_tokens")

    def __init__(self) -> None:
        self.ended = {"stop": 0, "length": 0, "abort": 0, "error": 0}
        self.prompt_tokens = self.generation_tokens = self.preemptions = self.queried_tokens = self.cached_tokens = 0
        self.histograms = {name: Histogram(edges) for name, edges in VLLM.items()}
        self.answers: list[tuple[float | None, ...]] = []

    def fold(self) -> None:
        """Enter the answers in the histograms."""
        if not self.answers:
            return
        answers, self.answers, into = self.answers, [], self.histograms
        total_s, queue_s, prefill_s, decode_s, prompt, tokens, most = zip(*answers, strict=True)
        into["e2e_request_latency_seconds"].observe_all(total_s)
        into["request_queue_time_seconds"].observe_all(queue_s)
        into["request_prefill_time_seconds"].observe_all(prefill_s)
        into["request_inference_time_seconds"].observe_all(list(map(add, prefill_s, decode_s)))
        into["request_prompt_tokens"].observe_all(prompt)
        if None in tokens:  # vectors were asked for
            written = [each[3:] for each in answers if each[5] is not None]
            decode_s, _, tokens, most = zip(*written, strict=True) if written else ((), (), (), ())
        into["request_decode_time_seconds"].observe_all(decode_s)
        into["request_generation_tokens"].observe_all(tokens)
        into["request_params_max_tokens"].observe_all(list(filter(None, most)))
        gaps = [(took_s / (count - 1), count - 1) for took_s, count in zip(decode_s, tokens, strict=True) if count > 1]
        if gaps:
            between_s, weights = zip(*gaps, strict=True)
            into["request_time_per_output_token_seconds"].observe_all(between_s)
            into["inter_token_latency_seconds"].observe_all(between_s, weights)


class Measures:
    def __init__(self, slugs: Iterable[str]) -> None:
        self.models = {slug: ModelMeasures() for slug in slugs}
        self.waits = [Histogram(WAIT_S) for _ in Priority]
        self.ended = dict.fromkeys(ENDS, 0)
        self.refused = dict.fromkeys(ERRORS, 0)
        self.refused_besides = dict.fromkeys(ERRORS, 0)

    def take_models(self, slugs: Iterable[str]) -> None:
        self.models = {slug: self.models.get(slug) or ModelMeasures() for slug in slugs}

    # -- what happens ----------------------------------------------------------------------------------------

    def on_begin(self, request: Request, now: float) -> None:
        """It is given to a backend for the first time."""
        self.waits[request.ticket.priority].observe(now - request.ticket.arrived)

    def on_first(self, request: Request, now: float) -> None:
        """The first of its answer came."""
        model = self.models.get(request.ticket.target)
        if model is not None and request.inputs is None:
            model.histograms["time_to_first_token_seconds"].observe(now - request.ticket.arrived)

    def on_pause(self, slug: str) -> None:
        if slug in self.models:
            self.models[slug].preemptions += 1

    def on_end(self, request: Request, event: protocol.Done | protocol.Error) -> None:
        reason = event.finish_reason if type(event) is protocol.Done else event.code
        self.ended[reason] += 1
        model = self.models.get(request.ticket.target)
        if model is None:
            return
        model.ended[VLLM_REASONS.get(reason, "error")] += 1
        if request.inputs is None:
            model.generation_tokens += request.next_position
        if type(event) is not protocol.Done:
            return
        usage, times = event.usage, event.timings
        model.prompt_tokens += usage.prompt_tokens
        if request.inputs is None:
            model.queried_tokens += usage.prompt_tokens
            model.cached_tokens += usage.cached_tokens
        if reason in FINISHED:
            model.answers.append((times.total_ms * MS, times.queue_ms * MS, times.prompt_ms * MS, times.decode_ms * MS,
                                  usage.prompt_tokens, request.next_position if request.inputs is None else None,
                                  request.max_tokens))
            if len(model.answers) >= ANSWERS_MAX:
                model.fold()

    # -- what is said ----------------------------------------------------------------------------------------

    def info(self, d: Dispatcher, models: Iterable[ModelConfig]) -> protocol.MetricsInfo:
        """All of it, as it is now; of these models alone."""
        for each in self.models.values():
            each.fold()
        under_way = dict.fromkeys(self.models, 0)
        for request in d.requests.values():
            if request.inputs is None and request.ticket.target in under_way:
                under_way[request.ticket.target] += request.next_position
        return protocol.MetricsInfo(
            epoch=d.epoch,
            kinds=[protocol.HistogramKind(name, list(edges)) for name, edges in VLLM.items()],
            models=[protocol.ModelMetrics(
                slug=model.slug,
                name=model.name,
                audience=model.audience,
                ended=self.models[model.slug].ended,
                prompt_tokens=self.models[model.slug].prompt_tokens,
                generation_tokens=self.models[model.slug].generation_tokens + under_way[model.slug],
                queried_tokens=self.models[model.slug].queried_tokens,
                cached_tokens=self.models[model.slug].cached_tokens,
                histograms=[said(histogram) for histogram in self.models[model.slug].histograms.values()],
                preemptions=self.models[model.slug].preemptions,
            ) for model in models],
            wait_edges_s=list(WAIT_S),
            waits=[said(histogram) for histogram in self.waits],
            ended=self.ended,
            refused=self.refused,
            refused_besides=self.refused_besides,
        )


def said(histogram: Histogram) -> protocol.HistogramCounts:
    return protocol.HistogramCounts(histogram.counts, histogram.sum)
