"""The relay to Ollama: what it asks for, what it makes of the answer, and which models the server says it has."""

import pytest

from tests.support.relay_calls import LIMITS, chat, hear, probe, prompt
from tests.support.relay_fixtures import ollama
from workers.engine import EngineJob
from workers.job_parts import NAMED, NONE, REQUIRED, CallPiece, Extras, TokenLogprob, Tool, ToolCall
from workers.protocol import FRAME_MAX_BYTES, ChatMessage, End, Hello, Remote, Sampling, encode
from workers.relay import Piece, UpstreamFailed
from workers.relay_ollama import MODELS_MAX, OllamaServer, request_of
from workers.relay_ollama_lines import UNKNOWN_ID

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


def asked(job_fields=None, **extras):
    fields = {"messages": [ChatMessage("user", "hi")], **JOB} | (job_fields or {})
    return request_of(EngineJob(extras=Extras(**extras), **fields))


@pytest.mark.parametrize(("extras", "body"), [
    ({"schema": True}, {"format": "json"}), ({"schema": {"type": "object"}}, {"format": "json"}),
    ({"schema": {"type": "array"}}, {"format": {"type": "array"}}), ({"think": False}, {"think": False}),
    ({"think": "high"}, {"think": "high"}), ({"logprobs": 0}, {"logprobs": True, "top_logprobs": 0}),
    ({"logprobs": 5}, {"logprobs": True, "top_logprobs": 5}), ({"truncate": True}, {"truncate": True, "shift": False}),
    ({"shift": True}, {"truncate": False, "shift": True}),
])
def test_what_is_asked_of_the_answer_goes_along_in_the_names_of_the_server(extras, body):
    for fields in ({}, {"messages": None, "prompt": "x"}):
        _, sent = asked(fields, **extras)
        assert body.items() <= sent.items()
        assert sent.keys() & {"format", "think", "logprobs", "tools"} == body.keys() & {"format", "think", "logprobs"}


def test_limits_of_the_context_are_options():
    assert {"num_ctx": 2048, "num_keep": 8}.items() <= asked(num_ctx=2048, num_keep=8)[1]["options"].items()
    assert {"num_ctx", "num_keep"}.isdisjoint(asked()[1]["options"])


