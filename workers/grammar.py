"""Which tokens an answer may have: from a job's schema and tools to a `Guide`, by llguidance.

Guarantees
1. An answer that ends by itself meets its schema, or is made of calls as `call_grammar` says. One that is cut (length,
   a stop string) is a beginning of such an answer.
2. JSON has no free blanks, at most one space after a comma or colon: weights that know nothing cannot loop on blanks.
3. A schema that cannot be parsed, met, or enforced is refused before the job starts, with what and where. Nothing is
   fetched: a `$ref` into the network is refused.
4. The work for a schema is bounded: by its size (`json_schema`), its cost (`schema_cost`), and LIMITS on what is made
   of it and on each token. An answer that meets one of the limits on its way fails, and does not end as if it were
   whole.
5. Reasoning is free: a guide holds from the marker on that ends it. A model may open its reasoning by itself, unless
   `think` is false.

Tools: arguments of a `strict` tool meet its schema, and 3 holds for that. Where a call must be made, arguments of other
tools meet their schemas too, but for what llguidance does not know; that alone is passed over, and is not enforced:
uniqueItems, contains, not, if, propertyNames, dependentRequired, unevaluated*, the "one" of oneOf, unknown formats,
patterns with look-around, references back or borders of words, and patternProperties that overlap. A schema that is
broken, or that nothing can meet, is refused. Where a model is free to call nothing, a tool that is not strict is never
refused: if its schema is broken, its arguments are any object.
How many calls: where one must be made, at most as many as there are tools to choose from (and CALLS_MAX); exactly one
of a tool that is named. A model that knows nothing would go on calling until the answer is cut.

Tokenizers and grammars are remembered, GRAMMARS_KEPT of these. No MLX here.
"""

import json
from collections import OrderedDict
from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any

import llguidance
import numpy as np
from llguidance.numpy import fill_next_token_bitmask

from workers.call_grammar import CALLS_MAX, Function, Spelling, calls_grammar
from workers.engine import JobRefused
from workers.job_parts import AUTO, NAMED, Extras, Tool
from workers.json_schema import (
    arguments_of,
    first_line,
    loosened,
    refuse_at,
    refuse_what,
    sized,
    whole,
    wrong_type,
)
from workers.tool_calls import CallForm, calls_wanted

GRAMMARS_KEPT = 32
FUNCTIONS_KEPT = 32  # lists of tools that were found to be right
LIMITS = llguidance.LLParserLimits(max_grammar_size=20_000, max_lexer_states=20_000, initial_lexer_fuel=1_000_000,
                                   step_lexer_fuel=200_000, step_max_items=50_000, max_items_in_row=2_000,
                                   precompute_large_lexemes=True, verbose_errors=False)


class Guide:
    """One answer's. `constrains`: not every token may come next. `problem`: why it cannot be enforced any more, or "";
    `field` asked for it.

    Before the answer (`opens`: the token that opens reasoning, if the model may do so; `closes`: the text that closes
    reasoning that is under way) nothing else is held to the grammar.
    """

    def __init__(self, matcher: llguidance.LLMatcher, tokenizer: llguidance.LLTokenizer, *, opens: int | None,
                 closes: bytes, reasons: bool, field: str = "schema") -> None:
        self.matcher, self._field = matcher, field
        self.problem = ""
        self._tokenizer, self._closes = tokenizer, closes
        self._opens = opens if closes and not reasons else None
        self._free = reasons and bool(closes)
        self._tail = b""
        self._over = False

    @property
    def constrains(self) -> bool:
        return not (self._free or self._over or self.problem)

    @property
    def mask_bits(self) -> int:
        """How many ids a mask has."""
        return self._tokenizer.vocab_size

    @property
    def failure(self) -> str:
        """The problem, with the field that asked."""
        return f"{self._field}: {self.problem}"

    @property
    def opens(self) -> int | None:
        """The token that may come beside what the grammar allows."""
        return self._opens

    def consume(self, token: int) -> None:
        """The token that came. After the one that ends the answer, anything may be given."""
        if self._free:
            tail = self._tail + self._tokenizer.decode_bytes([token])
            self._free = self._closes not in tail
            self._tail = tail[-len(self._closes) :]
        elif token == self._opens:
            self._opens, self._free = None, True
        elif not (self._over or self.problem):
            self._opens = None
            self._over = token in self._tokenizer.eos_tokens
            if not self.matcher.consume_token(token):
                self.problem = first_line(self.matcher.get_error()) or "the token is not one that may come"

    def note_problem(self) -> None:
        """After a mask was made: was it within the limits?"""
        if self.matcher.is_error():
            self.problem = first_line(self.matcher.get_error())


