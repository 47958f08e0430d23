"""workers/prompt.py with real tokenizers: tools, reasoning, templates of requests, fill in the middle, long prompts."""

from pathlib import Path

import pytest
from mlx_lm.tokenizer_utils import load

from control.capabilities import read_capabilities
from control.weights import find_built_in
from tests.support.models import model_path
from workers.engine import EngineJob, JobRefused
from workers.job_parts import Extras, Tool, ToolCall
from workers.prompt import Prompt, PromptEncoder
from workers.protocol import ChatMessage

CONTEXT_TOKENS = 4096
SMALL_TOKENS = 128
TOOLS = [Tool("get_weather", "of a city", {"type": "object", "properties": {"city": {"type": "string"}}})]
HELLO = [ChatMessage("user", "hello")]
CALLED = [ChatMessage("system", "Be kind."), *HELLO,
          ChatMessage("assistant", "", tool_calls=[ToolCall("get_weather", '{"city": "Paris"}')], thinking="Hm."),
          ChatMessage("tool", "sunny"), ChatMessage("user", "and tomorrow?")]
DIRECTORIES = {"plain": lambda: model_path("1m"), "agent": lambda: model_path("1m", "agent"),
               "guide": lambda: Path(find_built_in("test"))}


class Model:
    """A tokenizer of a model that is not loaded, and its encoder."""

    def __init__(self, name: str) -> None:
        self.path = DIRECTORIES[name]()
        self.tokenizer = load(self.path)
        self.encoder = PromptEncoder(self.tokenizer, CONTEXT_TOKENS, len(self.tokenizer))

    def encode(self, max_tokens=0, messages=None, prompt=None, tokens=None, **extras) -> Prompt:
        return self.encoder.encode(EngineJob((1,), messages, prompt, tokens, max_tokens=max_tokens,
                                             extras=Extras(**extras)))

    def text(self, **asked) -> str:
        return self.tokenizer.decode(self.encode(**asked).tokens)


MODELS: dict[str, Model] = {}


def model(name: str) -> Model:
    return MODELS.setdefault(name, Model(name))


@pytest.mark.parametrize("name", DIRECTORIES)
def test_the_encoder_knows_tools_where_the_files_promise_it(name):
    assert model(name).encoder.knows_tools is read_capabilities(str(model(name).path)).tools


@pytest.mark.parametrize("name", DIRECTORIES)
def test_without_extras_a_prompt_is_what_the_template_makes(name):
    spoken = [{"role": "user", "content": "hello"}]
    expected = model(name).tokenizer.apply_chat_template(spoken, add_generation_prompt=True)
    assert model(name).encode(messages=HELLO) == Prompt(expected, CONTEXT_TOKENS)


def test_tools_calls_and_results_through_a_template_that_knows_them():
    text = model("agent").text(messages=CALLED, tools=TOOLS)
    assert '<tools>\n{"type": "function", "function": {"name": "get_weather"' in text
    assert '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>' in text
    assert "<tool_response>sunny</tool_response>" in text and "<think>\nHm.\n</think>" in text


def test_tools_calls_and_results_through_a_template_that_does_not():
    text = model("plain").text(messages=CALLED, tools=TOOLS)
    assert 'system\nBe kind.\n\n' in text and '{"name": "get_weather", "description": "of a city"' in text
    assert '<tool_call>{"name": "get_weather", "arguments": {"city": "Paris"}}</tool_call>' in text
    assert "Result of get_weather:\nsunny" in text


def test_thinks_is_what_the_prompt_has_opened_and_nothing_that_was_quoted():
    agent = model("agent")
    assert agent.encode(messages=HELLO, think=True).thinks
    assert not agent.encode(messages=HELLO, think=False).thinks
    assert not agent.encode(messages=HELLO, think="high").thinks  # there the model opens it
    assert not agent.encode(messages=HELLO).thinks
    assert not agent.encode(messages=[ChatMessage("user", "what does <think> mean?")]).thinks
    assert agent.encode(prompt="<think>Well, ").thinks
    assert not agent.encode(prompt="<think>Well,</think> yes").thinks
    assert not model("plain").encode(messages=HELLO, think=True).thinks
    assert agent.encode(messages=HELLO, template="{{ .Prompt }}<think>\n").thinks


