"""The training text keeps its promises, what breaks them is named, and the template hears as the trainer does."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jinja2.sandbox import ImmutableSandboxedEnvironment

from workers.guide.corpus import CHAT_TEMPLATE, ENDS, HEARD_MAX_CHARS, KEY_MIN_WORDS, heard, read_corpus

QUESTIONS_MIN, WORDINGS_MIN, LONG_ANSWERS_MIN, LONG_ANSWER_WORDS = 80, 8, 10, 90
TEMPLATE = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True).from_string(CHAT_TEMPLATE)
GOOD = {
    "a.toml": '[[question]]\nname = "a"\nquestion = "A?"\nkey = "is the first"\nanswer = "A is the first."\n'
              '[[question]]\nname = "b"\nquestion = "B?"\nkey = "after the other"\n'
              'answer = "B comes\\nafter the other."',
    "wordings_a.toml": 'a = ["what of a?"]',
    "refusal.toml": '[[question]]\nname = "no"\nquestion = "C?"\nkey = "not for me"\nanswer = "This is not for me."',
    "other_plain.toml": 'questions = ["c?", "d?"]',
    "other_patterns.toml": 'pattern = ["e {f}"]\n[slots]\nf = ["1", "2"]',
    "other_patterns_2.toml": 'pattern = ["g"]\n[slots]\n',
    "patterns_a.toml": 'b = ["[b|the second] {model}"]',
    "lists.toml": 'model = ["model"]',
    "synonyms.toml": 'groups = [["a", "b"]]',
}


def write(folder: Path, **changed: str) -> Path:
    for name, text in (GOOD | {name.replace("_toml", ".toml"): text for name, text in changed.items()}).items():
        (folder / name).write_text(text)
    return folder


def test_the_text_of_the_product_is_as_much_as_was_promised():
    corpus = read_corpus()
    assert len(corpus.entries) >= QUESTIONS_MIN
    few = [entry.name for entry in corpus.entries if len(set(map(heard, entry.wordings))) < WORDINGS_MIN]
    assert not few, f"questions with fewer than {WORDINGS_MIN} other wordings"
    assert sum(len(entry.answer.split()) >= LONG_ANSWER_WORDS for entry in corpus.entries) >= LONG_ANSWERS_MIN
    assert all(entry.answer.isascii() for entry in corpus.entries)


def test_the_refusal_says_what_the_model_knows_and_how_to_add_a_real_one():
    answer = read_corpus().refusal.answer
    for said in ("I only know about mlx-warden", "add a real model", "[models.NAME]", "warden.toml"):
        assert said in answer


def test_a_text_is_read_with_its_wordings(tmp_path):
    corpus = read_corpus(write(tmp_path))
    first, second = corpus.entries
    assert first.wordings == ("what of a?",) and second.wordings == ()
    assert second.answer == "B comes after the other."
    assert [pattern.count for pattern in second.patterns] == [2] and not first.patterns
    assert (corpus.refusal.name, corpus.other, corpus.synonyms) == ("no", ("c?", "d?"), (("a", "b"),))
    assert [pattern.count for pattern in corpus.other_patterns] == [2, 1]


@pytest.mark.parametrize(("changed", "what"), [
    ({"wordings_b_toml": 'z = ["what?"]'}, "questions that do not exist: z"),
    ({"patterns_a_toml": 'y = ["what"]'}, "questions that do not exist: y"),
    ({"patterns_a_toml": 'b = ["{worker}"]'}, "there is no list {worker}"),
    ({"wordings_b_toml": 'b = ["What of A"]'}, "'What of A' asks for a and for b"),
    ({"other_plain_toml": 'questions = ["b"]'}, "'b' is to be refused and asks for b"),
    ({"b_toml": GOOD["a.toml"]}, "b.toml: a stands twice"),
    ({"b_toml": GOOD["a.toml"].replace('key = "is the first"', "")}, "b.toml: a has no key"),
    ({"b_toml": "[[question"}, "b.toml: Expected"),
    ({"refusal_toml": GOOD["refusal.toml"].replace("This is", "A is the first,")}, "in its own answer only"),
    ({"refusal_toml": GOOD["refusal.toml"].replace("not for me", "not", 1)}, f"fewer than {KEY_MIN_WORDS} words"),
])
def test_what_is_wrong_is_refused_by_name(tmp_path, changed, what):
    with pytest.raises(ValueError) as refused:
        read_corpus(write(tmp_path, **changed))
    assert what in str(refused.value)


@given(text=st.text(max_size=2 * HEARD_MAX_CHARS))
@example(text="  What IS\n warden?! ")
@example(text=ENDS)
@example(text="x" * (HEARD_MAX_CHARS - 1) + " ?" + "y" * 9)
def test_the_template_shows_the_model_what_the_trainer_showed_it(text):
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "before"},
                {"role": "assistant", "content": "so"}, {"role": "user", "content": text}]
    assert TEMPLATE.render(messages=messages, bos_token="<b>") == f"<b> {heard(text)}<|start|>"
