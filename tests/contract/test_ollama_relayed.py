"""The `ollama` package asks a stack that hands its work on to another Ollama: all that was asked arrives there, and all
that it says comes back.
"""

import ollama as package
import pytest

from tests.support.live_stack import LiveStack
from tests.support.relay_fixtures import started_script

HI = [{"role": "user", "content": "hi"}]
TOOL = {"type": "function", "function": {"name": "weather", "description": "the weather", "parameters": {
    "type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}}}}
CALL = {"function": {"name": "weather", "arguments": {"city": "Rome"}}}
ONE = {"token": "one ", "logprob": -0.5}
CHANCE = {**ONE, "bytes": list(b"one "), "top_logprobs": [ONE]}
SETTINGS = """
[control]
prewarm = 0
[limits]
rate_limit_max = 0
[routing]
chain_task = ["ollama"]
[relays]
ollama_url = "%s"
relay_probe_every_s = 0.1
ollama_vision_model = "llama3.2:1b"
[models.echo]
engine = "echo"
ollama_model = "llama3.2:1b"
"""


@pytest.fixture(scope="module")
def remote(tmp_path_factory):
    with started_script("ollama", tmp_path_factory.mktemp("remote")) as script:
        yield script


@pytest.fixture(scope="module")
def client(remote, tmp_path_factory):
    stack = LiveStack(tmp_path_factory.mktemp("near"), SETTINGS % remote.url)
    try:
        stack.up()
        stack.wait_relay("ollama")
        yield package.Client(stack.url)
    finally:
        stack.end()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_reasoning_calls_and_chances_come_back(remote, client, stream):
    remote.be(thinking="let me see", calls=[CALL], chances=[CHANCE])
    said = client.chat("echo", HI, tools=[TOOL], think="low", logprobs=True, top_logprobs=1, format="json",
                       options={"num_ctx": 2048, "seed": 3}, stream=stream)
    found = list(said) if stream else [said]
    assert "".join(part.message.content or "" for part in found) == "one two three"
    assert "".join(part.message.thinking or "" for part in found) == "let me see"
    [call] = [call for part in found for call in part.message.tool_calls or ()]
    assert (call.function.name, call.function.arguments) == ("weather", {"city": "Rome"})
    [chance] = [one for part in found for one in part.logprobs or ()]
    assert (chance.token, chance.logprob, chance.top_logprobs[0].token) == ("one ", -0.5, "one ")
    body = remote.asked()[-1]["body"]
    assert body["tools"] == [TOOL] and body["format"] == "json" and body["think"] == "low"
    assert (body["logprobs"], body["top_logprobs"], body["truncate"], body["shift"]) == (True, 1, True, False)
    assert {"num_ctx": 2048, "seed": 3}.items() <= body["options"].items()


def test_a_history_with_calls_and_images_arrives(remote, client):
    remote.be()
    client.chat("echo", [*HI, {"role": "assistant", "thinking": "hm", "tool_calls": [CALL]},
                         {"role": "tool", "tool_name": "weather", "content": "sunny"},
                         {"role": "user", "content": "and this?", "images": [b"\x89PNG"]}])
    _, turn, answered, last = remote.asked()[-1]["body"]["messages"]
    assert (turn["thinking"], turn["tool_calls"][0]["function"]["arguments"]) == ("hm", {"city": "Rome"})
    assert (answered["tool_name"], answered["content"]) == ("weather", "sunny") and last["images"]


def test_a_suffix_and_a_template_arrive(remote, client):
    remote.be()
    client.generate("echo", "def f(", suffix="return")
    body = remote.asked()[-1]["body"]
    assert (body["prompt"], body["suffix"]) == ("def f(", "return")
    client.generate("echo", "hi", system="be brief", template="{{ .Prompt }}")
    body = remote.asked()[-1]["body"]
    assert (body["prompt"], body["system"], body["template"]) == ("hi", "be brief", "{{ .Prompt }}")


def test_images_may_be_sent_where_somebody_reads_them(client):
    assert "vision" in client.show("echo").capabilities
