"""The score counts what it says, the held-out questions are held out, and the model that is shipped passes."""

import json
import subprocess
import sys

import pytest

from tests.support.supervisor_home import ROOT
from workers.guide.corpus import CHAT_TEMPLATE, HELD_OUT, MODEL, read_corpus
from workers.guide.evaluate import Asked, Score, is_right, read_held_out
from workers.guide.patterns import parse_pattern

CORPUS = read_corpus()
HELD_OUT_MIN, OTHER_MIN, QUESTIONS_MIN = 200, 40, 90
MODEL_MAX_BYTES = 6_000_000
EVALUATION_MAX_S = 110


@pytest.mark.integration  # it takes seconds
def test_the_held_out_questions_are_many_about_most_questions_and_none_was_trained_on():
    product, other = read_held_out(CORPUS)
    assert len(product) >= HELD_OUT_MIN and len(other) >= OTHER_MIN
    assert len({asked.entry.name for asked in product}) >= QUESTIONS_MIN


def test_an_answer_is_right_if_it_holds_the_key_of_its_own_question():
    first, second = CORPUS.entries[:2]
    assert is_right(Asked("", first), f"Well, {first.key.upper()}!", CORPUS)
    assert not is_right(Asked("", first), second.answer, CORPUS)
    assert not is_right(Asked("", first), "", CORPUS)


def test_a_refusal_says_both_what_is_known_and_how_to_add_a_real_model():
    asked = Asked("", CORPUS.refusal)
    assert is_right(asked, CORPUS.refusal.answer, CORPUS)
    assert not is_right(asked, CORPUS.refusal.key, CORPUS)
    assert not is_right(asked, "You can add a real model.", CORPUS)


def test_a_question_that_was_trained_on_is_no_test(tmp_path):
    file = tmp_path / "held_out.toml"
    entry = CORPUS.entries[0]
    file.write_text(f'other = []\n[wordings]\n{entry.name} = ["{entry.question.upper()}"]\n')
    with pytest.raises(ValueError, match="the training text holds these too"):
        read_held_out(CORPUS, file)
    file.write_text(HELD_OUT.read_text() + 'nobody_asks_this = ["?"]\n')
    with pytest.raises(ValueError, match="no questions of these names: nobody_asks_this"):
        read_held_out(CORPUS, file)


def test_a_question_that_a_pattern_can_make_does_not_count(tmp_path):
    file = tmp_path / "held_out.toml"
    entry = CORPUS.entries[0]._replace(patterns=(parse_pattern("[xyzzy|plugh] at[ the|] once", {}),))
    corpus = CORPUS._replace(entries=(entry,))
    file.write_text(f'other = ["plover?"]\n[wordings]\n{entry.name} = ["Plugh at once?", "plugh twice"]\n')
    product, other = read_held_out(corpus, file)
    assert [asked.question for asked in (*product, *other)] == ["plugh twice", "plover?"]


def test_a_score_is_printed_with_its_numbers():
    assert str(Score(9, 12)) == "9 of 12 (75.0 %)"


def test_the_shipped_model_is_small():
    assert sum(path.stat().st_size for path in MODEL.iterdir()) < MODEL_MAX_BYTES


def test_the_shipped_model_hears_as_the_code_says():
    assert json.loads((MODEL / "tokenizer_config.json").read_text())["chat_template"] == CHAT_TEMPLATE


@pytest.mark.long
@pytest.mark.integration
def test_the_shipped_model_passes():
    ran = subprocess.run([sys.executable, "-m", "workers.guide.evaluate", "--answers", "1"], cwd=ROOT,
                         capture_output=True, text=True, timeout=EVALUATION_MAX_S)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.count(" %)") == 2 and "\n? " in ran.stdout
