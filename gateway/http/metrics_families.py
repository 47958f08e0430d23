"""Every metric that /metrics can say: name, kind, labels and what it means. The one list of them.

`warden_*` are our own. `vllm:*` have the names, kinds, labels and bucket edges of vLLM, so that dashboards made for it
work here; each says where it means something else. Units stand last in a name, in seconds and bytes; counters end in
`_total`. A counter may begin at 0 again when the process that counts is new, as Prometheus expects.

`Sheet` collects samples. Models that may not be named share one label value, so samples of equal labels are put
together: summed, or the largest of them where a sum would mean nothing. Pure.
"""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

GAUGE, COUNTER, INFO, HISTOGRAM = "gauge", "counter", "info", "histogram"
Kind = Literal["gauge", "counter", "info", "histogram"]
CLASS, MODEL = ("class",), ("model",)
VLLM = ("model_name", "engine")


class Family(NamedTuple):
    """`largest`: of equal labels the largest value counts, not the sum."""

    kind: Kind
    labels: tuple[str, ...]
    help: str
    largest: bool = False


class Buckets(NamedTuple):
    """The value of a histogram: edges as they are written, counts (one more, not cumulative), and the sum."""

    edges: Sequence[str]
    counts: Sequence[int]
    sum: float


PARTS: dict[str, Family] = {
    "warden_build": Family(INFO, ("version",), "The version of mlx-warden that answers."),
    "warden_table_up": Family(GAUGE, (), "1 if there is a shared table to read; without one nothing else is known."),
    "warden_control_up": Family(GAUGE, (), "1 if control has beaten within 3 s."),
    "warden_gateway_up": Family(
        GAUGE, (), "1 if the gateway has answered this scrape; what it alone knows is absent if it has not."),
    "warden_supervisord_up": Family(GAUGE, (), "1 if supervisord answers control; absent while control is silent."),
    "warden_heartbeat_age_seconds": Family(
        GAUGE, ("process",), "How old the words of control and of the gateway in the shared table are."),
    "warden_process_start_time_seconds": Family(
        GAUGE, ("process",), "Unix time at which the process began (of control and gateway: its epoch, which is "
        "that unless the clock was set back).", largest=True),
    "warden_http_requests_total": Family(
        COUNTER, ("process", "route", "method", "status"), "Answers begun over HTTP. With several http processes "
        "each scrape is answered by one, and has the counts of that one only."),
}
MEMORY: dict[str, Family] = {
    "warden_memory_used_ratio": Family(GAUGE, (), "Share of the machine's memory in use, 0..1, as control judges it."),
    "warden_memory_total_bytes": Family(GAUGE, (), "Memory of the machine, or of its container."),
    "warden_memory_available_bytes": Family(GAUGE, (), "Memory that is free or can be had at once."),
    "warden_memory_budget_bytes": Family(GAUGE, (), "What the shares of all models together may reach."),
    "warden_memory_reserved_bytes": Family(GAUGE, (), "What the shares of all models reach now."),
    "warden_memory_leaked_bytes": Family(GAUGE, (), "What processes that ended did not give back."),
    "warden_memory_pressure_level": Family(GAUGE, (), "0 normal, 1 warning, 2 critical, 3 emergency."),
    "warden_memory_class_closed": Family(
        GAUGE, CLASS, "1 if no new work of this class is begun, because memory is short and nothing can be evicted."),
    "warden_evictions_total": Family(COUNTER, (), "Models that left to make room."),
    "warden_eviction_refusals_total": Family(
        COUNTER, ("by",), "Evictions that were refused, by who refused: control (not even asked), the gateway or "
        "the worker (it answers), nobody (the gateway was silent)."),
    "warden_forced_kills_total": Family(
        COUNTER, (), "Processes that control had to end because they made no progress."),
    "warden_jobs_lost_to_eviction_total": Family(
        COUNTER, (), "Jobs that a worker held when it left to make room. It must be 0 always."),
}
QUEUE: dict[str, Family] = {
    "warden_requests_running": Family(GAUGE, CLASS, "Answers under way on MLX."),
    "warden_requests_paused": Family(GAUGE, CLASS, "Answers on MLX that are paused for a request of class HIGH."),
    "warden_requests_queued": Family(GAUGE, CLASS, "Requests that wait for MLX."),
    "warden_running_limit": Family(GAUGE, (), "Answers that may run at once on MLX (max_running)."),
    "warden_queue_limit": Family(GAUGE, (), "Requests that may wait at once (max_queued)."),
    "warden_requests_admitted_total": Family(COUNTER, CLASS, "Requests that got a place in a queue or ran at once."),
    "warden_requests_ended_total": Family(
        COUNTER, ("reason",), "Admitted requests by how they ended: stop, length, cancelled, or the code of an "
        "error."),
    "warden_refusals_total": Family(
        COUNTER, ("code", "asked"), "What the gateway refused, by code: asked \"answer\" are requests that were "
        "not admitted, \"other\" are questions, loads and orders."),
    "warden_request_wait_seconds": Family(
        HISTOGRAM, CLASS, "From arrival until a backend was given the request first. Requests that ended in the "
        "queue are not in it."),
    "warden_requests_retried_total": Family(
        COUNTER, (), "Requests begun again because their worker died before the first token."),
    "warden_requests_hopped_total": Family(COUNTER, (), "Requests that went on to another backend, for any reason."),
    "warden_requests_spilled_total": Family(COUNTER, (), "Simple requests that left MLX because it was overloaded."),
    "warden_preemptions_total": Family(COUNTER, (), "How often an answer was paused for a request of class HIGH."),
    "warden_resumptions_total": Family(COUNTER, (), "How often a paused answer went on where it was."),
    "warden_continuations_total": Family(
        COUNTER, (), "Answers that were given to a worker anew, to go on behind the tokens that their callers have."),
    "warden_frames_dropped_total": Family(
        COUNTER, (), "Messages that the gateway could not read, or that came too late."),
}
MODELS: dict[str, Family] = {
    "warden_model": Family(INFO, ("model", "slug", "engine"), "The models that are configured."),
    "warden_model_state": Family(GAUGE, ("model", "state"), "1 for the state that the model is in, 0 for the others."),
    "warden_model_share_bytes": Family(GAUGE, MODEL, "What its process counts for in the budget; 0 if there is none."),
    "warden_model_need_bytes": Family(GAUGE, MODEL, "The least that loading it takes; absent while it is not known."),
    "warden_model_footprint_bytes": Family(GAUGE, MODEL, "What its process really holds; absent while it is silent."),
    "warden_model_mlx_active_bytes": Family(GAUGE, MODEL, "What MLX holds for it: weights, caches, work in hand."),
    "warden_model_mlx_cache_bytes": Family(GAUGE, MODEL, "What MLX keeps for reuse."),
    "warden_model_mlx_peak_bytes": Family(GAUGE, MODEL, "The most that MLX held for it."),
    "warden_kv_kept_bytes": Family(GAUGE, MODEL, "KV caches of paused answers and for prompts that begin the same."),
    "warden_kv_spilled_bytes": Family(GAUGE, MODEL, "Such caches on disk, while the model is loaded."),
    "warden_prefix_cache_queried_tokens_total": Family(COUNTER, MODEL, "Tokens of prompts of ended answers."),
    "warden_prefix_cache_hit_tokens_total": Family(COUNTER, MODEL, "Those of them that were not computed again."),
    "warden_model_requests_running": Family(GAUGE, MODEL, "Answers under way on it."),
    "warden_model_requests_paused": Family(GAUGE, MODEL, "Answers of it that are paused."),
    "warden_model_requests_queued": Family(GAUGE, MODEL, "Requests and loads that wait for it."),
    "warden_model_oldest_wait_seconds": Family(
        GAUGE, MODEL, "How long the oldest of them has waited; 0 if none.", True),
    "warden_model_tokens_total": Family(
        COUNTER, MODEL, "Tokens that its process has given out; a new process begins at 0."),
    "warden_model_tokens_per_second": Family(GAUGE, MODEL, "Tokens a second, over the last two seconds."),
    "warden_model_loads_total": Family(COUNTER, MODEL, "How often it was loaded."),
    "warden_model_last_load_seconds": Family(
        GAUGE, MODEL, "How long its last load took; absent before the first.", True),
    "warden_model_load_progress_ratio": Family(
        GAUGE, MODEL, "How far its load is, 0..1; absent while it is not loading.", True),
    "warden_model_starts_total": Family(COUNTER, MODEL, "How often its process was started."),
    "warden_model_evictions_total": Family(COUNTER, MODEL, "How often it left to make room."),
    "warden_model_recent_crashes": Family(
        GAUGE, MODEL, "Crashes that still count; too many in ten minutes and it is quarantined."),
    "warden_model_pinned": Family(GAUGE, MODEL, "1 if it is never unloaded."),
    "warden_model_heartbeat_age_seconds": Family(GAUGE, MODEL, "How old its worker's words in the table are.", True),
}
RELAYS: dict[str, Family] = {
    "warden_relay_up": Family(GAUGE, ("relay",), "1 if the relay and the server behind it answer."),
    "warden_relay_breaker": Family(
        GAUGE, ("relay", "state"), "1 for the state of its breaker: closed, open, half_open."),
    "warden_relay_requests_running": Family(GAUGE, ("relay",), "Answers under way there."),
    "warden_relay_requests_queued": Family(GAUGE, ("relay",), "Requests that wait for it."),
    "warden_relay_starts_total": Family(COUNTER, ("relay",), "How often its process was started."),
}
FROM_VLLM: dict[str, Family] = {
    "vllm:num_requests_running": Family(GAUGE, VLLM, "Answers under way on the model."),
    "vllm:num_requests_waiting": Family(GAUGE, VLLM, "Requests and loads that wait for the model, and paused answers."),
    "vllm:kv_cache_usage_perc": Family(
        GAUGE, VLLM, "How full the model's share of memory is, 0..1, weights included: MLX has no pool of cache "
        "blocks. 0 while nothing is loaded.", largest=True),
    "vllm:gpu_cache_usage_perc": Family(GAUGE, VLLM, "The old name of kv_cache_usage_perc.", largest=True),
    "vllm:num_preemptions_total": Family(COUNTER, VLLM, "How often an answer of the model was paused."),
    "vllm:prefix_cache_queries_total": Family(COUNTER, VLLM, "Tokens of the prompts of answers that have ended."),
    "vllm:prefix_cache_hits_total": Family(COUNTER, VLLM, "Those of them that were not computed again."),
    "vllm:prompt_tokens_total": Family(COUNTER, VLLM, "Tokens of prompts, counted when the answer ends."),
    "vllm:generation_tokens_total": Family(COUNTER, VLLM, "Tokens of answers, those under way included."),
    "vllm:request_success_total": Family(
        COUNTER, (*VLLM, "finished_reason"), "Requests by how they ended: stop, length, abort, error."),
    "vllm:time_to_first_token_seconds": Family(HISTOGRAM, VLLM, "From arrival to the first token, the wait included."),
    "vllm:inter_token_latency_seconds": Family(
        HISTOGRAM, VLLM, "Time between tokens: the mean of each answer, as often as it has gaps."),
    "vllm:time_per_output_token_seconds": Family(HISTOGRAM, VLLM, "The old name of inter_token_latency_seconds."),
    "vllm:request_time_per_output_token_seconds": Family(
        HISTOGRAM, VLLM, "The mean time between tokens of each answer."),
    "vllm:e2e_request_latency_seconds": Family(HISTOGRAM, VLLM, "From arrival to the end of the answer."),
    "vllm:request_queue_time_seconds": Family(HISTOGRAM, VLLM, "From arrival until the model was given the request."),
    "vllm:request_prefill_time_seconds": Family(HISTOGRAM, VLLM, "From the model's begin to the first token."),
    "vllm:request_decode_time_seconds": Family(HISTOGRAM, VLLM, "From the first token to the last."),
    "vllm:request_inference_time_seconds": Family(HISTOGRAM, VLLM, "From the model's begin to the last token."),
    "vllm:request_prompt_tokens": Family(HISTOGRAM, VLLM, "Tokens of the prompt."),
    "vllm:request_generation_tokens": Family(HISTOGRAM, VLLM, "Tokens of the answer."),
    "vllm:request_max_num_generation_tokens": Family(HISTOGRAM, VLLM, "The same: each request has one answer."),
    "vllm:request_params_max_tokens": Family(HISTOGRAM, VLLM, "The max_tokens that were asked for or configured."),
    "vllm:request_params_n": Family(HISTOGRAM, VLLM, "Answers asked for; each is a request of its own here, so 1."),
}
FAMILIES: dict[str, Family] = PARTS | MEMORY | QUEUE | MODELS | RELAYS | FROM_VLLM


class Sheet:
    """The samples of one scrape, in the order of `FAMILIES`."""

    def __init__(self) -> None:
        self._values: dict[str, dict[tuple[str, ...], float | Buckets]] = {name: {} for name in FAMILIES}

    def add(self, name: str, value: float | Buckets, *labels: str) -> None:
        """Raises KeyError for a name that is not in the list."""
        values, family = self._values[name], FAMILIES[name]
        assert len(labels) == len(family.labels), f"{name} has the labels {family.labels}"
        before = values.get(labels)
        if before is None:
            values[labels] = value
        elif isinstance(value, Buckets):
            values[labels] = Buckets(value.edges, [a + b for a, b in zip(before.counts, value.counts, strict=True)],
                                     before.sum + value.sum)
        else:
            values[labels] = max(before, value) if family.largest or family.kind == INFO else before + value

    def filled(self) -> Iterable[tuple[str, Family, dict[tuple[str, ...], float | Buckets]]]:
        """The families that have samples."""
        return [(name, FAMILIES[name], values) for name, values in self._values.items() if values]
