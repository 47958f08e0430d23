"""JSON schemas of the structs that requests are read as, and of values that are answered. Pure.

msgspec makes schemas itself, but not of structs with fields whose text is read later (`msgspec.Raw`), of which the
dialects have many: here such a field may hold anything. Structs are named by their class, and by their module too
where two have the same name. Whatever else a struct does not name is accepted, so no schema forbids further fields.
"""

from typing import Any

import msgspec
from msgspec import inspect

REF = "#/components/schemas/"
Json = dict[str, Any]
LIMITS = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum",
          "min_length": "minLength", "max_length": "maxLength", "pattern": "pattern"}
OF_LISTS = {"minLength": "minItems", "maxLength": "maxItems"}
OF_MAPS = {"minLength": "minProperties", "maxLength": "maxProperties"}
PLAIN = {inspect.BoolType: "boolean", inspect.IntType: "integer", inspect.FloatType: "number",
         inspect.StrType: "string", inspect.NoneType: "null"}


class Schemas:
    """`of(struct)` gives the reference to a schema; all that were needed stand in `found`, by name."""

    def __init__(self) -> None:
        self.found: dict[str, Json] = {}
        self._names: dict[type, str] = {}

    def of(self, struct: type[msgspec.Struct]) -> Json:
        return self._of(inspect.type_info(struct))

    def _of(self, kind: inspect.Type) -> Json:
        limits = {LIMITS[name]: value for name in LIMITS if (value := getattr(kind, name, None)) is not None}
        match kind:
            case inspect.Metadata():
                return self._of(kind.type)
            case inspect.StructType():
                return self._struct(kind)
            case inspect.UnionType():
                return {"anyOf": [self._of(each) for each in kind.types]}
            case inspect.LiteralType():
                return {"enum": list(kind.values)}
            case inspect.ListType():
                return {"type": "array", "items": self._of(kind.item_type), **renamed(limits, OF_LISTS)}
            case inspect.DictType():
                return {"type": "object", "additionalProperties": self._of(kind.value_type),
                        **renamed(limits, OF_MAPS)}
            case _ if type(kind) in PLAIN:
                return {"type": PLAIN[type(kind)], **limits}
        return {}  # Raw, Any: anything

    def _struct(self, kind: inspect.StructType) -> Json:
        if kind.cls not in self._names:
            taken = set(self._names.values())
            name = kind.cls.__name__
            if name in taken:
                name = f"{kind.cls.__module__.rpartition('.')[2]}.{name}"
            self._names[kind.cls] = name
            self.found[name] = {}  # of a struct that holds itself
            self.found[name] = {
                "type": "object",
                "properties": {field.encode_name: self._of(field.type) for field in kind.fields},
                "required": [field.encode_name for field in kind.fields if field.required]}
        return {"$ref": REF + self._names[kind.cls]}


def renamed(limits: Json, names: dict[str, str]) -> Json:
    return {names.get(name, name): value for name, value in limits.items()}


def schema_like(value: Any) -> Json:
    """What has the form of `value`: all its fields, lists of what its lists hold; null stands for anything."""
    match value:
        case None:
            return {}
        case dict():
            return {"type": "object", "properties": {name: schema_like(each) for name, each in value.items()},
                    "required": list(value)}
        case list():
            forms = [schema_like(each) for each in value]
            return {"type": "array", "items": {"anyOf": forms} if forms else {}}
    return {"type": {bool: "boolean", int: "integer", float: "number", str: "string"}[type(value)]}
