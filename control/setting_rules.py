"""What one declared setting is, and how a value for it is checked, described and mended.

The declarations are in `control/settings.py`; this is what is done with any of them. A value is refused by half a
sentence that says what is wrong with it, and `remedy` says what to write instead.

What this refuses: a number outside its limits (NaN too), a value of another type (a quoted number, 5.0 for 5), a list
or a text without end. Pure.
"""

import re
from collections.abc import Callable
from dataclasses import field
from typing import NamedTuple

from control.toml_text import shown, toml

TEXT_MAX_CHARS = 4096
USER_IN_URL = re.compile(r"//[^/]*@")  # perhaps with a password, which no message shows
LIST_MAX_ITEMS = 64
MIB = 1024 * 1024
UNITS = {"_per_s": "", "_s": " of seconds", "_bytes": " of bytes", "_gb": " of GiB", "_percent": " in percent"}


class Setting(NamedTuple):
    """One declaration. `example` is shown where the default would teach nothing (a path)."""

    key: str
    kind: type  # int, float, bool, str or tuple (of texts)
    default: object
    why: str
    low: float
    high: float
    choices: tuple[str, ...]
    variables: tuple[str, ...]  # first one wins
    refuse: Callable[[str], str] | None  # what is wrong with this text; "" if nothing is
    example: object


def setting(default, why: str, low: float = 0, high: float = 0, *, choices=(), also=(), refuse=None, example=None):
    """Declare a setting as a field of a frozen dataclass."""
    rule = {"why": why, "low": low, "high": high, "choices": choices, "also": also, "refuse": refuse}
    return field(default=default, metadata={**rule, "example": example})


def described(item: Setting) -> str:
    """What a value of this setting must be, for "must be ..."."""
    if item.choices:
        return " or ".join(map(toml, item.choices))
    if item.kind in (int, float):
        noun = "a whole number" if item.kind is int else "a number"
        unit = next((unit for end, unit in UNITS.items() if item.key.endswith(end)), "")
        return f"{noun}{unit} from {item.low:.12g} to {item.high:.12g}"
    return {bool: "true or false", str: "a text in quotes", tuple: "a list of texts"}[item.kind]


def check(item: Setting, value: object) -> object:
    """The value as the code gets it (a float for 5 where a number is asked, a tuple for a list).

    Raises:
        ValueError: half a sentence that says what is wrong with it.
    """
    wrong = ValueError(f"must be {described(item)}, not {shown(value)}")
    if item.kind is tuple:
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            raise wrong
        if len(value) > LIST_MAX_ITEMS:
            raise ValueError(f"has {len(value)} entries; the limit is {LIST_MAX_ITEMS}")
        return tuple(_check_text(item, text) for text in value)
    fits = type(value) is item.kind or (item.kind is float and type(value) is int)
    if fits and item.kind in (int, float):
        fits = item.low <= value <= item.high  # of NaN both are false
    if not fits or (item.choices and value not in item.choices):
        raise wrong
    return _check_text(item, value) if item.kind is str else item.kind(value)


def _check_text(item: Setting, text: str) -> str:
    if len(text) > TEXT_MAX_CHARS:
        raise ValueError(f"is {len(text)} characters long; the limit is {TEXT_MAX_CHARS}")
    problem = item.refuse(text) if item.refuse else ""
    if problem:
        raise ValueError(f"{shown(USER_IN_URL.sub('//...@', text))} {problem}")
    return text


def from_text(item: Setting, text: str) -> object:
    """What the text of a variable stands for, not yet checked; the text itself if it cannot be one."""
    if item.kind is tuple:
        return [part.strip() for part in text.split(",") if part.strip()]
    if item.kind is bool:
        return {"true": True, "false": False}.get(text.lower(), text)
    try:
        return item.kind(text) if item.kind in (int, float) else text
    except ValueError:
        return text


def remedy(item: Setting, value: object, variable: str = "") -> str:
    """What to write instead of a value that `check` refused: the value mended if that is clear, else an example."""
    mended = from_text(item, value) if isinstance(value, str) else value
    if item.kind is int and isinstance(value, float) and value.is_integer():
        mended = int(value)
    try:
        check(item, mended)
        return f"write {item.key} = {toml(mended)}"
    except ValueError:
        example = item.example if item.example is not None else item.default
    if example in ("", ()):
        return f"correct it or unset {variable}" if variable else f"correct it or leave {item.key} out"
    if variable:
        text = ",".join(example) if item.kind is tuple else example
        return f"set for example {variable}={text} or unset it"
    return f"write for example {item.key} = {toml(example)}"
