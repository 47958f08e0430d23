"""/v1/completions over a real socket: kinds of prompts, choices of several prompts, echo, what is refused."""

import json

import pytest

from gateway.http.openai_completions import CHOICES_MAX, TOKEN_ID_MAX
from gateway.http.openai_options import N_MAX
from gateway.protocol import LOGPROBS_MAX, Submit
from tests.support.fake_gateway import error

URL = "/v1/completions"


def test_a_whole_completion(http, gateway):
    body = http.post(URL, json={"model": "tiny", "prompt": "hi", "max_tokens": 4, "suffix": "", "user": "ann"}).json()
    assert body["object"] == "text_completion" and body["id"].startswith("cmpl-") and body["model"] == "tiny"
    assert body["choices"] == [{"index": 0, "text": "one two three", "logprobs": None, "finish_reason": "stop"}]
    assert (body["usage"]["prompt_tokens"], body["usage"]["completion_tokens"]) == (5, 3)
    submit = gateway.wait_for(Submit)
    assert (submit.prompt, submit.messages, submit.suffix, submit.options.max_tokens) == ("hi", None, None, 4)


def test_a_streamed_completion(http):
    response = http.post(URL, json={"prompt": "hi", "stream": True, "stream_options": {"include_usage": True}})
    *chunks, usage, last, _ = response.text.split("\n\n")
    found = [json.loads(chunk.removeprefix("data: ")) for chunk in chunks]
    assert last == "data: [DONE]"
    assert json.loads(usage.removeprefix("data: "))["usage"]["completion_tokens"] == 3
    assert [(c["choices"][0]["text"], c["choices"][0]["finish_reason"], c["usage"]) for c in found] == [
        ("one ", None, None), ("two ", None, None), ("three", None, None), ("", "stop", None)]


@pytest.mark.parametrize(("prompt", "asked"), [
    ("hi", [("hi", None)]), (["hi", "ho"], [("hi", None), ("ho", None)]), ([1, 2], [(None, [1, 2])]),
    ([[1, 2], [3]], [(None, [1, 2]), (None, [3])])])
def test_kinds_of_prompts(http, gateway, prompt, asked):
    assert len(http.post(URL, json={"prompt": prompt}).json()["choices"]) == len(asked)
    assert [(submit.prompt, submit.tokens) for submit in gateway.all(Submit)] == asked


def test_each_prompt_has_n_choices_and_is_counted_once(http, gateway):
    body = http.post(URL, json={"prompt": ["a", "b"], "n": 2, "seed": 5, "echo": True}).json()
    echoed = [(choice["index"], choice["text"][0]) for choice in body["choices"]]
    assert echoed == [(0, "a"), (1, "a"), (2, "b"), (3, "b")]
    assert [(submit.prompt, submit.options.seed) for submit in gateway.all(Submit)] == [
        ("a", 5), ("a", 6), ("b", 5), ("b", 6)]
    assert (body["usage"]["prompt_tokens"], body["usage"]["completion_tokens"]) == (10, 12)


def test_what_an_answer_must_be_like_arrives_in_our_names(http, gateway):
    assert http.post(URL, json={"prompt": "a", "suffix": "b", "logprobs": 2, "logit_bias": {"3": 1}, "best_of": 1,
                                "echo": False}).status_code == 200
    submit = gateway.wait_for(Submit)
    assert (submit.suffix, submit.logprobs, submit.logit_bias, submit.options.max_tokens) == ("b", 2, {3: 1.0}, None)


@pytest.mark.parametrize(("extra", "field", "status"), [
    ({}, "prompt", 400), ({"prompt": None}, "prompt", 400), ({"prompt": []}, "prompt", 400),
    ({"prompt": ""}, "prompt", 400), ({"prompt": ["a", ""]}, "prompt[1]", 400), ({"prompt": ["a", [1]]}, "prompt", 400),
    ({"prompt": [[1], [-1]]}, "prompt[1][0]", 400), ({"prompt": [TOKEN_ID_MAX + 1]}, "prompt[0]", 400),
    ({"prompt": [1.5]}, "prompt[0]", 400), ({"prompt": ["a"] * (CHOICES_MAX + 1)}, "prompt", 400),
    ({"prompt": "a", "n": N_MAX + 1}, "n", 400), ({"prompt": "a", "logprobs": LOGPROBS_MAX + 1}, "logprobs", 400),
    ({"prompt": "a", "n": 2, "best_of": 1}, "best_of", 400), ({"prompt": "a", "best_of": 2}, "best_of", 501),
    ({"prompt": "a", "echo": True, "logprobs": 0}, "echo", 501), ({"prompt": [1], "echo": True}, "echo", 501)])
def test_what_cannot_be_is_refused_by_name(http, gateway, extra, field, status):
    response = http.post(URL, json=extra)
    assert (response.status_code, response.json()["error"]["param"]) == (status, field), response.text
    assert not gateway.all(Submit)


def test_nothing_before_a_suffix_is_filled_in_from(http, gateway):
    assert http.post(URL, json={"prompt": ["", "a"], "suffix": "b"}).status_code == 200
    assert [(submit.prompt, submit.suffix) for submit in gateway.all(Submit)] == [("", "b"), ("a", "b")]
    assert http.post(URL, json={"prompt": [[]], "suffix": "b"}).status_code == 400


@pytest.mark.parametrize(("code", "said", "param"), [
    ("invalid_request", "suffix: this model does not support insert", "suffix"),
    ("context_length_exceeded", "the prompt has 9 tokens; the context holds 8", "prompt")])
def test_the_field_at_fault_is_named(http, gateway, code, said, param):
    gateway.on[Submit] = lambda s: [error(s.id, code, said)]
    found = http.post(URL, json={"prompt": "a", "suffix": "b"}).json()["error"]
    assert (found["code"], found["message"], found["param"]) == (code, said, param)


def test_what_the_worker_finds_wrong_is_named_as_the_caller_knows_it(http, gateway):
    gateway.on[Submit] = lambda s: [error(s.id, "invalid_request", "tokens: 9 is no token of this model")]
    found = http.post(URL, json={"prompt": [9]}).json()["error"]
    assert (found["param"], found["message"]) == ("prompt", "prompt: 9 is no token of this model")
