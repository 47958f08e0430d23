"""The training learns a small text by heart, from nothing; what it writes is a model that our engine runs."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import numpy as np
import pytest

from workers.guide import train as training
from workers.guide.corpus import Corpus, Entry
from workers.guide.evaluate import answers, load
from workers.guide.patterns import parse_pattern
from workers.guide.samples import Sample
from workers.guide.train import (
    FIRST_COUNT,
    QUESTION_COUNT,
    AdamW,
    check_out,
    grouped,
    learning_rate,
    make_tokenizer,
    padded,
    save,
    set_aside,
    train,
)
from workers.model_files import Shape

STEPS = 400
TEXT = Corpus(
    entries=(
        Entry("start", "How do I start it?", "with one command", "You start it with one command.", ("how to begin",)),
        Entry("stop", "How do I stop it?", "until you ask again", "It rests until you ask again.", ("how to end",)),
    ),
    refusal=Entry("anything_else", "?", "this is not for me", "No, this is not for me.", ()),
    other=("sing a song", "what is a cat", "tell me a joke"),
    other_patterns=(parse_pattern("where is [rome|oslo]", {}),),
    synonyms=(),
)


@pytest.fixture
def small(monkeypatch):
    """The same training, on a model and batches that take a second."""
    monkeypatch.setattr(training, "SHAPE", Shape(hidden=32, layers=1, heads=2, kv_heads=2, intermediate=48))
    monkeypatch.setattr(training, "BATCH_TOKENS", 600)
    monkeypatch.setattr(training, "POOL_SAMPLES", 100)
    monkeypatch.setattr(training, "CUT_PART", 0.3)
    monkeypatch.setattr(training, "VOCABULARY_MAX", 300)


def answered(directory: Path, questions: list[str]) -> list[str]:
    engine = load(directory)
    try:
        return answers(engine, questions)
    finally:
        engine.close()


def test_what_is_trained_is_what_the_engine_answers(small, tmp_path, capsys):
    tokenizer = make_tokenizer(TEXT, seed=0)
    asked = [Sample(entry.question.lower().rstrip("?"), entry.answer) for entry in TEXT.entries]
    weights = train(TEXT, tokenizer, STEPS, 0, asked)
    assert "100.0% of those aside right" in capsys.readouterr().err
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "of an earlier training").touch()
    save(tmp_path / "model", weights, tokenizer, {"seed": 0, "steps": STEPS})
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert not (tmp_path / "model" / "of an earlier training").exists()
    questions = ["How do I START it? ", "how do i stop it", "Where is\nRome?"]
    with ThreadPoolExecutor(1) as thread:  # an engine takes the MLX streams of its thread with it when it closes
        said = thread.submit(answered, tmp_path / "model", questions).result()
    assert said == [TEXT.entries[0].answer, TEXT.entries[1].answer, TEXT.refusal.answer]


def test_the_same_seed_gives_the_same_weights(small):
    tokenizer = make_tokenizer(TEXT, seed=0)
    first, again, other = (train(TEXT, tokenizer, 3, seed, []) for seed in (1, 1, 2))
    for name, tensor in first.items():
        assert np.array_equal(tensor, again[name]), name
    assert any(not np.array_equal(tensor, other[name]) for name, tensor in first.items())


def test_a_save_that_fails_keeps_the_model_that_was_there(small, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    with pytest.raises(AttributeError):
        save(tmp_path / "model", {"weight": None}, make_tokenizer(TEXT, 0), {})
    assert (tmp_path / "model" / "config.json").read_text() == "{}"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_only_a_model_of_this_script_is_replaced(tmp_path):
    check_out(tmp_path / "new")
    (tmp_path / "guide").mkdir()
    (tmp_path / "guide" / "config.json").write_text('{"guide": {"seed": 0}}')
    check_out(tmp_path / "guide")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text('{"model_type": "llama"}')
    for refused, why in ((tmp_path, "no model of this script"), (tmp_path / "other", "no model of this script"),
                         (tmp_path / "x" / "y", "make it first")):
        with pytest.raises(ValueError, match=why):
            check_out(refused)


def test_answers_count_their_beginnings_most_questions_little_padding_nothing():
    batch = padded([([1, 2, 3] + [4] * 12, 3), ([5, 6, 7], 2)], end=0)
    assert batch.tokens.shape == (2, 15) and batch.counts.shape == (2, 14)
    assert batch.counts[0].tolist() == pytest.approx([QUESTION_COUNT] * 2 + [FIRST_COUNT] * 8 + [1.0] * 4)
    assert batch.counts[1, :2].tolist() == pytest.approx([QUESTION_COUNT, FIRST_COUNT])
    assert not batch.counts[1, 2:].any() and not batch.tokens[1, 3:].any()


def test_batches_are_as_full_as_they_may_be_and_hold_everything(monkeypatch):
    monkeypatch.setattr(training, "BATCH_TOKENS", 10)
    pool = [([0] * length, 1) for length in (2, 3, 3, 4, 5, 5, 30)]
    groups = grouped(pool)
    assert [each for group in groups for each in group] == pool
    assert [[len(ids) for ids, _ in group] for group in groups] == [[2, 3, 3], [4, 5], [5], [30]]


def test_the_rate_rises_then_falls():
    rates = [learning_rate(step, 100) for step in range(100)]
    peak = rates.index(max(rates))
    assert rates[:peak] == sorted(rates[:peak]) and rates[peak:] == sorted(rates[peak:], reverse=True)
    assert 0 < rates[-1] < rates[0] < rates[peak] == training.RATE


def test_a_step_goes_down_and_norms_are_not_pulled():
    weights = {"matrix": np.ones((2, 2), np.float32), "norm": np.ones(2, np.float32)}
    optimizer = AdamW(weights)
    optimizer.step({"matrix": np.eye(2, dtype=np.float32), "norm": np.zeros(2, np.float32)}, rate=0.1)
    assert weights["norm"].tolist() == [1, 1]
    assert weights["matrix"][0, 0] < weights["matrix"][0, 1] < 1


def test_wordings_set_aside_are_not_trained_on():
    many = TEXT._replace(entries=tuple(
        entry._replace(wordings=tuple(f"{entry.name} {number}" for number in range(40))) for entry in TEXT.entries))
    kept, aside = set_aside(many, Random(0))
    trained = {wording for entry in kept.entries for wording in entry.wordings}
    assert aside and not trained & {sample.question for sample in aside}
    assert len(trained) + sum(sample.answer != TEXT.refusal.answer for sample in aside) == 80
