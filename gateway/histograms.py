"""Histograms as lists of counts, and the bucket edges that vLLM's dashboards expect.

An observation costs one search in a short list and two additions. Counts are not cumulative here:
`counts[k]` belongs to values above `edges[k - 1]` up to and including `edges[k]`, the last to those above all edges.

`VLLM` lists the histograms that we share with vLLM, by its names, each with its edges. They are those of vLLM's
`v1/metrics/loggers.py` and `buckets.py` (read at their versions of 2025-2026). vLLM's token counts go in steps of
1-2-5 up to the length of a model's context; ours go up to TOKENS_EDGE_MAX for all, since a context is known only once
the model was loaded, and edges may not change. Not kept here, because they follow from others: `request_params_n`
(always 1) and `request_max_num_generation_tokens` (the same as `request_generation_tokens` for n = 1). Not measured:
`iteration_tokens_total`, for it would cost something in every step.

Pure.
"""

from bisect import bisect_left
from collections.abc import Sequence
from functools import partial
from operator import mul

TOKENS_EDGE_MAX = 1_000_000


def steps_1_2_5(most: int) -> tuple[float, ...]:
    """1, 2, 5, 10, 20, ... as far as `most`."""
    found, power = [], 1
    while power <= most:
        found += [float(digit * power) for digit in (1, 2, 5) if digit * power <= most]
        power *= 10
    return tuple(found)


FIRST_TOKEN_S = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0,
                 80.0, 160.0, 640.0, 2560.0)
BETWEEN_TOKENS_S = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0,
                    80.0)
REQUEST_S = (0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0,
             960.0, 1920.0, 7680.0)
TOKENS = steps_1_2_5(TOKENS_EDGE_MAX)
WAIT_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)  # our own

VLLM: dict[str, tuple[float, ...]] = {
    "time_to_first_token_seconds": FIRST_TOKEN_S,
    "inter_token_latency_seconds": BETWEEN_TOKENS_S,
    "request_time_per_output_token_seconds": BETWEEN_TOKENS_S,
    "e2e_request_latency_seconds": REQUEST_S,
    "request_queue_time_seconds": REQUEST_S,
    "request_prefill_time_seconds": REQUEST_S,
    "request_decode_time_seconds": REQUEST_S,
    "request_inference_time_seconds": REQUEST_S,
    "request_prompt_tokens": TOKENS,
    "request_generation_tokens": TOKENS,
    "request_params_max_tokens": TOKENS,
}


class Histogram:
    """`edges` rise; `counts` has one more place than they."""

    __slots__ = ("_place", "counts", "edges", "sum")

    def __init__(self, edges: tuple[float, ...]) -> None:
        self.edges = edges
        self._place = partial(bisect_left, edges)
        self.counts = [0] * (len(edges) + 1)
        self.sum = 0.0

    def observe(self, value: float, weight: int = 1) -> None:
        """`weight` observations of `value` at once."""
        self.counts[self._place(value)] += weight
        self.sum += value * weight

    def observe_all(self, values: Sequence[float], weights: Sequence[int] = ()) -> None:
        """One observation of each, or as many as its weight, at a third of the price."""
        counts, places = self.counts, map(self._place, values)
        if weights:
            for place, weight in zip(places, weights, strict=True):
                counts[place] += weight
            self.sum += sum(map(mul, values, weights))
        else:
            for place in places:
                counts[place] += 1
            self.sum += sum(values)
