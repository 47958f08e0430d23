"""What /metrics says from the gateway's own answer: histograms, ends and refusals. Values in, samples out.

Only what this very scrape was told: while the gateway does not answer all of it is absent.
"""

from collections.abc import Iterable

from prometheus_client.utils import floatToGoString

from control.overview import CLASSES
from gateway.http.metrics_families import FAMILIES, Buckets, Sheet
from gateway.http.metrics_table import Naming
from gateway.protocol import HistogramCounts, MetricsInfo, ModelMetrics

ENGINE = "0"  # vLLM numbers its engines
ONE_ANSWER_EDGES = ("1.0", "2.0", "5.0", "10.0", "20.0")  # of request_params_n
SAME_AS = {"inter_token_latency_seconds": "time_per_output_token_seconds",
           "request_generation_tokens": "request_max_num_generation_tokens"}


def add_gateway(sheet: Sheet, told: MetricsInfo | None, naming: Naming) -> None:
    """`told` None: it did not answer."""
    sheet.add("warden_gateway_up", int(told is not None))
    if told is None:
        return
    for reason, count in told.ended.items():
        sheet.add("warden_requests_ended_total", count, reason)
    for asked, refused in (("answer", told.refused), ("other", told.refused_besides)):
        for code, count in refused.items():
            sheet.add("warden_refusals_total", count, code, asked)
    wait_edges = written(told.wait_edges_s)
    for name, wait in zip(CLASSES, told.waits, strict=True):
        sheet.add("warden_request_wait_seconds", Buckets(wait_edges, wait.counts, wait.sum), name)
    kinds = [(kind.name, written(kind.edges)) for kind in told.kinds]
    for model in told.models:
        _add_model(sheet, model, kinds, naming(model.slug))


def _add_model(sheet: Sheet, model: ModelMetrics, kinds: list[tuple[str, tuple[str, ...]]], name: str) -> None:
    sheet.add("vllm:num_preemptions_total", model.preemptions, name, ENGINE)
    sheet.add("vllm:prefix_cache_queries_total", model.queried_tokens, name, ENGINE)
    sheet.add("vllm:prefix_cache_hits_total", model.cached_tokens, name, ENGINE)
    sheet.add("warden_prefix_cache_queried_tokens_total", model.queried_tokens, name)
    sheet.add("warden_prefix_cache_hit_tokens_total", model.cached_tokens, name)
    sheet.add("vllm:prompt_tokens_total", model.prompt_tokens, name, ENGINE)
    sheet.add("vllm:generation_tokens_total", model.generation_tokens, name, ENGINE)
    for reason, count in model.ended.items():
        sheet.add("vllm:request_success_total", count, name, ENGINE, reason)
    answers = 0
    for (kind, edges), histogram in zip(kinds, model.histograms, strict=True):
        for alias in (kind, SAME_AS.get(kind)):
            if alias and f"vllm:{alias}" in FAMILIES:  # a newer gateway may measure more
                sheet.add(f"vllm:{alias}", Buckets(edges, histogram.counts, histogram.sum), name, ENGINE)
        if kind == "e2e_request_latency_seconds":
            answers = sum(histogram.counts)
    alone = HistogramCounts([answers] + [0] * len(ONE_ANSWER_EDGES), float(answers))
    sheet.add("vllm:request_params_n", Buckets(ONE_ANSWER_EDGES, alone.counts, alone.sum), name, ENGINE)


def written(edges: Iterable[float]) -> tuple[str, ...]:
    """As the `le` of a bucket says them."""
    return tuple(floatToGoString(edge) for edge in edges)
