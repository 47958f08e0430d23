"""JSON schemas as callers give them: made ours, held to sizes, and refused with the place of what is wrong.

Guarantees
1. What is enforced has at most SCHEMA_MAX_BYTES and SCHEMA_MAX_DEPTH levels, and no multipleOf of many digits, which
   would take too much work.
2. A refusal names the innermost part that is a problem by itself (`refuse_at`), as far as that is found in
   PLACE_WITHIN_S.
3. Arguments of a function are an object: no other type is taken for them, and one that lists all its properties allows
   no others. Keywords that are null are not there, as some clients write them.

`ask` says what llguidance finds wrong with a schema, "" for nothing. Beside that, only the clock is asked.
"""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from workers.engine import JobRefused
from workers.schema_cost import too_costly

SCHEMA_MAX_BYTES = 64 * 1024  # of a schema, or of all tools together
SCHEMA_MAX_DEPTH = 128
MULTIPLE_MAX_DIGITS = 4
MULTIPLE_MAX = 10**15
WHAT_MAX_CHARS = 200
PLACE_WITHIN_S = 0.05  # a place that is not found by then is not told
JSON_STYLE = {"whitespace_flexible": False, "item_separator": ", ?", "key_separator": ": ?"}
ONE_SCHEMA = ("items", "additionalProperties", "additionalItems", "contains", "not", "if", "then", "else",
              "propertyNames", "unevaluatedProperties", "unevaluatedItems")
MANY_SCHEMAS = ("anyOf", "allOf", "oneOf", "prefixItems", "items")
NAMED_SCHEMAS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
OPEN_KEYS = {"type", "properties", "required", "description", "title", "$defs", "definitions", "$schema"}
MAY_BE_NULL = {"const", "default"}
OTHER_TYPES = {"string", "number", "integer", "boolean", "array", "null"}
BEYOND = ("not supported", "are not disjoint")  # said of patterns that are right, and that llguidance cannot hold

Ask = Callable[[dict[str, Any]], str]


def whole(schema: dict[str, Any] | bool, *, lenient: bool) -> dict[str, Any]:
    """With our style of JSON; what a caller says about that is dropped."""
    said = {} if schema is True else {key: value for key, value in schema.items() if key != "x-guidance"}
    return {**said, "x-guidance": {**JSON_STYLE, "lenient": lenient}}


def sized(field: str, schema: Any) -> Any:
    """The schema. Raises JobRefused for one that is too large."""
    level, depth = [schema], 0
    while level:
        for part in level:
            multiple = part.get("multipleOf") if isinstance(part, dict) else None
            if isinstance(multiple, int | float) and not _is_small(multiple):
                refuse_what(field, f"multipleOf {multiple} has more than {MULTIPLE_MAX_DIGITS} digits that count; "
                                   "it cannot be enforced")
        level = [child for part in level if isinstance(part, dict | list)
                 for child in (part.values() if isinstance(part, dict) else part)]
        depth += 1
        if depth > SCHEMA_MAX_DEPTH:
            refuse_what(field, f"it is nested deeper than {SCHEMA_MAX_DEPTH} levels; give a flatter one")
    size_bytes = len(json.dumps(schema))
    if size_bytes > SCHEMA_MAX_BYTES:
        refuse_what(field, f"it has {size_bytes} bytes; at most {SCHEMA_MAX_BYTES} can be enforced")
    problem = too_costly(schema)
    if problem:
        refuse_what(field, problem)
    return schema


