"""workers/go_render.py: prompts as Ollama makes them of a template and a conversation, with bounded work."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.go_render import TemplateTooLong, render_chat, render_insert
from workers.go_template import TemplateRefused
from workers.job_parts import NONE, Extras, Tool, ToolCall
from workers.protocol import ChatMessage

ROOM_CHARS = 10_000
SYSTEM, HELLO, HI, BYE = (ChatMessage("system", "Be kind."), ChatMessage("user", "hello"),
                          ChatMessage("assistant", "hi"), ChatMessage("user", "bye"))
CALLING = ChatMessage("assistant", "", tool_calls=[ToolCall("f", '{"a": 1}', "c1")])
RESULT = ChatMessage("tool", "42", name="f", tool_call_id="c1")
CHATML = """{{- range .Messages }}<|im_start|>{{ .Role }}
{{ .Content }}<|im_end|>
{{ end }}<|im_start|>assistant
"""
WITH_TOOLS = """{{- if or .System .Tools }}<sys>
{{- if .System }} {{ .System }}{{ end }}
{{- range .Tools }} {{ . }}{{ end }}</sys>
{{- end }}
{{- range $i, $_ := .Messages }}
{{- $last := eq (len (slice $.Messages $i)) 1 }}
{{- if eq .Role "user" "tool" }}[{{ $i }} {{ .Content }}{{ if .ToolName }} of {{ .ToolName }}{{ end }}]
{{- else if eq .Role "assistant" }}
{{- if .ToolCalls }}
{{- range .ToolCalls }}<call>{{ .Function.Name }} {{ json .Function.Arguments }}</call>{{ end }}
{{- else }}({{ .Content }}){{ end }}
{{- end }}
{{- if and $last (ne .Role "assistant") }} >{{ end }}
{{- end }}"""


def render(source, *messages, **extras):
    return render_chat(source, messages or (SYSTEM, HELLO), Extras(**extras), ROOM_CHARS)


def test_a_template_that_reads_messages_is_rendered_once():
    assert render(CHATML, HELLO, HI, BYE) == (
        "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\nhi<|im_end|>\n<|im_start|>user\nbye<|im_end|>\n"
        "<|im_start|>assistant\n")


def test_tools_calls_and_results_as_published_templates_write_them():
    shown = render(WITH_TOOLS, SYSTEM, HELLO, CALLING, RESULT, tools=[Tool("f", "does f")])
    assert shown == ('<sys> Be kind. {"type": "function", "function": {"name": "f", "description": "does f", '
                     '"parameters": {"type": "object", "properties": {}}}}</sys>[1 hello]'
                     '<call>f {"a": 1}</call>[3 42 of f] >')
    assert "does f" not in render(WITH_TOOLS, tools=[Tool("f", "does f")], tool_choice=NONE)


def test_an_older_template_is_rendered_for_each_round_and_cut_where_the_answer_goes():
    source = "{{ if .System }}S {{ .System }} {{ end }}{{ if .Prompt }}U {{ .Prompt }} {{ end }}A {{ .Response }}</s>"
    assert render(source, SYSTEM, HELLO, HI, BYE) == "S Be kind. U hello A hi</s>U bye A "


def test_without_response_the_answer_goes_to_the_end():
    assert render("{{ .System }} {{ .Prompt }}: ") == "Be kind. hello: "


def test_texts_of_one_role_in_a_row_are_one():
    assert render("{{ range .Messages }}[{{ .Content }}]{{ end }}", HELLO, BYE, HI) == "[hello\n\nbye][hi]"
    assert render("{{ .System }}", SYSTEM, ChatMessage("developer", "Now."), HELLO) == "Be kind.\n\nNow."


def test_insert_reads_prompt_and_suffix_alone():
    source = "<p>{{ .Prompt }}<s>{{ .Suffix }}<m>"
    assert render_insert(source, "a", "b", ROOM_CHARS) == "<p>a<s>b<m>"
    with pytest.raises(TemplateRefused, match=r"nothing reads \.Suffix"):
        render_insert("{{ .Prompt }}", "a", "b", ROOM_CHARS)


@pytest.mark.parametrize(("source", "shown"), [
    ("{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ end }}{{ $x }}{{ .Response }}", "2"),
    ("{{ range $i, $m := .Messages }}{{ $i }}{{ $m.Role }} {{ end }}", "0system 1user "),
    ("{{ range .Tools }}x{{ else }}none{{ end }}{{ .Response }}", "none"),
    ("{{ and .System .Prompt }}|{{ or .Suffix .Prompt }}|{{ not .Suffix }}{{ .Response }}", "hello|hello|true"),
    ("{{ if lt (len .Prompt) 9 }}short{{ end }}{{ ge 2 2 }}{{ le 3 2 }}{{ gt 3 2 }}{{ .Response }}",
     "shorttruefalsetrue"),
    ("{{ $m := index .Messages 1 }}{{ $m.Role }}", "user"),
    ("{{ .Think }} {{ .IsThinkSet }}{{ .ThinkLevel }}{{ .Response }}", "false false"),
    ("{{ json .System }}{{ `raw` }}{{ \"a\\n\" }}{{ nil }}{{ .Response }}", '"Be kind."rawa\n'),
])
def test_expressions(source, shown):
    assert render(source) == shown


@pytest.mark.parametrize(("source", "words"), [
    ("\n{{ .Foo }}", r"line 2: \.Foo is not known; there are \.System"),
    ("{{ range .Messages }}{{ .Prompt }}{{ end }}", r"\.Prompt is not known; there are \.Role"),
    ("{{ $x }}", r"\$x is not known"),
    ("{{ if true }}{{ $x := 1 }}{{ end }}{{ $x }}", r"\$x is not known"),
    ("{{ $x = 1 }}", r"\$x is not known"),
    ("{{ range .Prompt }}{{ end }}", "range goes over lists and maps"),
    ("{{ .Prompt.Name }}", "what has no fields"),
    ("{{ lt .Prompt 3 }}", "lt cannot take these values"),
    ("{{ len 3 }}", "len cannot take"),
    ("{{ index .Messages 99 }}", "index cannot take"),
])
def test_mistakes_are_refused_in_words(source, words):
    with pytest.raises(TemplateRefused, match=words):
        render(source)


def test_the_work_is_bounded():
    many = [ChatMessage("user" if at % 2 else "assistant", "") for at in range(1000)]
    nested = "{{ range .Messages }}" + "{{ range $.Messages }}" * 3 + "{{ end }}" * 4
    with pytest.raises(TemplateRefused, match="steps"):
        render(nested, *many)
    with pytest.raises(TemplateTooLong):
        render("{{ range .Messages }}{{ $.Messages }}{{ end }}", *many)


@given(st.text(max_size=50), st.text(max_size=50))
def test_what_a_message_says_is_never_read_as_a_template(content, system):
    asked = (ChatMessage("system", "{{ .Foo }}" + system), ChatMessage("user", "{{ end }}" + content))
    assert render("{{ .System }}|{{ .Prompt }}", *asked) == f"{{{{ .Foo }}}}{system}|{{{{ end }}}}{content}"
