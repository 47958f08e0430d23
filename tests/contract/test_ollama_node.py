"""The official `ollama` package for JavaScript, run by node, asks a real stack."""

import json
import os
import shutil
import subprocess

import pytest

from workers.random_agent import CALL_ARGUMENTS, CALL_NAME, CALL_WORDS

INSTALL_MAX_S, RUN_MAX_S = 90, 60
SCRIPT = """
import { Ollama } from "ollama";
const ollama = new Ollama({ host: process.argv[2] });
const hi = [{ role: "user", content: "hi" }];
const options = { num_predict: 5, seed: 7 };
const found = {};
found.names = (await ollama.list()).models.map((model) => model.name);
found.whole = await ollama.chat({ model: "random", messages: hi, options });
found.parts = [];
for await (const part of await ollama.chat({ model: "random", messages: hi, options, stream: true }))
  found.parts.push(part);
found.generated = await ollama.generate({ model: "random", prompt: "hi", options });
const tools = [{ type: "function", function: { name: "get_weather", description: "the weather", parameters:
  { type: "object", required: ["city"], properties: { city: { type: "string", description: "its name" } } } } }];
const asked = [{ role: "user", content: process.argv[3] }];
found.called = await ollama.chat({ model: "random", messages: asked, tools });
found.shown = await ollama.show({ model: "random" });
found.running = (await ollama.ps()).models.map((model) => model.name);
try { await ollama.chat({ model: "nobody", messages: hi }); }
catch (error) { found.missing = [error.status_code, error.message]; }
const long = await ollama.generate({ model: "echo", prompt: "#tokens=100000 #rate=50", stream: true });
found.aborted = "";
try { for await (const part of long) long.abort(); }
catch (error) { found.aborted = error.name; }
console.log(JSON.stringify(found));
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder in which node finds the package."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not on PATH")
    folder = tmp_path_factory.mktemp("node")
    (folder / "ask.mjs").write_text(SCRIPT)
    (folder / "package.json").write_text('{"private": true}')
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--cache", str(folder / "cache"),
               "--fetch-retries", "0", "--loglevel", "error", "ollama"]
    try:
        ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_MAX_S)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm could not fetch the package within {INSTALL_MAX_S} s")
    if ran.returncode:
        pytest.skip(f"npm could not fetch the package: {ran.stderr[-200:]}")
    return folder


@pytest.mark.timeout(INSTALL_MAX_S + 2 * RUN_MAX_S)
def test_the_package_for_javascript(project, base_url):
    env = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    ran = subprocess.run(["node", "ask.mjs", base_url, CALL_WORDS], cwd=project, env=env, capture_output=True,
                         text=True, timeout=RUN_MAX_S)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert {"guide:latest", "random:latest"} <= set(found["names"]) and "random:latest" in found["running"]
    whole, parts = found["whole"], found["parts"]
    assert whole["message"]["content"] == "".join(part["message"]["content"] for part in parts)
    assert parts[-1]["done"] and whole["done_reason"] == "length" == found["generated"]["done_reason"]
    [call] = found["called"]["message"]["tool_calls"]
    assert (call["function"]["name"], call["function"]["arguments"]) == (CALL_NAME, CALL_ARGUMENTS)
    assert "tools" in found["shown"]["capabilities"]
    assert found["missing"][0] == 404 and 'model "nobody" not found' in found["missing"][1]
    assert found["aborted"] == "AbortError"
