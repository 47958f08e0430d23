"""workers/sampling.py: seeds and positions, the filters against a plain reference, penalties."""

import math

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.protocol import Sampling
from workers.sampling import GREEDY, choose_bias, choose_penalties, choose_sampler, filter_logprobs, read_chances

DRAWS = 1500


def logprobs_of(weights) -> mx.array:
    logits = mx.log(mx.array([weights], dtype=mx.float32))
    return logits - mx.logsumexp(logits, axis=-1, keepdims=True)


SOME = logprobs_of([1, 2, 3, 4, 5, 6, 7, 8, 20, 30])


def draw(sampling: Sampling, count: int, position: int = 0, logprobs: mx.array = SOME) -> list[int]:
    sampler = choose_sampler(sampling, position)
    return mx.concatenate([sampler(logprobs) for _ in range(count)]).tolist()


def far_from(weights, drawn: list[int]) -> float:
    """Chi square per degree of freedom: about 1 for a fair draw."""
    expected = np.array(weights) / sum(weights) * len(drawn)
    counts = np.bincount(drawn, minlength=len(weights))
    return float((((counts - expected) ** 2) / expected).sum() / (len(weights) - 1))


class TestSeeds:
    def test_the_distribution_is_that_of_the_model_over_positions_and_over_seeds(self):
        weights = [1, 2, 3, 4, 5, 6, 7, 8, 20, 30]
        over_positions = draw(Sampling(temperature=1.0, seed=1), DRAWS)
        over_seeds = [draw(Sampling(temperature=1.0, seed=seed), 1)[0] for seed in range(DRAWS)]
        assert far_from(weights, over_positions) < 3
        assert far_from(weights, over_seeds) < 3

    def test_temperature_sharpens_and_flattens(self):
        weights = np.array([1, 2, 3, 4, 5, 6, 7, 8, 20, 30])
        for temperature in (0.5, 2.0):
            drawn = draw(Sampling(temperature=temperature, seed=2), DRAWS)
            assert far_from(weights ** (1 / temperature), drawn) < 3

    def test_a_start_in_the_middle_goes_on_with_the_same_tokens(self):
        whole = draw(Sampling(temperature=1.0, seed=9), 40)
        assert draw(Sampling(temperature=1.0, seed=9), 27, position=13) == whole[13:]

    def test_the_same_seed_repeats_and_neighbours_are_unrelated(self):
        first = draw(Sampling(temperature=5.0, seed=3), 200)
        assert draw(Sampling(temperature=5.0, seed=3), 200) == first
        second = draw(Sampling(temperature=5.0, seed=4), 200)
        for shift in (-1, 0, 1):  # chance agreement is about one in ten
            assert sum(a == b for a, b in zip(first[1:-1], second[1 + shift :], strict=False)) < 60

    def test_nobody_elses_random_numbers_matter(self):
        first = draw(Sampling(temperature=1.0, seed=3), 20)
        mx.random.seed(77)
        mx.eval(mx.random.uniform(shape=(5,)))
        assert draw(Sampling(temperature=1.0, seed=3), 20) == first

    @pytest.mark.parametrize("seed", [-1, -(2**63), 2**63 - 1, 2**64 - 1, 0])
    def test_any_64_bit_seed(self, seed):
        assert set(draw(Sampling(temperature=1.0, seed=seed), 20)) <= set(range(10))

    def test_seeds_that_differ_in_high_bits_only_differ(self):
        assert draw(Sampling(temperature=1.0, seed=5), 40) != draw(Sampling(temperature=1.0, seed=5 + 2**48), 40)

    def test_half_precision_logits_are_drawn_as_fairly(self):
        many = logprobs_of([1] * 4096).astype(mx.bfloat16)
        drawn = draw(Sampling(temperature=1.0, seed=6), DRAWS, logprobs=many)
        assert far_from([1] * 16, [token // 256 for token in drawn]) < 3


class TestGreedy:
    @pytest.mark.parametrize(
        "sampling",
        [Sampling(), Sampling(temperature=1.0, top_k=1, seed=5), Sampling(temperature=1.0, top_p=0.0, seed=6)],
    )
    def test_all_greedy_rows_share_one_sampler(self, sampling):
        assert choose_sampler(sampling) is GREEDY

    def test_greedy_takes_the_most_probable(self):
        assert draw(Sampling(seed=8), 3) == [9, 9, 9]


def kept_by(weights: list[int], sampling: Sampling) -> set[int]:
    """The reference: each filter in turn, in plain Python, keeping ties."""
    kept = dict(enumerate(weights))
    if 0 < sampling.top_k < len(kept):
        least = sorted(kept.values())[-sampling.top_k]
        kept = {token: weight for token, weight in kept.items() if weight >= least}
    if sampling.top_p < 1:
        candidates = sorted(kept.values(), reverse=True)
        candidates = candidates[: sampling.top_k] if sampling.top_k else candidates
        total, above, least = sum(candidates), 0.0, candidates[0]
        for weight in candidates:
            if above >= sampling.top_p * total:
                break
            above, least = above + weight, weight
        kept = {token: weight for token, weight in kept.items() if weight >= least}
    if sampling.min_p > 0:
        kept = {token: weight for token, weight in kept.items() if weight >= sampling.min_p * max(weights)}
    return set(kept)


class TestFilters:
    @given(
        weights=st.lists(st.integers(1, 50), min_size=2, max_size=12),
        top_k=st.sampled_from([0, 1, 2, 3, 5, 12, 100]),
        # no sum or ratio of small whole numbers comes near these, so float rounding decides nothing
        top_p=st.sampled_from([1.0, 0.0101, 0.30303, 0.50505, 0.90909, 0.98989]),
        min_p=st.sampled_from([0.0, 0.0513, 0.20101, 0.7077]),
    )
    def test_what_is_kept_is_what_the_reference_keeps(self, weights, top_k, top_p, min_p):
        sampling = Sampling(temperature=1.0, top_k=top_k, top_p=top_p, min_p=min_p)
        filtered = filter_logprobs(logprobs_of(weights), sampling).tolist()[0]
        assert {token for token, logprob in enumerate(filtered) if logprob > -math.inf} == kept_by(weights, sampling)

    @pytest.mark.parametrize("sampling", [
        Sampling(temperature=1.0, top_k=3, seed=1),
        Sampling(temperature=3.0, top_p=0.6, seed=2),
        Sampling(temperature=3.0, min_p=0.25, seed=3),
        Sampling(temperature=3.0, top_k=5, top_p=0.9, min_p=0.2, seed=4),
    ])
    def test_only_what_is_kept_is_ever_drawn_and_all_of_it_is(self, sampling):
        weights = [1, 2, 3, 4, 5, 6, 7, 8, 20, 30]
        assert set(draw(sampling, 300)) == kept_by(weights, sampling)

    def test_without_filters_nothing_changes(self):
        assert filter_logprobs(SOME, Sampling(temperature=1.0)) is SOME


class TestPenalties:
    PROMPT = [1, 2]

    def penalised(self, sampling: Sampling, answer: list[int]) -> list[float]:
        logits = mx.array([[2.0, 2.0, 2.0, 2.0, -2.0]])
        for penalty in choose_penalties(sampling, len(self.PROMPT)):
            logits = penalty(mx.array(self.PROMPT + answer), logits)
        return [round(logit, 4) for logit in logits.tolist()[0]]

    def test_nothing_asked_nothing_done(self):
        assert choose_penalties(Sampling(temperature=1.0), 2) == []

    def test_repeat_penalty_looks_at_the_last_tokens_prompt_included(self):
        assert self.penalised(Sampling(repeat_penalty=2.0, repeat_last_n=2), [3]) == [2, 2, 1, 1, -2]
        assert self.penalised(Sampling(repeat_penalty=2.0, repeat_last_n=-1), [4]) == [2, 1, 1, 2, -4]
        assert self.penalised(Sampling(repeat_penalty=2.0, repeat_last_n=64), [4, 4]) == [2, 1, 1, 2, -4]

    def test_repeat_last_n_zero_is_off(self):
        assert choose_penalties(Sampling(repeat_penalty=2.0, repeat_last_n=0), 2) == []

    def test_presence_and_frequency_look_at_the_answer_only(self):
        assert self.penalised(Sampling(presence_penalty=0.5), [3, 3, 0]) == [1.5, 2, 2, 1.5, -2]
        assert self.penalised(Sampling(frequency_penalty=0.5), [3, 3, 0]) == [1.5, 2, 2, 1, -2]
        assert self.penalised(Sampling(frequency_penalty=0.5, presence_penalty=1.0), []) == [2, 2, 2, 2, -2]


class TestBias:
    def test_is_added_to_the_logits_of_its_ids(self):
        [bias] = choose_bias({1: 2.5, 3: -100.0}, 4)
        assert bias(mx.array([0]), mx.array([[1.0, 1.0, 1.0, 1.0]])).tolist() == [[1.0, 3.5, 1.0, -99.0]]

    def test_keeps_the_kind_of_the_logits(self):
        [bias] = choose_bias({1: 2.5}, 4)
        assert bias(mx.array([0]), mx.zeros((1, 4), mx.bfloat16)).dtype == mx.bfloat16

    def test_nothing_asked_nothing_done(self):
        assert choose_bias({}, 4) == []


class TestChances:
    def test_the_token_that_came_and_the_likeliest(self):
        row = SOME[0]
        [chance, alone, many] = read_chances([(row, 0, 2), (row, 9, 0), (row, 9, 100)])
        assert chance[0] == pytest.approx(math.log(1 / 86), abs=1e-5)
        assert [token for token, _ in chance[1]] == [9, 8]
        assert chance[1][0][1] == pytest.approx(math.log(30 / 86), abs=1e-5)
        assert alone[1] == [] and [token for token, _ in many[1]] == list(range(9, -1, -1))

    def test_what_could_not_come_is_not_told(self):
        row = mx.array([0.0, -math.inf, -math.inf])
        assert read_chances([(row, 0, 3)]) == [(0.0, [(0, 0.0)])]
        assert read_chances([]) == []
