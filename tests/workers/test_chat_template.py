"""workers/chat_template.py: what a template is given, what is tried when it refuses, and templates of requests."""

import pytest
from jinja2 import TemplateError

from tests.workers.test_prompt import Words
from workers.chat_template import ChatTemplate
from workers.chat_turns import link_calls
from workers.engine import JobRefused
from workers.job_parts import NONE, NO_EXTRAS, Extras, Tool, ToolCall
from workers.protocol import ChatMessage
from workers.text_tokens import TextTokens

TOOLS = [Tool("f", "does f")]
ASK = ChatMessage("user", "hello")
DEVELOPER = ChatMessage("developer", "Be brief.")


class Recorder(Words):
    """Keeps what its template is given; refuses the turns that `refuses` says."""

    def __init__(self, source="{% if tools %}{% endif %}", refuses=lambda turns: False, error=TemplateError("no")):
        super().__init__()
        self.chat_template = source
        self.refuses, self.error = refuses, error
        self.has_tool_calling = True
        self.given: list = []
        self.asked: dict = {}

    def apply_chat_template(self, messages, *, add_generation_prompt, **asked):
        assert add_generation_prompt
        self.given.append(messages)
        self.asked = asked
        if self.refuses(messages):
            raise self.error
        return [7]


def render(tokenizer, *messages, extras=NO_EXTRAS):
    template = ChatTemplate(tokenizer, TextTokens(tokenizer, lambda tokens, context: ""))
    return template.render(link_calls(messages or [ASK]), extras)


def knows_tools(tokenizer) -> bool:
    return ChatTemplate(tokenizer, TextTokens(tokenizer, lambda tokens, context: "")).knows_tools


def test_a_template_knows_tools_if_it_tells_them_and_mlx_lm_reads_the_calls():
    assert knows_tools(Recorder()) and knows_tools(Recorder({"tool_use": "{{ tools }}", "default": ""}))
    assert knows_tools(Recorder(None))  # rendered by a program of mlx_lm's
    assert not knows_tools(Recorder("{{ messages }}"))
    recorder = Recorder()
    recorder.has_tool_calling = False
    assert not knows_tools(recorder)


def test_nothing_is_passed_that_nobody_asked_for():
    recorder = Recorder()
    render(recorder)
    assert recorder.asked == {} and recorder.given == [[{"role": "user", "content": "hello"}]]


def test_tools_are_passed_to_a_template_that_knows_them():
    recorder = Recorder()
    render(recorder, extras=Extras(tools=TOOLS))
    [tool] = recorder.asked["tools"]
    assert tool["type"] == "function" and tool["function"]["name"] == "f"
    assert recorder.given[0] == [{"role": "user", "content": "hello"}]
    render(recorder, extras=Extras(tools=TOOLS, tool_choice=NONE))
    assert recorder.asked == {}


def test_tools_are_told_in_words_to_one_that_does_not():
    recorder = Recorder("{{ messages }}")
    render(recorder, extras=Extras(tools=TOOLS))
    assert recorder.asked == {}
    assert recorder.given[0][0]["role"] == "system" and "does f" in recorder.given[0][0]["content"]


@pytest.mark.parametrize(("think", "source", "asked"), [
    (True, "jinja", {"enable_thinking": True, "thinking": True}),
    (False, "jinja", {"enable_thinking": False, "thinking": False}),
    ("low", "jinja", {"enable_thinking": True, "thinking": True, "reasoning_effort": "low"}),
    (False, None, {"enable_thinking": False}),
    ("low", None, {"enable_thinking": True}),
])
def test_the_wish_to_think_is_passed_under_the_names_that_templates_have(think, source, asked):
    recorder = Recorder(source)
    render(recorder, extras=Extras(think=think))
    assert recorder.asked == asked


def test_developer_is_system_for_a_template_that_does_not_name_it():
    recorder = Recorder()
    render(recorder, DEVELOPER, ASK)
    assert recorder.given[0][0]["role"] == "system"
    recorder = Recorder("developer")
    render(recorder, DEVELOPER, ASK)
    assert recorder.given[0][0]["role"] == "developer"


@pytest.mark.parametrize("refuses", [
    lambda turns: any(turn["role"] == "developer" for turn in turns),
    lambda turns: any(turn["role"] == "system" for turn in turns) or turns[0]["role"] == "developer",
    lambda turns: any(not isinstance(call["function"]["arguments"], str)
                      for turn in turns for call in turn.get("tool_calls", [])),
    lambda turns: any(len(turn.get("tool_call_id", "123456789")) != 9 for turn in turns),
    lambda turns: any("thinking" in turn for turn in turns),
    lambda turns: any(a["role"] == b["role"] for a, b in zip(turns, turns[1:], strict=False)),
])
def test_what_a_template_refuses_is_put_in_another_way(refuses):
    recorder = Recorder("{{ tools }} developer", refuses)
    call = ChatMessage("assistant", "", tool_calls=[ToolCall("f", "{}", "call_of_my_own")], thinking="hm")
    assert render(recorder, DEVELOPER, ASK, ASK, call, ChatMessage("tool", "42")) == [7]


@pytest.mark.parametrize("error", [TemplateError("no"), TypeError("no"), KeyError("no"), ZeroDivisionError("no"),
                                   AssertionError("no"), AttributeError("no"), MemoryError("no")])
def test_a_broken_template_is_a_refusal_in_its_first_words(error):
    with pytest.raises(JobRefused, match="messages: the model's chat template refuses them: .*no") as refused:
        render(Recorder(refuses=lambda turns: True, error=error))
    assert refused.value.code == "invalid_request"


def test_a_template_of_the_request_is_rendered_instead_of_the_models():
    recorder = Recorder()
    render(recorder, extras=Extras(template="<u> {{ .Prompt }} <a>"))
    assert recorder.given == [] and recorder.texts == ["<u> hello <a>"]


@pytest.mark.parametrize(("template", "words"), [
    ("\n{{ nonsense }}", "^template: line 2: nonsense is not offered"),
    ("{{ range .Messages }}{{ .Content }}{{ end }}" * 20, "^template: what it makes .* is many times as long"),
])
def test_a_template_of_the_request_that_does_not_work_is_refused(template, words):
    with pytest.raises(JobRefused, match=words):
        render(Recorder(), ChatMessage("user", "word " * 400_000), extras=Extras(template=template))


def test_jinja_of_a_request_is_text():
    recorder = Recorder()
    with pytest.raises(JobRefused, match="template: line 1"):
        render(recorder, extras=Extras(template="{{ messages[0] }}"))
    render(recorder, extras=Extras(template="{% for x in y %}{{ .Prompt }}"))
    assert recorder.texts == ["{% for x in y %}hello"]


def test_an_assistants_text_that_comes_last_is_the_beginning_of_the_answer():
    recorder = Recorder()
    assert render(recorder, ASK, ChatMessage("assistant", "It is")) == [7, *recorder.encode(
        "It is", add_special_tokens=False)]
    assert recorder.given == [[{"role": "user", "content": "hello"}]]


@pytest.mark.parametrize("last", [ChatMessage("assistant", ""), ChatMessage("assistant", "", tool_calls=[
    ToolCall("f", "{}")]), ChatMessage("user", "and?")], ids=["nothing said", "a call", "a user"])
def test_any_other_last_message_is_a_turn_of_its_own(last):
    recorder = Recorder()
    assert render(recorder, ASK, last, extras=Extras(tools=TOOLS)) == [7] and len(recorder.given[0]) > 1
