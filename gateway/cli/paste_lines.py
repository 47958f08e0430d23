"""What to give each client so that it talks to this stack: one place, from which the terminal and the README are made.

`CLIENTS` is the list. Each text is made for a `Place`: the address, the model and whether a key is asked for, so that
it can be pasted as it stands. A key itself is never in it: shells take it from WARDEN_KEY, files say where to put it.
`tried` says what the tests do with a text: run it against a stack, or only read it as YAML or JSON where the client is
not at hand. Facts about other programs are as of 2026-11. Pure.
"""

import json
from collections.abc import Callable
from typing import NamedTuple

DEFAULT_PORT = 11435
NO_KEY = "not-needed"
KEY_IN_FILES = "PUT-YOUR-KEY-HERE"
RUN, PARSED, NOT_TRIED = "run by the tests", "read by the tests, not tried with the program itself", "not tried"
BEGIN, END = "<!-- clients: begin -->", "<!-- clients: end -->"
ALL_INTERFACES = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}


class Place(NamedTuple):
    """`host` as configured; `model`: its name; `is_mac`: containers reach the machine by a name of Docker's."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    model: str = "guide"
    needs_key: bool = False
    is_mac: bool = True

    @property
    def url(self) -> str:
        """For programs of this machine."""
        host = ALL_INTERFACES.get(self.host, f"[{self.host}]" if ":" in self.host else self.host)
        return f"http://{host}:{self.port}"

    @property
    def shell_key(self) -> str:
        return '"$WARDEN_KEY"' if self.needs_key else NO_KEY

    @property
    def file_key(self) -> str:
        return KEY_IN_FILES if self.needs_key else NO_KEY

    @property
    def python_key(self) -> str:
        return 'os.environ["WARDEN_KEY"]' if self.needs_key else json.dumps(NO_KEY)


class Client(NamedTuple):
    """`where`: what the text is, or into which file it goes; `language`: sh, python, yaml, json or text."""

    name: str
    title: str
    where: str
    language: str
    write: Callable[[Place], str]
    tried: str
    note: str = ""


def find_client(name: str) -> Client | None:
    return next((client for client in CLIENTS if client.name == name.lower()), None)


def _curl(place: Place, path: str, body: dict) -> str:
    key = ' -H "Authorization: Bearer $WARDEN_KEY"' if place.needs_key else ""
    first = json.dumps({name: value for name, value in body.items() if name != "messages"})[:-1]
    return (f"curl {place.url}{path}{key} \\\n  -H 'Content-Type: application/json' \\\n"
            f"  -d '{first},\n    \"messages\": {json.dumps(body['messages'])}}}'")


def _question(place: Place, **more: object) -> dict:
    return {"model": place.model, "messages": [{"role": "user", "content": "What is mlx-warden?"}], **more}


def _python(place: Place, *lines: str) -> str:
    begin = ["import os"] if place.needs_key else []
    asked = f'asked = {{"model": "{place.model}", "messages": [{{"role": "user", "content": "What is mlx-warden?"}}]}}'
    return "\n".join([*begin, lines[0], "", asked, *lines[1:]])


def _python_openai(place: Place) -> str:
    return _python(place, "from openai import OpenAI",
                   f'client = OpenAI(base_url="{place.url}/v1", api_key={place.python_key})',
                   "print(client.chat.completions.create(**asked).choices[0].message.content)")


def _python_ollama(place: Place) -> str:
    key = [f'headers = {{"Authorization": "Bearer " + {place.python_key}}}'] if place.needs_key else []
    return _python(place, "from ollama import Client", *key,
                   f'client = Client(host="{place.url}"{", headers=headers" if key else ""})',
                   "print(client.chat(**asked).message.content)")


def _python_anthropic(place: Place) -> str:
    return _python(place, "from anthropic import Anthropic",
                   f'client = Anthropic(base_url="{place.url}", api_key={place.python_key})',
                   "print(client.messages.create(**asked, max_tokens=200).content[0].text)")


def _open_webui(place: Place) -> str:
    inside = f"http://host.docker.internal:{place.port}" if place.is_mac else place.url
    network = "-p 3000:8080" if place.is_mac else "--network=host -e PORT=3000"
    server = f"-e OLLAMA_BASE_URL={inside}" if not place.needs_key else (
        f'-e ENABLE_OLLAMA_API=false -e OPENAI_API_BASE_URL={inside}/v1 \\\n  -e OPENAI_API_KEY="$WARDEN_KEY"')
    return (f"docker run -d --name open-webui {network} \\\n  {server} \\\n"
            "  -e ENABLE_FORWARD_USER_INFO_HEADERS=true \\\n"
            "  -v open-webui:/app/backend/data ghcr.io/open-webui/open-webui:main")


def _claude_code(place: Place) -> str:
    return (f"ANTHROPIC_BASE_URL={place.url} ANTHROPIC_AUTH_TOKEN={place.shell_key} \\\n"
            f"  ANTHROPIC_MODEL={place.model} ANTHROPIC_DEFAULT_HAIKU_MODEL={place.model} claude")


def _continue(place: Place) -> str:
    key = f"\n    apiKey: {place.file_key}" if place.needs_key else ""
    return (f"name: mlx-warden\nversion: 1.0.0\nschema: v1\nmodels:\n  - name: {place.model}\n    provider: ollama\n"
            f"    model: {place.model}\n    apiBase: {place.url}{key}\n    roles: [chat, edit, apply]")


def _zed(place: Place) -> str:
    return json.dumps({"language_models": {"ollama": {"api_url": place.url}}}, indent=2)


def _opencode(place: Place) -> str:
    options = {"baseURL": f"{place.url}/v1"} | ({"apiKey": place.file_key} if place.needs_key else {})
    provider = {"npm": "@ai-sdk/openai-compatible", "name": "mlx-warden", "options": options,
                "models": {place.model: {"name": place.model}}}
    return json.dumps({"$schema": "https://opencode.ai/config.json", "provider": {"warden": provider}}, indent=2)


def _aider(place: Place) -> str:
    key = f"OLLAMA_API_KEY={place.shell_key} " if place.needs_key else ""
    return f"OLLAMA_API_BASE={place.url} {key}aider --model ollama_chat/{place.model}"


CLIENTS = (
    Client("curl", "curl, in Ollama's dialect", "command", "sh",
           lambda place: _curl(place, "/api/chat", _question(place, stream=False)), RUN),
    Client("curl-openai", "curl, in OpenAI's dialect", "command", "sh",
           lambda place: _curl(place, "/v1/chat/completions", _question(place)), RUN),
    Client("ollama", "the ollama command, and what finds Ollama by it", "command", "sh",
           lambda place: f"OLLAMA_HOST={place.url} ollama run {place.model}", RUN,
           "It sends no key, so it works only where none is asked for."),
    Client("python-openai", "OpenAI's Python package", "program", "python", _python_openai, RUN),
    Client("python-ollama", "Ollama's Python package", "program", "python", _python_ollama, RUN),
    Client("python-anthropic", "Anthropic's Python package", "program", "python", _python_anthropic, RUN),
    Client("open-webui", "open-webui", "command", "sh", _open_webui, NOT_TRIED,
           'Then open http://127.0.0.1:3000. With user_header = "X-OpenWebUI-User-Id" in [server] users share fairly.'),
    Client("claude-code", "Claude Code", "command", "sh", _claude_code, NOT_TRIED,
           "It sends long prompts: choose a model with a context of 32,000 tokens or more that can call tools."),
    Client("continue", "Continue", "~/.continue/config.yaml", "yaml", _continue, PARSED),
    Client("zed", "Zed", "settings.json", "json", _zed, PARSED,
           "A key, if one is needed, is asked for in Zed's own settings."),
    Client("opencode", "opencode", "opencode.json", "json", _opencode, PARSED),
    Client("aider", "aider", "command", "sh", _aider, NOT_TRIED),
    Client("openai", "what speaks to OpenAI: Cline, LangChain and others", "variables", "sh",
           lambda place: f"export OPENAI_BASE_URL={place.url}/v1 OPENAI_API_KEY={place.shell_key}", RUN),
    Client("home-assistant", "Home Assistant, and what asks for the address of Ollama", "address", "text",
           lambda place: place.url, RUN),
)
AFTER_UP = ("curl", "open-webui", "claude-code")


def short_block(place: Place) -> list[str]:
    """The lines that `warden up` prints: commands to paste, and one item for Continue's list of models."""
    lines = []
    for name in AFTER_UP:
        client = find_client(name)
        lines += [f"{client.title}:", *(f"  {line}" for line in client.write(place).splitlines())]
    item = [line for line in _continue(place).splitlines() if line.startswith("  ")]
    return [*lines, "Continue, under `models:` in ~/.continue/config.yaml:", *item]


def readme_section(place: Place = Place()) -> str:
    """What stands between the markers of the README: commands and programs as they are, files folded away."""
    lines = [BEGIN, ""]
    for client in (each for each in CLIENTS if each.tried == RUN and each.language in ("sh", "python")):
        lines += [f"{client.title[0].upper()}{client.title[1:]}:", "", *_fenced(client, place), ""]
    lines += ["Not at hand where this was made, so their texts were not tried with the program itself "
              "(`warden clients` prints them for your address and model):", ""]
    for client in (each for each in CLIENTS if each.tried != RUN):
        where = "" if client.where == "command" else f": <code>{client.where}</code>"
        note = [client.note, ""] if client.note else []
        lines += [f"<details><summary>{client.title}{where}</summary>", "", *_fenced(client, place), "", *note,
                  "</details>"]
    return "\n".join([*lines, "", END])


def _fenced(client: Client, place: Place) -> list[str]:
    return [f"```{client.language}", *client.write(place).splitlines(), "```"]