def test_a_template_of_the_request_takes_messages_and_prompts():
    source = "{{ if .System }}<s>{{ .System }}{{ end }}<u>{{ .Prompt }}<a>"
    assert model("plain").text(messages=CALLED[:2], template=source).endswith("<s>Be kind.<u>hello<a>")
    assert model("plain").text(prompt="hello", template=source).endswith("<u>hello<a>")
    filled = model("plain").text(prompt="a", suffix="b", template="{{ .Prompt }}<hole>{{ .Suffix }}")
    assert filled.endswith("a<hole>b")


def test_fill_in_the_middle():
    expected = "<|begin|><|fim_prefix|>def f(<|fim_suffix|>\n    return 1<|fim_middle|>"
    assert model("agent").text(prompt="def f(", suffix="\n    return 1") == expected
    assert model("agent").text(prompt="", suffix="}").endswith("<|fim_prefix|><|fim_suffix|>}<|fim_middle|>")
    with pytest.raises(JobRefused, match="does not support insert"):
        model("plain").encode(prompt="def f(", suffix="}")


def test_fill_in_the_middle_keeps_the_words_around_the_gap():
    asked = {"prompt": "old " * 999 + "near(", "suffix": ")near" + " far" * 999, "num_ctx": SMALL_TOKENS}
    made = model("agent").encode(truncate=True, **asked)
    text = model("agent").tokenizer.decode(made.tokens)
    assert "near(<|fim_suffix|>)near" in text and text.endswith("<|fim_middle|>")
    assert len(made.tokens) < SMALL_TOKENS and made.dropped_tokens > SMALL_TOKENS
    with pytest.raises(JobRefused, match="num_ctx asks for no more"):
        model("agent").encode(**asked)


def test_a_small_context_is_asked_for_and_a_large_one_is_bounded():
    assert model("plain").encode(messages=HELLO, num_ctx=SMALL_TOKENS).context_length == SMALL_TOKENS
    assert model("plain").encode(messages=HELLO, num_ctx=10 * CONTEXT_TOKENS).context_length == CONTEXT_TOKENS
    with pytest.raises(JobRefused) as refused:
        model("plain").encode(tokens=[5] * SMALL_TOKENS, num_ctx=SMALL_TOKENS)
    assert refused.value.code == "context_length_exceeded" and "holds 128" in refused.value.message


def long_chat(turns: int) -> list[ChatMessage]:
    said = [ChatMessage("assistant" if at % 2 else "user", f"words of turn {at}") for at in range(turns)]
    return [ChatMessage("system", "Be kind."), *said]


@pytest.mark.parametrize("template", ["", "{{ range .Messages }}<{{ .Role }}>{{ .Content }}{{ end }}"])
def test_a_long_chat_loses_its_oldest_turns(template):
    made = model("plain").encode(messages=long_chat(4001), truncate=True, template=template)
    text = model("plain").tokenizer.decode(made.tokens)
    assert "Be kind." in text and "words of turn 4000" in text and "words of turn 100\n" not in text
    assert CONTEXT_TOKENS // 2 < len(made.tokens) <= CONTEXT_TOKENS * 7 // 8
    assert made.dropped_messages > 1000 and made.dropped_tokens == 0


def test_without_truncate_it_is_refused():
    with pytest.raises(JobRefused) as refused:
        model("plain").encode(messages=long_chat(4001))
    assert refused.value.code == "context_length_exceeded"


def test_what_fits_is_left_whole():
    whole = model("plain").encode(messages=long_chat(9))
    assert model("plain").encode(messages=long_chat(9), truncate=True) == whole


