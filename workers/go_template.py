"""The part of Go's template language that prompts for Ollama are written in: parsed, then rendered. Pure.

    {{ .Field }}  {{ $.Field }}  {{ $name }}  {{ "text" }}      a value; lists and maps appear as JSON
    {{ if P }} {{ else if P }} {{ else }} {{ end }}             P is a value or a call
    {{ range P }}  {{ range $i, $v := P }}  {{ else }} {{ end }}
    {{ $name := P }}  {{ $name = P }}  {{/* a comment */}}
    and or not eq ne lt le gt ge len slice index json           calls; ( ) around those inside
    {{- and -}}                                                 take the white space away on that side

Everything else raises TemplateRefused with its line. Nothing of it is run as a program, so a template may come with a
request; the work of reading it is bounded by its length and DEPTH_MAX. `go_render` renders it.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

TEMPLATE_MAX_CHARS = 65_536
DEPTH_MAX = 24  # of blocks and parentheses
NUMBER_MAX_CHARS = 9
SHOWN_CHARS = 20

_TEXT = r'"(?:[^"\\\n]|\\.)*"|`[^`]*`'
_ACTION = re.compile(rf"\{{\{{(?P<left>-(?=\s))?(?P<words>(?:{_TEXT}|[^\"`])*?)(?P<right>(?<=\s)-)?\}}\}}", re.DOTALL)
_COMMENT = re.compile(r"\{\{(?P<left>-\s)?/\*(?P<words>.*?)\*/(?P<right>\s-)?\}\}", re.DOTALL)
_WORD = re.compile(rf"\s*(?:(?P<text>{_TEXT})|(?P<number>-?\d+)|(?P<mark>:=|[()=,|])"
                   r"|(?P<name>\$\w*(?:\.\w+)*|(?:\.\w+)+|\.|[A-Za-z_]\w*))", re.DOTALL)
AT_LEAST = {"and": 1, "or": 1, "not": 1, "eq": 2, "ne": 2, "lt": 2, "le": 2, "gt": 2, "ge": 2, "len": 1, "slice": 1,
            "index": 2, "json": 1}  # values of each call
AT_MOST = {"not": 1, "ne": 2, "lt": 2, "le": 2, "gt": 2, "ge": 2, "len": 1, "slice": 3, "index": 2, "json": 1}


class TemplateRefused(Exception):
    """`line` counts from 1."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line


class Value(NamedTuple):
    """A call (`name` of it, `parts` its arguments), a path ("." and fields, or "$name" and fields), or a constant."""

    kind: str  # call | path | constant
    line: int
    name: str = ""
    parts: tuple = ()
    constant: Any = None


class Node(NamedTuple):
    """`kind`: text | say | set | if | range. Of if and range `body` and `other` are nodes.

    `names`: what is set, or the names of the index and the value of a range, "" where there is none.
    """

    kind: str
    line: int
    value: Value | None = None
    text: str = ""
    names: tuple[str, ...] = ()
    body: "tuple[Node, ...]" = ()
    other: "tuple[Node, ...]" = ()


def parse_template(source: str) -> tuple[Node, ...]:
    """Raises TemplateRefused."""
    if len(source) > TEMPLATE_MAX_CHARS:
        raise TemplateRefused(1, f"it has {len(source)} characters; at most {TEMPLATE_MAX_CHARS} are read")
    return _Parser(source).whole()


def fields_of(nodes: tuple[Node, ...]) -> set[str]:
    """The names of all fields that are read anywhere."""
    found: set[str] = set()
    for node in nodes:
        found |= _fields_in(node.value) | fields_of(node.body) | fields_of(node.other)
    return found


def _fields_in(value: Value | None) -> set[str]:
    if value is None:
        return set()
    if value.kind == "path":
        return set(value.parts)
    return set().union(*map(_fields_in, value.parts))


def cut_after(nodes: tuple[Node, ...], field: str) -> tuple[Node, ...]:
    """The nodes up to the first that reads `field`, that one included; blocks around it lose what follows too."""
    kept: list[Node] = []
    for node in nodes:
        inside = field in fields_of((node,))
        if inside and node.kind in ("if", "range") and field not in _fields_in(node.value):
            node = node._replace(body=cut_after(node.body, field), other=cut_after(node.other, field))
        kept.append(node)
        if inside:
            break
    return tuple(kept)


class _Parser:
    """One template, read from its first piece to its last."""

    def __init__(self, source: str) -> None:
        self._pieces = list(_pieces(source))
        self._at = 0

    def whole(self) -> tuple[Node, ...]:
        nodes, ending, line = self._nodes(0)
        if ending:
            raise TemplateRefused(line, f"{ending} without a block that it ends")
        return nodes

    def _nodes(self, depth: int) -> tuple[tuple[Node, ...], str, int]:
        """Up to `end`, `else` or the end of all: the nodes, the words of that action, and its line."""
        nodes: list[Node] = []
        while self._at < len(self._pieces):
            is_action, text, line = self._pieces[self._at]
            self._at += 1
            if not is_action:
                nodes.append(Node("text", line, text=text))
                continue
            words = _words(text, line)
            head = words[0][1]
            if head in ("end", "else"):
                return tuple(nodes), " ".join(text.split()), line
            if depth >= DEPTH_MAX:
                raise TemplateRefused(line, f"blocks are nested deeper than {DEPTH_MAX}")
            nodes.append(self._block(head, words[1:], line, depth) if head in ("if", "range")
                         else _statement(words, line))
        return tuple(nodes), "", self._pieces[-1][2] if self._pieces else 1

    def _block(self, kind: str, words: list[tuple[str, str]], line: int, depth: int) -> Node:
        names: tuple[str, ...] = ()
        if kind == "range" and (":=" in (text for _, text in words)):
            border = [text for _, text in words].index(":=")
            said = [text for _, text in words[:border] if text != ","]
            if not 1 <= len(said) <= 2 or not all(_is_variable(text) for text in said):
                raise TemplateRefused(line, "range takes one or two names before :=, such as $i, $message")
            names, words = ("", *said) if len(said) == 1 else tuple(said), words[border + 1:]
        value = _value(words, line)
        body, ending, at = self._nodes(depth + 1)
        if ending == "end":
            return Node(kind, line, value, names=names, body=body)
        if ending == "else":
            other, ending, at = self._nodes(depth + 1)
        elif ending.startswith("else if") and kind == "if":
            other = (self._block("if", _words(ending, at)[2:], at, depth + 1),)
            return Node(kind, line, value, names=names, body=body, other=other)
        if ending != "end":
            raise TemplateRefused(line, f"this {kind} has no end" if not ending else f"{ending} is not expected here")
        return Node(kind, line, value, names=names, body=body, other=other)


