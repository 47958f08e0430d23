"""workers/schema_cost.py: what is refused before it is compiled, and what is not."""

import pytest

from workers.schema_cost import (
    CHOICES_MAX,
    MULTIPLES_MAX,
    PATTERN_NAMES_MAX,
    PATTERNS_JOINED_MAX,
    SCALE_STATES,
    too_costly,
)

LARGE, OTHER = {"multipleOf": 9973}, {"multipleOf": 9967}
MANY_LARGE = {"properties": {f"p{number}": {"multipleOf": 9973 - number} for number in range(8)}}
MANY_PATTERNS = [{"pattern": f"a{{{number}}}"} for number in range(PATTERNS_JOINED_MAX + 1)]
CHAIN = 1500


@pytest.mark.parametrize("schema", [
    {"allOf": [LARGE, OTHER]},
    {"$ref": "#/$defs/a", "$defs": {"a": LARGE}, **OTHER},
    {"$ref": "#/%24defs/a", "$defs": {"a": LARGE}, **OTHER},
    {"$ref": "#here", "$defs": {"a": {"$anchor": "here", **LARGE}}, **OTHER},
    {"$ref": "there#/a", "$defs": {"b": {"$id": "there", "a": LARGE}}, "a": {}, **OTHER},
    {"anyOf": [{}, LARGE], **OTHER},
    {"allOf": [{"anyOf": [{"multipleOf": 101}, {"multipleOf": 103}]}, {"anyOf": [{"multipleOf": 7}, {}]}]},
    {"allOf": [{"properties": {"a": LARGE}}, {"properties": {"a": OTHER}}]},
    {"allOf": [{"properties": {"a": LARGE}}, {"additionalProperties": OTHER}]},
    {"allOf": [{"items": LARGE}, {"prefixItems": [OTHER]}]},
])
def test_multiples_that_meet_on_one_value(schema):
    assert f"at most {MULTIPLES_MAX}" in too_costly(schema) and "(at #)" in too_costly(schema)
    assert "(at #/1)" in too_costly([{}, schema])


def test_multiples_that_add_up():
    assert "(at #/properties/p0)" in too_costly(MANY_LARGE)


@pytest.mark.parametrize("zeros", [1, 3])
def test_zeros_at_the_end_cost_too(zeros):
    assert too_costly({"multipleOf": 9973 * 10**zeros})


@pytest.mark.parametrize("schema", [
    True, {}, {"multipleOf": 86_400}, {"multipleOf": 0.01}, {"multipleOf": 10**9}, LARGE, {"multipleOf": True},
    {"multipleOf": -1}, {"multipleOf": float("inf")}, {"multipleOf": "x"}, {"multipleOf": SCALE_STATES},
    {"allOf": [{"multipleOf": 0.01}, {"multipleOf": 5}, {"multipleOf": 100}]},
    {"allOf": [{"multipleOf": 9.973}, {"multipleOf": 0.001}]},
    {"anyOf": [LARGE, OTHER]},
    {"properties": {"a": LARGE, "b": OTHER}},
    {"allOf": [{"properties": {"a": LARGE}}, {"properties": {"b": OTHER}}]},
    {"allOf": [{"$ref": "#"}, LARGE]},
    {"allOf": [{"properties": {f"p{number}": each}} for number, each in enumerate(MANY_PATTERNS)]},
    {"anyOf": MANY_PATTERNS}, {"allOf": MANY_PATTERNS[1:]}, {"allOf": MANY_PATTERNS[:1] * CHAIN},
    {"$ref": 5, "allOf": 3, "properties": [], "items": [1, None], "patternProperties": 7, "anyOf": {}},
    {"anyOf": [{"const": number} for number in range(CHOICES_MAX + 1)]},
    {"$defs": {str(number): {"$ref": f"#/$defs/{number + 1}"} for number in range(CHAIN)}, "$ref": "#/$defs/0"},
])
def test_what_is_not_refused(schema):
    assert too_costly(schema) == ""


def test_patterns_and_formats_that_meet():
    assert "join them" in too_costly({"allOf": MANY_PATTERNS})
    assert "of a;" not in too_costly({"allOf": [{"properties": {"a": each}} for each in MANY_PATTERNS[1:]]})
    mixed = [*MANY_PATTERNS[1:], {"format": "email"}]
    assert "of a, " in too_costly({"allOf": [{"properties": {"a": each}} for each in mixed]})


def test_names_and_choices():
    names = {f"^k{number}$": {} for number in range(PATTERN_NAMES_MAX + 1)}
    assert f"at most {PATTERN_NAMES_MAX}" in too_costly({"items": {"patternProperties": names}})
    choices = [{"type": "array", "items": {"$ref": "#"}, "minItems": number} for number in range(CHOICES_MAX + 1)]
    assert f"at most {CHOICES_MAX}" in too_costly({"anyOf": choices})
