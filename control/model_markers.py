"""What the chat template and the tokens of a model say that it can do: tools, reasoning, fill in the middle. Pure.

The marks are those by which mlx_lm chooses its parsers (`tokenizer_utils`), so that what is promised is also done.
`tokens` is any collection with a quick `in`: a vocabulary, or the names of the added tokens alone.
"""

import re
from collections.abc import Container
from typing import NamedTuple

THINK_PAIRS = (
    ("<think>", "</think>"),
    ("<longcat_think>", "</longcat_think>"),
    ("<|think:start|>", "<|think:end|>"),
    ("<|channel>", "<channel|>"),
    ("<|open|>", "<|close|>"),
)
OPEN_CLOSE = ("<|open|>", "<|close|>", "<|sep|>", "<|end_of_msg|>")  # a family that writes all its marks with these
CALL_MARKS = (  # a template that holds all of one line writes calls that mlx_lm reads
    ("<minimax:tool_call>",),
    ("<|tool_call>", "<tool_call|>"),
    ("<start_function_call>",),
    ("<longcat_tool_call>",),
    ("<arg_key>",),
    ("<|tool_list_start|>",),
    ("<|tool_call_start|>",),
    ("<tool_call>\\n<function=",),
    ("<tool_call>\n<function=",),
    ("<|tool_calls_section_begin|>",),
    ('<function name="', '<param name="'),
    ("[TOOL_CALLS]",),
    ("<atem:function_calls>",),
    ("<tool_call>", "tool_call.name"),
)
CALL_TOKENS = (OPEN_CLOSE, ("<|tool_call_start|>", "<|tool_call_end|>"))  # the same, said by the vocabulary alone

_COMMENT = re.compile(r"\{#.*?#\}", re.DOTALL)
_BLOCK = re.compile(r"\{([{%])(.*?)[}%]\}", re.DOTALL)
_LITERAL = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
_TOOLS = re.compile(r"(?<![\w.])tools\b(?!\s*=[^=])")


class FillIn(NamedTuple):
    """Tokens around the text before (prefix) and after (suffix) of what is asked. `middle` "": there is none.

    `suffix_first`: the text after comes before the text before.
    """

    prefix: str
    suffix: str
    middle: str
    suffix_first: bool = False


FILL_INS = (
    FillIn("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),  # Qwen, CodeGemma
    FillIn("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),  # StarCoder, StableCode, Granite
    FillIn("<fim-prefix>", "<fim-suffix>", "<fim-middle>"),  # SantaCoder
    FillIn("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),  # DeepSeek
    FillIn("▁<PRE>", "▁<SUF>", "▁<MID>"),  # CodeLlama
    FillIn("[PREFIX]", "[SUFFIX]", "", suffix_first=True),  # Codestral
)


def template_knows_tools(template: str) -> bool:
    """Does a Jinja template read the variable `tools`? Texts, comments and members of that name do not count."""
    blocks = _BLOCK.findall(_COMMENT.sub("", template))
    return any(_TOOLS.search(_LITERAL.sub("''", inside)) for _, inside in blocks)


def calls_are_read(template: str, tokens: Container[str]) -> bool:
    """Does mlx_lm have a parser for the calls that this template and these tokens make?"""
    return (any(all(mark in template for mark in marks) for marks in CALL_MARKS)
            or any(all(token in tokens for token in needed) for needed in CALL_TOKENS))


def can_think(template: str, tokens: Container[str]) -> bool:
    """Does it have tokens for reasoning, and a template that minds them?"""
    for start, end in THINK_PAIRS:
        needed = OPEN_CLOSE if start in OPEN_CLOSE else (start, end)
        if all(token in tokens for token in needed):
            return "thinking" in template or start in template or end in template
    return False


def find_fill_in(tokens: Container[str]) -> FillIn | None:
    """The family of fill in the middle that these tokens belong to."""
    return next((each for each in FILL_INS
                 if all(token in tokens for token in (each.prefix, each.suffix, each.middle) if token)), None)
