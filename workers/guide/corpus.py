"""The text that `guide` learns: questions with their answers, other ways to ask them, and what it must refuse.

`text/` holds TOML: files with `[[question]]` (name, question, key, answer), `wordings_*.toml` (name = other wordings),
`other_plain.toml` and `other_patterns.toml` (questions about anything else) and `refusal.toml` (the answer to those).
An answer's key is a phrase of at least KEY_MIN_WORDS words that stands in no other answer, so that an answer can be
told from all others by a script.

Guarantees: what `read_corpus` returns satisfies all of this; what does not is refused with the file and the name.
`heard` is what the model is shown of a question. The chat template does the same, and a test compares the two.
"""

import tomllib
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
TEXT, HELD_OUT, MODEL = HERE / "text", HERE / "held_out.toml", HERE / "model"
KEY_MIN_WORDS = 3
HEARD_MAX_CHARS = 300  # of a question; the model has learnt from shorter ones
ENDS = " \t\n?!."

# The model answers each question by itself: it hears neither the system message nor what was said before.
CHAT_TEMPLATE = (
    "{% set asked = namespace(text='') %}"
    "{% for message in messages %}{% if message['role'] == 'user' %}"
    "{% set asked.text = message['content'] %}{% endif %}{% endfor %}"
    "{{ bos_token }} {{ asked.text.lower().split() | join(' ') | truncate("
    f"{HEARD_MAX_CHARS}, true, '', 0) | trim(' \\t\\n?!.') "
    "}}<|start|>"
)


class Entry(NamedTuple):
    name: str
    question: str
    key: str
    answer: str
    wordings: tuple[str, ...]  # besides `question`


class Corpus(NamedTuple):
    entries: tuple[Entry, ...]
    refusal: Entry
    other: tuple[str, ...]
    patterns: tuple[str, ...]  # with {slot}
    slots: dict[str, tuple[str, ...]]


def heard(question: str) -> str:
    """One line in lower case, at most HEARD_MAX_CHARS, without the marks at its end."""
    return " ".join(question.lower().split())[:HEARD_MAX_CHARS].strip(ENDS)


def read_corpus(directory: Path = TEXT) -> Corpus:
    """Read and check all of it. Raises: ValueError with file and name."""
    files = {path.name: tomllib.loads(path.read_text(encoding="utf-8")) for path in sorted(directory.glob("*.toml"))}
    wordings: dict[str, list[str]] = {}
    for file, table in files.items():
        if file.startswith("wordings_"):
            for name, others in table.items():
                wordings.setdefault(name, []).extend(others)
    entries, refusals = {}, []
    for file, table in files.items():
        for given in table.get("question", ()):
            answer = " ".join(given["answer"].split())
            entry = Entry(given["name"], given["question"], given["key"], answer,
                          tuple(wordings.pop(given["name"], ())))
            if entry.name in entries:
                raise ValueError(f"{file}: {entry.name} stands twice")
            if file == "refusal.toml":
                refusals.append(entry)
            else:
                entries[entry.name] = entry
    if wordings:
        raise ValueError(f"wordings of questions that do not exist: {', '.join(sorted(wordings))}")
    (refusal,) = refusals
    _check_keys([*entries.values(), refusal])
    patterns = files["other_patterns.toml"]
    corpus = Corpus(tuple(entries.values()), refusal, tuple(files["other_plain.toml"]["questions"]),
                    tuple(pattern["text"] for pattern in patterns["pattern"]),
                    {name: tuple(fillers) for name, fillers in patterns["slots"].items()})
    _check_wordings(corpus)
    return corpus


def _check_keys(entries: list[Entry]) -> None:
    for entry in entries:
        if len(entry.key.split()) < KEY_MIN_WORDS:
            raise ValueError(f"{entry.name}: its key has fewer than {KEY_MIN_WORDS} words")
        holders = [other.name for other in entries if entry.key.lower() in other.answer.lower()]
        if holders != [entry.name]:
            raise ValueError(f"{entry.name}: its key must stand in its own answer only, and stands in {holders}")


def _check_wordings(corpus: Corpus) -> None:
    """One wording asks one thing."""
    owners: dict[str, str] = {}
    for entry in corpus.entries:
        for wording in (entry.question, *entry.wordings):
            owner = owners.setdefault(heard(wording), entry.name)
            if owner != entry.name:
                raise ValueError(f"{wording!r} asks for {owner} and for {entry.name}")
    for question in corpus.other:
        if heard(question) in owners:
            raise ValueError(f"{question!r} is to be refused and asks for {owners[heard(question)]}")
