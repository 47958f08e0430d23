"""The samples: the same seed gives the same ones, nothing is left unfilled, and a question stays a question."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from workers.guide.corpus import heard, read_corpus
from workers.guide.samples import SLIP_MIN_CHARS, Sampler, slip

CORPUS = read_corpus()
SAMPLER = Sampler(CORPUS)
SAMPLES = 3000


def drawn(seed: int, number: int = SAMPLES) -> list:
    random = Random(seed)
    return [SAMPLER.draw(random) for _ in range(number)]


def test_the_same_seed_gives_the_same_samples():
    assert drawn(3, 200) == drawn(3, 200) != drawn(4, 200)


def test_every_question_is_drawn_with_its_own_answer_and_three_in_ten_are_about_anything_else():
    samples = drawn(0)
    answers = {entry.answer for entry in CORPUS.entries}
    refused = sum(sample.answer == CORPUS.refusal.answer for sample in samples)
    assert {sample.answer for sample in samples} == answers | {CORPUS.refusal.answer}
    assert 0.25 < refused / SAMPLES < 0.35


def test_many_samples_are_worded_as_nobody_wrote_them():
    written = {heard(wording) for entry in CORPUS.entries for wording in (entry.question, *entry.wordings)}
    product = [sample.question for sample in drawn(1) if sample.answer != CORPUS.refusal.answer]
    assert 0.1 < sum(question in written for question in product) / len(product) < 0.5


def test_questions_about_anything_else_are_many_and_whole():
    random = Random(0)
    others = [SAMPLER.other(random) for _ in range(SAMPLES)]
    assert not any(mark in other for other in others for mark in "{}|[]")
    assert len(set(others)) > SAMPLES / 3


@given(seed=st.integers(0, 10**9), text=st.text(max_size=80), product=st.booleans())
def test_any_question_can_be_varied_and_stays_one_line_in_lower_case(seed, text, product):
    varied = heard(SAMPLER.vary(Random(seed), text, product=product))
    assert "\n" not in varied and varied == varied.lower()


def test_synonyms_stand_for_whole_words_only_and_for_each_other():
    sampler = Sampler(CORPUS._replace(synonyms=(("stop", "halt"), ("stopwatch", "clock"), ("halt", "end"))))
    varied = {sampler.vary(Random(seed), "stop the stop-light of stopped", product=False) for seed in range(600)}
    assert "halt the stop-light of stopped" in varied
    assert not any("halt-light" in text or "haltped" in text or "clock" in text for text in varied)


@given(seed=st.integers(0, 10**9), word=st.text("abcdefg", min_size=1, max_size=12))
def test_a_slip_changes_one_place_and_keeps_the_first_letter_of_a_long_word(seed, word):
    slipped = slip(Random(seed), word)
    assert abs(len(slipped) - len(word)) <= 1
    if len(word) < SLIP_MIN_CHARS:
        assert slipped == word
    else:
        assert slipped[0] == word[0]


def test_synonyms_are_written_as_questions_are_heard():
    for group in CORPUS.synonyms:
        assert len(group) > 1 and len(set(group)) == len(group), group
        assert all(phrase == heard(phrase) or phrase.endswith(".") for phrase in group), group
