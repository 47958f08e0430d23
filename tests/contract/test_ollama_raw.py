"""What programs that speak Ollama's API send and read without its package: open-webui, Home Assistant, editors."""

import http.client
import json
import re

import pytest

from tests.support.contract_stack import EMBEDDER_CONTEXT

HI = [{"role": "user", "content": "hi"}]
BLANK = {"format": "", "tools": None, "options": {}, "keep_alive": None, "think": None, "stream": False}
DETAILS = {"parent_model", "format", "family", "families", "parameter_size", "quantization_level"}
TIMES = {"total_duration", "load_duration", "prompt_eval_count", "prompt_eval_duration", "eval_count", "eval_duration"}


def lines_of(stack, path: str, body: dict) -> list[bytes]:
    """The lines of a stream as they are, blank ones too."""
    connection = http.client.HTTPConnection(stack.url.removeprefix("http://"), timeout=60)
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    assert answer.status == 200 and answer.headers["content-type"] == "application/x-ndjson"
    lines = answer.read().removesuffix(b"\n").split(b"\n")
    connection.close()
    return lines


def test_what_clients_look_for_first(stack):
    for path in ("/", "/api/version"):
        connection = http.client.HTTPConnection(stack.url.removeprefix("http://"), timeout=60)
        connection.request("HEAD", path)
        assert connection.getresponse().status == 200
        connection.close()
    status, said = stack.get("/api/version")
    assert status == 200 and [int(part) for part in said["version"].split(".")] >= [0, 6, 4]


def test_every_model_in_the_lists_is_whole(stack):
    stack.post("/api/generate", {"model": "random"})
    tags, ps = stack.get("/api/tags")[1]["models"], stack.get("/api/ps")[1]["models"]
    assert {"guide:latest", "random:latest", "random-alias:1b", "embedder:latest", "echo:latest"} <= {
        model["name"] for model in tags}
    for model in [*tags, *ps]:
        assert model["name"] == model["model"] and ":" in model["name"]
        assert re.fullmatch("[0-9a-f]{64}", model["digest"]) and model["size"] >= 0
        assert model["details"].keys() == DETAILS and None not in model["details"].values()
        assert model["details"]["families"] == [model["details"]["family"]]
    assert {"random:latest"} <= {model["name"] for model in ps}
    assert all(model["expires_at"] and model["size_vram"] > 0 and model["context_length"] for model in ps)
    details = {model["name"]: model["details"] for model in tags}
    assert re.fullmatch(r"1\.\d\dM", details["random:latest"]["parameter_size"])


def test_what_a_model_can_do_is_what_it_does(stack):
    expected = {"random": {"completion", "tools", "insert", "thinking"}, "embedder": {"embedding"},
                "guide": {"completion"}, "random-alias:1b": {"completion", "tools", "insert", "thinking"}}
    for name, capabilities in expected.items():
        status, said = stack.post("/api/show", {"model": name})
        assert status == 200 and set(said["capabilities"]) == capabilities, name
        assert said["model_info"]["general.parameter_count"] > 1_000_000
        assert said["model_info"][f"{said['details']['family']}.context_length"] == (
            EMBEDDER_CONTEXT if name == "embedder" else 4096)
    assert stack.post("/api/show", {"name": "random", "verbose": True})[1]["tensors"]


@pytest.mark.parametrize("extra", [
    BLANK, dict.fromkeys(BLANK, None) | {"stream": False},
    {"format": "", "think": False, "tools": [], "options": {"num_ctx": 8192.0, "stop": []}, "stream": False},
    {"options": {"num_ctx": 4096, "num_gpu": 99, "num_thread": 8, "mirostat": 0, "tfs_z": 1.0}, "stream": False,
     "keep_alive": "-1s"},
    {"stream": False, "unheard_of": {"a": [1]}, "options": {"num_predict": -1, "unheard_of": 1}},
], ids=range(5))
def test_fields_that_ask_for_nothing_change_nothing(stack, extra):
    messages = [{"role": "system", "content": ""}, {**HI[0], "images": [], "tool_calls": None, "thinking": ""}]
    for path, asked in (("/api/chat", {"messages": messages}),
                        ("/api/generate", {"prompt": "hi", "suffix": "", "system": "", "template": "", "images": [],
                                           "context": [], "raw": False})):
        status, said = stack.post(path, {"model": "echo", **asked, **extra})
        assert status == 200 and said["done"] and TIMES <= said.keys(), said
        assert (said["message"]["content"] if "message" in said else said["response"])


def test_a_stream_has_no_blank_lines_and_one_end(stack):
    for path, asked in (("/api/chat", {"messages": HI}), ("/api/generate", {"prompt": "hi"})):
        lines = [json.loads(line) for line in lines_of(stack, path, {"model": "echo", **asked})]
        *parts, end = lines
        assert parts and not any(part["done"] for part in parts) and end["done"] and end["done_reason"] == "stop"
        assert all({"model", "created_at"} <= line.keys() for line in lines) and TIMES <= end.keys()
        assert "logprobs" not in end and "thinking" not in end.get("message", end)


def test_home_assistant_polls_asks_with_a_tool_and_goes_on(stack):
    """The sequence of its integration: list, a chat with tools and a history that begins with a long system text."""
    assert stack.get("/api/tags")[0] == stack.get("/api/ps")[0] == 200
    tool = {"type": "function", "function": {"name": "HassTurnOn", "description": "Turns on a device",
                                             "parameters": {"type": "object", "properties": {
                                                 "name": {"type": "string"}, "area": {"type": "string"}}}}}
    history = [{"role": "system", "content": "You are a voice assistant. " * 20}, *HI,
               {"role": "assistant", "content": "", "tool_calls": [
                   {"function": {"name": "HassTurnOn", "arguments": {"name": "lamp"}}}]},
               {"role": "tool", "content": '{"success": true}', "tool_name": "HassTurnOn"}]
    lines = lines_of(stack, "/api/chat", {
        "model": "random", "messages": history, "tools": [tool], "stream": True, "keep_alive": "-1s", "think": False,
        "options": {"num_ctx": 8192, "num_predict": 10}})
    assert json.loads(lines[-1])["done_reason"] == "length"


def test_every_error_is_an_object_with_a_text(stack):
    for path, body, status in (("/api/chat", {"model": "nobody", "messages": HI}, 404),
                               ("/api/chat", {"model": "echo", "messages": [{"role": "user", "content": 5}]}, 400),
                               ("/api/generate", {"model": "echo", "prompt": "hi", "raw": True, "system": "s"}, 400),
                               ("/api/show", {}, 400), ("/api/show", {"model": "nobody"}, 404),
                               ("/api/create", {"model": "x"}, 501)):
        found, said = stack.post(path, body)
        assert found == status and said.keys() == {"error"} and isinstance(said["error"], str), (path, said)
