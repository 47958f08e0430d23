"""The relay to Ollama: what it asks for, what it makes of the answer, and which models the server says it has."""

import pytest

from tests.support.relay_calls import LIMITS, chat, hear, probe, prompt
from tests.support.relay_fixtures import ollama
from workers.engine import EngineJob
from workers.protocol import (
    FRAME_MAX_BYTES,
    ChatMessage,
    End,
    Hello,
    Item,
    Remote,
    Sampling,
    Step,
    decode_from_worker,
    encode,
)
from workers.relay import UpstreamFailed
from workers.relay_ollama import COUNT_MAX, MODELS_MAX, OllamaServer, end_of, read_line, request_of

__all__ = ["ollama"]
NESTED = "[" * 100_000
JOB = {"key": (1, 1, 1), "remote": Remote("phi3.5:3.8b", 1, "r")}


def server(upstream):
    return OllamaServer(upstream.url, "", LIMITS)


def test_a_chat_goes_to_chat_under_the_name_that_the_server_knows():
    messages = [ChatMessage("system", "be brief"), ChatMessage("user", "hello"), ChatMessage("developer", "briefer")]
    path, body = request_of(EngineJob(messages=messages, **JOB))
    assert (path, body["model"], body["stream"]) == ("/api/chat", "phi3.5:3.8b", True)
    assert [(said["role"], said["content"]) for said in body["messages"]] == [
        ("system", "be brief"), ("user", "hello"), ("system", "briefer")]


def test_a_prompt_that_does_not_fit_is_to_be_refused_and_not_cut():
    for job in (EngineJob(prompt="x", **JOB), EngineJob(messages=[ChatMessage("user", "x")], **JOB)):
        _, body = request_of(job)
        assert body["truncate"] is False and body["shift"] is False


def test_a_prompt_goes_to_generate_as_it_is():
    path, body = request_of(EngineJob(prompt="Once upon", **JOB))
    assert path == "/api/generate"
    assert (body["prompt"], body["raw"]) == ("Once upon", True) and "messages" not in body


def test_images_go_along_with_their_message():
    messages = [ChatMessage("user", "what is this?", ["aGVsbG8=", "d29ybGQ="]), ChatMessage("user", "and?")]
    _, body = request_of(EngineJob(messages=messages, **JOB))
    assert body["messages"][0]["images"] == ["aGVsbG8=", "d29ybGQ="] and "images" not in body["messages"][1]


def test_sampling_goes_along_in_the_names_of_the_server():
    sampling = Sampling(0.7, 0.9, 40, 0.05, 1.1, 32, 0.2, 0.3, 1234)
    _, body = request_of(EngineJob(prompt="x", sampling=sampling, max_tokens=77, stop=["END", "\n"], **JOB))
    assert body["options"] == {
        "temperature": 0.7, "top_p": 0.9, "top_k": 40, "min_p": 0.05, "repeat_penalty": 1.1, "repeat_last_n": 32,
        "presence_penalty": 0.2, "frequency_penalty": 0.3, "seed": 1234, "num_predict": 77, "stop": ["END", "\n"]}


def test_no_limit_and_no_stop_are_left_to_the_server():
    _, body = request_of(EngineJob(prompt="x", **JOB))
    assert {"num_predict", "stop"}.isdisjoint(body["options"])


def test_an_answer_with_counts_and_times(ollama):
    for job in (chat("hello"), prompt("hello")):
        heard = hear(server(ollama), job)
        assert heard.text == "one two three" and heard.failed is None
        assert heard.end == End("stop", 11, 3, 20.0, 40.0)


def test_the_request_is_what_was_asked(ollama):
    hear(server(ollama), prompt("Once upon", sampling=Sampling(temperature=0.5, seed=9)))
    asked = ollama.wait_asked()
    assert asked["path"] == "/api/generate" and asked["body"]["options"]["seed"] == 9
    assert asked["body"]["prompt"] == "Once upon"


def test_an_answer_that_is_cut_at_the_limit_says_length(ollama):
    assert hear(server(ollama), chat("hello", max_tokens=3)).end.reason == "length"
    assert hear(server(ollama), chat("hello", max_tokens=300)).end.reason == "stop"


def test_what_it_thinks_is_shown_and_is_no_part_of_the_answer(ollama):
    ollama.be(thinking="let me see")
    for job in (chat("hello"), prompt("hello")):
        heard = hear(server(ollama), job)
        assert heard.text == "one two three" and heard.asides == [("progress", "let me see")]


def test_unicode_comes_through_whole(ollama):
    words = ["日本語 ", "😀👩‍👩‍👧‍👦", "e\u0301", "\x00\u200b"]
    ollama.be(words=words)
    assert hear(server(ollama), chat("שלום")).text == "".join(words)
    assert ollama.wait_asked()["body"]["messages"][0]["content"] == "שלום"


