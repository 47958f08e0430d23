"""Scores `guide` on wordings it was not trained on: `python -m workers.guide.evaluate`.

`held_out.toml` was written before the training, by people who had not seen the wordings of the training text. Two
scores, both of whole answers of the engine that the product runs (greedy, in batches):

1. of the held-out questions about the product, how many answers contain the key phrase of the question's own answer;
2. of the questions about anything else, how many are refused in words that say that the model knows only about
   mlx-warden, and how to add a real model.

None of them stands in the training text, and those that a pattern of that text can make do not count: patterns make
millions of wordings, and some of them are bound to be held out.

Exit code 1 if a score is below PASS_PERCENT. `--wrong` shows what went wrong, `--answers N` a few answers.
"""

import argparse
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from control.config import BUILT_IN_ANSWER_MAX_TOKENS
from workers.engine import EngineJob
from workers.guide.corpus import HELD_OUT, MODEL, Corpus, Entry, heard, read_corpus, read_toml
from workers.mlx_engine import MlxEngine
from workers.protocol import ChatMessage, Sampling

PASS_PERCENT = 90.0
BATCH = 8
REAL_MODEL = "add a real model"  # stands in a refusal besides its key


class Asked(NamedTuple):
    question: str
    entry: Entry  # what it asks for; the refusal for anything else


class Score(NamedTuple):
    right: int
    asked: int

    @property
    def percent(self) -> float:
        return 100 * self.right / self.asked

    def __str__(self) -> str:
        return f"{self.right} of {self.asked} ({self.percent:.1f} %)"


def read_held_out(corpus: Corpus, path: Path = HELD_OUT) -> tuple[list[Asked], list[Asked]]:
    """The questions about the product and the others, without those that a pattern of the corpus can make.

    Raises: ValueError for a name that the corpus lacks, and for a question that it holds.
    """
    table = read_toml(path)
    entries = {entry.name: entry for entry in corpus.entries}
    unknown = table["wordings"].keys() - entries.keys()
    if unknown:
        raise ValueError(f"{path.name}: no questions of these names: {', '.join(sorted(unknown))}")
    trained = {heard(wording) for entry in corpus.entries for wording in (entry.question, *entry.wordings)}
    trained |= {heard(question) for question in corpus.other}
    product = [Asked(question, entries[name])
               for name, questions in table["wordings"].items() for question in questions]
    other = [Asked(question, corpus.refusal) for question in table["other"]]
    seen = [asked.question for asked in (*product, *other) if heard(asked.question) in trained]
    if seen:
        raise ValueError(f"{path.name}: the training text holds these too: {'; '.join(seen)}")
    patterns = [re.compile(f" *{pattern.expression()} *", re.IGNORECASE)
                for pattern in (*corpus.other_patterns, *(each for entry in corpus.entries for each in entry.patterns))]

    def is_new(asked: Asked) -> bool:
        return not any(pattern.fullmatch(heard(asked.question)) for pattern in patterns)

    return list(filter(is_new, product)), list(filter(is_new, other))


def is_right(asked: Asked, answer: str, corpus: Corpus) -> bool:
    """See the module's rules 1 and 2."""
    said = answer.lower()
    return asked.entry.key.lower() in said and (asked.entry is not corpus.refusal or REAL_MODEL in said)


def answers(engine: MlxEngine, questions: Sequence[str]) -> list[str]:
    """Of a loaded engine, in the order of the questions."""
    texts = [""] * len(questions)
    waiting = iter(enumerate(questions))
    while True:
        while engine.active < BATCH and (each := next(waiting, None)):
            engine.add(EngineJob(key=(each[0],), messages=[ChatMessage("user", each[1])],
                                 sampling=Sampling(temperature=0.0), max_tokens=BUILT_IN_ANSWER_MAX_TOKENS))
        if not engine.active:
            return texts
        for output in engine.step():
            texts[output.key[0]] += output.text


def load(directory: Path) -> MlxEngine:
    engine = MlxEngine(str(directory), batch_max=BATCH, context_length=0)
    engine.prepare()
    engine.load(lambda part: None)
    return engine


def score(engine: MlxEngine, asked: Sequence[Asked], corpus: Corpus) -> tuple[Score, list[tuple[Asked, str]]]:
    """And what was answered wrongly."""
    said = answers(engine, [each.question for each in asked])
    wrong = [(each, answer) for each, answer in zip(asked, said, strict=True) if not is_right(each, answer, corpus)]
    return Score(len(asked) - len(wrong), len(asked)), wrong


def show(pairs: Iterable[tuple[Asked, str]]) -> None:
    for asked, answer in pairs:
        print(f"\n? {asked.question}   [{asked.entry.name}]\n  {answer}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m workers.guide.evaluate", description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--wrong", action="store_true", help="show the questions that were answered wrongly")
    parser.add_argument("--answers", type=int, default=0, metavar="N", help="show N answers, spread over the questions")
    arguments = parser.parse_args()
    try:
        corpus = read_corpus()
        product, other = read_held_out(corpus)
        engine = load(arguments.model)
    except (OSError, ValueError, RuntimeError) as error:
        raise SystemExit(f"evaluate: {error}") from None
    try:
        scores = []
        for title, asked in (("held-out questions answered with the key phrase", product),
                             ("questions about anything else refused as they should be", other)):
            result, wrong = score(engine, asked, corpus)
            scores.append(result)
            print(f"{title}: {result}")
            if arguments.wrong:
                show(wrong)
        if arguments.answers:
            some = product[:: max(1, len(product) // arguments.answers)][: arguments.answers]
            show(zip(some, answers(engine, [each.question for each in some]), strict=True))
    finally:
        engine.close()
    raise SystemExit(any(result.percent < PASS_PERCENT for result in scores))


if __name__ == "__main__":
    main()
