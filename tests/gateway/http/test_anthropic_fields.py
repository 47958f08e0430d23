"""The declaration of Anthropic's fields; tests/test_readme_fields.py holds each of them against what the code does."""

import msgspec
import pytest

from gateway.http.anthropic_fields import ASKS_OF_COUNT, ASKS_OF_MESSAGES
from gateway.http.fields import HONOURED

BOTH = pytest.mark.parametrize("asks", [ASKS_OF_MESSAGES, ASKS_OF_COUNT], ids=lambda asks: asks.path)


@BOTH
def test_all_bodies_can_be_read(asks):
    for body in (asks.body, *asks.bodies.values()):
        assert msgspec.json.decode(msgspec.json.encode(body), type=asks.struct).messages


@BOTH
def test_what_is_said_of_a_field_is_said_of_one_that_there_is(asks):
    honoured = {field.where for field in asks.fields() if field.verdict == HONOURED}
    assert {*asks.notes, *asks.examples, *asks.values} <= honoured


@BOTH
def test_what_is_refused_is_read(asks):
    assert {*asks.refused} <= {field.name for field in msgspec.structs.fields(asks.struct)}


def test_counting_takes_all_that_makes_a_prompt():
    counted = {field.where for field in ASKS_OF_COUNT.fields()}
    alone = {field.where for field in ASKS_OF_MESSAGES.fields()} - counted
    assert counted < {field.where for field in ASKS_OF_MESSAGES.fields()}
    assert {"max_tokens", "stream", "stop_sequences"} <= alone
    assert not any(name.startswith(("messages", "tools", "system")) for name in alone)
