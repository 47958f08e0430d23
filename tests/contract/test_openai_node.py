"""The `openai` package of npm against a real stack. Skipped, with the reason, where there is no node or no registry."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

INSTALL_MAX_S = 180
RUN_MAX_S = 60
SCRIPT = """
import OpenAI from "openai";
const client = new OpenAI({ baseURL: process.argv[2] + "/v1", apiKey: "none", maxRetries: 0 });
const messages = [{ role: "user", content: "#text=one two three" }];
const found = {};
found.models = (await client.models.list()).data.map((model) => model.id);
found.whole = (await client.chat.completions.create({ model: "echo", messages })).choices[0].message.content;
found.streamed = "";
for await (const chunk of await client.chat.completions.create({ model: "echo", messages, stream: true }))
  found.streamed += chunk.choices[0]?.delta?.content ?? "";
const runner = client.chat.completions.stream({ model: "echo", messages, n: 2 });
found.accumulated = (await runner.finalChatCompletion()).choices.map((choice) => choice.message.content);
found.completion = (await client.completions.create({ model: "echo", prompt: "#text=four" })).choices[0].text;
const tools = [{ type: "function", function: { name: "get_weather", parameters: { type: "object", properties: {} } } }];
const calling = client.chat.completions.stream({
  model: "random", max_tokens: 100, tools, messages: [{ role: "user", content: "please call a tool" }] });
found.called = (await calling.finalChatCompletion()).choices[0].message.tool_calls?.[0]?.function;
try {
  await client.chat.completions.create({ model: "nobody", messages });
} catch (error) {
  found.error = [error.constructor.name, error.status, error.code, error.param];
}
console.log(JSON.stringify(found));
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the package in it."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not installed")
    folder = tmp_path_factory.mktemp("node")
    (folder / "package.json").write_text('{"type": "module"}')
    try:
        ran = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "openai"], cwd=folder, capture_output=True,
                             text=True, timeout=INSTALL_MAX_S)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm did not install `openai` within {INSTALL_MAX_S} s")
    if ran.returncode:
        pytest.skip(f"npm could not install `openai`: {ran.stderr.strip()[-200:]}")
    return folder


def test_the_package_of_npm(base_url, package):
    (package / "ask.js").write_text(SCRIPT)
    ran = subprocess.run(["node", "ask.js", base_url], cwd=package, capture_output=True, text=True, timeout=RUN_MAX_S)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert {"echo", "guide", "random"} <= set(found["models"])
    assert found["whole"] == found["streamed"] == "one two three" and found["completion"] == "four"
    assert found["accumulated"] == ["one two three"] * 2
    assert found["called"]["name"] == "get_weather" and json.loads(found["called"]["arguments"]) == {"city": "Paris"}
    assert found["error"] == ["NotFoundError", 404, "model_not_found", "model"]