def test_the_models_of_the_server(ollama):
    ollama.be(models=["a:1b", "b:latest"])
    assert probe(server(ollama)) == ["a:1b", "b:latest"]
    ollama.be(models=[])
    assert probe(server(ollama)) == []


def test_a_list_that_comes_in_parts_and_is_long_is_read_whole(ollama):
    names = [f"model-number-{number}:latest" for number in range(3000)]
    ollama.be(models=names, split=True)
    assert probe(server(ollama)) == names


@pytest.mark.parametrize("mode", ["wrong_api", "hang"])
def test_a_server_of_another_kind_or_none_gives_no_sign_of_life(ollama, mode, monkeypatch):
    monkeypatch.setattr("workers.relay_http.PROBE_WITHIN_S", 0.3)
    ollama.be(probe=mode)
    with pytest.raises(UpstreamFailed) as failed:
        probe(server(ollama))
    expected = ("upstream_failed", "/api/tags") if mode == "wrong_api" else ("upstream_timeout", "sign of life")
    assert (failed.value.code, expected[1] in failed.value.message) == (expected[0], True)


@pytest.mark.parametrize("line", [
    b'{"error": "out of memory"}', b'{"error": {"message": "out of memory", "code": "x"}}',
])
def test_an_error_line_in_either_shape_is_one(line):
    with pytest.raises(UpstreamFailed, match="out of memory") as failed:
        read_line(line)
    assert failed.value.code == "upstream_failed" and failed.value.is_its_fault


@pytest.mark.parametrize("sign", [
    '{"models": [{"name": "\xff"}]}', '{"models": [{"name": "\\ud800"}]}', '{"models": ' + NESTED,
    '{"models": [{"name": "a", "x": ' + NESTED,
], ids=range(4))
def test_a_list_that_is_no_text_or_nested_without_end_is_no_sign_of_life(ollama, sign):
    ollama.be(raw_sign=sign)
    with pytest.raises(UpstreamFailed, match="/api/tags is not Ollama's"):
        probe(server(ollama))


def test_names_that_would_fill_more_than_a_frame_are_left_out(ollama):
    ollama.be(models=["x" * 257, *(f"{number:04}" for number in range(MODELS_MAX + 1)), "é" * 129])
    assert probe(server(ollama)) == [f"{number:04}" for number in range(MODELS_MAX)]
    ollama.be(models=["é" * 128])
    longest = MODELS_MAX * probe(server(ollama))
    hello = Hello(1, 2**63 - 1, 2**63 - 1, "relay-ollama", 2**63 - 1, 2**63 - 1, 3, 5, 0, 0, longest)
    assert len(longest) == MODELS_MAX and len(encode(hello)) < FRAME_MAX_BYTES


@pytest.mark.parametrize("line", [
    b"[]", b"null", b'{"message": "text"}', b'{"done": 1}', b"\xff", b'{"message": {"c',
    b'{"message": {"content": "\xff"}}', b'{"error": "\xff"}', b'{"context": ' + NESTED.encode(),
    b'{"error": ' + b"[" * 5000 + b"]" * 5000 + b"}", b'{"done": true, "eval_count": 1e999}',
    b'{"done": true, "eval_duration": NaN}', b'{"done": true, "eval_count": ' + b"9" * 5000 + b"}",
], ids=lambda line: line[:30].decode("latin-1"))
def test_a_line_of_another_shape_is_a_failure_that_quotes_nothing(line):
    with pytest.raises(UpstreamFailed, match="not its API"):
        read_line(line)


def test_null_stands_for_nothing_and_unknown_fields_do_not_matter():
    said = read_line(b'{"message": {"role": "assistant", "content": "", "thinking": null, "tool_calls": []},'
                     b'"done": true, "done_reason": null, "eval_count": null, "prompt_eval_count": null,'
                     b'"eval_duration": null, "prompt_eval_duration": null, "context": [1, 2], "error": null}')
    end = end_of(said)
    assert (end.reason, end.prompt_tokens, end.completion_tokens) == ("stop", 0, 0)


@pytest.mark.parametrize("number", [2**53, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**23, 10**400], ids=range(7))
def test_a_number_of_any_length_becomes_one_that_fits_a_frame(number):
    said = b", ".join(b'"%s": %d' % (name, number) for name in (
        b"eval_count", b"prompt_eval_count", b"eval_duration", b"prompt_eval_duration"))
    end = end_of(read_line(b'{"done": true, %s}' % said))
    assert end == End("stop", COUNT_MAX, COUNT_MAX, COUNT_MAX / 1_000_000, COUNT_MAX / 1_000_000)
    step = Step(1, 1, 1, 1, [Item(1, 1, 0, [], "", end)])
    assert decode_from_worker(encode(step)) == step


def test_counts_that_make_no_sense_are_no_counts():
    end = end_of(read_line(b'{"done": true, "eval_count": -5, "prompt_eval_count": -1, "eval_duration": -1,'
                           b'"prompt_eval_duration": -99999999999999999999999}'))
    assert end == End("stop", 0, 0, 0.0, 0.0)
