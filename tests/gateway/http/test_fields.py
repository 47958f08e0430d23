"""A declaration of fields: the order, the verdicts, and where it is found."""

import sys
from types import ModuleType

import msgspec

from gateway.http.fields import HONOURED, IGNORED, REFUSED, Asks, collect


class Part(msgspec.Struct):
    text: str = ""
    url: str = ""


class Body(msgspec.Struct):
    parts: list[Part]
    user: str = ""
    kind: str = ""


ASKS = Asks("openai", "/x", Body, {"parts": []}, parts={"parts[]": Part}, notes={"parts": "many"},
            ignored={"user": "why", "other": "no struct has it"}, refused={"parts[].url": "no", "audio": "is not"},
            values={"kind": ("but b", "b")}, examples={"other": 7})


def test_fields_stand_as_their_structs_have_them_and_others_follow() -> None:
    assert [(field.where, field.verdict, field.note) for field in ASKS.fields()] == [
        ("parts", HONOURED, "many"), ("parts[].text", HONOURED, ""), ("parts[].url", REFUSED, "no"),
        ("user", IGNORED, "why"), ("kind", HONOURED, ""), ("kind", REFUSED, "but b"),
        ("other", IGNORED, "no struct has it"), ("audio", REFUSED, "is not")]


def test_values_come_from_the_declaration() -> None:
    values = {(field.where, field.verdict): field.value for field in ASKS.fields()}
    assert values["other", IGNORED] == 7 and values["kind", REFUSED] == "b" and values["kind", HONOURED] is None


def test_declarations_are_found_in_the_modules_that_answer(monkeypatch) -> None:
    module = ModuleType("an_api")
    module.ASKS = (ASKS, ASKS._replace(path="/unrouted"))
    monkeypatch.setitem(sys.modules, module.__name__, module)

    async def answer(call: object) -> None: ...

    answer.__module__ = module.__name__
    assert collect({"/x": {"GET": answer, "POST": answer}}) == {("POST", "/x"): ASKS}
