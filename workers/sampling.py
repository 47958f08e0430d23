"""Which token comes next: sampling keyed by (seed, position), and penalties.

Guarantees: the random numbers of a token depend on its job's seed and on its position in the answer only. So the same
seed gives the same tokens alone, in a batch, and after a pause that goes on at a later position (as far as the logits
are the same: exactly on float32 weights up to rounding of other batch shapes). There is no global random state.

Order, as in llama.cpp and mlx_lm: penalties and bias on the logits, then the mask of a grammar (`workers/masking.py`),
then top_k, top_p, min_p, then temperature. Chances that callers ask for (`read_chances`) are those after the mask.
- `repeat_penalty` looks at the last `repeat_last_n` tokens, the prompt included (0: off, -1: all), as in Ollama.
- `presence_penalty` and `frequency_penalty` look at the answer's own tokens only, all of them, as OpenAI defines them.

All greedy rows share one sampler object: mlx_lm samples a batch whose rows have the same sampler in one call.

Why the filters are not mlx_lm's: those are compiled anew for each value that a caller sends, which stops every stream
of the batch (half a second and a C++ compiler on Linux), and the compiled code is kept for ever. Ours are one threshold
over one sort: each filter keeps the tokens above a certain probability, so the highest threshold decides.
"""

import math
from collections.abc import Callable, Mapping, Sequence
import mlx.core as mx
import numpy as np
from mlx_lm.sample_utils import greedy_sampler, make_frequency_penalty, make_presence_penalty, make_repetition_penalty

from workers.protocol import Sampling

Sampler = Callable[[mx.array], mx.array]  # log-probabilities [rows, vocabulary] -> ids [rows]
LogitsProcessor = Callable[[mx.array, mx.array], mx.array]  # ids so far [n], logits [1, vocabulary] -> logits

Chance = tuple[float, list[tuple[int, float]]]

GREEDY: Sampler = greedy_sampler
ALL_TOKENS = 2**31 - 1
GREEDY_BELOW = 1e-5  # a temperature that float32 cannot divide by without losing every other token anyway
_MASK = 2**64 - 1


def choose_sampler(sampling: Sampling, position: int = 0) -> Sampler:
    """The sampler of one job, whose next token is number `position` of its answer, from 0."""
    if sampling.temperature < GREEDY_BELOW or sampling.top_k == 1 or sampling.top_p <= 0:
        return GREEDY
    return SeededSampler(sampling, position)


class SeededSampler:
    """One row's sampler. Must be called exactly once for each token, in order: it counts its own position."""

    def __init__(self, sampling: Sampling, position: int) -> None:
        self._seed = _mix(sampling.seed & _MASK)
        self._position = position
        self._sampling = sampling

    def __call__(self, logprobs: mx.array) -> mx.array:
        """The token at which the cumulative probability passes the position's random number."""
        number = (_mix(self._seed ^ self._position) >> 41) * 2.0**-23  # below 1 in float32, even times any total
        self._position += 1
        kept = filter_logprobs(logprobs.astype(mx.float32), self._sampling)
        probabilities = mx.softmax(kept * (1.0 / self._sampling.temperature), axis=-1)
        cumulative = mx.cumsum(probabilities, axis=-1)
        passed = cumulative > cumulative[..., -1:] * number
        return mx.argmax(mx.where(probabilities > 0, passed, -1), axis=-1)  # argmax: the first of them


class ForcedSampler:
    """Ids that came before, then what `then` samples."""

    def __init__(self, ids: Sequence[int], then: Sampler) -> None:
        self._ids, self._then = list(reversed(ids)), then

    def __call__(self, logprobs: mx.array) -> mx.array:
        return mx.array([self._ids.pop()], mx.uint32) if self._ids else self._then(logprobs)


