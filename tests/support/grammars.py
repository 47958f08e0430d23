"""Grammars of a small tokenizer, whose marks are special tokens or plain text, and what may be said under them."""

from functools import cache

from tokenizers import AddedToken, Tokenizer

from tests.support.call_texts import SPECIAL
from workers.grammar import Grammars
from workers.job_parts import Extras
from workers.random_model import make_tokenizer
from workers.tool_calls import CallForm

END_OF_TEXT = 1
TOKENIZERS = (True, False)
THINK_START, THINK_END = "<think>", "</think>"


@cache
def tokenizer_with(marks: tuple[str, ...]) -> Tokenizer:
    tokenizer = make_tokenizer()
    tokenizer.add_special_tokens([AddedToken(mark, special=True) for mark in marks])
    return tokenizer


def marks_of(form: CallForm, special: bool) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, (THINK_START, THINK_END, *((form.start, form.end, *SPECIAL)
                                                                       if special else ())))))


@cache
def grammars_for(form: CallForm, special: bool) -> Grammars:
    tokenizer = tokenizer_with(marks_of(form, special))
    grammars = Grammars(tokenizer.to_str, tokenizer.get_vocab_size(), [END_OF_TEXT], form,
                        think_start_id=tokenizer.token_to_id(THINK_START), think_end=THINK_END)
    grammars.encode = lambda text: tokenizer.encode(text, add_special_tokens=False).ids
    return grammars


def follows(grammars: Grammars, extras: Extras, text: str, *, reasons: bool = False) -> bool:
    """May an answer be this text and end?"""
    guide = grammars.guide(extras, reasons=reasons)
    assert guide is not None
    for token in [*grammars.encode(text), END_OF_TEXT]:
        guide.consume(token)
    return not guide.problem and not guide.constrains