def arguments_of(parameters: dict[str, Any]) -> dict[str, Any]:
    """A function's parameters (of a size that is known) as the schema of its arguments."""
    schema = json.loads(json.dumps({key: value for key, value in parameters.items() if key != "x-guidance"}))
    parts = [schema]
    while parts:
        part = parts.pop()
        parts += [child for _, child in children(part)]
        for key in [key for key, value in part.items() if value is None and key not in MAY_BE_NULL]:
            del part[key]
    kind = schema.get("type", "object")
    schema["type"] = "object" if isinstance(kind, list) and "object" in kind else kind
    properties, required = schema.get("properties"), schema.get("required", [])
    if schema.keys() <= OPEN_KEYS and isinstance(properties, dict) and properties and isinstance(required, list) \
            and all(isinstance(name, str) and name in properties for name in required):
        schema["additionalProperties"] = False  # arguments that the function has not help nobody
    return schema


def wrong_type(schema: dict[str, Any]) -> str:
    """What is wrong with what `arguments_of` gave, "" for nothing."""
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if kinds and all(isinstance(kind, str) and kind in OTHER_TYPES for kind in kinds):
        return f"arguments are an object, and this is {' or '.join(kinds)}"
    return ""


def loosened(schema: dict[str, Any], ask: Ask) -> dict[str, Any]:
    """A copy without the patterns that llguidance cannot hold: look-around, references back, borders of words, and
    patterns of names that overlap. All else stays, so that what is broken is still found.
    """
    copy = json.loads(json.dumps(schema))
    parts, until = [copy], time.perf_counter() + PLACE_WITHIN_S
    while parts and time.perf_counter() < until:
        part = parts.pop()
        parts += [child for _, child in children(part)]
        if "pattern" in part and _is_beyond(ask({"type": "string", "pattern": part["pattern"]})):
            del part["pattern"]
        named = part.get("patternProperties")
        names = dict.fromkeys(named, {}) if isinstance(named, dict) else {}
        if names and _is_beyond(ask({"type": "object", "patternProperties": names})):
            del part["patternProperties"]
            part.pop("additionalProperties", None)  # it would forbid what the patterns allowed
    return copy


def _is_beyond(problem: str) -> bool:
    return any(words in problem for words in BEYOND)


def refuse_at(field: str, schema: dict[str, Any], problem: str, ask: Ask) -> NoReturn:
    """With the innermost part that is a problem by itself."""
    until, place, part = time.perf_counter() + PLACE_WITHIN_S, "#", schema
    shared = {key: schema[key] for key in ("$defs", "definitions", "x-guidance") if key in schema}
    looking = True
    while looking:
        looking = False
        for name, child in children(part):
            if time.perf_counter() > until:
                break
            inner = ask({**shared, **child})
            if inner and ("does not exist" not in inner or inner == problem):
                place, part, problem, looking = f"{place}/{name}", child, inner, True
                break
    refuse_what(field, f"{problem} (at {place})")


def children(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The schemas inside, with their places."""
    for key in NAMED_SCHEMAS:
        named = schema.get(key)
        for name, child in named.items() if isinstance(named, dict) else ():
            if isinstance(child, dict):
                yield f"{key}/{name.replace('~', '~0').replace('/', '~1')}", child
    for key in MANY_SCHEMAS:
        many = schema.get(key)
        for number, child in enumerate(many if isinstance(many, list) else ()):
            if isinstance(child, dict):
                yield f"{key}/{number}", child
    for key in ONE_SCHEMA:
        if isinstance(schema.get(key), dict):
            yield key, schema[key]


def _is_small(multiple: float) -> bool:
    """What multiples are held to takes as many states as it has digits that count, to the power of ten."""
    digits = f"{multiple:.15g}" if abs(multiple) < MULTIPLE_MAX else "e"
    return "e" not in digits and len(digits.replace(".", "").replace("-", "").strip("0")) <= MULTIPLE_MAX_DIGITS


def first_line(text: str) -> str:
    """What is wrong; the lines between show the expression again."""
    lines = text.strip().splitlines()
    told = lines[:1] + [line for line in lines[1:] if line.startswith("error:")]
    return " ".join(" ".join(told).split())[:WHAT_MAX_CHARS]


def refuse_what(field: str, what: str) -> NoReturn:
    raise JobRefused("invalid_request", f"{field}: {what}")
