"""Random JSON schemas of bounded size, the same for the same seed.

Everything that could go on without end is bounded (lengths, numbers, items, additional properties), since the weights
that answer in tests know nothing and would never end a string by themselves.
"""

from random import Random
from typing import Any

DEPTH_MAX = 3
NAMES = ("id", "name", "size", "tags", "kind", "at", "größe", "a b", 'quo"te', "x")
WORDS = ("red", "green", "", "deep blue", "ü", 'say "hi"', "back\\slash", "new\nline")
CONSTANTS = (None, True, False, 0, -7, 3.5, "fixed", [1, "two"], {"k": [None]})
PATTERNS = ("^[a-z]{1,4}$", "^\\d{2}-\\d{2}$", "^(ab|cd){1,3}$")
FORMATS = ("date", "time", "uuid")


def random_schema(random: Random, depth: int = 0) -> dict[str, Any]:
    plain = [_integer, _number, _string, _pattern, _enum, _const, _simple]
    kinds = plain if depth >= DEPTH_MAX else [*plain, _object, _object, _object, _array, _array, _any_of]
    return random.choice(kinds if depth else [_object, _object, _array, _any_of])(random, depth)


def _integer(random: Random, depth: int) -> dict[str, Any]:
    least = random.randint(-1000, 1000)
    return {"type": "integer", "minimum": least, "maximum": least + random.randint(0, 500)}


def _number(random: Random, depth: int) -> dict[str, Any]:
    return {"type": "number", "minimum": 0, "maximum": random.randint(1, 50), "multipleOf": 0.25}


def _string(random: Random, depth: int) -> dict[str, Any]:
    least = random.randint(0, 3)
    return {"type": "string", "minLength": least, "maxLength": least + random.randint(0, 8)}


def _pattern(random: Random, depth: int) -> dict[str, Any]:
    if random.random() < 0.5:
        return {"type": "string", "format": random.choice(FORMATS)}
    return {"type": "string", "pattern": random.choice(PATTERNS)}


def _enum(random: Random, depth: int) -> dict[str, Any]:
    return {"enum": random.sample([*WORDS, 1, 2.5, None, True], random.randint(1, 4))}


def _const(random: Random, depth: int) -> dict[str, Any]:
    return {"const": random.choice(CONSTANTS)}


def _simple(random: Random, depth: int) -> dict[str, Any]:
    return {"type": random.choice(["boolean", "null", ["boolean", "null"]])}


def _object(random: Random, depth: int) -> dict[str, Any]:
    names = random.sample(NAMES, random.randint(0, 4))
    return {"type": "object", "properties": {name: random_schema(random, depth + 1) for name in names},
            "required": [name for name in names if random.random() < 0.7], "additionalProperties": False}


def _array(random: Random, depth: int) -> dict[str, Any]:
    least = random.randint(0, 2)
    return {"type": "array", "items": random_schema(random, depth + 1), "minItems": least,
            "maxItems": least + random.randint(0, 2)}


def _any_of(random: Random, depth: int) -> dict[str, Any]:
    return {"anyOf": [random_schema(random, depth + 1) for _ in range(random.randint(1, 3))]}
