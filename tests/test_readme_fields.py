"""The table of fields in the README is the code's own declaration, and the code does what the declaration says.

For each field a request is sent to the real HTTP face in front of a scripted gateway: what is refused is refused by
name, what is ignored is accepted, and what is honoured is accepted with a right value and refused by name with a wrong
type.
"""

from collections.abc import Iterator

import pytest

from gateway import protocol
from gateway.http import field_table
from gateway.http.app import ROUTES
from gateway.http.fields import HONOURED, IGNORED, REFUSED, Asks, Field, collect
from tests.support import readme
from tests.support.field_values import body_with, place_of, right_value, wrong_values
from tests.support.http_stack import HttpStack

REFUSALS = (400, 501)
ASKED = collect(ROUTES)


def cases(*verdicts: str) -> list:
    """Fields of these verdicts, each with its endpoint."""
    known = {asks.path: asks for asks in ASKED.values()}
    whole = [known[asks.same_as]._replace(path=asks.path) if asks.same_as else asks for asks in ASKED.values()]
    return [pytest.param(asks, field, id=f"{asks.path}:{field.where}") for asks in whole
            for field in asks.fields() if field.verdict in verdicts]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpStack]:
    with HttpStack(tmp_path_factory.mktemp("h")) as stack:
        gateway = stack.gateway
        gateway.on[protocol.Submit] = lambda submit: embed(gateway, submit) if submit.inputs else gateway.answer(submit)
        gateway.on.setdefault(protocol.Tokenize, lambda asked: [
            result(asked.id, protocol.CountInfo("tiny", 3, 2048))])
        gateway.on.setdefault(protocol.Pull, lambda asked: [
            result(asked.id, protocol.PullDone(asked.model, "", 0, "there"))])
        for order in (protocol.Copy, protocol.Delete):
            gateway.on.setdefault(order, lambda asked: [result(asked.id, protocol.OrderDone(asked.model, "done"))])
        yield stack


def result(request_id: str, value: object) -> protocol.Result:
    return protocol.Result(request_id, protocol.msgspec.Raw(protocol.encode(value)))


def embed(gateway, submit: protocol.Submit) -> list:
    *_, done = gateway.answer(submit)
    return [protocol.Accepted(submit.id, gateway.epoch, "tiny", "medium", 0),
            protocol.Vectors(submit.id, [bytes(8)] * len(submit.inputs)), done]


def test_the_readme_has_the_table_that_the_code_declares() -> None:
    assert field_table.parse(readme.text_of("README.md")) == list(field_table.rows()), (
        "`python -m gateway.http.field_table` prints what belongs into the README")


def test_every_endpoint_that_reads_a_body_declares_its_fields() -> None:
    reading = {(method, path) for path, methods in ROUTES.items() for method, handler in methods.items()
               if method != "GET" and getattr(handler, "offered", True)}
    assert reading == set(ASKED)


def test_no_field_is_declared_twice_with_one_verdict() -> None:
    rows = [row[:4] for row in field_table.rows()]
    assert sorted(rows) == sorted(set(rows))


def ask(stack: HttpStack, asks: Asks, body: object) -> tuple[int, str]:
    """Status, and the message of an error."""
    response = stack.client.request(asks.method, asks.path, json=body)
    if response.status_code == 200:
        return 200, ""
    error = response.json()["error"]
    return response.status_code, error if isinstance(error, str) else error["message"]


@pytest.mark.parametrize("asks", [pytest.param(asks, id=asks.path) for asks in ASKED.values()])
def test_the_smallest_body_is_answered(stack: HttpStack, asks: Asks) -> None:
    assert ask(stack, asks, asks.body) == (200, "")


@pytest.mark.parametrize(("asks", "field"), cases(REFUSED))
def test_what_is_refused_is_refused_by_name(stack: HttpStack, asks: Asks, field: Field) -> None:
    value = field.value if field.value is not None else {"some": "thing"}
    status, message = ask(stack, asks, body_with(asks, field.where, value))
    assert status in REFUSALS and field.where.rpartition(".")[2].removesuffix("[]") in message, (value, message)


@pytest.mark.parametrize(("asks", "field"), cases(IGNORED))
def test_what_is_ignored_is_accepted(stack: HttpStack, asks: Asks, field: Field) -> None:
    value = right_value(asks, field)
    assert ask(stack, asks, body_with(asks, field.where, "x" if value is None else value)) == (200, "")


@pytest.mark.parametrize(("asks", "field"), cases(HONOURED))
def test_what_is_honoured_is_accepted_and_its_type_is_checked(stack: HttpStack, asks: Asks, field: Field) -> None:
    value = right_value(asks, field)
    assert value is not None, "declare an example: its type says too little"
    assert ask(stack, asks, body_with(asks, field.where, value)) == (200, "")
    answers = [ask(stack, asks, body_with(asks, field.where, wrong)) for wrong in wrong_values(field)]
    named = [status == 400 and place_of(field.where) in message for status, message in answers]
    assert any(named), answers
