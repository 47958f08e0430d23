"""Options that chats and completions share: our names, seeds of choices, biases."""

import pytest

from gateway import protocol
from gateway.http.errors import Problem
from gateway.http.openai_options import BIAS_MAX, Sampled, bias_of, of_choice, options_of

LAST_SEED = 2**63 - 1


def test_nothing_said_is_nothing_asked():
    assert options_of(Sampled(), None) == protocol.Options(stop=[])
    assert options_of(Sampled(stop=["", "a"]), -1) == protocol.Options(stop=["a"])


@pytest.mark.parametrize(("asked", "field"), [
    (Sampled(top_p=2), "top_p"), (Sampled(repetition_penalty=0), "repetition_penalty"), (Sampled(seed=2**63), "seed"),
    (Sampled(stop="x" * (protocol.STOP_MAX_CHARS + 1)), "stop[0]")])
def test_what_is_out_of_range_is_named(asked, field):
    with pytest.raises(Problem) as caught:
        options_of(asked, None)
    assert (caught.value.code, caught.value.param) == ("invalid_request", field)


def test_the_limit_of_an_answer_is_named_as_it_was_given():
    with pytest.raises(Problem, match="max_completion_tokens"):
        options_of(Sampled(), 0, {"max_tokens": "max_completion_tokens"})


def test_seeds_count_on_and_stay_within_64_bits():
    options = protocol.Options(seed=LAST_SEED)
    assert of_choice(options, 0) is options
    assert of_choice(options, 1).seed == -LAST_SEED - 1
    assert of_choice(protocol.Options(seed=-1), 2).seed == 1
    assert of_choice(protocol.Options(), 3).seed is None


def test_biases():
    assert bias_of(None) == bias_of({}) == {}
    assert bias_of({"0": -BIAS_MAX, "42": 0.5}) == {0: -BIAS_MAX, 42: 0.5}


@pytest.mark.parametrize(("given", "field"), [
    ({"a": 1}, "logit_bias"), ({"-1": 1}, "logit_bias"), ({"1" * 11: 1}, "logit_bias"), ({"\u00b2": 1}, "logit_bias"),
    ({"5": BIAS_MAX + 1}, "logit_bias.5"),
    ({str(number): 1 for number in range(protocol.BIASES_MAX + 1)}, "logit_bias")])
def test_a_bias_that_cannot_be_is_named(given, field):
    with pytest.raises(Problem) as caught:
        bias_of(given)
    assert (caught.value.code, caught.value.param) == ("invalid_request", field)
