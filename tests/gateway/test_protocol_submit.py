"""What an answer may be asked with: each wrong field is refused by its name, before anything else looks at it."""

import msgpack
import msgspec
import pytest

from gateway import protocol
from gateway.protocol import Submit

OK = {"type": "submit", "id": "1", "prompt": "hi"}


@pytest.mark.parametrize(("change", "where"), [
    ({"id": ""}, "$.id"), ({"id": "x" * 129}, "$.id"), ({"id": 5}, "$.id"), ({"model": "x" * 257}, "$.model"),
    ({"messages": []}, "$.messages"), ({"messages": [{"role": "user"}]}, "content"),
    ({"messages": [{"role": "wizard", "content": ""}]}, "$.messages[0].role"), ({"prompt": 1}, "$.prompt"),
    ({"tokens": []}, "$.tokens"), ({"tokens": [-1]}, "$.tokens[0]"), ({"tokens": [2**31]}, "$.tokens[0]"),
    ({"priority": "urgent"}, "$.priority"), ({"deadline_s": 0}, "$.deadline_s"), ({"deadline_s": 1e9}, "$.deadline_s"),
    ({"options": []}, "$.options"), ({"options": {"temperature": -0.1}}, "$.options.temperature"),
    ({"options": {"max_tokens": 0}}, "$.options.max_tokens"), ({"options": {"top_p": 1.1}}, "$.options.top_p"),
    ({"options": {"seed": 2**63}}, "$.options.seed"), ({"options": {"stop": [""]}}, "$.options.stop[0]"),
    ({"options": {"stop": ["a"] * 17}}, "$.options.stop"), ({"options": {"top_k": 1.5}}, "$.options.top_k"),
    ({"type": "sabmit"}, "sabmit"), ({"keep_alive_s": "5m"}, "$.keep_alive_s"), ({"keep_alive_s": 1e16}, "$.keep_al"),
    ({"kind": "chore"}, "$.kind"), ({"hop": -1}, "$.hop"), ({"hop": 1001}, "$.hop"), ({"key": "k" * 257}, "$.key"),
    ({"max_steps": 10_001}, "$.max_steps"), ({"category": "x" * 257}, "$.category"), ({"victoria": "no"}, "$.victoria"),
    ({"messages": [{"role": "user", "content": "", "images": ["x"] * 65}]}, "$.messages[0].images"),
    ({"tools": [{"description": "no name"}]}, "$.tools[0]"), ({"tools": [{"name": "f"}] * 513}, "$.tools"),
    ({"tools": [{"name": "f", "parameters": []}]}, "$.tools[0].parameters"), ({"schema": "json"}, "$.schema"),
    ({"think": "loud"}, "$.think"), ({"logprobs": 21}, "$.logprobs"), ({"logit_bias": {-1: 1.0}}, "$.logit_bias"),
    ({"logit_bias": {1: 1001}}, "$.logit_bias"), ({"inputs": []}, "$.inputs"), ({"inputs": [[]]}, "$.inputs[0]"),
    ({"suffix": 1}, "$.suffix"), ({"truncate": 1}, "$.truncate"), ({"options": {"num_ctx": -1}}, "$.options.num_ctx"),
    ({"keep_alive_s": float("-inf")}, "$.keep_alive_s"), ({"type": "evict", "model": ""}, "$.model"),
])
def test_bad_fields_are_refused_by_name(change, where):
    with pytest.raises(msgspec.ValidationError) as caught:
        protocol.decode_from_client(msgpack.packb(OK | change))
    assert where in str(caught.value)


def test_what_is_not_asked_is_not_sent():
    assert msgpack.unpackb(protocol.encode(Submit("1", prompt="hi"))) == OK
