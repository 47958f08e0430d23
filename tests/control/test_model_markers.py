"""control/model_markers.py: which marks promise what, and that the promise is the one mlx_lm keeps."""

import ast
import inspect
import re

import pytest
from mlx_lm import tokenizer_utils

from control.model_markers import (
    CALL_MARKS,
    FILL_INS,
    OPEN_CLOSE,
    THINK_PAIRS,
    calls_are_read,
    can_think,
    find_fill_in,
    template_knows_tools,
)


class Judged:
    """As much of a tokenizer as mlx_lm looks at."""

    def __init__(self, template: str, tokens) -> None:
        self.chat_template = template
        self._vocabulary = {token: at for at, token in enumerate(tokens)}

    def get_vocab(self):
        return self._vocabulary

    def encode(self, text, **_):
        return [0]


@pytest.mark.parametrize(("template", "knows"), [
    ("{% if tools %}{{ tools }}{% endif %}", True),
    ("{%- for tool in tools %}{% endfor %}", True),
    ("{% if not tools is defined %}{% set tools = none %}{% endif %}", True),
    ("{% set tools = none %}", False),
    ("{# tools #}{{ messages }} tools", False),
    ("{{ message['tools'] }}{% if 'tools' in message %}{% endif %}", False),
    ("{{ message.tools }}{{ toolset }}", False),
    ("", False),
])
def test_a_template_knows_tools_if_it_reads_them(template, knows):
    assert template_knows_tools(template) is knows


@pytest.mark.parametrize("marks", CALL_MARKS)
def test_calls_are_read_where_mlx_lm_has_a_parser(marks):
    template = " ".join(marks)
    assert calls_are_read(template, ())
    assert tokenizer_utils._infer_tool_parser(Judged(template, ())) is not None
    if len(marks) > 1:
        assert not calls_are_read(marks[0], ())
        assert tokenizer_utils._infer_tool_parser(Judged(marks[0], ())) is None


def test_the_vocabulary_alone_may_say_it_too():
    for tokens in (OPEN_CLOSE, ("<|tool_call_start|>", "<|tool_call_end|>")):
        assert calls_are_read("", tokens) and tokenizer_utils._infer_tool_parser(Judged("", tokens))
    assert not calls_are_read("", OPEN_CLOSE[:2])


def test_no_mark_of_mlx_lm_is_missing():
    source = inspect.getsource(tokenizer_utils._infer_tool_parser)
    theirs = {ast.literal_eval(text) for text in re.findall(r'("[^"\n]*"|\'[^\'\n]*\') in chat_template', source)}
    assert theirs == {mark for marks in CALL_MARKS for mark in marks}


@pytest.mark.parametrize("pair", THINK_PAIRS)
def test_it_thinks_with_tokens_and_a_template_that_minds_them(pair):
    tokens = OPEN_CLOSE if pair[0] in OPEN_CLOSE else pair
    assert tokenizer_utils._infer_thinking(Judged("", tokens))[0] is not None
    assert can_think(f"x{pair[0]}", tokens) and can_think("{{ enable_thinking }}", tokens)
    assert not can_think("no word of it", tokens)
    assert not can_think(pair[0], tokens[:1])


@pytest.mark.parametrize("family", FILL_INS)
def test_families_of_fill_in_the_middle_are_told_by_their_tokens(family):
    tokens = {family.prefix, family.suffix, family.middle, "<pad>"}
    assert find_fill_in(tokens) == family
    assert find_fill_in(tokens - {family.suffix}) is None
