"""Trains `guide` from its text, from nothing, in under an hour on two cores: `python -m workers.guide.train`.

1. A tokenizer learns its merges from the text.
2. Samples are drawn (`samples`), grouped by length, and the numpy Llama (`llama`) learns to continue each question
   with its answer: AdamW, a rate that rises and falls, gradients of two halves of each batch in two threads.
3. The model is written beside the old one and takes its place at the end; an interrupted training changes nothing.
   A directory that holds anything else than such a model is refused before the training begins.

Guarantee: the same text, seed, steps and BLAS give the same weights. Run it with OPENBLAS_NUM_THREADS=1 (`make guide`
does), so that the two halves do not fight for the cores. `--aside` keeps some wordings out and prints how many of
those the model gets right as it learns: for choosing how to train, not for the final model.
"""

import argparse
import json
import math
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np
from tokenizers import Tokenizer

from workers.guide.corpus import CHAT_TEMPLATE, MODEL, Corpus, heard, read_corpus
from workers.guide.llama import Weights, initial_weights, logits, loss_and_gradients
from workers.guide.samples import Sample, Sampler
from workers.model_files import BEGIN, END, START, Shape, llama_config, train_tokenizer, write_model

SHAPE = Shape(hidden=128, layers=4, heads=4, kv_heads=4, intermediate=384)
VOCABULARY_MAX = 1536
CONTEXT_TOKENS = 4096
STEPS = 2600
BATCH_TOKENS = 6000
POOL_SAMPLES = 2000  # so many are grouped by length together
CUT_PART = 0.75  # of the samples show only the beginning of the answer
HALVES = 2
RATE, RATE_END_PART, WARM_UP_PART = 3e-3, 0.01, 0.05
BETA_1, BETA_2, ADAM_EPSILON, DECAY, CLIP = 0.9, 0.98, 1e-9, 0.1, 1.0
FIRST_TOKENS, FIRST_COUNT, QUESTION_COUNT = 8, 3.0, 0.1  # the first tokens of an answer decide which answer it is
TOKENIZER_QUESTIONS, TOKENIZER_ANSWERS = 10_000, 10  # so many questions, and each answer so often
SAY_EVERY_STEPS = 100
ASIDE_PART = 0.1  # of the wordings
RECIPE = "guide"  # in config.json


class Batch(NamedTuple):
    tokens: np.ndarray  # (B, T) ids, padded with the end
    counts: np.ndarray  # (B, T - 1), see llama.loss_and_gradients


def make_tokenizer(corpus: Corpus, seed: int) -> Tokenizer:
    """Its merges come from the answers and from some questions as they are heard."""
    random, sampler = Random(seed), Sampler(corpus)
    questions = [f" {sampler.draw(random).question}" for _ in range(TOKENIZER_QUESTIONS)]
    answers = [entry.answer for entry in (*corpus.entries, corpus.refusal)] * TOKENIZER_ANSWERS
    return train_tokenizer(questions + answers, VOCABULARY_MAX)


def encode(tokenizer: Tokenizer, sample: Sample) -> tuple[list[int], int]:
    """The ids of question and answer, and where the answer begins."""
    question, answer = tokenizer.encode_batch(
        [f"{BEGIN} {sample.question}{START}", sample.answer + END], add_special_tokens=False)
    return question.ids + answer.ids, len(question.ids)


def batches(tokenizer: Tokenizer, random: Random, corpus: Corpus) -> Iterator[Batch]:
    """Without end; samples of one batch are about equally long, so that little of it is padding.

    Of most samples only the beginning of the answer is shown: which answer it is must be learnt from many questions,
    how it goes on from few.
    """
    sampler, end = Sampler(corpus), tokenizer.token_to_id(END)
    while True:
        pool = []
        for _ in range(POOL_SAMPLES):
            ids, answer_at = encode(tokenizer, sampler.draw(random))
            cut = random.random() < CUT_PART
            pool.append((ids[: answer_at + FIRST_TOKENS] if cut else ids, answer_at))
        groups = grouped(sorted(pool, key=lambda each: len(each[0])))
        random.shuffle(groups)
        for group in groups:
            yield padded(group, end)


