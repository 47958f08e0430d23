"""workers/text_tokens.py: where texts begin, how they are clipped; its refusals are shown in test_prompt.py."""

import pytest

from tests.workers.test_prompt import BEGIN, Words
from workers.engine import EngineJob, JobRefused
from workers.job_parts import Extras
from workers.protocol import ChatMessage
from workers.text_tokens import LONG_TEXT_CHARS_PER_TOKEN, TextTokens, check_present, check_text_only

CONTEXT_TOKENS = 100
TEXTS = TextTokens(Words(), lambda tokens, context: "")


def test_a_text_begins_once():
    assert TEXTS.encode("hello") == TEXTS.encode("hello")[:1] + TEXTS.inside("hello")
    assert TEXTS.begin() == [BEGIN]
    nothing = Words()
    nothing.bos_token_id = None
    assert TextTokens(nothing, lambda tokens, context: "").begin() == []


def test_a_text_that_is_far_too_long_keeps_its_ends():
    text = "first " + "word " * 10_000 + "last"
    clipped = TEXTS.clip(text, CONTEXT_TOKENS, 1)
    assert clipped.startswith("first") and clipped.endswith("last")
    assert len(clipped) == LONG_TEXT_CHARS_PER_TOKEN * (CONTEXT_TOKENS + 1)


def test_a_long_text_of_few_tokens_is_not_clipped():
    text = "word" + " " * 10_000 + "word"
    assert TEXTS.clip(text, CONTEXT_TOKENS, 0) == text


def test_an_empty_prompt_is_one_if_a_suffix_follows():
    check_present(EngineJob((1,), prompt="", extras=Extras(suffix="}")))
    with pytest.raises(JobRefused, match="prompt: it is empty"):
        check_present(EngineJob((1,), prompt=""))


def test_images_are_not_offered():
    check_text_only([ChatMessage("user", "look")])
    with pytest.raises(JobRefused, match="images: this model reads text only") as refused:
        check_text_only([ChatMessage("user", "look", ["aGk="])])
    assert refused.value.code == "not_offered"


@pytest.mark.parametrize("encode", [TEXTS.encode, TEXTS.inside])
def test_half_a_character_is_refused_before_the_tokenizer_sees_it(encode):
    with pytest.raises(JobRefused, match=r"\\ud800, in a template or in arguments of a call, is half a character"):
        encode("a\ud800b")
