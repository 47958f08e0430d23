"""workers/go_template.py: what is understood of Go's templates, and the line of what is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.go_template import DEPTH_MAX, TEMPLATE_MAX_CHARS, TemplateRefused, cut_after, fields_of, parse_template


def texts(nodes) -> str:
    return "".join(node.text for node in nodes if node.kind == "text")


@pytest.mark.parametrize(("source", "shown"), [
    ("a {{ .X }} b", "a  b"),
    ("a {{- .X }} b", "a b"),
    ("a {{ .X -}} b", "a b"),
    ("a \n {{- .X -}} \n b", "ab"),
    ("a {{-\n.X\n-}} b", "ab"),
    ("a {{/* {{ any \"thing }} */}} b", "a  b"),
    ("a {{- /* trimmed */ -}} b", "ab"),
    ("a } { b", "a } { b"),
    ("{{ \"}}\" }}", ""),
])
def test_text_outside_of_actions_and_the_white_space_that_they_take(source, shown):
    assert texts(parse_template(source)) == shown


def test_blocks_are_nested():
    [node] = parse_template('{{ if eq .Role "user" }}1{{ else if and .A (not .B) }}2{{ else }}3{{ end }}')
    assert (texts(node.body), node.other[0].kind) == ("1", "if")
    assert (texts(node.other[0].body), texts(node.other[0].other)) == ("2", "3")
    [node] = parse_template("{{ range $i, $_ := .Messages }}x{{ else }}y{{ end }}")
    assert node.names == ("$i", "$_") and (texts(node.body), texts(node.other)) == ("x", "y")
    [node] = parse_template("{{ range $each := .Messages }}{{ end }}")
    assert node.names == ("", "$each")


@pytest.mark.parametrize(("source", "line", "words"), [
    ("{{ if .A }}x", 1, "no end"),
    ("a\n{{ end }}", 2, "without a block"),
    ("{{ else }}", 1, "without a block"),
    ("{{ if .A }}{{ else }}{{ else }}{{ end }}", 1, "not expected"),
    ("{{ range .A }}{{ else if .B }}{{ end }}", 1, "not expected"),
    ("\n\n{{ with .A }}", 3, "with is not offered"),
    ("{{ template \"x\" }}", 1, "template is not offered"),
    ("{{ .A | json }}", 1, "| is not expected"),
    ("{{ printf .A }}", 1, "printf is not offered"),
    ("{{ .A .B }}", 1, ".B is not expected"),
    ("{{ not }}", 1, "not does not take 0"),
    ("{{ lt 1 2 3 }}", 1, "lt does not take 3"),
    ("{{ (not .A }}", 1, "not closed by )"),
    ("{{ ( }}", 1, "not closed"),
    ("{{ }}", 1, "without words"),
    ("x\n{{ .A", 2, "not closed by }}"),
    ("{{ \"a\nb\" }}", 1, "not closed by }}"),
    ("{{ range 1, 2 := .A }}{{ end }}", 1, "range takes"),
    ("{{ if }}{{ end }}", 1, "missing"),
    ("{{ \"\\q\" }}", 1, "is no text"),
    ("{{ 12345678901234567890 }}", 1, "not expected"),
    ("{{ # }}", 1, "not understood"),
    ("x" * (TEMPLATE_MAX_CHARS + 1), 1, "characters"),
])
def test_what_is_not_offered_is_refused_with_its_line(source, line, words):
    with pytest.raises(TemplateRefused) as refused:
        parse_template(source)
    assert refused.value.line == line and words in str(refused.value)


@pytest.mark.parametrize("source", ["{{ if .A }}" * (DEPTH_MAX + 1), "{{ " + "(not " * TEMPLATE_MAX_CHARS,
                                    "{{ " + "(not " * (DEPTH_MAX + 1) + ".A" + ")" * (DEPTH_MAX + 1) + " }}",
                                    '{{ "a"' + '"a"' * 10_000])
def test_depth_is_bounded(source):
    with pytest.raises(TemplateRefused):
        parse_template(source[:TEMPLATE_MAX_CHARS])


@given(st.lists(st.sampled_from(["{{", "}}", "- ", " -", "if ", "else ", "end", "range ", ".A", "$x", ":=", "(", ")",
                                 '"', "`", "eq ", "/*", "*/", "\n", "x", "|", ","]), max_size=30).map("".join))
def test_any_text_is_parsed_or_refused(source):
    try:
        parse_template(source)
    except TemplateRefused as refused:
        assert 1 <= refused.line <= source.count("\n") + 1


def test_fields_are_those_read_anywhere():
    source = "{{ if .A }}{{ range .B }}{{ eq .C $.D }}{{ end }}{{ else }}{{ $x := .E.F }}{{ end }}"
    assert fields_of(parse_template(source)) == set("ABCDEF")


def test_cut_after_keeps_the_field_and_drops_what_follows_within_blocks_too():
    nodes = cut_after(parse_template("a{{ if .S }}b{{ .R }}c{{ end }}d{{ .R }}e"), "R")
    assert [node.kind for node in nodes] == ["text", "if"] and texts(nodes[1].body) == "b"
    nodes = parse_template("a{{ .S }}b")
    assert cut_after(nodes, "R") == nodes
