"""The first minutes: `warden up` without a configuration finds models, asks once, and starts what was agreed.

A person is a pseudo-terminal; the machine is a Hugging Face cache of small real models and a scripted Ollama.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from control.config import load_config
from gateway.cli.init import NEVER_FILE
from gateway.cli.paste_lines import CLIENTS, RUN, Client, Place, short_block
from tests.support.found_models import make_repository
from tests.support.live_stack import LiveStack
from tests.support.models import model_path
from tests.support.relay_fixtures import started_script
from tests.support.terminal import CTRL_C, ENTER, Terminal

pytestmark = pytest.mark.integration
QUESTION = "[Y/n/never]"
PASTED_MAX_S = 90
OLLAMA_COMMANDS = ("/tmp/h1go/bin/ollama", "ollama")
TITLES = {"org/Tiny-1B-4bit": "1m", "org/Small-Coder-4bit": "26m"}


def fresh_home(folder: Path, *titles: str, **env: str) -> LiveStack:
    """A home without a configuration, for somebody whose cache holds these models."""
    stack = LiveStack(folder, "")
    stack.config_file.unlink()
    del stack.env["WARDEN_CONFIG"]
    stack.env |= {"HOME": str(folder), "HF_HUB_CACHE": str(folder / "hub"), "OLLAMA_HOST": "127.0.0.1:9"} | env
    for title in titles:
        make_repository(folder / "hub", title, Path(model_path(TITLES[title])))
    if titles:
        make_repository(folder / "hub", "org/Half-7B-4bit", weights=False)
    return stack


def terminal(stack: LiveStack) -> Terminal:
    return Terminal(["up"], stack.env, columns=80, lines=60, cwd=stack.home_path.parent)


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    """The stack of somebody who was asked and pressed Enter; `screen` is what he saw."""
    folder = tmp_path_factory.mktemp("taken")
    with started_script("ollama", folder / "servers") as ollama:
        ollama.be(models=["llava:7b"])
        stack = fresh_home(folder, *TITLES, OLLAMA_HOST=ollama.url)
        stack.ollama_url = ollama.url
        try:
            with terminal(stack) as seen:
                seen.wait(QUESTION)
                seen.type(ENTER)
                assert seen.end(PASTED_MAX_S) == 0, seen.text + stack.logs()
                stack.screen = seen.text
            yield stack
        finally:
            stack.end()


@pytest.fixture(scope="module")
def declined(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    """The stack of somebody who answered never: the built-in model, whose answers are short."""
    stack = fresh_home(tmp_path_factory.mktemp("declined"), "org/Tiny-1B-4bit")
    try:
        with terminal(stack) as seen:
            seen.wait(QUESTION)
            seen.type("never" + ENTER)
            assert seen.end(PASTED_MAX_S) == 0, seen.text + stack.logs()
            stack.screen = seen.text
        yield stack
    finally:
        stack.end()


def place_of(stack: LiveStack, model: str) -> Place:
    return Place(port=int(stack.env["WARDEN_PORT"]), model=model, is_mac=sys.platform == "darwin")


def test_what_was_found_is_shown_written_and_started(taken: LiveStack) -> None:
    assert taken.screen.index("small-coder") < taken.screen.index(QUESTION) < taken.screen.index(f"ready: {taken.url}")
    assert "left out: Half-7B-4bit (incomplete)" in taken.screen and "Ollama 0.9.9 at" in taken.screen
    assert f"{taken.url}/chat" in taken.screen and "warden run" in taken.screen
    config = load_config(taken.env, taken.home_path)
    assert [model.name for model in config.models] == ["tiny-1b", "small-coder"]
    assert (config.ollama_url, config.ollama_vision_model) == (taken.ollama_url, "llava:7b")
    assert config.categories["coding"] == "small-coder"
    block = short_block(place_of(taken, "tiny-1b"))
    assert "\n".join(block).split() == taken.screen[taken.screen.index(block[0]):].split()


@pytest.mark.parametrize("name", ["", "tiny-1b", "org/Small-Coder-4bit"])
def test_a_found_model_answers(taken: LiveStack, name: str) -> None:
    words = ["--model", name] if name else []
    assert taken.warden("ask", *words, "--max-tokens", "3", "Hello").stdout.strip()


def test_a_second_up_asks_nothing_and_changes_nothing(taken: LiveStack) -> None:
    before, text = taken.processes(), (taken.home_path / "warden.toml").read_text()
    with terminal(taken) as seen:
        assert seen.end(PASTED_MAX_S) == 0
    assert "already running" in seen.text and QUESTION not in seen.text and "curl" not in seen.text
    assert (taken.home_path / "warden.toml").read_text() == text
    told = json.loads(taken.warden("up", "--json").stdout)
    assert told["url"] == taken.url and told["default_model"] == "tiny-1b"
    assert before.items() <= taken.processes().items()


def test_ctrl_c_at_the_question_starts_and_writes_nothing(tmp_path: Path) -> None:
    stack = fresh_home(tmp_path, "org/Tiny-1B-4bit")
    with terminal(stack) as seen:
        seen.wait(QUESTION)
        seen.type(CTRL_C)
        assert seen.end() == 130
    assert stack.processes() == {} and not (stack.home_path / "warden.toml").exists()


def test_never_starts_the_built_in_model_and_is_remembered(declined: LiveStack) -> None:
    assert "model        guide" in declined.screen and "warden init --yes" in declined.screen
    assert not (declined.home_path / "warden.toml").exists() and (declined.home_path / NEVER_FILE).exists()
    assert declined.warden("ask", "Where are the logs?").stdout.strip()


def test_a_pulled_model_needs_no_configuration(declined: LiveStack) -> None:
    status, answer = declined.post("/api/pull", {"model": str(model_path("1m")), "stream": False})
    assert (status, answer["status"]) == (200, "success")
    name = Path(model_path("1m")).name
    asked = {"model": name, "prompt": "a", "stream": False, "options": {"num_predict": 3}}
    assert declined.post("/api/generate", asked)[1]["response"]
    assert name in declined.warden("ls").stdout


@pytest.mark.parametrize("client", [each for each in CLIENTS if each.tried == RUN], ids=lambda each: each.name)
def test_what_people_paste_does_what_it_says(declined: LiveStack, client: Client) -> None:
    text, env = client.write(place_of(declined, "guide")), dict(declined.env)
    if client.language == "text":
        assert text == declined.url and declined.get("/api/tags")[0] == 200
        return
    if client.name == "ollama":
        command = next(filter(None, map(shutil.which, OLLAMA_COMMANDS)), None)
        if command is None:
            pytest.skip("there is no ollama command here")
        env["PATH"] = f"{Path(command).parent}{os.pathsep}{env['PATH']}"
        text += " Hello"
    if client.name == "openai":
        text += f" && {sys.executable} -c 'from openai import OpenAI; print(OpenAI().models.list().data[0].id)'"
    command = [sys.executable, "-c", text] if client.language == "python" else ["sh", "-ec", text]
    ran = subprocess.run(command, env=env, cwd=declined.home_path.parent, capture_output=True, text=True,
                         stdin=subprocess.DEVNULL, timeout=PASTED_MAX_S)
    assert ran.returncode == 0 and ran.stdout.strip(), ran.stdout + ran.stderr
    assert '"error"' not in ran.stdout