def _pieces(source: str) -> Iterator[tuple[bool, str, int]]:
    """(is it an action, its text, its line), white space trimmed as the actions ask, comments left out."""
    at, trim, line = 0, False, 1
    while at <= len(source):
        start = source.find("{{", at)
        text = source[at:] if start < 0 else source[at:start]
        after = line + text.count("\n")
        found = None if start < 0 else _COMMENT.match(source, start) or _ACTION.match(source, start)
        if start >= 0 and found is None:
            raise TemplateRefused(after, "{{ is not closed by }}")
        shown = text.lstrip() if trim else text
        shown = shown.rstrip() if found and found["left"] else shown
        if shown:
            yield False, shown, line
        if found is None:
            return
        if found.re is _ACTION:
            yield True, found["words"].strip(), after
        line, trim, at = after + found.group().count("\n"), bool(found["right"]), found.end()


def _words(action: str, line: int) -> list[tuple[str, str]]:
    """(kind, text) of each word of an action."""
    words, at = [], 0
    while at < len(action):
        found = _WORD.match(action, at)
        if found is None:
            raise TemplateRefused(line, f"{action[at:at + SHOWN_CHARS].strip()!r} is not understood")
        words.append((found.lastgroup or "", found.group(found.lastgroup or 0)))
        at = found.end()
    if not words:
        raise TemplateRefused(line, "an action without words")
    return words


def _is_variable(text: str) -> bool:
    return text.startswith("$") and len(text) > 1 and "." not in text


def _statement(words: list[tuple[str, str]], line: int) -> Node:
    if len(words) > 2 and words[1][1] in (":=", "=") and _is_variable(words[0][1]):
        return Node("set", line, _value(words[2:], line), text=words[1][1], names=(words[0][1],))
    return Node("say", line, _value(words, line))


def _value(words: list[tuple[str, str]], line: int) -> Value:
    """All the words as one value or call."""
    if not words:
        raise TemplateRefused(line, "a value is missing")
    value, rest = _call(words, line, 0)
    if rest:
        raise TemplateRefused(line, f"{rest[0][1]} is not expected here")
    return value


def _call(words: list[tuple[str, str]], line: int, depth: int) -> tuple[Value, list[tuple[str, str]]]:
    kind, text = words[0]
    if kind != "name" or text[0] in ".$" or text in ("true", "false", "nil"):
        return _operand(words, line, depth)
    if text not in AT_LEAST:
        raise TemplateRefused(line, f"{text} is not offered; there are if, else, range, end, {', '.join(AT_LEAST)}")
    parts, rest = [], words[1:]
    while rest and rest[0] not in (("mark", ")"), ("mark", "|")):
        part, rest = _operand(rest, line, depth)
        parts.append(part)
    if not AT_LEAST[text] <= len(parts) <= AT_MOST.get(text, len(parts)):
        raise TemplateRefused(line, f"{text} does not take {len(parts)} values")
    return Value("call", line, text, tuple(parts)), rest


def _operand(words: list[tuple[str, str]], line: int, depth: int) -> tuple[Value, list[tuple[str, str]]]:
    kind, text = words[0]
    if text == "(" and kind == "mark":
        if depth >= DEPTH_MAX or len(words) < 2:
            raise TemplateRefused(line, f"parentheses are nested deeper than {DEPTH_MAX}, or not closed")
        value, rest = _call(words[1:], line, depth + 1)
        if not rest or rest[0] != ("mark", ")"):
            raise TemplateRefused(line, "( is not closed by )")
        return value, rest[1:]
    if kind == "text":
        return Value("constant", line, constant=_unquoted(text, line)), words[1:]
    if kind == "number" and len(text) <= NUMBER_MAX_CHARS:
        return Value("constant", line, constant=int(text)), words[1:]
    if kind == "name" and text in ("true", "false", "nil"):
        return Value("constant", line, constant={"true": True, "false": False, "nil": None}[text]), words[1:]
    if kind == "name" and text[0] in ".$":
        first, *fields = text.split(".")
        return Value("path", line, first or ".", tuple(field for field in fields if field)), words[1:]
    raise TemplateRefused(line, f"{text} is not expected here")


def _unquoted(text: str, line: int) -> str:
    if text.startswith("`"):
        return text[1:-1]
    try:
        return json.loads(text, strict=False)
    except ValueError:
        raise TemplateRefused(line, f"{text[:SHOWN_CHARS]} is no text") from None
