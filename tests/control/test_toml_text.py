"""Every key has its line whatever stands around it; a syntax error quotes the line and says what usually caused it."""

import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.toml_text import TomlError, TomlFile, dotted, key_lines, parse_toml, shown, toml

VALUES = [
    "1", "-0.5", "true", "1979-05-27 07:32:00", '"a = [1] # {"', "'# x'", '"""\n[a]\nb = 1\n"""', "'''\n[x]\n'''",
    '""""quoted\\""""', '[\n  "a", # hm = [\n  [1, 2],\n]', "[]", '"\\""', '{ "in = 1" = [{ x = 1 }], y.z = "}" }',
]


@st.composite
def documents(draw) -> tuple[str, dict[tuple[str, ...], int]]:
    """A text of tables, keys, values and comments, and the line on which each key was written."""
    names = st.text(st.sampled_from('ab1_-.:/ "#=[]{}é\\\t\''), min_size=1, max_size=4)
    spaces = st.sampled_from(["", " ", "\t "])
    lines: list[str] = []
    expected: dict[tuple[str, ...], int] = {}
    for number in range(draw(st.integers(0, 4))):
        table: tuple[str, ...] = ()
        if number:
            table = (f"{number}{draw(names)}", draw(names))
            lines.append(f"{draw(spaces)}[{draw(spaces)}{dotted(table)} ] # [no.table]")
            expected[table] = len(lines)
        for index in range(draw(st.integers(0, 3))):
            key = (f"k{number}{index}", *draw(st.lists(names, max_size=2)))
            expected[(*table, *key)] = len(lines) + 1
            written = draw(spaces) + dotted(key) + draw(spaces) + "=" + draw(spaces) + draw(st.sampled_from(VALUES))
            lines += (written + draw(st.sampled_from(["", " # = 1", "\n\n# a = 2"]))).split("\n")
    return draw(st.sampled_from(["\n", "\r\n"])).join(lines), expected


@given(documents())
def test_every_key_has_the_line_it_was_written_on(document):
    text, expected = document
    tomllib.loads(text)
    lines = key_lines(text)
    assert {path: lines.get(path) for path in expected} == expected


def test_keys_of_inline_tables_and_lists_of_tables_are_found():
    lines = key_lines('x = { a = 1, b.c = [\n { d = 1 },\n], e = 2 }\n[[t]]\nf = 1\n[[t]]\nf = 2\n')
    assert lines[("x", "a")] == 1 and lines[("x", "b", "c")] == 1 and lines[("x", "b", "c", "d")] == 2
    assert lines[("x", "e")] == 3 and lines[("t",)] == 4 and lines[("t", "f")] == 5


@given(st.text(st.sampled_from('ab=[]{}"\'\n.,# 1\\'), max_size=40) | st.text(max_size=40))
def test_any_text_is_read_or_refused_with_a_line_of_it(text):
    try:
        assert TomlFile(Path("f"), text).where("a")
    except TomlError as error:
        assert 1 <= error.line <= text.count("\n") + 1
        assert error.problem and error.remedy


@pytest.mark.parametrize(("text", "line", "problem", "remedy"), [
    ("[a]\nhost = localhost", 2, "`host = localhost`", "text needs quotes"),
    ("x = True", 1, "invalid value", "lower case"),
    ("[models.phi3:3.8b]", 1, "`[models.phi3:3.8b]`", "needs quotes"),
    ("\nport: 3", 2, "`port: 3`", "key = value"),
    ("port = 1 ; no comment", 1, "expected newline", "starts with #"),
    ('path = "C:\\models"', 1, "`path = \"C:\\models\"`", "single quotes"),
    ('a = "x\nb = 1', 1, "`a = \"x`", "close the quotes"),
    ('a = "x', 1, "unterminated", "close the quotes"),
    ("a = [1,\n2\n", 2, "`2`", "close the list"),
    ("[a]\n[b]\n[a]\n", 3, "`[a]`", "already there"),
    ("a = 1\na = 2\n\n", 2, "`a = 2`", "already there"),
    (f"b = 1\na = {'9' * 5000}", 1, "too many digits", "example"),
    (f"a = {'[' * 5000}", 1, "nested too deeply", "no setting"),
])
def test_a_syntax_error_quotes_its_line_and_names_the_usual_cause(text, line, problem, remedy):
    with pytest.raises(TomlError) as caught:
        parse_toml(text)
    assert caught.value.line == line
    assert problem in caught.value.problem and remedy in caught.value.remedy


def test_a_key_that_is_not_in_the_file_is_at_the_nearest_table_around_it():
    file = TomlFile(Path("f.toml"), 'x = 1\n[models."a.b"]\n')
    assert file.where("models", "a.b", "path") == 'f.toml:2: models."a.b".path'
    assert file.line("server", "port") == 1


@given(st.recursive(st.booleans() | st.integers(-(2**60), 2**60) | st.text(st.characters(exclude_characters="\x7f",
       exclude_categories=["Cs"])), lambda inner: st.lists(inner, max_size=3), max_leaves=5))
def test_values_are_written_as_toml_reads_them(value):
    assert tomllib.loads(f"a = {toml(value)}") == {"a": value}
    assert len(shown(value)) < 100


def test_shown_is_short_for_values_without_end():
    assert shown(16**5000) == "a far larger number"
    assert shown("x" * 999) == f'"{"x" * 59}...' and json.loads(shown('a"b')) == 'a"b'
