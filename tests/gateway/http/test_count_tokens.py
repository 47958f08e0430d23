"""Whoever leaves while a prompt is counted frees the place of the question, in each dialect that counts."""

import json

import pytest

from gateway.protocol import Tokenize
from tests.support.raw_http import RawHttp
from tests.support.supervisor_home import wait_until

HI = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize(("path", "body"), [
    ("/v1/messages/count_tokens", HI), ("/v1/responses/input_tokens", {"model": "tiny", "input": "hi"})])
def test_who_leaves_is_cancelled(stack, gateway, path, body):
    gateway.on[Tokenize] = gateway.hold
    with RawHttp(stack.port) as raw:
        raw.post(path, json.dumps(body).encode())
        asked = gateway.wait_for(Tokenize)
    gateway.wait_for_cancel(asked.id)
    wait_until("the note", lambda: stack.notes)  # or it would come in the middle of the next test
