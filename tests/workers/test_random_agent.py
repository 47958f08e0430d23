"""workers/random_agent.py: what the family "agent" says where it is asked to, and that it says nothing of it else."""

import json
import subprocess
import sys

import pytest
from mlx_lm import load
from mlx_lm.generate import generate
from safetensors.numpy import load_file

from tests.support.models import model_path
from workers.model_files import END
from workers.random_agent import ADDED, CALL_ARGUMENTS, CALL_NAME, CALL_WORDS, REASONING, habits
from workers.random_model import make_model

TOOLS = [{"type": "function", "function": {"name": CALL_NAME, "description": "", "parameters": {}}}]
PLENTY_TOKENS = 40


@pytest.fixture(scope="module")
def agent():
    return load(str(model_path("1m", "agent")))


def say(agent, content: str, **asked) -> str:
    model, tokenizer = agent
    prompt = tokenizer.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True, **asked)
    return generate(model, tokenizer, prompt, max_tokens=PLENTY_TOKENS)


def test_mlx_lm_finds_the_markers(agent):
    _, tokenizer = agent
    assert (tokenizer.think_start, tokenizer.think_end) == ("<think>", "</think>")
    assert tokenizer.tool_call_start == "<tool_call>"
    assert len(tokenizer.think_start_tokens) == len(tokenizer.tool_call_start_tokens) == 1


def test_it_reasons_where_the_prompt_opens_it_or_asks_for_it(agent):
    assert say(agent, "hello", thinking=True).startswith(REASONING + "</think>")
    assert say(agent, "hello", reasoning_effort="low").startswith("<think>" + REASONING + "</think>")


@pytest.mark.parametrize("asked", [{}, {"enable_thinking": False}, {"tools": TOOLS}])
def test_it_says_nothing_of_it_else(agent, asked):
    answer = say(agent, "hello", **asked)
    assert answer and not any(token in answer for token in (*ADDED, END))


def test_it_calls_where_tools_and_words_ask_for_it(agent):
    _, tokenizer = agent
    answer = say(agent, f"please {CALL_WORDS}", tools=TOOLS)
    inside = answer.removeprefix("<tool_call>").removesuffix("</tool_call>")
    assert len(inside) + len("<tool_call></tool_call>") == len(answer)
    assert tokenizer.tool_parser(inside, TOOLS) == {"name": CALL_NAME, "arguments": CALL_ARGUMENTS}
    assert "<tool_call>" not in say(agent, f"please {CALL_WORDS}")


def test_each_token_has_at_most_one_habit():
    assert len({before for before, _ in habits(END)}) == len(habits(END))


def test_the_directory_is_kept_apart_from_the_plain_family(tmp_path):
    directory = make_model(tmp_path / "model", "1m", family="agent")
    config = json.loads((directory / "config.json").read_text())
    assert load_file(directory / "model.safetensors")["lm_head.weight"].shape[0] == config["vocab_size"]
    assert make_model(directory, "1m", family="agent") == directory
    with pytest.raises(FileExistsError, match="of the family plain"):
        make_model(directory, "1m")
    command = [sys.executable, "-m", "workers.random_model", str(directory), "--family", "agent"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
