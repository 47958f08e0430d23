"""What the model is shown of the corpus: which questions, in which words, with which answer.

The `Random` is an argument, and the same one gives the same samples. People ask in more ways than anybody writes
down, so questions come from wordings and from patterns, and most are changed a little: a word in front or behind,
another word for the same thing, a word left out, a slip of the finger. Now and then that takes the point away; the
wordings as they were written outweigh it.
"""

import re
from random import Random
from typing import NamedTuple

from workers.guide.corpus import Corpus, Entry, heard

OTHER_PART = 0.3  # of the samples are about anything else
OTHER_PATTERN_PART = 0.8  # of those come from patterns
PATTERN_PART = 0.6  # of the others
PLAIN_PART = 0.3  # of the questions stay as they were written
PHRASE_PART = 0.25  # of the phrases that have others beside them
FRONT_PART, BEHIND_PART, SLIP_PART = 0.25, 0.15, 0.15
DROP_PART = 0.05  # of the words
DROP_MIN_WORDS = 5
SLIP_MIN_CHARS = 5

FRONT = ("please", "hi,", "hey,", "hello,", "ok,", "so", "so,", "and", "um,", "well,", "quick question:", "question:",
         "one question:", "just curious,", "can you tell me", "could you tell me", "please tell me", "tell me",
         "can you explain", "i want to know", "i would like to know", "i'd like to know", "i wonder", "do you know",
         "i need help:", "help me:", "one more thing:", "sorry,", "excuse me,", "good morning,", "by the way,")
BEHIND = ("please", "thanks", "thank you", "exactly", "then", "for me", "actually", "in short", "in detail", "again",
          "right now", "today", "i wonder", "can you tell me", "i don't understand", "i forgot")
PRODUCT_BEHIND = ("in warden", "in mlx-warden", "with mlx-warden", "with warden", "here", "in this product")


class Sample(NamedTuple):
    question: str  # as `heard`
    answer: str


class Sampler:
    """Draws samples of a corpus."""

    def __init__(self, corpus: Corpus) -> None:
        self._corpus = corpus
        self._others: dict[str, list[str]] = {}  # phrase -> what may stand for it
        for group in corpus.synonyms:
            for phrase in group:
                self._others.setdefault(phrase, []).extend(other for other in group if other != phrase)
        phrases = sorted(map(re.escape, self._others), key=len, reverse=True) or ["(?!)"]
        self._any_phrase = re.compile(rf"(?<![\w-])({'|'.join(phrases)})(?![\w-])")

    def draw(self, random: Random) -> Sample:
        """All questions of the product equally often, whatever number of wordings they have; none heard as nothing."""
        while not (sample := self._draw(random)).question:
            pass
        return sample

    def _draw(self, random: Random) -> Sample:
        if random.random() < OTHER_PART:
            return Sample(heard(self.vary(random, self.other(random), product=False)), self._corpus.refusal.answer)
        entry = random.choice(self._corpus.entries)
        return Sample(heard(self.vary(random, wording_of(random, entry), product=True)), entry.answer)

    def other(self, random: Random) -> str:
        """A question about anything else."""
        if self._corpus.other_patterns and random.random() < OTHER_PATTERN_PART:
            return random.choice(self._corpus.other_patterns).draw(random)
        return random.choice(self._corpus.other)

    def vary(self, random: Random, question: str, *, product: bool) -> str:
        """The same question in somewhat other words, in lower case. `product`: it is about the product."""
        text = heard(question)
        if random.random() < PLAIN_PART:
            return text
        text = self._any_phrase.sub(lambda found: self._another(random, found[0]), text)
        words = text.split()
        if len(words) >= DROP_MIN_WORDS:
            words = [word for word in words if random.random() >= DROP_PART] or words
        if words and random.random() < SLIP_PART:
            place = random.randrange(len(words))
            words[place] = slip(random, words[place])
        if random.random() < FRONT_PART:
            words.insert(0, random.choice(FRONT))
        if random.random() < BEHIND_PART:
            words.append(random.choice(BEHIND + PRODUCT_BEHIND if product else BEHIND))
        return " ".join(words)

    def _another(self, random: Random, phrase: str) -> str:
        return random.choice(self._others[phrase]) if random.random() < PHRASE_PART else phrase


def wording_of(random: Random, entry: Entry) -> str:
    if entry.patterns and random.random() < PATTERN_PART:
        return random.choice(entry.patterns).draw(random)
    return random.choice((entry.question, *entry.wordings))


def slip(random: Random, word: str) -> str:
    """A long word with one letter doubled, lost, or changed for its neighbour; a short one as it is."""
    if len(word) < SLIP_MIN_CHARS:
        return word
    place = random.randrange(1, len(word) - 1)
    kind = random.randrange(3)
    if kind == 0:
        return word[:place] + word[place] + word[place:]
    if kind == 1:
        return word[:place] + word[place + 1 :]
    return word[:place] + word[place + 1] + word[place] + word[place + 2 :]

