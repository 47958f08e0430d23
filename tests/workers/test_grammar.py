"""workers/grammar.py: what is refused and where, what is bounded, and where a guide begins to hold."""

import numpy as np
import pytest
from llguidance.numpy import fill_next_token_bitmask

from tests.support.grammars import END_OF_TEXT, THINK_END, THINK_START, follows, grammars_for
from workers.engine import JobRefused
from workers.grammar import GRAMMARS_KEPT, Grammars
from workers.job_parts import NAMED, REQUIRED, Extras, Tool
from workers.json_schema import SCHEMA_MAX_BYTES, SCHEMA_MAX_DEPTH
from workers.tool_calls import GENERIC_FORM

POINT = {"type": "object", "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}}, "required": ["x"],
         "additionalProperties": False}
SEVERAL_STEPS = 30


@pytest.fixture(scope="module")
def grammars() -> Grammars:
    return grammars_for(GENERIC_FORM, True)


def refusal(grammars: Grammars, **asked) -> JobRefused:
    with pytest.raises(JobRefused) as refused:
        grammars.guide(Extras(**asked), reasons=False)
    return refused.value


def nested(depth: int) -> dict:
    schema: dict = {"type": "integer"}
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    return schema


def test_nothing_asked_nothing_held(grammars):
    tool = Tool("f", "", POINT)
    for extras in (Extras(), Extras(tools=[tool]), Extras(tools=[tool], tool_choice="none"), Extras(think=True)):
        assert grammars.guide(extras, reasons=False) is None


