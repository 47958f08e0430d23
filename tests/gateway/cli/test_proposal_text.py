"""A proposal as it is read: every line within the width, nothing cut, and nothing that a terminal would obey."""

import json

from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.proposal import EMBEDS, OllamaFound, choose_proposal
from gateway.cli.proposal_text import describe, full_lines, short_lines
from tests.support.found_models import found, machine

WIDTH = 80
OLLAMA = OllamaFound("http://127.0.0.1:11434", "0.9.9", ("a", "b"), True)
MODELS = [
    found("a/Qwen3-8B-4bit", 4.6), found("a/Qwen3-1.7B-4bit", 1.0), found("a/Embed", 0.5, kind=EMBEDS),
    found("a/Qwen3-32B-4bit", 18.4), found("a/bert", problem="no language model (BertModel)"),
    found("a/half", problem="incomplete: it lacks a file"),
]


def test_the_short_form_names_what_is_served_and_what_is_not():
    lines = short_lines(choose_proposal(machine(*MODELS, ollama=OLLAMA)), WIDTH)
    text = " ".join(" ".join(lines).split())
    assert lines[0].split() == ["qwen3-8b", "5.6", "GiB", "default,", "also", "qwen3:8b"]
    assert lines[1].endswith("the fast one, also qwen3:1.7b") and lines[2].endswith("embeds")
    assert "Ollama 0.9.9 at http://127.0.0.1:11434 with 2 models" in text
    assert "10.7 GiB for all models together (what the GPU is recommended to use)" in text
    assert text.endswith("left out: Qwen3-32B-4bit (too big); half (incomplete); 1 that MLX cannot run as a language "
                         "model")
    assert max(map(len, lines)) <= WIDTH


def test_the_full_form_shows_the_sum_of_each_and_every_reason():
    proposal = choose_proposal(machine(*MODELS, available_bytes=1))
    text = " ".join(" ".join(full_lines(proposal, WIDTH)).split())
    assert "weights 4.4 GiB + KV 612 MiB + copies 34 MiB + prefill" in text and "= 5.6 GiB" in text
    assert "the default: the largest for general use that needs at most 75 % of the budget" in text
    assert "just now other programs leave 0 MiB: qwen3-8b is loaded when they leave more" in text
    assert "All of them can stay loaded at once." in text
    for left in proposal.left_out:
        assert f"{left.title}: {left.why}" in text


def test_models_that_do_not_fit_together_are_said_to_take_turns():
    two = [found("a/x", 5.0), found("a/y", 5.5), found("a/z", 1.0)]
    text = " ".join(" ".join(full_lines(choose_proposal(machine(*two)), WIDTH)).split())
    assert "so they take turns; y + z can stay loaded together" in text
    text = " ".join(" ".join(full_lines(choose_proposal(machine(*two[:2])), WIDTH)).split())
    assert "so they take turns, one at a time." in text


def test_the_json_holds_the_same_sum():
    told = json.loads(json.dumps(describe(choose_proposal(machine(*MODELS, ollama=OLLAMA)))))
    assert told["default_model"] == "qwen3-8b" and told["ollama"]["version"] == "0.9.9"
    for model in told["models"]:
        assert sum(part["bytes"] for part in model["parts"]) == model["needs_bytes"] <= told["ceiling_bytes"]
    assert [left["title"] for left in told["left_out"]] == ["a/bert", "a/half", "a/Qwen3-32B-4bit"]


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_title_and_no_reason_reaches_the_terminal_as_an_order(title, reason):
    proposal = choose_proposal(machine(found(title or "x", 1.0), found("b/c", problem=reason or "x")))
    assert all(line.isprintable() for line in (*full_lines(proposal, WIDTH), *short_lines(proposal, WIDTH)))