def grouped(pool: list[tuple[list[int], int]]) -> list[list[tuple[list[int], int]]]:
    """Neighbours together, at most BATCH_TOKENS with the padding (one sample at least)."""
    groups: list[list[tuple[list[int], int]]] = [[]]
    for each in pool:
        if groups[-1] and (len(groups[-1]) + 1) * len(each[0]) > BATCH_TOKENS:
            groups.append([])
        groups[-1].append(each)
    return groups


def padded(group: list[tuple[list[int], int]], end: int) -> Batch:
    length = max(len(ids) for ids, _ in group)
    tokens = np.full((len(group), length), end, np.int64)
    counts = np.zeros((len(group), length - 1), np.float32)
    for row, (ids, answer_at) in enumerate(group):
        tokens[row, : len(ids)] = ids
        counts[row, : answer_at - 1] = QUESTION_COUNT
        answer = counts[row, answer_at - 1 : len(ids) - 1]
        answer[:] = 1
        answer[:FIRST_TOKENS] = FIRST_COUNT
    return Batch(tokens, counts)


def learning_rate(step: int, steps: int) -> float:
    """Rises in a line, then falls in half a cosine to RATE_END_PART of its peak."""
    warm_up = max(1, round(WARM_UP_PART * steps))
    if step < warm_up:
        return RATE * (step + 1) / warm_up
    way = (step - warm_up) / max(1, steps - warm_up)
    return RATE * (RATE_END_PART + (1 - RATE_END_PART) * 0.5 * (1 + math.cos(math.pi * way)))


