"""The grammar of an answer that has to call functions, in each family's own form, as text in llguidance's Lark.

What is enforced, by family of `tool_calls.CallForm`:

    generic, json_tools             everything: markers, the function's name, arguments that meet its parameters
    mistral, kimi_k2                the same
    pythonic                        the same; arguments are Python keywords whose values meet their schemas, in order
    qwen3_coder                     markers, name, parameters' names in their order, required ones present; values that
                                    are no strings meet their schemas, a string may be anything
    glm47, laguna, longcat, gemma4, markers and the function's name; what stands after the name is the model's own
    function_gemma, minimax_m2,
    minicpm5
    any other                       the opening marker only

REQUIRED and NAMED: the answer is calls, at least one and at most `most`, and nothing else, reasoning before it aside.
AUTO with a strict tool: words and calls as the model likes, and each call is held to the above. With `parallel` false
there is one call at most. Pure: text in, text out.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from workers.tool_calls import CallForm

CALLS_MAX = 16  # in one answer that has to call, however many tools there are
OPENINGS = {  # families of which the name is enforced and the rest is not
    "glm47": "{}", "laguna": "{}", "longcat": "{}", "gemma4": "call:{}{{", "function_gemma": "call:{}{{",
    "minimax_m2": '\n<invoke name="{}">', "minicpm5": '"{}">',
}
KIMI_BEGIN, KIMI_ARGUMENTS, KIMI_END = "<|tool_call_begin|>", "<|tool_call_argument_begin|>", "<|tool_call_end|>"
MISTRAL_ARGUMENTS = "[ARGS]"
WORDS = "WORDS: /(.|\\n)*/"
SPACE = '(" ")?'
LINE = '("\\n")?'
NAME, ARGUMENTS = r'"\"name\":"', r'"\"arguments\":"'


class Function(NamedTuple):
    """One that may be called. `schema`: of its arguments, an object, as llguidance takes it."""

    name: str
    schema: dict[str, Any]


class Spelling(NamedTuple):
    """What the model's tokenizer says of texts. `special_id`: the id of a text that is one special token, else None.

    `specials_but`: all special tokens without that one and those that end an answer, as ranges of ids ("3-5,9"), "" if
    there are none.
    """

    special_id: Callable[[str], int | None]
    specials_but: Callable[[str], str]


def calls_grammar(form: CallForm, functions: Sequence[Function], spelling: Spelling, *, free: bool, parallel: bool,
                  most: int = 1, instead: dict[str, Any] | None = None) -> str:
    """`free`: the model may say words instead of calls, or beside them; with a schema `instead`, that or calls. `most`:
    how many calls an answer has that is nothing but calls.
    """
    writer = _Writer(form, functions, spelling)
    call = writer.call()
    if free and instead is None:
        start = ("tag* words" if parallel else "tag | words") if form.end else "tag | words"
        words = ["words: WORDS", WORDS, f"tag: {writer.words_before(form.start)} {call}"]
    else:
        call = f"{writer.marker(form.start)} {call}"
        words = [f"one: {call}"]
        start = f'one ("\\n"? one){{0,{most - 1}}}' if most > 1 and form.end else "one"
        if free:
            start, words = f"{start} | words", [*words, f"words: %json {json.dumps(instead)}"]
    return "\n".join([f"start: {start}", *words, *writer.rules])


class _Writer:
    """Collects the rules beside the one that is written."""

    def __init__(self, form: CallForm, functions: Sequence[Function], spelling: Spelling) -> None:
        self.rules: list[str] = []
        self._form, self._functions, self._spelling = form, functions, spelling

    def marker(self, text: str) -> str:
        token = self._spelling.special_id(text)
        return _quote(text) if token is None else f"<[{token}]>"

    def words_before(self, marker: str) -> str:
        """Any words, and then the marker."""
        if self._spelling.special_id(marker) is not None:
            return f"WORDS {self.marker(marker)}"
        self.rules.append(f"head[lazy]: WORDS {_quote(marker)}")
        return "head"

    def call(self) -> str:
        """What stands after the opening marker, the closing one included."""
        family = self._form.family
        if self._form.is_json:
            body = f"{LINE} {self._object()} {LINE}"
        elif family == "pythonic":
            body = f'"[" ({self._each(self._python_call)}) "]"'
        elif family == "kimi_k2":
            body = f'{self.marker(KIMI_BEGIN)} "functions." ({self._each(self._kimi_call)}) {self.marker(KIMI_END)}'
        elif family == "mistral" and self._spelling.special_id(MISTRAL_ARGUMENTS) is not None:
            body = self._each(lambda function: f"{_quote(function.name)} {self.marker(MISTRAL_ARGUMENTS)} "
                                               f"{self._json(function.schema)}")
        elif family == "mistral":
            body = f'"[" {self._object()} "]"'
        elif family == "qwen3_coder":
            body = f'"\\n<function=" ({self._each(self._xml_call)}) "</function>\\n"'
        else:
            return self._opening_only(OPENINGS.get(family, ""))
        return f"({body}) {self.marker(self._form.end)}" if self._form.end else f"({body})"

    def _opening_only(self, opening: str) -> str:
        names = f'({" | ".join(_quote(opening.format(function.name)) for function in self._functions)})'
        head, end = names if opening else "", self._form.end
        others = self._spelling.specials_but(end)
        if end and self._spelling.special_id(end) is None:
            head += ' "\\n"' if opening == "{}" else ""
            self.rules += [f"rest[lazy]: REST {_quote(end)}", "REST: /(.|\\n)*/"]
            return f"{head} rest"
        self.rules.append("PART: /(.|\\n)+/")
        rest = f"(PART | <[{others}]>)*" if others else "PART?"
        if opening == "{}":  # a line or a special token shows that the name ends here, and is not another's beginning
            rest = f'(("\\n" | <[{others}]>) {rest})?' if others else '("\\n" PART?)?'
        return f"{head} {rest} {self.marker(end) if end else ''}"

    def _each(self, write: Callable[[Function], str]) -> str:
        return " | ".join(self._rule(write(function)) for function in self._functions)

    def _object(self) -> str:
        """{"name": ..., "arguments": {...}}"""
        each = self._each(lambda function: f"{_quote(_quote(function.name))} \",\" {SPACE} {ARGUMENTS} {SPACE} "
                                           f"{self._json(function.schema)}")
        return f'"{{" {NAME} {SPACE} ({each}) "}}"'

    def _python_call(self, function: Function) -> str:
        """name(a=1, b="x")"""
        return f'{_quote(function.name)} "(" {self._listed(function, self._keyword)} ")"'

    def _keyword(self, name: str, schema: Any) -> str:
        return f"{_quote(name + '=')} {self._json(schema)}"

    def _listed(self, function: Function, write: Callable[[str, Any], str]) -> str:
        """Properties in their order with ", " between two; those that are not required may be missing."""
        properties, required = _properties(function.schema)
        parts = [(self._rule(write(name, schema)), name in required) for name, schema in properties.items()]
        first = after = ""  # of the parts from here on: with nothing before them, and with something
        for rule, needed in reversed(parts):
            if needed:
                first = f"{rule} {after}"
            else:
                first = f"({rule} {after} | {first})" if first else f"({rule} {after})?"
            after = self._rule(f'", " {rule} {after}' if needed else f'(", " {rule})? {after}')
        return self._rule(first) if first else ""

    def _kimi_call(self, function: Function) -> str:
        return f"{_quote(function.name + ':')} /[0-9]{{1,3}}/ {self.marker(KIMI_ARGUMENTS)} " \
               f"{self._json(function.schema)}"

    def _xml_call(self, function: Function) -> str:
        """name>, and <parameter=a> lines."""
        properties, required = _properties(function.schema)
        parts = []
        for name, schema in properties.items():
            value = self._rule(self._xml_value(schema))
            line = f"{_quote(f'<parameter={name}>' + chr(10))} {value}"
            parts.append(line if name in required else f"({line})?")
        return f"{_quote(function.name + '>' + chr(10))} {' '.join(parts)}"

    def _xml_value(self, schema: Any) -> str:
        end = _quote("\n</parameter>\n")
        kind = schema.get("type") if isinstance(schema, dict) else None
        if isinstance(schema, dict) and schema.get("enum") and all(isinstance(each, str) for each in schema["enum"]):
            return f"({' | '.join(map(_quote, schema['enum']))}) {end}"
        if kind in ("integer", "number", "boolean", "array", "object", "null"):
            return f"{self._json(schema)} {end}"
        self.rules.append(f"v{len(self.rules)}[lazy]: VALUE {end}")
        name = f"v{len(self.rules) - 1}"
        if not any(rule.startswith("VALUE:") for rule in self.rules):
            self.rules.append("VALUE: /(.|\\n)*/")
        return name

    def _json(self, schema: Any) -> str:
        return self._rule(f"%json {json.dumps(schema)}")

    def _rule(self, body: str) -> str:
        name = f"r{len(self.rules)}"
        self.rules.append(f"{name}: {body}")
        return name


def _properties(schema: dict[str, Any]) -> tuple[dict[str, Any], set[str]]:
    """Properties and the names of the required ones; a property takes what it refers to along."""
    shared = {key: schema[key] for key in ("$defs", "definitions", "x-guidance") if key in schema}
    properties = schema.get("properties") if isinstance(schema.get("properties"), dict) else {}
    whole = {name: {**shared, **each} if isinstance(each, dict) else {**shared} for name, each in properties.items()}
    required = schema.get("required")
    return whole, set(required) if isinstance(required, list) else set()


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
