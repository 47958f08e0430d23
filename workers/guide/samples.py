"""What the model is shown of the corpus: which questions, in which words, with which answer.

The `Random` is an argument, and the same one gives the same samples. People ask in more ways than anybody writes
down, so half of the questions are changed a little: a word in front or behind, another word for the same thing, a
word left out, a slip of the finger. Nothing is changed that would change the answer.
"""

import re
from random import Random
from typing import NamedTuple

from workers.guide.corpus import Corpus, Entry, heard

OTHER_PART = 0.3  # of the samples are about anything else
PATTERN_PART = 0.6  # of those come from patterns
PLAIN_PART = 0.4  # of the questions stay as they were written
FRONT_PART, BEHIND_PART, PHRASE_PART, SLIP_PART = 0.25, 0.15, 0.5, 0.15
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
# Any of a group may stand for any other of it, at word borders.
SAME = (
    ("mlx-warden", "warden", "mlx warden", "this product", "this program"),
    ("how do i", "how can i", "how to", "how would i", "how do you", "how does one", "what is the way to",
     "what do i do to", "how should i", "what's the best way to", "i want to", "i'd like to", "is there a way to"),
    ("can i", "is it possible to", "may i", "am i able to", "could i"),
    ("do i need to", "must i", "do i have to", "should i", "is it necessary to"),
    ("what is", "what's", "whats", "what exactly is", "explain", "tell me about", "describe"),
    ("what are", "explain", "tell me about", "describe"),
    ("what happens when", "what happens if", "what if", "what becomes of it when", "what does it do when"),
    ("where is", "where's", "where do i find", "where can i find", "where can i see", "in which place is"),
    ("where are", "where do i find", "where can i find", "where can i see"),
    ("why is", "why's", "how come", "what is the reason that"),
    ("which", "what"),
    ("model", "llm", "language model"),
    ("models", "llms", "language models"),
    ("request", "call", "query"),
    ("requests", "calls", "queries"),
    ("terminated", "killed", "ended"),
    ("configuration", "config", "settings"),
    ("configuration file", "config file", "settings file", "warden.toml"),
    ("computer", "machine", "mac"),
    ("error", "error message", "failure"),
    ("directory", "folder"),
    ("does it mean", "is meant by that"),
    ("at the same time", "at once", "in parallel", "simultaneously"),
    ("show", "print", "display", "list"),
    ("change", "set", "configure", "adjust"),
    ("use", "work with", "make use of"),
    ("get", "obtain", "receive"),
    ("big", "large", "huge"),
    ("wrong", "broken", "bad"),
    ("command", "cli command"),
    ("does not", "doesn't", "won't"),
    ("do not", "don't"),
    ("cannot", "can't", "can not"),
)
_GROUPS: dict[str, tuple[str, ...]] = {}
for _group in SAME:
    for _phrase in _group:
        _GROUPS.setdefault(_phrase, _group)
_ANY_PHRASE = re.compile(r"\b(" + "|".join(sorted(map(re.escape, _GROUPS), key=len, reverse=True)) + r")\b")
_SLOT = re.compile(r"\{(\w+)\}")


class Sample(NamedTuple):
    question: str  # as `heard`
    answer: str


def draw_sample(random: Random, corpus: Corpus) -> Sample:
    """All questions of the product equally often, however many wordings they have."""
    if random.random() < OTHER_PART:
        return Sample(heard(vary(random, draw_other(random, corpus), product=False)), corpus.refusal.answer)
    entry = random.choice(corpus.entries)
    return Sample(heard(vary(random, draw_wording(random, entry), product=True)), entry.answer)


def draw_wording(random: Random, entry: Entry) -> str:
    return random.choice((entry.question, *entry.wordings))


def draw_other(random: Random, corpus: Corpus) -> str:
    """A question about anything else."""
    if random.random() < PATTERN_PART:
        return _SLOT.sub(lambda slot: random.choice(corpus.slots[slot[1]]), random.choice(corpus.patterns))
    return random.choice(corpus.other)


def vary(random: Random, question: str, *, product: bool) -> str:
    """The same question in somewhat other words, in lower case. `product`: it is about the product."""
    text = question.lower().strip(" ?!.")
    if random.random() < PLAIN_PART:
        return text
    if random.random() < PHRASE_PART:
        text = _ANY_PHRASE.sub(lambda found: _another(random, found[0]), text)
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


def _another(random: Random, phrase: str) -> str:
    return random.choice(_GROUPS[phrase]) if random.random() < PHRASE_PART else phrase
