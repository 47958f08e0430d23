"""Counts by bucket, and the edges that vLLM's dashboards expect."""

from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.histograms import TOKENS, TOKENS_EDGE_MAX, VLLM, WAIT_S, Histogram, steps_1_2_5

VALUES = st.lists(st.one_of(st.floats(0, 1e5), st.sampled_from(WAIT_S)))


def test_a_value_on_an_edge_belongs_below_it():
    histogram = Histogram((1.0, 2.0))
    for value in (0.0, 1.0, 1.5, 2.0, 2.5):
        histogram.observe(value)
    assert histogram.counts == [2, 2, 1] and histogram.sum == 7.0


def test_a_weight_counts_as_so_many_observations():
    once, often = Histogram((1.0,)), Histogram((1.0,))
    once.observe(0.25, 4)
    for _ in range(4):
        often.observe(0.25)
    assert (once.counts, once.sum) == (often.counts, often.sum)


@given(VALUES)
def test_many_at_once_are_the_same_as_one_by_one(values):
    together, alone = Histogram(WAIT_S), Histogram(WAIT_S)
    together.observe_all(values)
    for value in values:
        alone.observe(value)
    assert together.counts == alone.counts and sum(together.counts) == len(values)
    assert together.sum == pytest.approx(alone.sum)
    heavy, weights = Histogram(WAIT_S), [n + 1 for n in range(len(values))]
    heavy.observe_all(values, weights)
    assert sum(heavy.counts) == sum(weights)
    assert heavy.sum == pytest.approx(sum(value * weight for value, weight in zip(values, weights, strict=True)))
    assert all(together.counts[place] for place in {bisect_left(WAIT_S, value) for value in values})


def test_steps_end_where_they_are_told_to():
    assert steps_1_2_5(100) == (1, 2, 5, 10, 20, 50, 100)
    assert steps_1_2_5(19) == (1, 2, 5, 10) and TOKENS[-1] == TOKENS_EDGE_MAX


@pytest.mark.parametrize("name", VLLM)
def test_edges_rise_and_are_those_of_seconds_or_tokens(name):
    edges = VLLM[name]
    assert all(low < high for low, high in zip(edges, edges[1:], strict=False))
    assert (edges is TOKENS) == (not name.endswith("_seconds"))


def test_first_and_last_edges_are_vllms():
    assert [(VLLM[name][0], VLLM[name][-1], len(VLLM[name])) for name in (
        "time_to_first_token_seconds", "inter_token_latency_seconds", "e2e_request_latency_seconds")] == [
        (0.001, 2560.0, 22), (0.01, 80.0, 19), (0.3, 7680.0, 21)]
