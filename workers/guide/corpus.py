"""The text that `guide` learns: questions with their answers, other ways to ask them, and what it must refuse.

`text/` holds TOML: files with `[[question]]` (name, question, key, answer), `wordings_*.toml` (name = other wordings),
`patterns_*.toml` (name = patterns of wordings, with `lists.toml`), `other_plain.toml` and `other_patterns*.toml`
(questions about anything else), `refusal.toml` (the answer to those) and `synonyms.toml`.
An answer's key is a phrase of at least KEY_MIN_WORDS words that stands in no other answer, so that an answer can be
told from all others by a script.

Guarantees: what `read_corpus` returns satisfies all of this; what does not is refused by its file or its name.
`heard` is what the model is shown of a question. The chat template does the same, and a test compares the two.
"""

import tomllib
from pathlib import Path
from typing import Any, NamedTuple

from workers.guide.patterns import Choice, parse_pattern

HERE = Path(__file__).parent
TEXT, HELD_OUT, MODEL = HERE / "text", HERE / "held_out.toml", HERE / "model"
KEY_MIN_WORDS = 3
HEARD_MAX_CHARS = 120  # of a question: nearly all that it learns from are shorter than 90
ENDS = " \t\n?!."

# The model answers each question by itself: it hears neither the system message nor what was said before. Letters that
# its text does not have are left out, because it would only babble about them.
CHAT_TEMPLATE = (
    "{% set asked = namespace(text='') %}"
    "{% for message in messages %}{% if message['role'] == 'user' %}"
    "{% set asked.text = message['content'] %}{% endif %}{% endfor %}"
    "{{ bos_token }} {{ asked.text.encode('ascii', 'ignore').decode().lower().split() | join(' ') | truncate("
    f"{HEARD_MAX_CHARS}, true, '', 0) | trim(' \\t\\n?!.') "
    "}}<|start|>"
)


class Entry(NamedTuple):
    name: str
    question: str
    key: str
    answer: str
    wordings: tuple[str, ...]  # besides `question`
    patterns: tuple[Choice, ...] = ()


class Corpus(NamedTuple):
    entries: tuple[Entry, ...]
    refusal: Entry
    other: tuple[str, ...]
    other_patterns: tuple[Choice, ...]
    synonyms: tuple[tuple[str, ...], ...]  # each group: what may stand for each other


def heard(question: str) -> str:
    """One line of ASCII in lower case, at most HEARD_MAX_CHARS, without the marks at its end."""
    ascii_only = question.encode("ascii", "ignore").decode()
    return " ".join(ascii_only.lower().split())[:HEARD_MAX_CHARS].strip(ENDS)


def read_corpus(directory: Path = TEXT) -> Corpus:
    """Read and check all of it. Raises: ValueError with file or name."""
    files = {path.name: read_toml(path) for path in sorted(directory.glob("*.toml"))}
    wordings, patterns = _by_name(files, "wordings_"), _by_name(files, "patterns_")
    lists = files.get("lists.toml", {})
    entries: dict[str, Entry] = {}
    for file, table in files.items():
        for given in table.get("question", ()):
            lacking = [key for key in ("name", "question", "key", "answer") if key not in given]
            if lacking:
                raise ValueError(f"{file}: {given.get('name', 'a question')} has no {lacking[0]}")
            name = given["name"]
            if name in entries:
                raise ValueError(f"{file}: {name} stands twice")
            entries[name] = Entry(name, given["question"], given["key"], " ".join(given["answer"].split()),
                                  tuple(wordings.pop(name, ())),
                                  tuple(parse_pattern(text, lists) for text in patterns.pop(name, ())))
    if wordings or patterns:
        raise ValueError(f"wordings of questions that do not exist: {', '.join(sorted(wordings | patterns))}")
    _check_keys(list(entries.values()))
    refusal = entries.pop(files["refusal.toml"]["question"][0]["name"])
    others = [table for file, table in files.items() if file.startswith("other_patterns")]
    corpus = Corpus(
        tuple(entries.values()), refusal, tuple(files["other_plain.toml"]["questions"]),
        tuple(parse_pattern(text, table["slots"]) for table in others for text in table["pattern"]),
        tuple(tuple(group) for group in files.get("synonyms.toml", {}).get("groups", ())))
    _check_wordings(corpus)
    return corpus


def read_toml(path: Path) -> dict[str, Any]:
    """Raises: ValueError with the name of the file."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from None


def _by_name(files: dict[str, dict[str, Any]], prefix: str) -> dict[str, list[str]]:
    """What all files of this kind say, joined by the name of the question."""
    joined: dict[str, list[str]] = {}
    for file, table in files.items():
        if file.startswith(prefix):
            for name, texts in table.items():
                joined.setdefault(name, []).extend(texts)
    return joined


def _check_keys(entries: list[Entry]) -> None:
    for entry in entries:
        if len(entry.key.split()) < KEY_MIN_WORDS:
            raise ValueError(f"{entry.name}: its key has fewer than {KEY_MIN_WORDS} words")
        holders = [other.name for other in entries if entry.key.lower() in other.answer.lower()]
        if holders != [entry.name]:
            raise ValueError(f"{entry.name}: its key must stand in its own answer only, and stands in {holders}")


def _check_wordings(corpus: Corpus) -> None:
    """One wording asks one thing. What is heard as nothing is never shown to the model, so it may stand anywhere."""
    owners: dict[str, str] = {}
    for entry in corpus.entries:
        for wording in filter(heard, (entry.question, *entry.wordings)):
            owner = owners.setdefault(heard(wording), entry.name)
            if owner != entry.name:
                raise ValueError(f"{wording!r} asks for {owner} and for {entry.name}")
    for question in corpus.other:
        if heard(question) in owners:
            raise ValueError(f"{question!r} is to be refused and asks for {owners[heard(question)]}")
