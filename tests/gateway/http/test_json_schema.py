"""Schemas of structs accept what the structs accept, and those of values what has their form."""

from typing import Annotated, Any, Literal

import msgspec
import pytest
from jsonschema import Draft202012Validator

from gateway.http.json_schema import Schemas, schema_like


class Inner(msgspec.Struct):
    word: Literal["a", "b"]
    again: "Inner | None" = None


class Outer(msgspec.Struct, rename={"from_": "from"}):
    names: Annotated[list[str], msgspec.Meta(max_length=2)]
    count: Annotated[int, msgspec.Meta(ge=1, le=9)] | None = None
    inner: Inner | None = None
    later: msgspec.Raw = msgspec.Raw()
    any: Any = None
    table: dict[str, float] = {}
    from_: str | bool = ""


def is_valid(schemas: Schemas, reference: dict, value: object) -> bool:
    return Draft202012Validator(reference | {"components": {"schemas": schemas.found}}).is_valid(value)


@pytest.mark.parametrize("value", [
    {"names": []}, {"names": ["a"], "count": 9, "other": 1}, {"names": [], "count": None, "later": [1], "any": {}},
    {"names": [], "inner": {"word": "a", "again": {"word": "b"}}}, {"names": [], "table": {"x": 1.5}, "from": True},
    {}, {"names": ["a", "b", "c"]}, {"names": [1]}, {"names": [], "count": 10}, {"names": [], "count": 1.5},
    {"names": [], "inner": {"word": "c"}}, {"names": [], "inner": {"word": "a", "again": {}}},
    {"names": [], "table": {"x": "y"}}, {"names": [], "from": 7}, [], "x", None])
def test_a_schema_accepts_what_its_struct_accepts(value: object) -> None:
    schemas = Schemas()
    reference = schemas.of(Outer)
    try:
        msgspec.json.decode(msgspec.json.encode(value), type=Outer)
        fits = True
    except msgspec.ValidationError:
        fits = False
    assert is_valid(schemas, reference, value) == fits


def test_two_structs_of_one_name_have_two_schemas() -> None:
    other = msgspec.defstruct("Inner", [("number", int)], module="a.there")
    schemas = Schemas()
    assert schemas.of(Inner) != schemas.of(other) and schemas.of(Inner) == schemas.of(Inner)
    assert list(schemas.found) == ["Inner", "there.Inner"]


@pytest.mark.parametrize(("value", "fits"), [
    ({"a": 2, "b": ["y"], "c": "anything", "more": 1}, True), ({"a": 1, "b": [], "c": None}, True),
    ({"a": 1, "b": [1], "c": None}, False), ({"a": "1", "b": [], "c": None}, False), ({"a": 1}, False)])
def test_what_is_like_a_value(value: object, fits: bool) -> None:
    schema = schema_like({"a": 1, "b": ["x"], "c": None})
    assert Draft202012Validator(schema).is_valid(value) == fits