def filter_logprobs(logprobs: mx.array, sampling: Sampling) -> mx.array:
    """[1, vocabulary] log-probabilities with what top_k, top_p and min_p exclude at minus infinity.

    Tokens as probable as the last one kept are kept too.
    """
    top_k, threshold = sampling.top_k, None
    candidates = logprobs
    if 0 < top_k < logprobs.shape[-1]:
        candidates = mx.topk(logprobs, top_k, axis=-1)
        threshold = candidates.min(axis=-1, keepdims=True)
    if sampling.top_p < 1:
        threshold = _top_p_threshold(candidates, sampling.top_p)
    if sampling.min_p > 0:
        least = logprobs.max(axis=-1, keepdims=True) + math.log(min(sampling.min_p, 1.0))
        threshold = least if threshold is None else mx.maximum(threshold, least)
    return logprobs if threshold is None else mx.where(logprobs < threshold, -math.inf, logprobs)


def _top_p_threshold(candidates: mx.array, top_p: float) -> mx.array:
    """The least log-probability of the smallest set of candidates that holds `top_p` of their probability."""
    ascending = mx.sort(candidates, axis=-1)
    mass_above = mx.cumsum(mx.softmax(ascending, axis=-1), axis=-1, reverse=True, inclusive=False)
    dropped = (mass_above >= top_p).sum(axis=-1, keepdims=True)
    return mx.take_along_axis(ascending, dropped, axis=-1)


def read_chances(rows: Sequence[tuple[mx.array, int, int]]) -> list[Chance]:
    """For each (log-probabilities [vocabulary], the token that came, how many of the likeliest): the natural logarithm
    of its chance, and the likeliest, likeliest first. Those that could not come at all are in no list. Waits once.
    """
    if not rows:
        return []
    logprobs = mx.stack([row for row, _, _ in rows]).astype(mx.float32)
    came = mx.take_along_axis(logprobs, mx.array([[token] for _, token, _ in rows]), axis=-1)
    most = min(max(count for _, _, count in rows), logprobs.shape[-1])
    if not most:
        return [(logprob, []) for [logprob] in came.tolist()]
    likeliest = mx.argpartition(-logprobs, kth=most - 1, axis=-1)[:, :most]
    values = mx.take_along_axis(logprobs, likeliest, axis=-1)
    mx.eval(came, likeliest, values)
    chances: list[Chance] = []
    for [logprob], ids, said, (_, _, count) in zip(came.tolist(), likeliest.tolist(), values.tolist(), rows,
                                                   strict=True):
        pairs = sorted(zip(ids, said, strict=True), key=lambda pair: (-pair[1], pair[0]))[:count]
        chances.append((logprob, [pair for pair in pairs if pair[1] > -math.inf]))
    return chances


def choose_bias(bias: Mapping[int, float], vocabulary: int) -> list[LogitsProcessor]:
    """The logits processor of `logit_bias`; empty if there is none. Ids are below `vocabulary`."""
    if not bias:
        return []
    added = np.zeros(vocabulary, np.float32)
    for token, amount in bias.items():
        added[token] = amount
    known = mx.array(added)
    return [lambda tokens, logits: logits + known.astype(logits.dtype)]


def choose_penalties(sampling: Sampling, prompt_tokens: int) -> list[LogitsProcessor]:
    """The logits processors of one job; empty if nothing is asked. `prompt_tokens`: ids before the answer."""
    penalties: list[LogitsProcessor] = []
    if sampling.repeat_penalty != 1 and sampling.repeat_last_n != 0:
        last_n = sampling.repeat_last_n if sampling.repeat_last_n > 0 else ALL_TOKENS
        penalties.append(make_repetition_penalty(sampling.repeat_penalty, last_n))
    if sampling.presence_penalty:
        penalties.append(_on_answer(make_presence_penalty(sampling.presence_penalty, ALL_TOKENS), prompt_tokens))
    if sampling.frequency_penalty:
        penalties.append(_on_answer(make_frequency_penalty(sampling.frequency_penalty, ALL_TOKENS), prompt_tokens))
    return penalties


def _on_answer(penalty: LogitsProcessor, prompt_tokens: int) -> LogitsProcessor:
    return lambda tokens, logits: penalty(tokens[prompt_tokens:], logits)


def _mix(number: int) -> int:
    """Spreads 64 bits over 64 bits (the finaliser of splitmix64): neighbours in give unrelated numbers out."""
    number = (number + 0x9E3779B97F4A7C15) & _MASK
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & _MASK
    return number ^ (number >> 31)
