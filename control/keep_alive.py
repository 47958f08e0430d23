"""How long a model stays loaded after its last answer, and which of four wishes counts.

1. what the request asked for, at most the operator's cap;
2. what the model's configuration says;
3. what the configuration says for all models.

Written as Ollama writes it: a number of seconds, or a duration ("90s", "5m", "1h30m"); negative is for ever, 0 is "as
soon as it is idle". A time that is over makes a model the first to go; it never ends an answer. Pure.
"""

import re
from math import inf, isfinite, nan

LONGEST_S = 100 * 365 * 86_400.0  # a longer time is for ever: no word of the table could hold it
UNIT_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
NUMBER = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
PLAIN = re.compile(rf"[-+]?{NUMBER}")
PART = re.compile(rf"({NUMBER})(ns|us|µs|μs|ms|s|m|h)")
DURATION = re.compile(rf"[-+]?(?:{PART.pattern})+")
TEXT_MAX_CHARS = 100
SHOWN_MAX_CHARS = 40


def parse_keep_alive(given: float | str) -> float:
    """Seconds; infinite for a negative time.

    Raises:
        ValueError: half a sentence that says what is wrong with it.
    """
    seconds = _seconds(given.strip()) if isinstance(given, str) else given
    try:
        if isfinite(seconds):
            return inf if seconds < 0 or seconds > LONGEST_S else float(seconds)
    except OverflowError:
        pass  # a whole number that is larger than any float
    shown = repr(given[:SHOWN_MAX_CHARS]) if isinstance(given, str) else "this number"
    raise ValueError(f"{shown} is no time; give seconds, or a duration such as \"5m\"; a "
                     "negative number keeps the model for ever")


def _seconds(text: str) -> float:
    """What the text says; nan if it says no time."""
    if len(text) > TEXT_MAX_CHARS:
        return nan
    if PLAIN.fullmatch(text):
        return float(text)
    if not DURATION.fullmatch(text):
        return nan
    seconds = sum(float(number) * UNIT_S[unit] for number, unit in PART.findall(text))
    return -seconds if text.startswith("-") else seconds


def choose_keep_alive_s(asked_s: float | None, model: str, server: str, cap: str) -> float:
    """Seconds, by the rules above. The texts are checked settings; `asked_s` comes from `parse_keep_alive`."""
    if asked_s is not None:
        return min(asked_s if asked_s <= LONGEST_S else inf, parse_keep_alive(cap))
    return parse_keep_alive(model or server)
