"""Values for a field of a request, right and wrong ones, from the type that its struct declares; and bodies with them.

A way is written as `gateway.http.fields` does: `options.seed`, `messages[].images`.
"""

import copy
from typing import Any

import msgspec
from msgspec import inspect

from gateway.http.fields import REFUSED, Asks, Field

CANDIDATES: tuple[Any, ...] = ({"no": 1}, 7, "no", [[]], True)  # of each kind of JSON value


def right_value(asks: Asks, field: Field) -> Any:
    """Declared, or in a body that is declared, or by the type; None where nothing gives one."""
    if field.value is not None:
        return field.value
    inside: Any = body_for(asks, field.where)
    for part in field.where.split("."):
        name = part.removesuffix("[]")
        inside = inside.get(name) if isinstance(inside, dict) else None
        if part.endswith("[]"):
            inside = inside[0] if isinstance(inside, list) and inside else None
    return inside if inside is not None or field.kind is None else of_type(inspect.type_info(field.kind))


def body_for(asks: Asks, where: str) -> dict[str, Any]:
    """A copy of the declared body in which the field may stand."""
    best = max((way for way in asks.bodies if where.startswith(way)), key=len, default=None)
    return copy.deepcopy(dict(asks.body if best is None else asks.bodies[best]))


def of_type(kind: inspect.Type) -> Any:
    """The plainest value of a type that is not null."""
    match kind:
        case inspect.Metadata():
            return of_type(kind.type)
        case inspect.UnionType():
            return of_type(next(each for each in kind.types if not isinstance(each, inspect.NoneType)))
        case inspect.StructType():
            return {field.encode_name: of_type(field.type) for field in kind.fields if field.required}
        case inspect.LiteralType():
            return kind.values[0]
        case inspect.ListType():
            return [of_type(kind.item_type)]
        case inspect.DictType():
            return {"1": of_type(kind.value_type)}
        case inspect.BoolType():
            return True
        case inspect.IntType():
            return max(kind.ge or 1, 1)
        case inspect.FloatType():
            return 0.5
        case inspect.StrType():
            return "x" * max(kind.min_length or 1, 1)
    return None


def wrong_values(field: Field) -> list[Any]:
    """Those that the type of the field does not allow; all that there are where a type says nothing."""
    return [value for value in CANDIDATES if field.kind in (None, msgspec.Raw) or not allows(field.kind, value)]


def allows(kind: Any, value: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def body_with(asks: Asks, where: str, value: Any) -> dict[str, Any]:
    """The declared body, with what must be around the field, and with `value` in it."""
    fields = {field.where: field for field in asks.fields() if field.verdict != REFUSED}
    body: Any = body_for(asks, where)
    *ways, last = where.split(".")
    inside, way = body, ""
    for part in ways:
        name, is_list = part.removesuffix("[]"), part.endswith("[]")
        way = f"{way}{name}"
        if not isinstance(inside.get(name), list if is_list else dict):
            known = copy.deepcopy(right_value(asks, fields[way])) if way in fields else None
            inside[name] = container(known, is_list)
        inside = inside[name][0] if is_list else inside[name]
        way += "[]." if is_list else "."
    inside[last] = value
    return body


def container(known: Any, is_list: bool) -> Any:
    """`known` if it is one that a field can stand in."""
    if is_list:
        return known if isinstance(known, list) and known and isinstance(known[0], dict) else [{}]
    return known if isinstance(known, dict) else {}


def place_of(where: str) -> str:
    """As an error names the field of a body that `body_with` made."""
    return where.replace("[]", "[0]")
