"""What a caller is told of a field that is wrong, by the name that the caller knows; and whether one is given. Pure."""

import codecs
import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from gateway.http.errors import Problem
from gateway.protocol import Options, Submit

BLANK_MAX_BYTES = 16  # a longer field cannot be an empty one with a few blanks in it
TOO_LONG = "context_length_exceeded"
OF_FIELDS = ("invalid_request", "not_offered", TOO_LONG)  # codes whose messages may begin with a field
IMAGES = "images"  # found wrong further on, they have no field of their own: they stand in the prompt
OURS = frozenset({*Submit.__struct_fields__, *Options.__struct_fields__, IMAGES})
MISSING = re.compile(r"Object missing required field `(.*)`")
FIRST_FIELD = re.compile(r"\.?([^.\[]*)(.*)", re.DOTALL)
AT_FIRST = re.compile(r"([a-z_]+)((?:\[\d+\]|\.[\w$-]+)*): (.*)", re.DOTALL)
STEP = re.compile(r"\.([^.\[]+)|\[[^\]]*\]")
NO_WORD = "Invalid enum value"  # as msgspec says it
T = TypeVar("T")


def decode(body: bytes, kind: type[T]) -> T:
    """JSON as `kind`. A whole number may be written 8192.0, as by clients that know no others, and a byte order mark
    may stand before it all. Raises: as msgspec.
    """
    body = body.removeprefix(codecs.BOM_UTF8)
    try:
        return decoder_of(kind).decode(body)
    except msgspec.ValidationError as problem:
        if "got `float`" not in str(problem):
            raise
    return msgspec.json.decode(msgspec.json.encode(WHOLE_NUMBERS.decode(body)), type=kind)


@lru_cache
def decoder_of(kind: Any) -> msgspec.json.Decoder:
    return msgspec.json.Decoder(kind)


def whole(text: str) -> int | float | str:
    """A number with a point or an exponent; one that no float can hold stays text, and so is none."""
    number = float(text)
    if math.isinf(number):
        return text
    return int(number) if number.is_integer() and abs(number) <= WHOLE_MAX else number


WHOLE_MAX = 2**53  # beyond it a float is no count
WHOLE_NUMBERS = msgspec.json.Decoder(float_hook=whole)


def invalid(problem: msgspec.ValidationError | str, under: str = "", names: Mapping[str, str] = {},
            kind: Any = None) -> Problem:
    """What msgspec found, as the caller knows it: below the field `under`, with `names` from our names to theirs.
    `kind`: what was to be decoded, whose words are told to who wrote another.
    """
    what, _, where = str(problem).partition(" - at `$")
    if missing := MISSING.fullmatch(what):
        what, where = "is required", f"{where.rstrip('`')}.{missing[1]}"
    if what.startswith(NO_WORD) and (words := words_at(kind, where.rstrip("`"))):
        what = f"{what}; it must be one of {words}"
    first, rest = FIRST_FIELD.fullmatch(where.rstrip("`")).groups()
    field = f"{under}{names.get(first, first)}{rest}".rstrip(".")
    if not field and what.startswith("Expected `object`"):
        what = f"body: expected an object{what.removeprefix('Expected `object`')}"
    return Problem("invalid_request", f"{field}: {what}" if field else what, field or None)


def problem_of(code: str, message: str, names: Mapping[str, str]) -> Problem:
    """What the gateway or a worker found, as the caller knows it: also in `field: what`, of a field in `names`, or one
    that is called the same here and there. A prompt that is too long is the field where it stands.
    """
    prompt = names.get("prompt", "prompt")
    found = AT_FIRST.fullmatch(message) if code in OF_FIELDS else None
    if found and (found[1] in names or found[1] in OURS or found[1] in names.values()):
        field = names.get(found[1], found[1]) + found[2]
        return Problem(code, f"{field}: {found[3]}", prompt if found[1] == IMAGES else field)
    if code == TOO_LONG:
        return Problem(code, message, prompt)
    return invalid(message, names=names) if code == "invalid_request" else Problem(code, message)


@lru_cache
def types_of(kind: Any) -> inspect.Type:
    return inspect.type_info(kind)


def words_at(kind: Any, where: str) -> str:
    """By the alphabet, those that may stand at this place (`.messages[0].role`) of a `kind`; "" if none are known."""
    found = members(types_of(kind))
    for step in STEP.finditer(where):
        found = [inner for each in found for inner in inside(each, step[1])]
    words = ["true, false" for each in found if isinstance(each, inspect.BoolType)]
    return ", ".join([*words, *(str(word) for each in found if isinstance(each, inspect.LiteralType)
                                for word in each.values)])


def members(kind: inspect.Type) -> list[inspect.Type]:
    """Of a union; else the type alone."""
    if isinstance(kind, inspect.Metadata):
        return members(kind.type)
    return [inner for each in kind.types for inner in members(each)] if isinstance(kind, inspect.UnionType) else [kind]


def inside(kind: inspect.Type, name: str | None) -> list[inspect.Type]:
    """The types of one field, or of what a list or an object holds."""
    match kind:
        case inspect.StructType():
            return [inner for field in kind.fields if field.encode_name == name for inner in members(field.type)]
        case inspect.ListType():
            return members(kind.item_type)
        case inspect.DictType():
            return members(kind.value_type)
    return []


def is_given(raw: msgspec.Raw) -> bool:
    """Is there anything in this field? Clients send `""`, `null`, `[]` and `{}` for "no"."""
    if len(raw) > BLANK_MAX_BYTES:
        return True
    return b"".join(bytes(raw).split()) not in (b"", b"null", b"[]", b"{}", b'""', b"false")


def not_offered(field: str, what: str) -> Problem:
    return Problem("not_offered", f"{field}: {what} not offered in this version; a later one will", field)