@pytest.mark.parametrize("repeats", [1_000, 1_000_000])
def test_a_last_message_that_is_too_long_alone_loses_its_first_words_and_the_prompt_keeps_its_form(repeats):
    messages = [ChatMessage("system", "Be kind."), ChatMessage("user", "first " + "word " * repeats + "last")]
    made = model("plain").encode(messages=messages, truncate=True, num_ctx=SMALL_TOKENS)
    text = model("plain").tokenizer.decode(made.tokens)
    assert text.startswith("<|begin|><|start|>system\nBe kind.<|end|>\n<|start|>user\n")
    assert text.endswith("word last<|end|>\n<|start|>assistant\n") and "first" not in text
    assert SMALL_TOKENS // 2 < len(made.tokens) < SMALL_TOKENS and made.dropped_tokens > 0


@pytest.mark.parametrize("asked", [{"tokens": [1, *range(5, 500)]}, {"prompt": "first " + "word " * 100_000},
                                   {"messages": [ChatMessage("user", "first " + "word " * 1_000)]}])
def test_num_keep_keeps_the_first_tokens(asked):
    whole = {name: said[:4] if name == "tokens" else said for name, said in asked.items()}
    made = model("plain").encode(**asked, truncate=True, num_ctx=SMALL_TOKENS, num_keep=4)
    assert made.dropped_tokens > 0 and len(made.tokens) == SMALL_TOKENS * 7 // 8
    if "tokens" in asked:
        assert made.tokens[:4] == whole["tokens"] and made.tokens[-1] == 499
    else:
        assert made.tokens[0] == model("plain").tokenizer.bos_token_id


def test_the_token_that_begins_a_text_stays_without_num_keep():
    made = model("plain").encode(prompt="first " + "word " * 1_000, truncate=True, num_ctx=SMALL_TOKENS)
    assert made.tokens[0] == model("plain").tokenizer.bos_token_id
    assert "first" not in model("plain").tokenizer.decode(made.tokens)


@pytest.mark.parametrize(("max_tokens", "left"), [(0, SMALL_TOKENS // 8), (40, 40), (1_000, SMALL_TOKENS // 2)])
def test_room_for_the_answer_is_left(max_tokens, left):
    made = model("plain").encode(max_tokens, tokens=[5] * 500, truncate=True, num_ctx=SMALL_TOKENS)
    assert SMALL_TOKENS - len(made.tokens) == left


def test_tools_that_are_too_long_are_refused_even_with_truncate():
    many = [Tool(f"f{at}", "words " * 100) for at in range(200)]
    with pytest.raises(JobRefused) as refused:
        model("plain").encode(messages=HELLO, tools=many, truncate=True, num_ctx=SMALL_TOKENS)
    assert refused.value.code == "context_length_exceeded"


def test_an_answer_that_has_begun_is_not_thought_about_again():
    said = [*HELLO, ChatMessage("assistant", "It is")]
    prompt = model("agent").encode(messages=said, think=True)
    assert model("agent").tokenizer.decode(prompt.tokens).endswith("It is") and not prompt.thinks
    opened = model("agent").encode(messages=HELLO, think=True)
    begun = model("agent").tokenizer.decode(prompt.tokens)
    assert begun.startswith(model("agent").tokenizer.decode(opened.tokens)) and opened.thinks == ("</think>" in begun)


@pytest.mark.parametrize("asked", [
    {"template": '{{ "\\ud800" }}{{ .Prompt }}'},
    {"template": "{{ range .Messages }}{{ .Content }}{{ .ToolCalls }}{{ end }}"},
])
def test_half_characters_that_a_template_brings_in_are_refused(asked):
    """The engine's thread, and with it every answer of the model, would end with what the tokenizer raises."""
    said = [*HELLO, ChatMessage("assistant", "", tool_calls=[ToolCall("f", '{"a": "\\ud800"}')]), *HELLO]
    with pytest.raises(JobRefused) as refused:
        model("guide").encode(messages=said, **asked)
    assert refused.value.code == "invalid_request" and "ud800" in refused.value.message
