"""What all dialects have in common: a model that is not named, and more tokens than there can be."""

import pytest

from gateway.http.common_fields import bounded
from gateway.protocol import OPTION_TOKENS_MAX, Options, Submit, Vectors
from tests.support.fake_gateway import accepted, done

INT_MAX = 2**31 - 1
SAID = {"messages": [{"role": "user", "content": "hi"}]}
BODIES = {
    "/api/generate": {"prompt": "hi"}, "/api/chat": SAID, "/api/embed": {"input": "a"},
    "/api/embeddings": {"prompt": "a"}, "/v1/embeddings": {"input": "a"}, "/v1/chat/completions": SAID,
    "/v1/completions": {"prompt": "hi"}, "/v1/responses": {"input": "hi"}, "/v1/messages": SAID | {"max_tokens": 5},
    "/chat/send": {"content": "hi"},
}


@pytest.mark.parametrize(("path", "body"), BODIES.items())
def test_a_model_that_is_null_is_not_asked_for(http, gateway, path, body):
    answer = gateway.answer

    def script(submit: Submit) -> list:
        if submit.inputs:
            return [accepted(submit.id, gateway.epoch), Vectors(submit.id, [bytes(8)]), done(submit.id, 0)]
        return answer(submit)

    gateway.on[Submit] = script
    response = http.post(path, json=body | {"model": None})
    assert response.status_code == 200, response.text
    assert response.headers["x-warden-model"] == "tiny"
    assert gateway.wait_for(Submit).model == ""
    assert http.post(path, json=body | {"model": 5}).status_code == 400


def test_to_show_a_model_it_must_be_named(http):
    response = http.post("/api/show", json={"model": None, "name": None})
    assert response.status_code == 400 and response.json()["error"] == "model: is required"
    assert http.post("/api/show", json={"model": None, "name": "tiny"}).status_code == 200


@pytest.mark.parametrize(("path", "field", "ours"), [
    ("/api/chat", "num_predict", "max_tokens"), ("/api/chat", "num_ctx", "num_ctx"),
    ("/api/chat", "num_keep", "num_keep"), ("/v1/chat/completions", "max_tokens", "max_tokens"),
    ("/v1/chat/completions", "max_completion_tokens", "max_tokens"), ("/v1/completions", "max_tokens", "max_tokens"),
    ("/v1/responses", "max_output_tokens", "max_tokens"), ("/v1/messages", "max_tokens", "max_tokens")])
@pytest.mark.parametrize("number", [INT_MAX, 2**63 - 1, OPTION_TOKENS_MAX + 1, float(INT_MAX)])
def test_more_tokens_than_there_can_be_are_all_that_there_are(http, gateway, path, field, ours, number):
    more = {"options": {field: number}} if path == "/api/chat" else {field: number}
    response = http.post(path, json=BODIES[path] | more)
    assert response.status_code == 200, response.text
    assert getattr(gateway.wait_for(Submit).options, ours) == OPTION_TOKENS_MAX


@pytest.mark.parametrize("tokens", [None, -2, 0, 1, OPTION_TOKENS_MAX])
def test_other_counts_stay_as_they_are(tokens):
    assert bounded(tokens) == tokens
    assert Options(num_ctx=bounded(OPTION_TOKENS_MAX + 1)).num_ctx == OPTION_TOKENS_MAX
