"""When which request of which class is due, and what it says: a schedule made before the clock starts.

Guarantees: the same `random.Random` seed and arguments give the same list, on every machine; prompts differ from each
other from their first words on, so that no server answers out of a cache of prefixes that another request filled; and
arrivals of an open loop depend on nothing that the server does. Pure: randomness is passed in.

Refused: a schedule without an end (rate, duration and the number of requests have limits).
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from bench.records import CLASSES, Ask

REQUESTS_MAX = 100_000
PROMPT_MAX_CHARS = 1_000_000
MAX_TOKENS_MAX = 1_000_000
SUBJECTS = ("the harbour", "a night train", "our old kitchen", "the weather station", "a quiet library", "the orchard",
            "my neighbour", "the ferry", "a mountain hut", "the town band", "an empty theatre", "the repair shop")
VERBS = ("remembers", "borrows", "counts", "repairs", "paints", "explains", "collects", "forgets", "measures",
         "translates", "hides", "describes")
OBJECTS = ("seven lanterns", "a letter from abroad", "the morning tide", "two broken clocks", "a map without names",
           "all the apples", "the second violin", "a basket of bread", "the long winter", "someone else's umbrella",
           "an unfinished song", "the colour of rain")


class Random(Protocol):
    """What this needs of a `random.Random`."""

    def expovariate(self, lambd: float) -> float: ...

    def randrange(self, stop: int) -> int: ...

    def choice(self, seq: Sequence[str]) -> str: ...

    def choices(self, population: Sequence[str], weights: Sequence[float]) -> list[str]: ...


class ScheduleRefused(ValueError):
    """One line that names what is wrong with the schedule asked for."""


def open_loop(random: Random, rate_per_s: float, duration_s: float, mix: Mapping[str, float], prompt_chars: int,
              max_tokens: int) -> list[Ask]:
    """Poisson arrivals: gaps are exponential with mean 1 / rate, the last one is due before `duration_s`.

    `mix`: class -> weight. A list of at least one ask. Raises: ScheduleRefused.
    """
    if not rate_per_s > 0 or not duration_s > 0:
        raise ScheduleRefused("rate and duration must be above 0")
    if rate_per_s * duration_s > REQUESTS_MAX:
        raise ScheduleRefused(f"{rate_per_s:g} per second for {duration_s:g} s are more than {REQUESTS_MAX} requests; "
                              "lower the rate or the duration")
    _check(mix, prompt_chars, max_tokens)
    asks: list[Ask] = []
    at_s = 0.0  # the first is due at once: a run of any length asks something
    while at_s < duration_s and len(asks) < REQUESTS_MAX:
        asks.append(_ask(random, at_s, mix, prompt_chars, max_tokens))
        at_s += random.expovariate(rate_per_s)
    return asks


def closed_loop(random: Random, requests: int, mix: Mapping[str, float], prompt_chars: int,
                max_tokens: int) -> list[Ask]:
    """`requests` asks without times of their own: each goes when a stream is free. Raises: ScheduleRefused."""
    if not 1 <= requests <= REQUESTS_MAX:
        raise ScheduleRefused(f"{requests} requests: give 1 to {REQUESTS_MAX}")
    _check(mix, prompt_chars, max_tokens)
    return [_ask(random, 0.0, mix, prompt_chars, max_tokens) for _ in range(requests)]


def read_mix(text: str) -> dict[str, float]:
    """`high=1,medium=2,low=1`: class -> weight; a class that is not named is not asked. Raises: ScheduleRefused."""
    mix: dict[str, float] = {}
    for part in text.split(","):
        name, equals, weight = part.strip().partition("=")
        try:
            mix[name] = float(weight)
        except ValueError:
            equals = ""
        if not equals:
            raise ScheduleRefused(f"mix: {part.strip()!r} is not CLASS=WEIGHT, such as high=1,medium=2,low=1")
    _check_mix(mix)
    return mix


def _check(mix: Mapping[str, float], prompt_chars: int, max_tokens: int) -> None:
    _check_mix(mix)
    if not 1 <= prompt_chars <= PROMPT_MAX_CHARS:
        raise ScheduleRefused(f"{prompt_chars} characters per prompt: give 1 to {PROMPT_MAX_CHARS}")
    if not 1 <= max_tokens <= MAX_TOKENS_MAX:
        raise ScheduleRefused(f"{max_tokens} tokens per answer: give 1 to {MAX_TOKENS_MAX}")


def _check_mix(mix: Mapping[str, float]) -> None:
    for name, weight in mix.items():
        if name not in CLASSES:
            raise ScheduleRefused(f"mix: {name!r} is no class; the classes are {', '.join(CLASSES)}")
        if not 0 <= weight < float("inf"):
            raise ScheduleRefused(f"mix: the weight of {name} must be 0 or more")
    if not sum(mix.values()) > 0:
        raise ScheduleRefused("mix: at least one class needs a weight above 0")


def _ask(random: Random, at_s: float, mix: Mapping[str, float], prompt_chars: int, max_tokens: int) -> Ask:
    [klass] = random.choices(list(mix), list(mix.values()))
    return Ask(at_s, klass, _prompt(random, prompt_chars), max_tokens)


def _prompt(random: Random, chars: int) -> str:
    """Plain sentences, exactly `chars` characters, cut in the middle of a word if need be."""
    text = f"Story {random.randrange(10**6)}:"
    while len(text) < chars:
        text += f" {random.choice(SUBJECTS)} {random.choice(VERBS)} {random.choice(OBJECTS)}."
    return text[:chars]
