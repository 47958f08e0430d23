"""TOML text to plain values and back: the line of every key, syntax errors to act on, values as TOML writes them.

`tomllib` knows lines only while it reads, and forgets them. `key_lines` walks the text a second time, after tomllib
has accepted it, and therefore needs to recognise only as much of TOML as it takes to tell keys from values: strings
(which may hold brackets and line ends), comments, brackets, and where a statement ends. Pure.
"""

import json
import re
import tomllib
from functools import cached_property
from pathlib import Path

SHOWN_MAX_CHARS = 60
TOKEN = re.compile(r'''
    (?P<space> [ \t\r]+ | \#[^\n]* )
  | (?P<text> """(?:\\.|[^\\])*?"{3,5} | \'\'\'.*?'{3,5} | "(?:\\.|[^"\\])*" | '[^']*' )
  | (?P<mark> [\[\]{}=,\n] )
  | (?P<word> [^\s\[\]{}=,\#"']+ )
''', re.DOTALL | re.VERBOSE)
REMEDIES = {  # how tomllib's message starts -> what usually caused it
    "Invalid value": "text needs quotes, true and false are written in lower case",
    "Expected ']'": 'a name with a colon, slash or space needs quotes, as in [models."phi3.5:3.8b"]',
    "Unescaped '\\' in a string": r"write the path in single quotes, as in 'C:\models'",
    "Unterminated string": "close the quotes",
    "Illegal character": "text ends on the line it begins on: close the quotes",
    "Unclosed array": "close the list with ]",
    "Expected '='": 'settings are written as key = value',
    "Expected newline": "one setting per line; text needs quotes, a comment starts with #",
    "Cannot declare": "this table is already there further up; put both together",
    "Cannot overwrite": "this key is already there further up; keep one of them",
}


class TomlError(ValueError):
    """The text is not TOML. `line` counts from 1."""

    def __init__(self, line: int, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.line = line
        self.problem = problem
        self.remedy = remedy


class TomlFile:
    """What stands in a file, and where. Raises TomlError if `text` is not TOML."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.data = parse_toml(text)
        self._text = text

    @cached_property
    def _lines(self) -> dict[tuple[str, ...], int]:
        return key_lines(self._text)

    def line(self, *keys: str) -> int:
        """The line of a key, or of the nearest table around it."""
        return next((self._lines[keys[:n]] for n in range(len(keys), 0, -1) if keys[:n] in self._lines), 1)

    def where(self, *keys: str) -> str:
        """`file:line: key`, for messages."""
        return f"{self.path}:{self.line(*keys)}: {dotted(keys)}"


def dotted(keys: tuple[str, ...] | list[str]) -> str:
    """The path as it is written in TOML, with quotes where they are needed."""
    bare = re.compile(r"[A-Za-z0-9_-]+")
    return ".".join(key if bare.fullmatch(key) else json.dumps(key, ensure_ascii=False) for key in keys)


def toml(value: object) -> str:
    """A value as it is written in a TOML file."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def shown(value: object) -> str:
    """A value for an error message: short whatever it is."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, int) and abs(value) > 10**30:
        return "a far larger number"
    if isinstance(value, (bool, int, float, str)):
        text = toml(value)
        return text if len(text) <= SHOWN_MAX_CHARS else f"{text[:SHOWN_MAX_CHARS]}..."
    return "a list" if isinstance(value, list) else "a date or time"


def parse_toml(text: str) -> dict[str, object]:
    """Raises: TomlError, and nothing else, for any text."""
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise TomlError(1, "lists or tables are nested too deeply to be read", "no setting needs that") from None
    except ValueError as error:  # also what int() says to a number of thousands of digits, with no place in it
        raise _explained(text, str(error)) from None


def _explained(text: str, message: str) -> TomlError:
    """tomllib's message with the line it means quoted, and the usual remedy."""
    found = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)$", message)
    lines = text.split("\n")
    number = int(found[1]) if found and found[1] else 1 if not found else len(text.rstrip().split("\n"))
    problem = message[:found.start()] if found else message
    if not found and problem.startswith("Exceeds the limit"):
        problem = "a number has far too many digits"
    remedy = next((text for start, text in REMEDIES.items() if problem.startswith(start)), "see warden.example.toml")
    line = lines[number - 1].strip()[:SHOWN_MAX_CHARS]
    quoted = f" in `{line}`" if line else ""
    return TomlError(number, f"not TOML: {problem[:1].lower()}{problem[1:]}{quoted}", remedy)


def key_lines(text: str) -> dict[tuple[str, ...], int]:
    """The line (from 1) where each key and table of valid TOML is first given, by its path from the top.

    Keys inside a list of tables count under the list's own path. Text that is not TOML gives whatever it gives, or
    a `ValueError`.
    """
    lines: dict[tuple[str, ...], int] = {}
    line, table, current = 1, (), ()  # where we are; the table of the last header; the key whose value follows
    open_brackets: list[tuple[str, tuple[str, ...]]] = []
    key, in_header, in_key = "", False, True

    def note() -> tuple[str, ...]:
        path = (() if in_header else open_brackets[-1][1] if open_brackets else table) + _key_path(key)
        for length in range(1, len(path) + 1):
            lines.setdefault(path[:length], line)
        return path

    for match in TOKEN.finditer(text.replace("\r\n", "\n")):
        token = match[0]
        if match.lastgroup in ("text", "word"):
            key += token if in_key else ""
        elif token == "\n":
            key, in_header, in_key = "", False, True
        elif token == "=":
            current, in_key = note(), False
        elif token == "[" and in_key and not open_brackets:
            in_header = True
        elif token == "]" and in_header:
            table, key, in_key = (note() if in_key else table), "", False
        elif token in "[{":
            open_brackets.append((token, current))
            key, in_key = "", token == "{"
        elif token in "]}":
            _, current = open_brackets.pop() if open_brackets else ("", ())
            in_key = False
        elif token == ",":
            key, in_key = "", bool(open_brackets) and open_brackets[-1][0] == "{"
            current = open_brackets[-1][1] if open_brackets else current
        line += token.count("\n")
    return lines


def _key_path(key: str) -> tuple[str, ...]:
    """`a."b.c"` as ("a", "b.c"), read by tomllib itself."""
    path: list[str] = []
    value: object = tomllib.loads(f"{key} = 0")
    while isinstance(value, dict):
        name, value = next(iter(value.items()))
        path.append(name)
    return tuple(path)