def test_tools_go_along_unless_none_may_be_called():
    tool = Tool("weather", "the weather", {"properties": {"city": {"type": "string"}}})
    function = {"name": "weather", "description": "the weather",
                "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
    assert asked(tools=[tool])[1]["tools"] == [{"type": "function", "function": function}]
    assert "tools" not in asked(tools=[tool], tool_choice=NONE)[1]


def test_calls_and_their_answers_in_the_history_go_along():
    messages = [ChatMessage("user", "weather?"),
                ChatMessage("assistant", "", tool_calls=[ToolCall("weather", '{"city": "Rome"}', "c1")], thinking="hm"),
                ChatMessage("tool", "sunny", tool_call_id="c1"), ChatMessage("tool", "noon", name="now")]
    _, body = asked({"messages": messages})
    assert body["messages"][1:] == [
        {"role": "assistant", "content": "", "thinking": "hm", "tool_calls": [
            {"id": "c1", "function": {"index": 0, "name": "weather", "arguments": {"city": "Rome"}}}]},
        {"role": "tool", "content": "sunny", "tool_name": "weather", "tool_call_id": "c1"},
        {"role": "tool", "content": "noon", "tool_name": "now"}]


def test_a_suffix_and_a_template_go_to_generate():
    path, body = asked({"messages": None, "prompt": "def f("}, suffix="return")
    assert (path, body["prompt"], body["suffix"]) == ("/api/generate", "def f(", "return") and "raw" not in body
    messages = [ChatMessage("system", "be brief"), ChatMessage("user", "hi", ["aGk="])]
    path, body = asked({"messages": messages}, template="{{ .Prompt }}")
    assert path == "/api/generate" and {"prompt": "hi", "system": "be brief", "template": "{{ .Prompt }}",
                                        "images": ["aGk="]}.items() <= body.items()


@pytest.mark.parametrize(("fields", "extras", "named"), [
    ({}, {"logit_bias": {5: 1.0}}, "logit_bias"), ({}, {"tools": [Tool("f")], "tool_choice": REQUIRED}, "tool_choice"),
    ({}, {"tools": [Tool("f")], "tool_choice": NAMED + "f"}, "tool_choice"),
    ({}, {"tools": [Tool("f", strict=True)]}, r"tools\[\]\.strict"),
    ({"messages": [ChatMessage("user", "a"), ChatMessage("assistant", "b"), ChatMessage("user", "c")]},
     {"template": "{{ .Prompt }}"}, "template"),
    ({"messages": None, "tokens": [1]}, {}, "tokens"), ({"messages": None, "inputs": ["a"]}, {}, "inputs"),
])
def test_what_the_server_has_no_word_for_is_not_offered_and_no_fault_of_it(fields, extras, named):
    with pytest.raises(UpstreamFailed, match=f"^{named}") as failed:
        asked(fields, **extras)
    assert (failed.value.code, failed.value.is_its_fault) == ("not_offered", False)


@pytest.mark.parametrize(("lacking", "named"), [
    ("tools", "tools"), ("thinking", "think"), ("insert", "suffix"), ("vision", "images")])
def test_what_its_model_cannot_do_is_not_offered_either(ollama, lacking, named):
    ollama.be(mode="status", status=400, problem=f"llama3.2:1b does not support {lacking}")
    failed = hear(server(ollama), chat("hello")).failed
    assert (failed.code, failed.is_its_fault) == ("not_offered", False)
    assert failed.message.startswith(f"{named}: ollama answered 400: llama3.2:1b does not support")


def test_a_call_in_the_history_that_is_no_json_is_the_callers_fault():
    said = ChatMessage("assistant", "", tool_calls=[ToolCall("weather", "{city")])
    with pytest.raises(UpstreamFailed, match="^messages: ") as failed:
        asked({"messages": [said]})
    assert (failed.value.code, failed.value.is_its_fault) == ("invalid_request", False)


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


def test_what_it_thinks_comes_beside_the_answer(ollama):
    ollama.be(thinking="let me see")
    for job in (chat("hello"), prompt("hello")):
        heard = hear(server(ollama), job)
        assert (heard.text, heard.thinking, heard.asides) == ("one two three", "let me see", [])


def test_calls_come_with_ids_and_arguments_as_text(ollama):
    ollama.be(calls=[{"function": {"name": "weather", "arguments": {"city": "Rome"}}},
                     {"id": "mine", "function": {"index": 7, "name": "now", "arguments": {}}}])
    first, second = hear(server(ollama), chat("hello", extras=Extras(tools=[Tool("weather")]))).calls
    assert first == CallPiece(0, first.id, "weather", '{"city":"Rome"}') and first.id.startswith("call_")
    assert second == CallPiece(1, "mine", "now", "{}")
    heard = hear(server(ollama), chat("hello", extras=Extras(tools=[Tool("weather")], parallel_tools=False)))
    assert [call.name for call in heard.calls] == ["weather"], "one at a time was asked for"


def test_chances_come_back(ollama):
    ollama.be(chances=[{"token": "one ", "logprob": -0.5, "bytes": [111], "top_logprobs": [
        {"token": "one ", "logprob": -0.5}]}])
    heard = hear(server(ollama), chat("hello", extras=Extras(logprobs=1)))
    [said] = [part.more.logprobs for part in heard.parts if isinstance(part, Piece) and part.more]
    assert said == [TokenLogprob(UNKNOWN_ID, b"o", -0.5, [TokenLogprob(UNKNOWN_ID, b"one ", -0.5)])]


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
