"""Embeddings over a real socket, in both dialects: what is asked of the gateway, and how its errors are named."""

import base64
from array import array

import pytest

from gateway import protocol
from gateway.protocol import LoadModel, Submit
from tests.support.fake_gateway import accepted, done, error

HALVES = array("f", [0.5, 0.5, 0.5, 0.5])
LENGTH_TWO = [2**-0.5] * 2
NEAR = 1e-6


@pytest.fixture(autouse=True)
def vectors(gateway):
    """As many as there are inputs, in two events."""
    def answer(submit):
        made = [HALVES.tobytes()] * len(submit.inputs)
        yield accepted(submit.id, gateway.epoch)
        yield protocol.Vectors(submit.id, made[:1])
        yield protocol.Vectors(submit.id, made[1:])
        yield done(submit.id, 0)

    gateway.on[Submit] = answer


def fails(gateway, code, message):
    gateway.on[Submit] = lambda submit: [error(submit.id, code, message)]


def test_ollama_embed(http, gateway):
    response = http.post("/api/embed", json={"model": "tiny:latest", "input": ["a", "b"], "keep_alive": "5m",
                                             "options": {"num_ctx": 64, "unheard_of": 1}})
    assert response.status_code == 200 and response.headers["x-warden-model"] == "tiny"
    assert response.json() == {"model": "tiny:latest", "embeddings": [list(HALVES)] * 2, "total_duration": 10_500_000,
                               "load_duration": 2_000_000, "prompt_eval_count": 5}
    [asked] = gateway.all(Submit)
    assert (asked.inputs, asked.truncate, asked.keep_alive_s, asked.options.num_ctx) == (["a", "b"], True, 300.0, 64)


@pytest.mark.parametrize(("truncate", "asked"), [(None, True), (True, True), (False, False)])
def test_ollama_cuts_unless_told_not_to(http, gateway, truncate, asked):
    http.post("/api/embed", json={"input": "a", "truncate": truncate})
    assert gateway.all(Submit)[0].truncate is asked


@pytest.mark.parametrize("body", [{}, {"input": ""}, {"input": []}, {"input": None}])
def test_ollama_embed_of_nothing_loads(http, gateway, body):
    answer = http.post("/api/embed", json={"model": "tiny", "keep_alive": -1, **body}).json()
    assert answer == {"model": "tiny", "embeddings": [], "total_duration": 0, "load_duration": 0,
                      "prompt_eval_count": 0}
    assert gateway.all(LoadModel)[0].keep_alive_s == -1


def test_the_old_endpoint(http, gateway):
    assert http.post("/api/embeddings", json={"model": "tiny", "prompt": "a"}).json() == {"embedding": list(HALVES)}
    assert gateway.all(Submit)[0].inputs == ["a"]
    assert http.post("/api/embeddings", json={"model": "tiny"}).json() == {"embedding": []}
    assert len(gateway.all(LoadModel)) == 1


@pytest.mark.parametrize(("given", "inputs"), [
    ("a", ["a"]), (["a", "b"], ["a", "b"]), ([1, 2], [[1, 2]]), ([[1, 2], [3]], [[1, 2], [3]]),
])
def test_openai_takes_texts_and_ids(http, gateway, given, inputs):
    answer = http.post("/v1/embeddings", json={"model": "x", "input": given, "user": "me"}).json()
    assert gateway.all(Submit)[0].inputs == inputs and gateway.all(Submit)[0].truncate is False
    assert answer == {"object": "list", "model": "tiny", "usage": {"prompt_tokens": 5, "total_tokens": 5}, "data": [
        {"object": "embedding", "index": index, "embedding": list(HALVES)} for index in range(len(inputs))]}


def test_openai_as_base64(http):
    body = {"input": "a", "encoding_format": "base64"}
    [found] = http.post("/v1/embeddings", json=body).json()["data"]
    assert base64.b64decode(found["embedding"]) == HALVES.tobytes()


@pytest.mark.parametrize(("path", "read"), [
    ("/api/embed", lambda answer: answer["embeddings"][0]), ("/v1/embeddings", lambda answer: answer["data"][0][
        "embedding"]),
])
def test_fewer_dimensions_are_of_length_one_again(http, path, read):
    found = read(http.post(path, json={"input": "a", "dimensions": 2}).json())
    assert found == pytest.approx(LENGTH_TWO, abs=NEAR)
    for dimensions in (None, 0, 4):
        assert read(http.post(path, json={"input": "a", "dimensions": dimensions}).json()) == list(HALVES)
    refused = http.post(path, json={"input": "a", "dimensions": 5})
    assert refused.status_code == 400 and "dimensions: 5 is more than the 4 of this model" in refused.text


@pytest.mark.parametrize(("path", "body", "field"), [
    ("/v1/embeddings", {}, "input"), ("/v1/embeddings", {"input": ""}, "input"), ("/v1/embeddings", {"input": []},
                                                                                 "input"),
    ("/v1/embeddings", {"input": ["a", 1]}, "input"), ("/v1/embeddings", {"input": [[1], 2]}, "input"),
    ("/v1/embeddings", {"input": "a", "encoding_format": "hex"}, "encoding_format"),
    ("/v1/embeddings", {"input": "a", "dimensions": -1}, "dimensions"),
    ("/api/embed", {"input": 5}, "input"), ("/api/embed", {"input": [[1]]}, "input"),
    ("/api/embed", {"input": "a", "options": {"num_ctx": "x"}}, "num_ctx"),
    ("/api/embed", {"input": "a", "keep_alive": "soon"}, "keep_alive"), ("/api/embeddings", {"prompt": 1}, "prompt"),
])
def test_what_is_wrong_is_named(http, path, body, field):
    response = http.post(path, json=body)
    assert response.status_code == 400 and field in response.text


@pytest.mark.parametrize(("path", "body", "ours", "theirs"), [
    ("/v1/embeddings", {"input": "a"}, "inputs[0]: too long", "input: too long"),
    ("/v1/embeddings", {"input": ["a", "b"]}, "inputs[1]: too long", "input[1]: too long"),
    ("/api/embed", {"input": ["a"]}, "inputs[0]: too long", "input[0]: too long"),
    ("/api/embeddings", {"prompt": "a"}, "inputs[0]: too long", "prompt: too long"),
    ("/api/embed", {"input": "a"}, "inputs: the model gives none", "input: the model gives none"),
])
@pytest.mark.parametrize(("code", "status"), [("context_length_exceeded", 400), ("invalid_request", 400),
                                              ("not_offered", 501)])
def test_what_the_worker_says_of_an_input_is_told_by_the_callers_name(http, gateway, path, body, ours, theirs, code,
                                                                      status):
    fails(gateway, code, ours)
    response = http.post(path, json=body)
    assert response.status_code == status
    found = response.json()["error"]
    assert (found["message"] if isinstance(found, dict) else found) == theirs
    assert not isinstance(found, dict) or found["param"] == theirs.partition(":")[0]


def test_a_prompt_that_is_too_long_is_the_input(http, gateway):
    fails(gateway, "context_length_exceeded", "the prompt has 9 tokens; the context holds 8")
    assert http.post("/v1/embeddings", json={"input": ["a", "b"]}).json()["error"]["param"] == "input"
