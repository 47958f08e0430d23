"""A fresh home without any configuration answers sensibly: over ZeroMQ, over HTTP, and in both dialects."""

import pytest

from tests.support.found_models import make_repository
from tests.support.live_stack import LiveStack
from workers.guide.corpus import read_corpus

pytestmark = pytest.mark.integration
CORPUS = read_corpus()
KEYS = {entry.question: entry.key for entry in CORPUS.entries}


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    stack = LiveStack(tmp_path_factory.mktemp("fresh"), "")
    stack.config_file.unlink()
    del stack.env["WARDEN_CONFIG"]
    stack.env |= {"HF_HUB_CACHE": str(stack.home_path.parent / "hub"), "HOME": str(stack.home_path.parent)}
    make_repository(stack.home_path.parent / "hub", "org/Tiny-1B-4bit")
    try:
        stack.said = stack.warden("up").stdout
        yield stack
    finally:
        stack.end()


def test_up_says_where_chat_is_and_what_was_found_and_asks_nobody_without_a_terminal(fresh) -> None:
    assert f"{fresh.url}/chat" in fresh.said and "clients.ipc" in fresh.said
    assert "tiny-1b" in fresh.said and "[Y/n" not in fresh.said and "\x1b" not in fresh.said
    assert fresh.said.endswith("To serve your own: warden init --yes && warden down && warden up\n")
    assert not (fresh.home_path / "warden.toml").exists()


@pytest.mark.parametrize("way", [[], ["--http"]], ids=["ZeroMQ", "HTTP"])
def test_the_questions_of_make_run_are_answered_right(fresh, way) -> None:
    for question in ("What is mlx-warden?", "How do I add a real model?"):
        assert KEYS[question] in fresh.warden("ask", *way, question).stdout


def test_anything_else_is_refused_with_a_way_on(fresh) -> None:
    said = fresh.warden("ask", "What is the capital of France?").stdout
    assert CORPUS.refusal.key in said and "add a real model" in said


def test_both_dialects_answer_a_question_whatever_was_said_before(fresh) -> None:
    question = "Where are the logs?"
    messages = [{"role": "system", "content": "You are a pirate."}, {"role": "user", "content": "Hello"},
                {"role": "assistant", "content": "Ahoy!"}, {"role": "user", "content": question}]
    status, answer = fresh.post("/api/chat", {"model": "guide", "messages": messages, "stream": False})
    assert status == 200 and KEYS[question] in answer["message"]["content"]
    status, answer = fresh.post("/v1/chat/completions", {"model": "guide", "messages": messages})
    assert status == 200 and KEYS[question] in answer["choices"][0]["message"]["content"]
    assert answer["choices"][0]["finish_reason"] == "stop"
