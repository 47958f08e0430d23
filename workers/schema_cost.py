"""What a schema costs before it is compiled: refuses what llguidance would work on for seconds, or for ever.

Guarantees: a schema that passes is compiled in well under a second. Measured with llguidance 1.9.1, whose own limits do
not hold in these places, and whose work cannot be interrupted:

    multipleOf      a state for each remainder, at most MULTIPLES_MAX of a schema; where several meet on one value they
                    make one, their least common multiple
    pattern, format several on one value are followed together, 2 to the power of their number: PATTERNS_JOINED_MAX
    patternProperties  each is compared with each: PATTERN_NAMES_MAX
    anyOf, oneOf    beside a $ref, all choices are followed on each level of what is nested: CHOICES_MAX

Which constraints meet on one value is over-estimated: parts of allOf and a $ref with its siblings meet; properties meet
by their own name, whatever they are in; a $ref to an $anchor, or beside an inner $id, may be any part. No work
but the look at the schema itself.
"""

import math
from collections.abc import Generator, Iterable, Iterator
from decimal import Decimal
from functools import reduce
from typing import Any, NamedTuple
from urllib.parse import unquote

MULTIPLES_MAX = 40_000
PATTERNS_JOINED_MAX = 8
PATTERN_NAMES_MAX = 48
CHOICES_MAX = 128
SCALE_STATES = 1000  # what factors 2 and 5 cost at most: digits at the end decide them
ANY, ITEM = ("any name",), ("item",)  # in the place of a property's name
ONE_VALUE = ("not", "if", "then", "else")


class Met(NamedTuple):
    """What meets on one value: which patterns, which multiples (two of them are enough), and whether two may meet."""

    patterns: frozenset[tuple[str, str]] = frozenset()
    multiples: frozenset[Decimal] = frozenset()
    joined: bool = False

    def with_(self, other: "Met") -> "Met":
        too_many = len(self.patterns) > PATTERNS_JOINED_MAX  # then no more need to be known
        patterns = self.patterns if too_many else self.patterns | other.patterns
        both = _two(self.multiples | other.multiples)
        joins = len(both) > 1 and bool(self.multiples) and bool(other.multiples)
        return Met(patterns, both, self.joined or other.joined or joins)

    def or_(self, other: "Met") -> "Met":
        return Met(max(self.patterns, other.patterns, key=len), _two(self.multiples | other.multiples),
                   self.joined or other.joined)


NOTHING = Met()
Found = dict[Any, Met]  # by the name of the property that the value is of; None: the value of the schema itself
Walk = Generator[tuple[str, Any], Found, Found]


def too_costly(schema: Any) -> str:
    """Why a schema (or a list of them, each on its own; no deeper than recursion goes) is refused, or ""."""
    multiples: set[Decimal] = set()
    names = choices = 0
    places: dict[Decimal, str] = {}
    refers = False
    for place, part in _parts(schema):
        multiple = _multiple(part)
        if multiple:
            multiples.add(multiple)
            places.setdefault(multiple, place)
        named = part.get("patternProperties")
        names += len(named) if isinstance(named, dict) else 0
        choices += sum(len(part[key]) for key in ("anyOf", "oneOf") if isinstance(part.get(key), list))
        refers = refers or "$ref" in part
    states = sum(map(_states, multiples))
    if states > MULTIPLES_MAX:
        place = places[max(multiples, key=_states)]
        return f"multipleOf takes {states} states in all; at most {MULTIPLES_MAX} can be enforced, " \
               f"give smaller ones (at {place})"
    if names > PATTERN_NAMES_MAX:
        return f"it has {names} patternProperties; at most {PATTERN_NAMES_MAX} can be enforced, join some (at #)"
    if refers and choices > CHOICES_MAX:
        return f"it has {choices} choices in anyOf and oneOf beside $ref; at most {CHOICES_MAX} can be enforced (at #)"
    for number, each in enumerate(schema if isinstance(schema, list) else [schema]):
        problem = _met_problem(each, multiples)
        if problem:
            return f"{problem} (at #{f'/{number}' if isinstance(schema, list) else ''})"
    return ""


def _met_problem(schema: Any, multiples: Iterable[Decimal]) -> str:
    """Which multiples meet is not known so well as that some do: then all of the schema have to be held together."""
    found = _run(schema)
    anywhere = found.get(ANY, NOTHING)
    for name, met in found.items():
        met = met if name in (None, ANY, ITEM) else met.with_(anywhere)
        where = f" of {name}" if isinstance(name, str) else ""
        if len(met.patterns) > PATTERNS_JOINED_MAX:
            return f"more than {PATTERNS_JOINED_MAX} patterns and formats meet on one value{where}, which cannot be " \
                   "enforced; join them into one"
        states = _states(reduce(_joined, multiples)) if met.joined else 0
        if states > MULTIPLES_MAX:
            return f"multiples meet on one value{where}; all together take {states} states or more, " \
                   f"at most {MULTIPLES_MAX} can be enforced, give one smaller multipleOf"
    return ""


