"""What an endpoint does with each field of a body, declared once: for the README's table, for /openapi.json, for tests.

Each module of a dialect declares its endpoints as `ASKS`, a tuple of `Asks`; `field_table` makes rows of them. What is
in a struct and is not named otherwise is honoured. Fields of parts are written with their way from the body:
`options.seed`, `messages[].images`. Pure.
"""

import sys
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

HONOURED, IGNORED, REFUSED = "honoured", "ignored", "refused"


class Field(NamedTuple):
    """`where`: its way from the body. `kind`: the type that the struct declares, None where no struct has the field.
    `value`: what a request may hold there, for a test; None: anything that fits `kind`.
    """

    where: str
    verdict: str
    note: str
    kind: Any = None
    value: Any = None


class Asks(NamedTuple):
    """One endpoint whose body has fields.

    body      the smallest body that is answered
    struct    what the body is decoded as
    parts     ways to structs inside it: {"options": OllamaOptions, "messages[]": OllamaMessage}
    notes     what is worth saying of honoured fields
    ignored   accepted without effect: why. Fields that no struct has may stand here; others need not
    refused   501 (or 400) unless empty: what and why
    values    refused with certain values alone, else honoured: (note, one such value)
    examples  values of honoured fields that the type alone does not give (`msgspec.Raw`, texts with a syntax)
    bodies    for fields that need more around them: the beginning of their way -> a body in which they may stand
    answer    a whole answer as its face makes it, of which /openapi.json takes the form; None: nothing is said of it
    same_as   path of the endpoint that has the same fields, so that the table says it in one line
    """

    dialect: str
    path: str
    struct: type[msgspec.Struct]
    body: Mapping[str, Any]
    parts: Mapping[str, type[msgspec.Struct]] = {}
    notes: Mapping[str, str] = {}
    ignored: Mapping[str, str] = {}
    refused: Mapping[str, str] = {}
    values: Mapping[str, tuple[str, Any]] = {}
    examples: Mapping[str, Any] = {}
    bodies: Mapping[str, Mapping[str, Any]] = {}
    answer: Any = None
    method: str = "POST"
    same_as: str = ""

    def fields(self) -> Iterator[Field]:
        """In the order of the structs: each part after the field that holds it, then the ignored and refused fields
        that no struct has. A field with refused values has two entries.
        """
        yield from self._of(self.struct, "")
        known = {found.where for found in self._of(self.struct, "")}
        for verdict, named in ((IGNORED, self.ignored), (REFUSED, self.refused)):
            for where, note in named.items():
                if where not in known:
                    yield Field(where, verdict, note, None, self.examples.get(where))
        for where, (note, value) in self.values.items():
            if where not in known:
                yield Field(where, REFUSED, note, None, value)

    def _of(self, struct: type[msgspec.Struct], under: str) -> Iterator[Field]:
        for field in msgspec.structs.fields(struct):
            where = f"{under}{field.encode_name}"
            value = self.examples.get(where)
            if where in self.refused:
                yield Field(where, REFUSED, self.refused[where], field.type, value)
            elif where in self.ignored:
                yield Field(where, IGNORED, self.ignored[where], field.type, value)
            else:
                yield Field(where, HONOURED, self.notes.get(where, ""), field.type, value)
            if where in self.values:
                note, refused = self.values[where]
                yield Field(where, REFUSED, note, field.type, refused)
            for way in (where, f"{where}[]"):
                if way in self.parts:
                    yield from self._of(self.parts[way], f"{way}.")


def collect(routes: Mapping[str, Mapping[str, Any]]) -> dict[tuple[str, str], Asks]:
    """By method and path, in the order of the routes: what the modules declare that answer them."""
    declared = {(asks.method, asks.path): asks for module in dict.fromkeys(
        sys.modules[handler.__module__] for methods in routes.values() for handler in methods.values())
        for asks in getattr(module, "ASKS", ())}
    return {(method, path): declared[method, path] for path, methods in routes.items() for method in methods
            if (method, path) in declared}
