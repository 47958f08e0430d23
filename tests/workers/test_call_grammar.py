"""workers/call_grammar.py: each family's own form is let through, and nothing that breaks what is enforced."""

import pytest

from tests.support.call_texts import CALLS, form_of
from tests.support.grammars import TOKENIZERS, follows, grammars_for
from workers.job_parts import NAMED, REQUIRED, Extras, Tool

PARAMETERS = {"type": "object", "required": ["city"],
              "properties": {"city": {"type": "string"}, "days": {"type": "integer"}, "unit": {"enum": ["c", "f"]}}}
TOOL, OTHER = Tool("get_weather", "", PARAMETERS), Tool("get_time")
STRICT = Tool("get_weather", "", PARAMETERS, strict=True)
JSON_VALUES = ("generic", "json_tools", "mistral", "kimi_k2", "pythonic")  # values meet their schemas
NAMES = tuple(family for family in CALLS if family != "muse_spark")
WAYS = {
    "required": Extras(tools=[OTHER, TOOL], tool_choice=REQUIRED),
    "named": Extras(tools=[OTHER, TOOL], tool_choice=f"{NAMED}get_weather", parallel_tools=False),
    "strict": Extras(tools=[OTHER, STRICT]),
    "with a schema": Extras(tools=[TOOL], schema={"type": "object", "additionalProperties": False}),
}


def said(family: str, old: str = "", new: str = "") -> str:
    form = form_of(family)
    assert not old or old in CALLS[family]
    return form.start + CALLS[family].replace(old, new) + form.end


@pytest.mark.parametrize("special", TOKENIZERS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("family", CALLS)
def test_a_right_call_may_be_said_and_the_answer_may_end(family, way, special):
    if family == "mistral" and not special:
        pytest.skip("its older form is a list")
    grammars = grammars_for(form_of(family), special)
    assert follows(grammars, WAYS[way], said(family)), way


@pytest.mark.parametrize("family", NAMES)
def test_no_other_name(family):
    grammars = grammars_for(form_of(family), special=True)
    for way in ("required", "named", "strict"):
        for name in ("get_whether", "get_weather_now", "get_"):
            assert not follows(grammars, WAYS[way], said(family, "get_weather", name)), (way, name)
    assert not follows(grammars, WAYS["named"], said(family, "get_weather", "get_time"))


@pytest.mark.parametrize("family", JSON_VALUES)
@pytest.mark.parametrize(("old", "new"), [
    ("3", "3.5"), ("3", '"3"'), ("days", "weeks"), ('"Paris"', "7"),
])
def test_values_meet_their_schemas(family, old, new):
    assert not follows(grammars_for(form_of(family), special=True), WAYS["required"], said(family, old, new))


@pytest.mark.parametrize(("old", "new"), [
    ("\n3\n", "\n3.5\n"), ("=days", "=weeks"), ("<parameter=city>\nParis\n</parameter>\n", ""),
])
def test_qwen3_coder_holds_names_and_what_is_no_string(old, new):
    assert not follows(grammars_for(form_of("qwen3_coder"), special=True), WAYS["required"],
                       said("qwen3_coder", old, new))


def test_pythonic_arguments_may_be_missing_unless_required():
    grammars = grammars_for(form_of("pythonic"), special=True)
    assert follows(grammars, WAYS["required"], said("pythonic", ", days=3", ""))
    assert follows(grammars, WAYS["required"], said("pythonic", ", days=3", ', unit="c"'))
    assert follows(grammars, WAYS["required"], said("pythonic", 'get_weather(city="Paris", days=3)', "get_time()"))
    assert not follows(grammars, WAYS["required"], said("pythonic", 'city="Paris", ', ""))


@pytest.mark.parametrize("family", ["generic", "kimi_k2", "qwen3_coder", "glm47"])
class TestHowMany:
    def test_several_only_if_they_may_be(self, family):
        grammars, one = grammars_for(form_of(family), special=True), said(family)
        assert follows(grammars, WAYS["required"], one + one)
        assert not follows(grammars, WAYS["named"], one + one)

    def test_no_more_than_there_are_tools_and_one_that_is_named(self, family):
        grammars, one = grammars_for(form_of(family), special=True), said(family)
        assert not follows(grammars, WAYS["required"], one + one + one)
        single = Extras(tools=[TOOL], tool_choice=REQUIRED)
        assert follows(grammars, single, one) and not follows(grammars, single, one + one)
        named = Extras(tools=[OTHER, TOOL], tool_choice=f"{NAMED}get_weather")
        assert follows(grammars, named, one) and not follows(grammars, named, one + one)

    def test_no_words_where_a_call_is_asked(self, family):
        grammars, one = grammars_for(form_of(family), special=True), said(family)
        assert not follows(grammars, WAYS["required"], "Well, " + one)
        assert not follows(grammars, WAYS["required"], "")

    def test_words_and_calls_where_the_model_is_free(self, family):
        grammars, one = grammars_for(form_of(family), special=True), said(family)
        for text in ("Well, " + one + " that is it", "no call at all", "", one + one):
            assert follows(grammars, WAYS["strict"], text)

    def test_a_schema_or_calls(self, family):
        grammars = grammars_for(form_of(family), special=True)
        assert follows(grammars, WAYS["with a schema"], "{}")
        assert not follows(grammars, WAYS["with a schema"], "words")
