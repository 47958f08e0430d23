"""workers/masking.py: rows that are held and rows that are not, and the token past the end."""

import math

import mlx.core as mx
import pytest

from tests.support.grammars import END_OF_TEXT, grammars_for
from workers.job_parts import Extras
from workers.masking import GuidedRow, Masks
from workers.sampling import GREEDY
from workers.tool_calls import GENERIC_FORM

GRAMMARS = grammars_for(GENERIC_FORM, True)
VOCABULARY = GRAMMARS.mask_bits
PROMPT = mx.array([3])


@pytest.fixture
def masks() -> Masks:
    return Masks(VOCABULARY, GRAMMARS.mask_bits)


def joined(masks: Masks, **asked) -> GuidedRow:
    guide = GRAMMARS.guide(Extras(think=False, **asked), reasons=False)
    assert guide is not None
    return masks.join(guide, GREEDY)


def step(*rows: GuidedRow) -> list[int]:
    """One token of each row, as mlx_lm does it: all logits first, then all samples, read one step later."""
    logits = [row.process(PROMPT, mx.zeros((1, VOCABULARY))) for row in rows]
    return [row.sample(each).item() for row, each in zip(rows, logits, strict=True)]


def text_of(ids: list[int]) -> bytes:
    return b"".join(GRAMMARS._tokenizer.decode_bytes([token]) for token in ids if token != END_OF_TEXT)


def test_each_row_is_held_to_its_own(masks):
    one, other = joined(masks, schema={"const": [1, 2]}), joined(masks, schema={"const": "ab"})
    said = [step(one, other) for _ in range(8)]
    assert text_of([first for first, _ in said if first != 0]).startswith(b"[1")
    assert text_of([second for _, second in said if second != 0]).startswith(b'"ab"')


def test_what_may_not_come_is_minus_infinity(masks):
    row = joined(masks, schema={"const": True})
    masked = row.process(PROMPT, mx.zeros((1, VOCABULARY)))[0].tolist()
    may_come = {token for token, logit in enumerate(masked) if logit > -math.inf}
    assert may_come == {GRAMMARS.encode("t")[0], *(token for token in may_come if text_of([token]) in b"true")}


def test_after_its_end_a_row_is_free_and_leaves(masks):
    row = joined(masks, schema={"const": 1})
    assert [step(row)[0] for _ in range(2)] == [GRAMMARS.encode("1")[0], END_OF_TEXT]
    free = row.process(PROMPT, mx.zeros((1, VOCABULARY)))
    assert free.tolist() == [[0.0] * VOCABULARY]
    masks.leave(row)
    assert not masks._rows


def test_a_row_that_pauses_goes_on_with_its_guide(masks):
    row = joined(masks, schema={"const": "abcabc"})
    said = step(row) + step(row)
    row.process(PROMPT, mx.zeros((1, VOCABULARY)))  # it was moved past what is said, and what it sampled is thrown away
    row.sample(mx.zeros((1, VOCABULARY)))
    masks.leave(row)
    again = masks.join(row.guide, GREEDY)
    while said[-1] != END_OF_TEXT:
        said += step(again)
    assert text_of(said) == b'"abcabc"'


def test_logits_may_be_narrower_than_the_tokenizer(masks):
    narrow = Masks(VOCABULARY - 3, GRAMMARS.mask_bits)
    row = joined(narrow, schema={"const": 1})
    assert row.process(PROMPT, mx.zeros((1, VOCABULARY - 3), mx.bfloat16)).shape == (1, VOCABULARY - 3)