class Grammars:
    """Of one model. `write_tokenizer` gives its tokenizer.json, None if it has none. `vocabulary`: how many ids there
    are in logits or tokenizer, whichever has more. `eos`: ids that end an answer.

    `think_start_id`: of the marker that opens reasoning, if it is one token; `think_end`: the marker that closes it.
    `form`: how the model writes calls.
    """

    def __init__(self, write_tokenizer: Callable[[], str] | None, vocabulary: int, eos: Iterable[int],
                 form: CallForm, *, think_start_id: int | None = None, think_end: str = "") -> None:
        self._write_tokenizer, self._vocabulary, self._eos = write_tokenizer, vocabulary, sorted(eos)
        self._form = form
        self._think_start_id, self._think_end = think_start_id, think_end.encode()
        self._known_tokenizer: llguidance.LLTokenizer | None = None
        self._spelling: Spelling | None = None
        self._kept: OrderedDict[str, llguidance.LLMatcher] = OrderedDict()
        self._functions_kept: OrderedDict[str, list[Function]] = OrderedDict()  # by the text of the tools

    @property
    def mask_bits(self) -> int:
        """How many ids a mask has."""
        return self._tokenizer.vocab_size

    def guide(self, extras: Extras, *, reasons: bool, may_reason: bool = True) -> Guide | None:
        """None if nothing is asked that has to be enforced. `reasons`: the prompt has opened the reasoning.
        `may_reason`: reasoning is told from words in this answer.

        Raises JobRefused: invalid_request for a schema, not_offered for a model whose tokenizer llguidance cannot read.
        """
        grammar = self._write(extras)
        if grammar is None:
            return None
        matcher = self._kept.get(grammar)
        if matcher is None:
            matcher = llguidance.LLMatcher(self._tokenizer, grammar, log_level=0, limits=LIMITS)
            problem = first_line(matcher.get_error()) or self._first_mask_problem(matcher)
            if problem and extras.schema is not None:
                refuse_at("schema", whole(extras.schema, lenient=False), problem, self._problem)
            elif problem:
                refuse_what("tools", problem)
            self._kept[grammar] = matcher
            if len(self._kept) > GRAMMARS_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(grammar)
        opens = self._think_start_id if may_reason and extras.think is not False else None
        return Guide(matcher.deep_copy(), self._tokenizer, opens=opens, closes=self._think_end, reasons=reasons,
                     field="tools" if extras.schema is None else "schema")

    # -- what is asked -----------------------------------------------------------------------------------------

    def _write(self, extras: Extras) -> str | None:
        """The grammar, as llguidance takes it."""
        schema = extras.schema
        if schema is not None:
            if schema is False:
                refuse_what("schema", "nothing can meet it (at #)")
            schema = sized("schema", whole(schema, lenient=False))
        must_call = extras.tool_choice != AUTO
        if calls_wanted(extras) and (must_call or schema is not None or any(tool.strict for tool in extras.tools)):
            functions = self._functions(extras, must_call)
            single = not extras.parallel_tools or extras.tool_choice.startswith(NAMED)
            text = calls_grammar(self._form, functions, self._spell(), free=not must_call, instead=schema,
                                 most=1 if single else min(len(functions), CALLS_MAX), parallel=extras.parallel_tools)
            return llguidance.LLMatcher.grammar_from_lark(text)
        return None if schema is None else llguidance.LLMatcher.grammar_from_json_schema(schema)

    def _functions(self, extras: Extras, must_call: bool) -> list[Function]:
        chosen = extras.tool_choice.removeprefix(NAMED) if extras.tool_choice.startswith(NAMED) else ""
        tools = [(number, tool) for number, tool in enumerate(extras.tools) if not chosen or tool.name == chosen]
        if not tools:
            refuse_what("tool_choice", f"no tool is named {chosen}")
        sized("tools", [tool.parameters for _, tool in tools])
        key = json.dumps([must_call, [[number, tool.name, tool.strict, tool.parameters] for number, tool in tools]])
        functions = self._functions_kept.get(key)
        if functions is None:
            functions = [Function(tool.name, self._arguments(number, tool, must_call)) for number, tool in tools]
            self._functions_kept[key] = functions
            if len(self._functions_kept) > FUNCTIONS_KEPT:
                self._functions_kept.popitem(last=False)
        self._functions_kept.move_to_end(key)
        return functions

    def _arguments(self, number: int, tool: Tool, must_call: bool) -> dict[str, Any]:
        schema = arguments_of(tool.parameters)
        held = whole(schema, lenient=not tool.strict)
        problem = wrong_type(schema) or self._problem(held)
        if problem and not tool.strict:
            held = whole(loosened(schema, self._problem), lenient=True)
            problem = wrong_type(schema) or self._problem(held)
        if problem and (tool.strict or must_call):
            refuse_at(f"tools[{number}].function.parameters", held, problem, self._problem)
        return whole({"type": "object"}, lenient=True) if problem else held

    # -- llguidance --------------------------------------------------------------------------------------------

    @property
    def _tokenizer(self) -> llguidance.LLTokenizer:
        if self._known_tokenizer is None:
            try:
                if self._write_tokenizer is None:
                    raise ValueError("it has no tokenizer.json")
                self._known_tokenizer = llguidance.LLTokenizer(self._write_tokenizer(), n_vocab=self._vocabulary,
                                                               eos_token=self._eos)
            except (ValueError, KeyError, RuntimeError) as error:
                raise JobRefused("not_offered", "schema: answers of this model cannot be held to one, since its "
                                                f"tokenizer cannot be read: {first_line(str(error))}") from error
        return self._known_tokenizer

    def _spell(self) -> Spelling:
        if self._spelling is None:
            tokenizer = self._tokenizer
            special = [token for token in range(tokenizer.vocab_size) if tokenizer.is_special_token(token)]
            ids = {tokenizer.decode_bytes([token]): token for token in reversed(special)}

            def others(text: str) -> str:
                hidden = {ids.get(text.encode()), *self._eos}
                return ",".join(_ranges(token for token in special if token not in hidden))

            self._spelling = Spelling(lambda text: ids.get(text.encode()), others)
        return self._spelling

    def _first_mask_problem(self, matcher: llguidance.LLMatcher) -> str:
        """An answer has to be able to begin."""
        first, words = matcher.deep_copy(), np.zeros((1, -(-self._tokenizer.vocab_size // 32)), np.int32)
        fill_next_token_bitmask(first, words)
        return "nothing can meet it" if first.is_error() or not words.any() else ""

    def _problem(self, schema: dict[str, Any]) -> str:
        grammar = llguidance.LLMatcher.grammar_from_json_schema(schema)
        said = llguidance.LLMatcher.validate_grammar(grammar, self._tokenizer, limits=LIMITS)
        return "" if said.startswith("WARNING") else first_line(said)


def _ranges(numbers: Iterable[int]) -> list[str]:
    """[3, 4, 5, 9] as ["3-5", "9"]."""
    runs = [[number for _, number in run] for _, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])]
    return [f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]
