"""control/capabilities.py: what a directory promises, with real models, and that nothing in it can raise."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.capabilities import ADDED_WITHIN_BYTES, Capabilities, name_capabilities, read_capabilities
from control.weights import find_built_in
from tests.support.models import model_path
from workers.random_agent import AGENT_TEMPLATE

QWEN = "{% if tools %}<tool_call>{{ tool_call.name }}{% endif %}<think>"


def write(directory, **files):
    for name, said in files.items():
        path = directory / {"tokenizer_config": "tokenizer_config.json", "tokenizer": "tokenizer.json",
                            "template": "chat_template.jinja", "older": "chat_template.json",
                            "added": "added_tokens.json", "pooling": "1_Pooling/config.json"}[name]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(said if isinstance(said, str) else json.dumps(said))
    return read_capabilities(str(directory))


def added(*tokens):
    return {"version": "1.0", "added_tokens": [{"id": at, "content": token} for at, token in enumerate(tokens)],
            "normalizer": None, "model": {"vocab": {"<|fim_prefix|>": 1}}}


def test_models_that_mlx_lm_loads_are_told_rightly():
    assert name_capabilities(read_capabilities(str(model_path("1m")))) == ["completion"]
    agent = read_capabilities(str(model_path("1m", "agent")))
    assert name_capabilities(agent) == ["completion", "tools", "insert", "thinking"]
    assert agent.template == AGENT_TEMPLATE
    assert name_capabilities(read_capabilities(find_built_in("test"))) == ["completion"]


def test_without_files_it_writes_text_and_no_more(tmp_path):
    assert read_capabilities("") == Capabilities()
    assert read_capabilities(str(tmp_path / "nowhere")) == Capabilities()
    assert read_capabilities("a\0b") == Capabilities()


def test_a_template_of_its_own_file_beats_the_others(tmp_path):
    assert write(tmp_path, older={"chat_template": "older"}).template == "older"
    assert write(tmp_path, tokenizer_config={"chat_template": "within"}).template == "within"
    assert write(tmp_path, template="alone").template == "alone"


def test_of_several_templates_the_default_is_shown_and_all_count(tmp_path):
    can = write(tmp_path, tokenizer_config={"chat_template": [
        {"name": "tool_use", "template": "{{ tools }}[TOOL_CALLS]"}, {"name": "default", "template": "plain"}, 7]})
    assert can.template == "plain" and can.tools


@pytest.mark.parametrize("files", [
    {"tokenizer": added("<think>", "</think>")},
    {"added": {"<think>": 1, "</think>": 2}},
    {"tokenizer_config": {"chat_template": QWEN, "added_tokens_decoder": {"1": {"content": "<think>"},
                                                                         "2": {"content": "</think>"}}}},
])
def test_added_tokens_are_found_wherever_they_stand(tmp_path, files):
    can = write(tmp_path, template=QWEN, **files)
    assert can.thinking and can.tools and not can.insert


def test_only_the_beginning_of_a_large_tokenizer_is_read(tmp_path):
    large = added("<think>", "</think>") | {"model": "x" * ADDED_WITHIN_BYTES}
    assert write(tmp_path, template=QWEN, tokenizer=large).thinking


def test_tools_need_a_template_that_tells_them_and_a_parser(tmp_path):
    assert not write(tmp_path, template="{{ tools }} as bare JSON").tools
    assert write(tmp_path, tokenizer_config={"tool_parser_type": "json_tools"}).tools
    assert not write(tmp_path, template="<tool_call> tool_call.name").tools
    assert write(tmp_path, tokenizer_config={"tool_parser_type": "x", "chat_template_type": "deepseek_v32"}).tools


def test_an_embedding_model_embeds_and_does_nothing_else(tmp_path):
    can = write(tmp_path, template=QWEN, tokenizer=added("<think>", "</think>"),
                pooling={"pooling_mode_lasttoken": True})
    assert (name_capabilities(can), can.pooling) == (["embedding"], "last")


@given(text=st.text(max_size=200) | st.sampled_from(["[" * 5000, "{", '{"added_tokens":[{"content":"\\u12"}]}', "[1]"]))
def test_broken_files_say_nothing(tmp_path_factory, text):
    directory = tmp_path_factory.mktemp("broken")
    for name in ("tokenizer_config", "tokenizer", "older", "added", "pooling"):
        can = write(directory, **{name: text})
    assert can.completion and not (can.tools or can.thinking or can.insert)
