"""What the gateway told, as samples."""

import pytest
from msgspec.structs import replace

from gateway.http.metrics_families import Buckets, Sheet
from gateway.http.metrics_gateway import add_gateway, written
from gateway.protocol import HistogramCounts, HistogramKind, MetricsInfo
from tests.support.gateway_world import World


def seen(told: MetricsInfo | None) -> dict[str, dict]:
    sheet = Sheet()
    add_gateway(sheet, told, str.upper)
    return {name: values for name, _, values in sheet.filled()}


@pytest.fixture(scope="module")
def told() -> MetricsInfo:
    """Of a gateway that has answered once."""
    world = World()
    world.worker_up()
    world.submit("r1", priority="low")
    world.answer(b"w1", world.jobs_sent()[0], 3)
    world.submit("r2", model="nope")
    return world.d.measures.info(world.d, world.d.config.models)


def test_a_gateway_that_says_nothing_is_down_and_nothing_else_is_said():
    assert seen(None) == {"warden_gateway_up": {(): 0}}


def test_ends_refusals_and_waits(told):
    found = seen(told)
    assert found["warden_gateway_up"] == {(): 1}
    assert found["warden_requests_ended_total"][("length",)] == 1
    assert found["warden_refusals_total"][("model_not_found", "answer")] == 1
    assert found["warden_refusals_total"][("model_not_found", "other")] == 0
    assert sum(found["warden_request_wait_seconds"][("low",)].counts) == 1
    assert sum(found["warden_request_wait_seconds"][("high",)].counts) == 0


def test_the_old_and_the_new_name_have_the_same_data(told):
    found, key = seen(told), ("A", "0")
    assert found["vllm:time_per_output_token_seconds"] == found["vllm:inter_token_latency_seconds"]
    assert found["vllm:request_max_num_generation_tokens"] == found["vllm:request_generation_tokens"]
    assert sum(found["vllm:inter_token_latency_seconds"][key].counts) == 2
    assert found["vllm:generation_tokens_total"][key] == 3 == found["vllm:prompt_tokens_total"][key]
    assert found["vllm:request_success_total"][(*key, "length")] == 1
    assert found["vllm:request_params_n"][key] == Buckets(
        ("1.0", "2.0", "5.0", "10.0", "20.0"), [1, 0, 0, 0, 0, 0], 1.0)


def test_the_prefix_cache_by_both_names(told):
    [model] = told.models
    found = seen(replace(told, models=[replace(model, queried_tokens=9, cached_tokens=4)]))
    assert found["warden_prefix_cache_queried_tokens_total"][("A",)] == 9
    assert found["warden_prefix_cache_hit_tokens_total"][("A",)] == 4
    assert found["vllm:prefix_cache_queries_total"][("A", "0")] == 9
    assert found["vllm:prefix_cache_hits_total"][("A", "0")] == 4


def test_what_a_newer_gateway_measures_besides_is_passed_over(told):
    [model] = told.models
    more = HistogramCounts([0, 0], 0.0)
    newer = MetricsInfo(told.epoch, [*told.kinds, HistogramKind("of_tomorrow", [1.0])],
                        [replace(model, histograms=[*model.histograms, more])],
                        told.wait_edges_s, told.waits, told.ended, told.refused, told.refused_besides)
    assert seen(newer) == seen(told)


def test_edges_are_written_as_prometheus_writes_them():
    assert written([0.3, 1, 2560.0, 1_000_000.0]) == ("0.3", "1.0", "2560.0", "1e+06")
