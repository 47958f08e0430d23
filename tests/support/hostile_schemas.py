"""Schemas that are small and make much work, by name; and a process that meets them all in turn: `python -m ...`.

It says for each, in a line of its own, "refused" or "ready" (a grammar is made, and masks for MASKS tokens taken at
random). Whoever starts it sets the deadline: the work inside llguidance cannot be interrupted.
"""

from random import Random
from typing import Any

import numpy as np
from llguidance.numpy import fill_next_token_bitmask

from tests.support.grammars import grammars_for
from workers.engine import JobRefused
from workers.job_parts import Extras
from workers.tool_calls import GENERIC_FORM

MASKS = 20


def _doubled(word: str, count: int) -> dict[str, Any]:
    parts = {f"d{at}": {"properties": {"a": {word: [{"$ref": f"#/$defs/d{at + 1}"}] * 2}}} for at in range(count)}
    return {"$ref": "#/$defs/d0", "$defs": {**parts, f"d{count}": {"type": "string"}}}


def _strings(patterns: list[str]) -> dict[str, Any]:
    return {"allOf": [{"type": "string", "pattern": pattern} for pattern in patterns]}


def _arrays(count: int) -> dict[str, Any]:
    return {"anyOf": [{"type": "array", "items": {"$ref": "#"}, "minItems": at} for at in range(count)]}


def _names(pattern: str, count: int) -> dict[str, Any]:
    return {"type": "object", "patternProperties": {pattern % at: {"type": "integer"} for at in range(count)}}


def _multiples(*multiples: float) -> dict[str, Any]:
    return {"allOf": [{"type": "integer", "multipleOf": multiple} for multiple in multiples]}


HOSTILE: dict[str, dict[str, Any]] = {
    "multiples that meet": _multiples(9973, 9967),
    "multiples through an anchor": {"$ref": "#a", "type": "integer", "multipleOf": 9967,
                                    "$defs": {"a": {"$anchor": "a", "type": "integer", "multipleOf": 9973}}},
    "multiples that may meet": _multiples(199, 197),
    "a multiple with zeros": _multiples(9_973_000),
    "a multiple that is no number for a float": _multiples(10**400),
    "choices of multiples that meet": {"type": "integer", "allOf": [
        {"anyOf": [{"multipleOf": 101 + 2 * at} for at in range(part, 40, 2)]} for part in (0, 1)]},
    "many multiples": {"type": "object", "properties": {f"k{at}": {"type": "integer", "multipleOf": 9973 - at}
                                                        for at in range(500)}},
    "patterns that meet": _strings([f".*a.{{{at}}}b" for at in range(1, 20)]),
    "as many patterns as may meet": _strings([f".*a.{{{at}}}b" for at in range(8)]),
    "a pattern with counts": _strings(["^((a|b|.){1,1000}(x{1,1000}y){1,100}){1,100}$"]),
    "a pattern with many states": _strings(["^(.*a.{200})+$"]),
    "a pattern with many choices": _strings([f"^({'|'.join(f'.*w{at}.*' for at in range(500))})$"]),
    "names that are compared": _names("^[a-z]{1,100}_%dk$", 200),
    "as many names as may be": _names("^[a-z]{1,100}_%dk$", 48),
    "choices on each level": _arrays(300),
    "as many choices as may be": _arrays(128),
    "all of doubled": _doubled("allOf", 30),
    "any of doubled": _doubled("anyOf", 200),
    "all of any": {"type": "integer", "allOf": [{"anyOf": [{"minimum": at}, {"maximum": -at}]} for at in range(40)]},
    "itself": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]},
    "many items": {"type": "array", "minItems": 10**9, "items": {"type": "string", "minLength": 10**9}},
    "many values": {"enum": list(range(10_000))},
    "a long value": {"const": "x" * 60_000},
    "many properties": {"type": "object", "properties": {f"k{at}": {"type": "integer"} for at in range(1500)}},
    "many required": {"type": "object", "required": [f"k{at}" for at in range(5000)]},
    "many formats": {"type": "object", "properties": {f"k{at}": {"type": "string", "format": "uri"}
                                                      for at in range(600)}},
}


def meet(name: str) -> str:
    grammars, random = grammars_for(GENERIC_FORM, True), Random(name)
    try:
        guide = grammars.guide(Extras(schema=HOSTILE[name]), reasons=False)
    except JobRefused as refused:
        return "refused" if refused.code == "invalid_request" else str(refused)
    words = np.zeros((1, -(-grammars.mask_bits // 32)), np.int32)
    for _ in range(MASKS):
        fill_next_token_bitmask(guide.matcher, words)
        guide.note_problem()
        allowed = np.flatnonzero(np.unpackbits(words.view(np.uint8), bitorder="little"))
        if not (guide.constrains and allowed.size):
            break
        guide.consume(int(random.choice(allowed)))
    return "ready"


if __name__ == "__main__":
    for each in HOSTILE:
        print(meet(each), flush=True)
