"""workers/json_schema.py: callers' schemas in our shape, their sizes, and where one is wrong."""

import pytest

from workers.engine import JobRefused
from workers.json_schema import (
    SCHEMA_MAX_BYTES,
    SCHEMA_MAX_DEPTH,
    arguments_of,
    children,
    first_line,
    loosened,
    refuse_at,
    sized,
    whole,
    wrong_type,
)

NOTHING_ELSE = {"additionalProperties": False}


def no_x(schema: dict) -> str:
    """A stand-in for llguidance that finds x wrong, wherever it is, and cannot hold a pattern with =."""
    if "=" in str(schema.get("pattern", "")) or any("=" in name for name in schema.get("patternProperties", {})):
        return "look-around is not supported"
    return "x is wrong" if "'x'" in str(schema) else ""


class TestArguments:
    @pytest.mark.parametrize(("given", "made"), [
        ({}, {"type": "object"}),
        ({"type": ["null", "object"]}, {"type": "object"}),
        ({"type": "object", "required": None, "properties": {"a": {"enum": None, "default": None, "const": None}}},
         {"type": "object", "properties": {"a": {"default": None, "const": None}}, **NOTHING_ELSE}),
        ({"properties": {"a": {}}, "required": ["a"]},
         {"type": "object", "properties": {"a": {}}, "required": ["a"], **NOTHING_ELSE}),
        ({"properties": {"a": {}}, "required": ["b"]}, {"type": "object", "properties": {"a": {}}, "required": ["b"]}),
        ({"properties": {"a": {}}, "anyOf": []}, {"type": "object", "properties": {"a": {}}, "anyOf": []}),
        ({"x-guidance": 1, "type": "string"}, {"type": "string"}),
        ({"type": "object", "required": "a", "properties": {"a": {}}},
         {"type": "object", "required": "a", "properties": {"a": {}}}),
    ])
    def test_are_an_object_without_nulls_and_without_others(self, given, made):
        before = str(given)
        assert arguments_of(given) == made
        assert str(given) == before

    @pytest.mark.parametrize(("kind", "wrong"), [
        ("object", False), ("string", True), (["string", "null"], True), ("no type", False), ([], False),
    ])
    def test_no_other_type_is_taken_for_one(self, kind, wrong):
        assert bool(wrong_type({"type": kind})) is wrong


class TestLoosened:
    def test_only_patterns_that_cannot_be_held_go(self):
        given = {"properties": {"a": {"type": "string", "pattern": "(?=a)", "minLength": 2}, "b": {"pattern": "b"}}}
        assert loosened(given, no_x) == {"properties": {"a": {"type": "string", "minLength": 2}, "b": {"pattern": "b"}}}
        assert "pattern" in given["properties"]["a"]

    def test_names_that_a_pattern_allowed_are_not_forbidden_then(self):
        given = {"items": {"patternProperties": {"(?=a)": {}}, "minProperties": 1, **NOTHING_ELSE}}
        assert loosened(given, no_x) == {"items": {"minProperties": 1}}

    def test_what_is_broken_stays(self):
        given = {"properties": {"a": {"type": "x"}}}
        assert loosened(given, no_x) == given


@pytest.mark.parametrize(("schema", "place"), [
    ({"type": "x"}, "#"),
    ({"properties": {"a/b~": {"items": {"type": "x"}}}}, "#/properties/a~1b~0/items"),
    ({"anyOf": [{}, {"type": "x"}]}, "#/anyOf/1"),
    ({"$defs": {"d": {"not": {"type": "x"}}}}, "#/$defs/d/not"),
])
def test_a_refusal_names_the_innermost_place(schema, place):
    with pytest.raises(JobRefused) as refused:
        refuse_at("format", schema, "x is wrong", lambda part: no_x({**part, "$defs": {}} if part != schema else part))
    assert refused.value.code == "invalid_request"
    assert refused.value.message == f"format: x is wrong (at {place})"


def test_children_of_odd_schemas_are_those_that_are_schemas():
    odd = {"properties": [1], "anyOf": {"a": 1}, "items": [{"a": 1}, 2], "not": True, "allOf": [{"b": 1}]}
    assert list(children(odd)) == [("allOf/0", {"b": 1}), ("items/0", {"a": 1})]


def test_our_style_and_not_the_callers():
    made = whole({"type": "object", "x-guidance": {"whitespace_flexible": True}}, lenient=False)
    assert made["x-guidance"]["whitespace_flexible"] is False and made["x-guidance"]["lenient"] is False
    assert whole(True, lenient=True).keys() == {"x-guidance"}


class TestSizes:
    def nested(self, levels: int) -> dict:
        schema: dict = {}
        for _ in range(levels - 1):
            schema = {"items": schema}
        return schema

    def test_as_much_as_may_be(self):
        for schema in ({"const": "x" * (SCHEMA_MAX_BYTES - len('{"const": ""}'))}, self.nested(SCHEMA_MAX_DEPTH)):
            assert sized("schema", schema) is schema

    @pytest.mark.parametrize("multiple", [0.01, 1000, 5, 1234, 2.5])
    def test_multiples_of_few_digits(self, multiple):
        sized("schema", {"multipleOf": multiple})

    def test_more_is_refused_with_the_limit(self):
        for schema, limit in (({"const": "x" * SCHEMA_MAX_BYTES}, SCHEMA_MAX_BYTES),
                              (self.nested(SCHEMA_MAX_DEPTH + 1), SCHEMA_MAX_DEPTH),
                              ({"items": {"multipleOf": 999_983}}, "multipleOf 999983")):
            with pytest.raises(JobRefused, match=f"^tools: .*{limit}"):
                sized("tools", schema)


def test_the_first_line_and_the_error():
    assert first_line("regex parse error:\n    (?=x)\n    ^^^\nerror: look-around\n") == \
        "regex parse error: error: look-around"
    assert first_line("") == ""
