"""Patterns of questions: `[show|list] {amodel}[ please|]` stands for every wording that its choices and lists make.

`[a|b|c]` is one of these, and choices may hold choices; `{name}` is one entry of the list of that name. What is drawn
depends on the `Random` alone. `python -m workers.guide.patterns FILE...` shows what the patterns of a file make.

Refused, with the pattern: a bracket without its partner, a list that does not exist, a bar outside of brackets.
"""

import re
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

EXAMPLES = 5
_PARTS = re.compile(r"[\[\]|{}]|[^\[\]|{}]+")

Lists = Mapping[str, Sequence[str]]


class Choice(NamedTuple):
    """One of `ways`; each is a sequence of texts and further choices."""

    ways: tuple[tuple["str | Choice", ...], ...]

    def draw(self, random: Random) -> str:
        return "".join(part if isinstance(part, str) else part.draw(random) for part in random.choice(self.ways))

    def expression(self) -> str:
        """A regular expression of all its wordings as they are heard, on one line; spaces are optional, for empty
        choices leave some over.
        """
        ways = ("".join(re.sub(r"(\\\s)+", " *", re.escape(part)) if isinstance(part, str) else part.expression()
                        for part in way) for way in self.ways)
        return f"(?:{'|'.join(dict.fromkeys(ways))})"

    @property
    def count(self) -> int:
        """How many wordings there are, counting those that come out alike."""
        total = 0
        for way in self.ways:
            product = 1
            for part in way:
                product *= 1 if isinstance(part, str) else part.count
            total += product
        return total


def parse_pattern(text: str, lists: Lists) -> Choice:
    """Raises: ValueError."""
    parts = _PARTS.findall(text)
    parsed, rest = _parse_ways(parts, 0, text, lists, depth=0)
    if rest != len(parts):
        raise ValueError(f"{text!r}: a ] or }} without its partner")
    return parsed


def _parse_ways(parts: list[str], place: int, text: str, lists: Lists, depth: int) -> tuple[Choice, int]:
    ways: list[tuple] = []
    way: list = []
    while place < len(parts) and parts[place] not in "]}":
        part = parts[place]
        if part == "[":
            inner, place = _parse_ways(parts, place + 1, text, lists, depth + 1)
            if place == len(parts) or parts[place] != "]":
                raise ValueError(f"{text!r}: a [ without its partner")
            way.append(inner)
        elif part == "{":
            name = "".join(parts[place + 1 : place + 2])
            if name not in lists or parts[place + 2 : place + 3] != ["}"]:
                raise ValueError(f"{text!r}: there is no list {{{name}}}")
            way.append(Choice(tuple((entry,) for entry in lists[name])))
            place += 2
        elif part == "|":
            if not depth:
                raise ValueError(f"{text!r}: a | outside of brackets")
            ways.append(tuple(way))
            way = []
        else:
            way.append(part)
        place += 1
    return Choice((*ways, tuple(way))), place


def main() -> None:
    lists = tomllib.loads((Path(__file__).parent / "text" / "lists.toml").read_text(encoding="utf-8"))
    random = Random(0)
    for file in sys.argv[1:]:
        table = tomllib.loads(Path(file).read_text(encoding="utf-8"))
        own = table.pop("slots", lists)  # what is to be refused brings lists of its own
        for name, texts in table.items():
            patterns = [parse_pattern(text, own) for text in texts]
            print(f"{name}: {len(patterns)} patterns, {sum(pattern.count for pattern in patterns)} wordings")
            for _ in range(EXAMPLES):
                print("   ", " ".join(random.choice(patterns).draw(random).split()))


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:
        raise SystemExit(f"patterns: {error}") from None
