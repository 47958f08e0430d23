"""A submit completed from the configuration, or refused with the field's name."""

from dataclasses import replace

import pytest

from control.states import Priority
from gateway import protocol
from gateway.requests import Refusal, make_request
from tests.support.gateway_world import make_config

NOW = 50.0


def make(config=None, **fields):
    submit = protocol.decode_from_client(protocol.encode({"type": "submit", "id": "r", "prompt": "x"} | fields))
    return make_request(submit, b"c1", config or make_config("a"), number=7, now=NOW, draw_seed=lambda: 99)


def test_defaults_come_from_the_model_and_the_request_beats_them():
    config = make_config("a")
    model = replace(config.models[0], temperature=0.3, top_k=7, max_tokens=11)
    config = replace(config, models=(model,))
    request = make(config)
    assert (request.sampling.temperature, request.sampling.top_k, request.max_tokens) == (0.3, 7, 11)
    request = make(config, options={"temperature": 0, "max_tokens": 3, "stop": ["x"]})
    assert (request.sampling.temperature, request.sampling.top_k, request.max_tokens) == (0.0, 7, 3)
    assert request.stop == ["x"]


def test_a_seed_is_always_set_and_negative_ones_are_folded():
    assert make().sampling.seed == 99
    assert make(options={"seed": 5}).sampling.seed == 5
    assert 0 <= make(options={"seed": -5}).sampling.seed < 2**63


def test_class_caller_and_deadline():
    request = make(priority="high", caller="me", deadline_s=10)
    assert request.ticket.priority is Priority.HIGH and request.ticket.caller == "me"
    assert request.ticket.deadline == NOW + 10
    assert make().ticket.caller == b"c1".hex()
    config = make_config("a", queue_deadline_s=20.0)
    assert make(config, deadline_s=9999).ticket.deadline == NOW + 20


@pytest.mark.parametrize("fields, code, word", [
    ({"model": "b"}, "model_not_found", '"b"'),
    ({"messages": [{"role": "user", "content": "x"}]}, "invalid_request", "messages and prompt"),
    ({"prompt": "x" * 2000}, "invalid_request", "2000 characters"),
])
def test_refusals_name_field_and_limit(fields, code, word):
    with pytest.raises(Refusal) as refused:
        make(make_config("a", body_max_bytes=1024), **fields)
    assert refused.value.code == code and word in refused.value.message
    assert refused.value.code in protocol.ERRORS
