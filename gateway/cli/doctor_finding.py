"""What a check of `warden doctor` says, and what is said of a fact that nobody could find out.

Levels rise: ok (as it should be), note (worth knowing), warning (works, but not for long or not well), problem
(something does not work until it is mended). All but ok have a remedy: what to do, in words that can be pasted where
they hold a command. Pure.
"""

from typing import Literal, NamedTuple

Level = Literal["ok", "note", "warning", "problem"]
LEVELS: tuple[Level, ...] = ("ok", "note", "warning", "problem")


class Finding(NamedTuple):
    """`what` was looked at, in a few words; `found` is a clause about it; `remedy` is "" for ok only."""

    level: Level
    what: str
    found: str
    remedy: str = ""


class Unseen(NamedTuple):
    """In place of a fact: why it could not be found out."""

    why: str


class Group(NamedTuple):
    """Findings that belong together, under a title."""

    title: str
    findings: tuple[Finding, ...]


def ok(what: str, found: str) -> Finding:
    return Finding("ok", what, found)


def note(what: str, found: str, remedy: str) -> Finding:
    return Finding("note", what, found, remedy)


def warning(what: str, found: str, remedy: str) -> Finding:
    return Finding("warning", what, found, remedy)


def problem(what: str, found: str, remedy: str) -> Finding:
    return Finding("problem", what, found, remedy)


def not_seen(what: str, unseen: Unseen) -> Finding:
    """A fact that could not be found out is worth knowing, and no reason to fail."""
    return note(what, f"could not be looked at: {unseen.why}", "`warden doctor --wait 20` waits longer")


def from_line(what: str, line: str) -> tuple[str, str, str]:
    """A line of ours, `problem; remedy`, as what, found and remedy."""
    found, _, remedy = line.partition("; ")
    return what, found, remedy or "see `warden check`"


def worst(findings: list[Finding]) -> Level:
    return max((finding.level for finding in findings), key=LEVELS.index, default="ok")


def counted(count: int, noun: str) -> str:
    """`1 model`, `3 models`, `no models`"""
    return f"{count or 'no'} {noun}{'' if count == 1 else 's'}"


def listed(names: tuple[str, ...] | list[str], most: int = 4) -> str:
    """`a, b and 3 more`"""
    more = len(names) - most
    return f"{', '.join(names[:most])} and {more} more" if more > 0 else ", ".join(names)
