"""Names of found models: short, never the same twice, and Ollama's only where nothing else can be meant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.config import canonical, slug_of
from control.library import is_name
from gateway.cli.proposal_names import at_ollama, category_of, choose_aliases, choose_names, short_of


@pytest.mark.parametrize(("title", "short", "there"), [
    ("mlx-community/Qwen3-4B-4bit", "qwen3-4b", "qwen3:4b"),
    ("mlx-community/Qwen3-4B-Instruct-2507-4bit-DWQ-2510", "qwen3-4b-instruct-2507", "qwen3:4b"),
    ("mlx-community/Meta-Llama-3.1-8B-Instruct-8bit", "meta-llama-3.1-8b-instruct", "llama3.1:8b"),
    ("mlx-community/Phi-3.5-mini-instruct-4bit", "phi-3.5-mini-instruct", "phi3.5:3.8b"),
    ("mlx-community/gemma-3-12b-it-qat-4bit", "gemma-3-12b-it-qat", "gemma3:12b"),
    ("mlx-community/DeepSeek-R1-Distill-Qwen-7B-4bit", "deepseek-r1-distill-qwen-7b", "deepseek-r1:7b"),
    ("mlx-community/gpt-oss-20b-MXFP4-Q8", "gpt-oss-20b", "gpt-oss:20b"),
    ("mlx-community/Qwen3-30B-A3B-4bit", "qwen3-30b-a3b", "qwen3:30b"),
    ("somebody/Qwen3-4B-medical-4bit", "qwen3-4b-medical", ""),
    ("mlx-community/Qwen3-4B-Thinking-2507-4bit", "qwen3-4b-thinking-2507", ""),
    ("huihui/Llama-3.2-3B-Instruct-abliterated", "llama-3.2-3b-instruct-abliterated", ""),
    ("Qwen/Qwen3-4B-Base", "qwen3-4b-base", ""),
    ("org/...", "model", ""),
])
def test_a_short_name_and_the_one_at_ollama(title, short, there):
    assert (short_of(title), at_ollama(title)) == (short, there)


@pytest.mark.parametrize(("title", "category"), [
    ("mlx-community/Qwen2.5-Coder-7B-Instruct-4bit", "coding"), ("mlx-community/Devstral-Small-2507-4bit", "coding"),
    ("mlx-community/QwQ-32B-4bit", "reasoning"), ("mlx-community/Qwen3-8B-4bit", ""), ("org/decoder-7b", ""),
])
def test_what_it_was_made_for(title, category):
    assert category_of(title) == category


def test_two_that_differ_in_their_weights_only_keep_that_in_their_names():
    assert choose_names([("a/Qwen3-4B-4bit", ""), ("a/Qwen3-4B-8bit", ""), ("a/Phi-4-4bit", "")]) == [
        "qwen3-4b-4bit", "qwen3-4b-8bit", "phi-4"]
    assert choose_names([("a/x-4bit", ""), ("b/x-4bit", "")]) == ["x-4bit", "b-x-4bit"]
    assert choose_names([("a/x", "mine"), ("b/mine", "")]) == ["mine", "b-mine"]
    assert choose_names([("org/relay-ollama", "")]) == ["org-relay-ollama"]


def test_who_comes_first_gets_the_name_of_ollama_and_none_that_does_not_chat():
    titles = ["a/Qwen3-4B-4bit", "a/Qwen3-4B-8bit", "Qwen/Qwen3-4B"]
    assert choose_aliases(["big", "a/qwen3-4b-8bit", "base"], titles, [True, True, False]) == [
        ("qwen3:4b", "a/Qwen3-4B-4bit"), (), ("Qwen/Qwen3-4B",)]


@given(st.lists(st.text(max_size=140), max_size=12))
def test_any_titles_give_names_that_a_configuration_accepts(titles):
    names = choose_names([(title, "") for title in titles])
    aliases = choose_aliases(names, titles, [True] * len(titles))
    everything = [canonical(name) for name in (*names, *(name for each in aliases for name in each))]
    assert len(set(everything)) == len(everything) and all(map(is_name, everything))
    assert len({slug_of(name) for name in names}) == len(titles)
