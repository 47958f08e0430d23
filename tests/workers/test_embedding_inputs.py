"""workers/embedding_inputs.py: what becomes of texts and ids before they are embedded."""

import pytest

from workers.embedding_inputs import InputEncoder
from workers.engine import JobRefused
from workers.text_tokens import LONG_TEXT_CHARS_PER_TOKEN

BEGIN, CLOSE, CONTEXT, VOCABULARY = 1, 2, 8, 100


class Words:
    """Each word is the id of its length plus ten, between a begin and a close."""

    bos_token_id = eos_token_id = None

    def encode(self, text, *, add_special_tokens):
        ids = [len(word) + 10 for word in text.split()]
        return [BEGIN, *ids, CLOSE] if add_special_tokens else ids


def encode(given, *, cut=False, num_ctx=0, tokenizer=None):
    return list(InputEncoder(tokenizer or Words(), CONTEXT, VOCABULARY).encode(given, "inputs[3]", cut=cut,
                                                                              num_ctx=num_ctx))


def test_a_text_gets_what_the_tokenizer_puts_around_it():
    assert encode("a bb ccc") == [BEGIN, 11, 12, 13, CLOSE]


def test_ids_are_taken_as_they_are():
    assert encode([5, 6]) == [5, 6]


def test_an_input_may_fill_the_context():
    assert len(encode("a " * (CONTEXT - 2))) == CONTEXT
    assert len(encode([7] * CONTEXT)) == CONTEXT


def test_what_is_cut_keeps_its_closing_token():
    assert encode("a " * 50, cut=True) == [BEGIN, *[11] * (CONTEXT - 2), CLOSE]
    assert encode([7] * 50, cut=True) == [7] * CONTEXT


def test_num_ctx_makes_the_context_smaller_and_never_larger():
    assert encode("a bb ccc", cut=True, num_ctx=4) == [BEGIN, 11, 12, CLOSE]
    assert len(encode("a " * 50, cut=True, num_ctx=50)) == CONTEXT


@pytest.mark.parametrize(("given", "said"), [
    ("a " * 50, "inputs[3]: it has 52 tokens; the context holds 8"),
    ([7] * 9, "inputs[3]: it has 9 tokens; the context holds 8"),
    ("a " * 100_000, "inputs[3]: it has at least "),
])
def test_what_is_too_long_is_refused_with_the_numbers(given, said):
    with pytest.raises(JobRefused) as refused:
        encode(given)
    assert refused.value.code == "context_length_exceeded" and refused.value.message.startswith(said)


@pytest.mark.parametrize("ids", [[VOCABULARY], [3, -1]])
def test_ids_that_the_model_has_not_are_refused(ids):
    with pytest.raises(JobRefused, match=f"ids must be from 0 to {VOCABULARY - 1}"):
        encode(ids)


def test_a_long_text_of_few_tokens_is_taken():
    assert encode("a" * (2 * LONG_TEXT_CHARS_PER_TOKEN * CONTEXT)) [0] == BEGIN


class Bare(Words):
    """It puts nothing around texts."""

    def __init__(self, bos_token_id=None, eos_token_id=None):
        self.bos_token_id, self.eos_token_id = bos_token_id, eos_token_id

    def encode(self, text, *, add_special_tokens):
        return super().encode(text, add_special_tokens=False)


@pytest.mark.parametrize("text", ["", " "])
@pytest.mark.parametrize(("tokenizer", "ids"), [
    (Words(), [BEGIN, CLOSE]), (Bare(BEGIN, CLOSE), [BEGIN]), (Bare(None, CLOSE), [CLOSE]),
    (Bare(VOCABULARY, CLOSE), [CLOSE]),
])
def test_a_text_of_no_tokens_is_what_stands_around_texts_or_begins_or_ends_one(text, tokenizer, ids):
    assert encode(text, tokenizer=tokenizer) == ids


def test_without_any_of_these_it_is_refused_by_its_name():
    with pytest.raises(JobRefused, match=r"inputs\[3\]: .* makes no token"):
        encode("", tokenizer=Bare())
