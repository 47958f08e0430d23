"""workers/tool_calls.py: what mlx_lm's parsers read, in one shape, and what is no call."""

import importlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.call_texts import CALLS, WANTED, form_of
from workers.chat_turns import describe_tools
from workers.job_parts import NONE, Extras, Tool
from workers.tool_calls import GENERIC_FORM, Call, calls_wanted, choose_form, read_calls, reader_of

TOOLS = [Tool("get_weather", "", {"type": "object", "properties": {"city": {"type": "string"},
                                                                    "days": {"type": "integer"}}})]
TOLD = describe_tools(Extras(tools=TOOLS))


def generic(said: object) -> list[Call] | None:
    return read_calls(json.dumps(said), GENERIC_FORM, TOLD)


@pytest.mark.parametrize("family", CALLS)
def test_every_family_gives_the_same_call(family):
    [call] = read_calls(CALLS[family], form_of(family), TOLD) or []
    assert call.name == "get_weather" and json.loads(call.arguments) == WANTED


@pytest.mark.parametrize("family", CALLS)
def test_of_which_families_calls_are_json_and_nothing_else(family):
    assert form_of(family).is_json is (family in ("generic", "json_tools"))


@given(family=st.sampled_from(list(CALLS)), text=st.text(st.sampled_from('{}[]()<>="\\:,.\n a1[ARGS]'), max_size=40))
def test_no_text_raises(family, text):
    for call in read_calls(text, form_of(family), TOLD) or []:
        assert call.name and isinstance(json.loads(call.arguments), dict)


@given(family=st.sampled_from(list(CALLS)), at=st.integers(0, 200), instead=st.sampled_from(["", '"', "{", "\n", "9"]))
def test_no_broken_call_raises(family, at, instead):
    text = CALLS[family]
    read_calls(text[:at] + instead + text[at + 1 :], form_of(family), TOLD)


class TestGeneric:
    def test_arguments_or_parameters_as_object_or_text(self):
        for said in ({"name": "f", "arguments": {"a": 1}}, {"name": "f", "parameters": {"a": 1}},
                     {"name": "f", "arguments": '{"a": 1}'}, {"function": {"name": "f", "arguments": {"a": 1}}}):
            assert generic(said) == [Call("f", '{"a": 1}')]

    def test_none_means_an_empty_object(self):
        for said in ({"name": "f"}, {"name": "f", "arguments": None}, {"name": "f", "arguments": ""}):
            assert generic(said) == [Call("f", "{}")]

    def test_several(self):
        assert generic([{"name": "f"}, {"name": "g"}]) == [Call("f", "{}"), Call("g", "{}")]

    @pytest.mark.parametrize("said", [
        1, "x", None, [], {}, {"name": ""}, {"name": 5}, {"arguments": {}}, {"name": "f", "arguments": [1]},
        {"name": "f", "arguments": "x"}, [{"name": "f"}, 1], {"name": "f", "arguments": {"a": float("nan")}},
        {"name": "f", "arguments": {"a": "\ud800"}},
    ])
    def test_no_call(self, said):
        assert generic(said) is None

    def test_other_scripts_stay_readable(self):
        assert generic({"name": "f", "arguments": {"city": "Köln"}}) == [Call("f", '{"city": "Köln"}')]

    def test_nested_without_end_is_no_call(self):
        assert read_calls("[" * 100_000, GENERIC_FORM, TOLD) is None


def test_the_form_is_the_families_only_if_the_template_tells_of_tools():
    module = importlib.import_module("mlx_lm.tool_parsers.mistral")

    class Tokenizer:
        tool_parser, tool_call_start, tool_call_end = module.parse_tool_call, "[TOOL_CALLS]", ""

    form = choose_form(Tokenizer, knows_tools=True)
    assert form[:3] == ("mistral", "[TOOL_CALLS]", "")
    assert choose_form(Tokenizer, knows_tools=False) is GENERIC_FORM


def test_calls_are_read_only_for_a_job_that_may_make_some():
    assert not calls_wanted(Extras())
    assert reader_of(GENERIC_FORM, Extras(tools=TOOLS, tool_choice=NONE)) is None
    read = reader_of(GENERIC_FORM, Extras(tools=TOOLS))
    assert read is not None and read('{"name": "get_weather"}') == [Call("get_weather", "{}")]


def test_the_name_that_means_nothing_was_read_is_no_call_unless_a_tool_has_it():
    text, form = "\n", form_of("glm47")
    assert read_calls(text, form, TOLD) is None
    told = describe_tools(Extras(tools=[Tool("unknown")]))
    assert read_calls(text, form, told) == [Call("unknown", '{"raw": ""}')]
