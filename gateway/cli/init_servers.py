"""Servers on this machine that could answer beside MLX: a running Ollama, and the Victoria agent.

Each is asked for a sign of life and nothing else, and nothing is loaded by that; no step of it waits longer than
ASK_MAX_S. The address of Ollama is OLLAMA_HOST, read as Ollama reads it, else its usual one. What answers there and is
an mlx-warden is none: many people set OLLAMA_HOST so that the `ollama` command talks to this.
"""

import http.client
import json
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

from control.config import is_loopback
from control.setting_texts import is_address, refuse_ollama_url
from gateway.cli.proposal import OllamaFound

ASK_MAX_S = 1.0
ANSWER_MAX_BYTES = 4 * 1024 * 1024
OLLAMA, VICTORIA = "http://127.0.0.1:11434", "http://127.0.0.1:8010"
OLLAMA_PORT = 11434
LISTENS_EVERYWHERE = ("0.0.0.0", "::")
NAMES_SHOWN_MAX = 200
VERSION_MAX_CHARS = 40


def find_ollama(env: Mapping[str, str]) -> OllamaFound | None:
    """The Ollama that answers, None if none does."""
    for url in dict.fromkeys((ollama_url(env.get("OLLAMA_HOST", "")), OLLAMA)):
        version = ask_json(url, "/api/version")
        if version is None or not isinstance(version.get("version"), str) or "warden" in version:
            continue
        tags = (ask_json(url, "/api/tags") or {}).get("models")
        names = [each.get("name") for each in tags if isinstance(each, dict)] if isinstance(tags, list) else []
        models = tuple(sorted(name for name in names if isinstance(name, str) and name.isprintable()))
        return OllamaFound(url, version["version"][:VERSION_MAX_CHARS], models[:NAMES_SHOWN_MAX], is_here(url))
    return None


def find_victoria() -> str:
    """The agent's URL if it answers, else ""."""
    said = ask_json(VICTORIA, "/health")
    is_other = said is None or not isinstance(said.get("status"), str) or "total_models" in said  # as ours has
    return "" if is_other else VICTORIA


def ollama_url(host: str) -> str:
    """The address that OLLAMA_HOST means, which may lack scheme, host and port; the usual one if it means none."""
    host = host.strip().strip("\"'")
    scheme, found, rest = host.partition("://")
    scheme, rest = (scheme.lower(), rest) if found else ("http", host)
    try:
        parts = urlsplit(f"//{rest}")
        port = parts.port or ({"http": 80, "https": 443}.get(scheme) if found else OLLAMA_PORT)
        name = parts.hostname or "127.0.0.1"
    except ValueError:
        return OLLAMA
    name = "127.0.0.1" if name in LISTENS_EVERYWHERE else name
    url = f"{scheme}://{f'[{name}]' if ':' in name else name}:{port}{parts.path.rstrip('/')}"
    return OLLAMA if refuse_ollama_url(url) else url


def is_here(url: str) -> bool:
    """Is this an address of the machine itself?"""
    name = urlsplit(url).hostname or ""
    return name == "localhost" or is_address(name) and is_loopback(name)


def ask_json(url: str, path: str) -> dict | None:
    """The JSON object that GET gives; None for anything else."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    more = {"context": ssl.create_default_context()} if secure else {}
    try:
        connection = kind(parts.hostname, parts.port, timeout=ASK_MAX_S, **more)
    except (OSError, http.client.HTTPException):
        return None
    try:
        connection.request("GET", parts.path + path, headers={"Accept": "application/json"})
        answer = connection.getresponse()
        data = answer.read(ANSWER_MAX_BYTES + 1)
        said = json.loads(data) if answer.status == http.client.OK and len(data) <= ANSWER_MAX_BYTES else None
    except (OSError, http.client.HTTPException, ValueError, RecursionError):
        return None
    finally:
        connection.close()
    return said if isinstance(said, dict) else None