def _run(root: Any) -> Found:
    """`_walk` without recursion: chains of references are as long as they like. Each part that is referred to is
    walked once; inside itself it adds nothing more.
    """
    known: dict[str, Found] = {}
    by_place = not any("$id" in part or isinstance(part.get("id"), str) for place, part in _parts(root) if place != "#")
    stack: list[tuple[str, Walk]] = [("", _walk(root))]
    answer: Found | None = None
    while stack:
        ref, walk = stack[-1]
        try:
            asked, part = walk.send(answer)  # type: ignore[arg-type]
        except StopIteration as ended:
            stack.pop()
            answer = ended.value
            if ref:
                known[ref] = answer
            continue
        answer = known.get(asked) if asked else None
        if answer is None:
            fragment = asked.partition("#")[2]
            if asked and not (by_place and fragment[:1] in ("", "/")):
                answer = known[asked] = _anything(root)
                continue
            if asked:
                known[asked] = {}
                part = _target(root, fragment)
            stack.append((asked, _walk(part)))
    return answer or {}


def _anything(root: Any) -> Found:
    """As if all that is in the schema met."""
    met = NOTHING
    for _, part in _parts(root):
        met = met.with_(_own(part))
    return {None: met, ANY: met}


def _own(part: dict[str, Any]) -> Met:
    patterns = ((key, part[key]) for key in ("pattern", "format") if isinstance(part.get(key), str))
    multiple = _multiple(part)
    return Met(frozenset(patterns), frozenset([multiple] if multiple else []))


def _walk(part: Any) -> Walk:
    """Asks for what is found in (reference, "") or in (none, part)."""
    found: Found = {}
    if not isinstance(part, dict):
        return found
    own = _own(part)
    if own != NOTHING:
        found[None] = own
    if isinstance(part.get("$ref"), str):
        _merge(found, (yield part["$ref"], None), Met.with_)
    for child in _listed(part, "allOf"):
        _merge(found, (yield "", child), Met.with_)
    for key in ("anyOf", "oneOf"):
        either: Found = {}
        for child in _listed(part, key):
            _merge(either, (yield "", child), Met.or_)
        _merge(found, either, Met.with_)
    for key in ONE_VALUE:
        if key in part:
            _merge(found, (yield "", part[key]), Met.with_)
    inside: Found = {}
    for name, child in _named(part):
        below = dict((yield "", child))
        met = below.pop(None, None)
        if met is not None:
            _merge(below, {name: met}, Met.or_)
        _merge(inside, below, Met.or_)
    _merge(found, inside, Met.with_)
    return found


def _merge(into: Found, other: Found, join: Any) -> None:
    for name, met in other.items():
        into[name] = join(into[name], met) if name in into else met


def _named(part: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Schemas of values inside the value."""
    properties = part.get("properties")
    yield from properties.items() if isinstance(properties, dict) else ()
    patterns = part.get("patternProperties")
    yield from ((ANY, child) for child in (patterns.values() if isinstance(patterns, dict) else ()))
    for key in ("additionalProperties", "unevaluatedProperties"):
        yield ANY, part.get(key)
    for key in ("items", "additionalItems", "contains", "unevaluatedItems"):
        yield ITEM, part.get(key)
    for key in ("prefixItems", "items"):
        yield from ((ITEM, child) for child in _listed(part, key))


def _listed(part: dict[str, Any], key: str) -> list[Any]:
    value = part.get(key)
    return value if isinstance(value, list) else []


def _parts(schema: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """All objects inside, with their places."""
    waiting = [("#", schema)]
    while waiting:
        place, part = waiting.pop()
        if isinstance(part, dict):
            yield place, part
            waiting += [(f"{place}/{name}", child) for name, child in part.items() if isinstance(child, dict | list)]
        elif isinstance(part, list):
            waiting += [(f"{place}/{at}", child) for at, child in enumerate(part) if isinstance(child, dict | list)]


def _target(root: Any, fragment: str) -> Any:
    """What is at that place of the schema; None if nothing."""
    part = root
    for name in unquote(fragment).split("/")[1:]:
        name = name.replace("~1", "/").replace("~0", "~")
        if isinstance(part, dict):
            part = part.get(name)
        elif isinstance(part, list) and name.isdecimal() and int(name) < len(part):
            part = part[int(name)]
        else:
            return None
    return part


def _multiple(part: dict[str, Any]) -> Decimal:
    """0: there is none."""
    said = part.get("multipleOf")
    if isinstance(said, bool) or not isinstance(said, int | float) or not 0 < said < math.inf:
        return Decimal(0)
    return Decimal(str(said))


def _ratio(multiple: Decimal) -> tuple[int, int]:
    """(whole number, how many digits of it stand after the point)"""
    _, digits, exponent = multiple.as_tuple()
    whole = int("".join(map(str, digits)))
    scale = -int(exponent)
    while scale > 0 and whole and whole % 10 == 0:
        whole, scale = whole // 10, scale - 1
    return (whole, scale) if scale >= 0 else (whole * 10**-scale, 0)


def _two(multiples: frozenset[Decimal]) -> frozenset[Decimal]:
    return frozenset(sorted(multiples)[:2])


def _joined(one: Decimal, two: Decimal) -> Decimal:
    """Their least common multiple; one that is too large already stays so."""
    if _states(one) > MULTIPLES_MAX:
        return one
    (first, scale), (second, other) = _ratio(one), _ratio(two)
    most = max(scale, other)
    common = math.lcm(first * 10 ** (most - scale), second * 10 ** (most - other))
    return Decimal(f"{common}e-{most}")


def _states(multiple: Decimal) -> int:
    """How much is built for it, about: 10 us each at most."""
    whole, _ = _ratio(multiple)
    odd = whole
    for factor in (2, 5):
        while odd and odd % factor == 0:
            odd //= factor
    return min(whole, SCALE_STATES * odd)
