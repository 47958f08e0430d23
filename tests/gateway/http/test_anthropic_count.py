"""/v1/messages/count_tokens: what is counted, and that nothing is asked of a model."""

import pytest

from gateway.protocol import CountInfo, Message, Submit, Tokenize, Tool
from tests.support.fake_gateway import error

URL = "/v1/messages/count_tokens"
HI = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}]}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}


@pytest.fixture(autouse=True)
def _counts(gateway):
    gateway.on[Tokenize] = lambda m: [gateway._result(m.id, CountInfo("tiny", 42, 2048))]


def test_all_that_makes_the_prompt_is_counted(http, gateway):
    response = http.post(f"{URL}?beta=true", json=HI | {
        "system": [{"type": "text", "text": "Be brief."}], "tools": [{"name": "look", "input_schema": {}}],
        "thinking": {"type": "enabled", "budget_tokens": 1024}, "tool_choice": {"type": "any"},
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}, IMAGE]}]},
        headers={"x-api-key": "k"})
    assert response.json() == {"input_tokens": 42} and response.headers["x-warden-model"] == "tiny"
    asked = gateway.wait_for(Tokenize)
    assert asked.messages == [Message("system", "Be brief."), Message("user", "hi")]
    assert (asked.model, asked.tools, asked.think, asked.key) == ("tiny", [Tool("look")], True, "k")
    assert not gateway.all(Submit)


@pytest.mark.parametrize(("body", "status"), [
    ({"model": "tiny"}, 400), (HI | {"messages": []}, 400), (HI | {"tools": [{"name": "look"}]}, 400),
    (HI | {"tools": [{"type": "bash_20250124", "name": "bash"}]}, 501), (HI | {"mcp_servers": [{}]}, 501),
    (HI | {"output_format": {"type": "grammar"}}, 400), (HI | {"tool_choice": {"type": "any"}}, 400)])
def test_what_could_not_be_asked_is_not_counted(http, gateway, body, status):
    response = http.post(URL, json=body)
    assert response.status_code == status and response.json()["type"] == "error" and not gateway.all(Tokenize)


def test_a_count_that_fails_says_why(http, gateway):
    gateway.on[Tokenize] = lambda m: [error(m.id, "model_unavailable", "no worker can count now", 3)]
    response = http.post(URL, json=HI)
    assert response.status_code == 529 and response.json()["error"]["type"] == "overloaded_error"
    assert response.headers["retry-after"] == "3"