class TestSchemas:
    @pytest.mark.parametrize(("text", "right"), [
        ('{"x":1}', True), ('{"x": 1, "y": -2}', True), ('{"y":2}', False), ('{"x":1,"z":3}', False),
        ('{ "x":1}', False), ('{"x":  1}', False), ('{"x":1} ', False), ("", False),
    ])
    def test_compact_json_that_meets_it(self, grammars, text, right):
        assert follows(grammars, Extras(schema=POINT), text) is right

    @pytest.mark.parametrize("schema", [True, {}])
    def test_any_json(self, grammars, schema):
        for text in ("[1,2]", '"x"', "null", '{"a":{"b":[]}}'):
            assert follows(grammars, Extras(schema=schema), text)
        assert not follows(grammars, Extras(schema=schema), "words")

    def test_a_callers_own_style_is_not_taken(self, grammars):
        loose = {"const": [1], "x-guidance": {"whitespace_flexible": True}}
        assert not follows(grammars, Extras(schema=loose), "[ 1]")

    @pytest.mark.parametrize(("schema", "said"), [
        (False, "nothing can meet it (at #)"),
        ({"type": "strin"}, "strin (at #)"),
        ({"type": "object", "properties": {"a/b": {"type": "string", "pattern": "(?=x)"}}}, "(at #/properties/a~1b)"),
        ({"type": "array", "items": {"anyOf": [{"type": "null"}, {"uniqueItems": True}]}}, "(at #/items/anyOf/1)"),
        ({"type": "object", "properties": {"a": {"type": "string", "minLength": 5, "maxLength": 2}},
          "required": ["a"]}, "minLength (5) is greater than maxLength (2) (at #/properties/a)"),
        ({"$ref": "https://example.org/schema.json"}, "not fetch"),
        ({"$ref": "#/$defs/none"}, "does not exist"),
        ({"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}, "nothing can meet it"),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "oneOf"),
        ({"not": {"type": "object"}}, "not"),
        ({"type": "integer", "multipleOf": 999983}, "multipleOf 999983"),
    ])
    def test_what_cannot_be_met_or_parsed_is_refused_with_the_place(self, grammars, schema, said):
        refused = refusal(grammars, schema=schema)
        assert refused.code == "invalid_request"
        assert refused.message.startswith("schema: ") and said in refused.message

    def test_one_that_is_too_large_or_deep(self, grammars):
        assert str(SCHEMA_MAX_BYTES) in refusal(grammars, schema={"enum": ["x" * SCHEMA_MAX_BYTES]}).message
        assert str(SCHEMA_MAX_DEPTH) in refusal(grammars, schema=nested(SCHEMA_MAX_DEPTH)).message
        assert grammars.guide(Extras(schema=nested(SCHEMA_MAX_DEPTH // 2)), reasons=False)

    def test_one_that_makes_too_much(self, grammars):
        either = [{"anyOf": [{"type": "object", "properties": {f"p{one}_{two}": {"type": "string"}}}
                             for one in range(8)]} for two in range(8)]
        assert "too large" in refusal(grammars, schema={"allOf": either}).message

    def test_one_that_meets_a_limit_on_its_way_says_so(self, grammars):
        branches = [{"type": "object", "properties": {f"p{number}": {"type": "string"}}} for number in range(700)]
        guide = grammars.guide(Extras(schema={"anyOf": branches}), reasons=False)
        words = np.zeros((1, -(-grammars.mask_bits // 32)), np.int32)
        for _ in range(SEVERAL_STEPS):
            fill_next_token_bitmask(guide.matcher, words)
            guide.note_problem()
            if guide.problem:
                break
            guide.consume(int(np.flatnonzero(np.unpackbits(words.view(np.uint8), bitorder="little"))[-1]))
        assert "max is" in guide.problem and guide.failure == f"schema: {guide.problem}"
        assert not guide.constrains


class TestTools:
    def test_a_name_that_no_tool_has(self, grammars):
        refused = refusal(grammars, tools=[Tool("f")], tool_choice=f"{NAMED}g")
        assert refused.code == "invalid_request" and "tool_choice: no tool is named g" in refused.message

    def test_strict_parameters_that_cannot_be_held_are_refused(self, grammars):
        bad = {"type": "object", "properties": {"a": {"type": "array", "uniqueItems": True}}}
        refused = refusal(grammars, tools=[Tool("f"), Tool("g", "", bad, strict=True)])
        assert refused.message.startswith("tools[1].function.parameters: ") and "#/properties/a" in refused.message

    @pytest.mark.parametrize(("keyword", "right", "wrong"), [
        ({"uniqueItems": True, "items": {"type": "integer"}}, "[1,1]", '["x"]'),
        ({"not": {"const": "a"}, "type": "string"}, '"a"', "1"),
        ({"type": "string", "pattern": "^(?=a)b", "maxLength": 3}, '"zzz"', '"zzzz"'),
        ({"type": "string", "pattern": "\\bb\\b"}, '"z"', "1"),
        ({"type": "string", "format": "no such"}, '"z"', "1"),
        ({"patternProperties": {"^a": {"type": "integer"}, "^ab": {}}, "type": "object", "required": ["z"],
          "additionalProperties": False}, '{"z":1}', "{}"),
    ])
    def test_what_cannot_be_held_is_passed_over_and_nothing_else(self, grammars, keyword, right, wrong):
        schema = {"type": "object", "properties": {"a": keyword, "b": {"type": "integer"}}, "required": ["a", "b"]}
        asked = Extras(tools=[Tool("f", "", schema)], tool_choice=REQUIRED)
        for value, other, may in ((right, "1", True), (wrong, "1", False), (right, "1.5", False)):
            text = f'<tool_call>{{"name":"f","arguments":{{"a":{value},"b":{other}}}}}</tool_call>'
            assert follows(grammars, asked, text) is may, text
        strict = refusal(grammars, tools=[Tool("f", "", schema, strict=True)])
        assert strict.message.startswith("tools[0].function.parameters: ") and "#/properties/a)" in strict.message

    @pytest.mark.parametrize(("schema", "said"), [
        ({"properties": {"a": {"type": "wrong"}}, "required": ["a"]}, "Invalid type: wrong (at #/properties/a)"),
        ({"properties": {"a": {"type": "string", "pattern": "[a"}}}, "unclosed character class (at #/properties/a)"),
        ({"properties": {"a": {"enum": []}}, "required": ["a"]}, "(at #/properties/a)"),
        ({"properties": []}, "properties must be an object (at #)"),
        ({"properties": {"a": {"$ref": "#/$defs/none"}}}, "does not exist (at #/properties/a)"),
        ({"$ref": "https://example.org/schema.json"}, "not fetch"),
        ({"type": "string"}, "arguments are an object, and this is string (at #)"),
    ])
    @pytest.mark.parametrize("choice", [REQUIRED, f"{NAMED}g"])
    def test_what_is_broken_is_refused_where_a_call_must_be_made(self, grammars, schema, said, choice):
        tools = [Tool("f"), Tool("g", "", {"type": "object", **schema})]
        refused = refusal(grammars, tools=tools, tool_choice=choice)
        assert refused.code == "invalid_request" and said in refused.message
        assert refused.message.startswith("tools[1].function.parameters: ")
        assert grammars.guide(Extras(tools=tools, tool_choice=f"{NAMED}f"), reasons=False)

    def test_a_model_that_is_free_is_never_refused_what_is_not_strict(self, grammars):
        broken = Tool("f", "", {"properties": {"a": {"type": "wrong"}}, "required": ["a"]})
        assert grammars.guide(Extras(tools=[broken]), reasons=False) is None
        text = '<tool_call>{"name":"f","arguments":{"whatever":1}}</tool_call>'
        assert follows(grammars, Extras(tools=[broken, Tool("g", strict=True)]), text)

    @pytest.mark.parametrize("parameters", [
        {"type": "object", "properties": {"a": {"type": "integer", "enum": None}}, "required": None},
        {"properties": {"b": {}}, "required": ["a"]},
        {"type": ["object", "null"]},
    ])
    def test_what_clients_write_without_thinking_is_taken(self, grammars, parameters):
        text = '<tool_call>{"name":"f","arguments":{"a":1}}</tool_call>'
        assert follows(grammars, Extras(tools=[Tool("f", "", parameters)], tool_choice=REQUIRED), text)

    def test_any_name_is_a_name(self, grammars):
        name = 'say "hi"\\ é'
        text = '<tool_call>{"name":"say \\"hi\\"\\\\ é","arguments":{}}</tool_call>'
        assert follows(grammars, Extras(tools=[Tool(name)], tool_choice=REQUIRED), text)


class TestReasoning:
    EXTRAS = Extras(schema=POINT)

    def test_what_the_prompt_opened_is_free_until_its_end(self, grammars):
        assert follows(grammars, self.EXTRAS, f'anything {THINK_END}{{"x":1}}', reasons=True)
        guide = grammars.guide(self.EXTRAS, reasons=True)
        for token in grammars.encode('{"x":1}'):
            guide.consume(token)
        assert not guide.constrains
        for token in grammars.encode(THINK_END):
            guide.consume(token)
        assert guide.constrains

    def test_a_model_may_open_it_unless_told_not_to(self, grammars):
        text = f'{THINK_START}hm{THINK_END}{{"x":1}}'
        assert follows(grammars, self.EXTRAS, text)
        assert not follows(grammars, Extras(schema=POINT, think=False), text)

    def test_only_at_the_beginning(self, grammars):
        guide = grammars.guide(self.EXTRAS, reasons=False)
        assert guide.opens is not None
        guide.consume(grammars.encode("{")[0])
        assert guide.opens is None


def test_after_the_end_anything_may_be_given(grammars):
    guide = grammars.guide(Extras(schema={"const": 1}), reasons=False)
    for token in [*grammars.encode("1"), END_OF_TEXT, 5, 7]:
        guide.consume(token)
    assert not guide.constrains and not guide.problem


def test_grammars_are_remembered_but_not_for_ever(grammars):
    for number in range(3 * GRAMMARS_KEPT):
        grammars.guide(Extras(schema={"const": number}), reasons=False)
    assert len(grammars._kept) == GRAMMARS_KEPT
    first, again = (grammars.guide(Extras(schema={"const": 95}), reasons=False) for _ in range(2))
    first.consume(grammars.encode("9")[0])
    assert again.matcher.try_consume_tokens(grammars.encode("95")), "two answers share one state"


@pytest.mark.parametrize("write", [None, lambda: "{}"])
def test_a_tokenizer_that_cannot_be_read_is_said(write):
    with pytest.raises(JobRefused, match="schema: .* tokenizer") as refused:
        Grammars(write, 100, [1], GENERIC_FORM).guide(Extras(schema=True), reasons=False)
    assert refused.value.code == "not_offered"