class AdamW:
    """Changes `weights` in place. Norms are not pulled towards nothing."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._mean = {name: np.zeros_like(tensor) for name, tensor in weights.items()}
        self._square = {name: np.zeros_like(tensor) for name, tensor in weights.items()}
        self._steps = 0

    def step(self, gradients: Weights, rate: float) -> None:
        self._steps += 1
        size = math.sqrt(sum(float((gradient**2).sum()) for gradient in gradients.values()))
        scale = np.float32(min(1.0, CLIP / (size + 1e-12)))
        unbias_1, unbias_2 = 1 - BETA_1**self._steps, 1 - BETA_2**self._steps
        for name, tensor in self._weights.items():
            gradient = gradients[name] * scale
            mean, square = self._mean[name], self._square[name]
            mean += (1 - BETA_1) * (gradient - mean)
            square += (1 - BETA_2) * (gradient**2 - square)
            if tensor.ndim > 1:
                tensor *= 1 - rate * DECAY
            tensor -= rate / unbias_1 * mean / (np.sqrt(square / unbias_2) + ADAM_EPSILON)


def train(corpus: Corpus, tokenizer: Tokenizer, steps: int, seed: int, aside: list[Sample]) -> Weights:
    """The weights after `steps` batches. Says how it goes on stderr."""
    weights = initial_weights(SHAPE, tokenizer.get_vocab_size(), np.random.Generator(np.random.PCG64(seed)))
    optimizer, feed = AdamW(weights), batches(tokenizer, Random(seed), corpus)
    started_s, losses = time.monotonic(), []
    with ThreadPoolExecutor(HALVES) as pool:
        for step in range(steps):
            loss, gradients = _both_halves(pool, weights, next(feed))
            optimizer.step(gradients, learning_rate(step, steps))
            losses.append(loss)
            if (step + 1) % SAY_EVERY_STEPS == 0 or step + 1 == steps:
                took_s = time.monotonic() - started_s
                right = f", {right_part(weights, tokenizer, aside):.1%} of those aside right" if aside else ""
                print(f"step {step + 1} of {steps}: loss {np.mean(losses[-SAY_EVERY_STEPS:]):.4f}{right}, "
                      f"{took_s:.0f} s, about {took_s / (step + 1) * (steps - step - 1):.0f} s left",
                      file=sys.stderr, flush=True)
    return weights


def _both_halves(pool: ThreadPoolExecutor, weights: Weights, batch: Batch) -> tuple[float, Weights]:
    """Mean loss of the batch and its gradients."""
    halves = range(min(HALVES, len(batch.tokens)))
    parts = list(pool.map(lambda half: loss_and_gradients(
        weights, SHAPE, batch.tokens[half::HALVES], batch.counts[half::HALVES]), halves))
    total = np.float32(batch.counts.sum())
    return sum(loss for loss, _ in parts) / total, {
        name: sum(gradients[name] for _, gradients in parts) / total for name in weights}


def right_part(weights: Weights, tokenizer: Tokenizer, samples: list[Sample]) -> float:
    """For how many the likeliest first tokens are those of the right answer."""
    right = 0
    for sample in samples:
        ids, answer_at = encode(tokenizer, sample)
        ids = ids[: answer_at + FIRST_TOKENS]
        guessed = logits(weights, SHAPE, np.array([ids[:-1]]))[0, answer_at - 1 :].argmax(-1)
        right += guessed.tolist() == ids[answer_at:]
    return right / len(samples)


def set_aside(corpus: Corpus, random: Random) -> tuple[Corpus, list[Sample]]:
    """The corpus without ASIDE_PART of the wordings, and these as samples."""
    aside, entries = [], []
    for entry in corpus.entries:
        kept = tuple(wording for wording in entry.wordings if random.random() >= ASIDE_PART)
        aside += [Sample(heard(wording), entry.answer) for wording in entry.wordings if wording not in kept]
        entries.append(entry._replace(wordings=kept))
    others = tuple(question for question in corpus.other if random.random() >= ASIDE_PART)
    aside += [Sample(heard(question), corpus.refusal.answer) for question in corpus.other if question not in others]
    return corpus._replace(entries=tuple(entries), other=others), aside


def check_out(directory: Path) -> None:
    """Raises: ValueError unless a model may take the place of `directory`, which is removed for it."""
    if not directory.parent.is_dir():
        raise ValueError(f"--out: {directory.parent} is not a directory; make it first")
    try:
        ours = RECIPE in json.loads((directory / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        ours = False
    if directory.exists() and not ours and directory != MODEL.resolve():  # that may be broken, and is mended so
        raise ValueError(f"--out: {directory} is there and no model of this script; choose another, or remove it")


def save(directory: Path, weights: Weights, tokenizer: Tokenizer, recipe: dict) -> None:
    """Write the model beside `directory` and put it in its place."""
    building = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        config = llama_config(SHAPE, tokenizer.get_vocab_size(), CONTEXT_TOKENS, tied=True, made_by={RECIPE: recipe})
        write_model(building, config, weights, tokenizer, CHAT_TEMPLATE)
        building.chmod(0o755)
        shutil.rmtree(directory, ignore_errors=True)
        building.rename(directory)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m workers.guide.train", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=MODEL)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--aside", action="store_true", help="keep some wordings out and score them")
    arguments = parser.parse_args()
    out = arguments.out.resolve()
    try:
        check_out(out)
        corpus, aside = read_corpus(), []
    except (OSError, ValueError) as error:
        raise SystemExit(f"train: {error}") from None
    if arguments.aside:
        corpus, aside = set_aside(corpus, Random(arguments.seed))
    tokenizer = make_tokenizer(corpus, arguments.seed)
    weights = train(corpus, tokenizer, arguments.steps, arguments.seed, aside)
    save(out, weights, tokenizer, {"seed": arguments.seed, "steps": arguments.steps})
    print(out)


if __name__ == "__main__":
    main()
