"""What `warden doctor` sees on ports: who has ours, and what Ollama and Victoria answer. Only questions are sent.

No key is sent anywhere: a server that asks for one is there, which is all that is to be known.
"""

import errno
import http.client
import json
import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

from control.config import Config
from control.home import Home
from gateway.cli.doctor_network import PortFact, ServerFact
from gateway.cli.port import holder_of, port_setting
from gateway.cli.processes import home_of
from gateway.cli.running import Rendered

ANSWER_MAX_S = 0.6
BODY_MAX_BYTES = 4 * 1024 * 1024
USUAL = {"ollama": "http://127.0.0.1:11434", "victoria": "http://127.0.0.1:8010"}
HERE = {"localhost", "127.0.0.1", "::1"}


def look_at_port(config: Config, home: Home) -> PortFact:
    """Nothing is connected to: the port is bound for a moment and given back, as `warden up` does."""
    fact = PortFact(config.host, config.port, port_setting(config), str(home.root), "free")
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((config.host, config.port))
            return fact
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            return fact._replace(state="unusable", why=error.strerror or str(error))
    name, pid = holder_of(config.port)
    of_home = (home_of(pid) if pid else "") or (str(home.root) if _is_ours(home, config.port) else "")
    return fact._replace(state="used", holder=name, pid=pid, holder_home=of_home)


def _is_ours(home: Home, port: int) -> bool:
    """Where the holder is not to be seen: is it the port that the running stack of this home was given?"""
    from control.supervisord import Supervisord, SupervisordFault, SupervisordGone

    try:
        rendered = Rendered(home.supervisor_conf.read_text(encoding="utf-8"))
        Supervisord(home).pid()
    except (OSError, ValueError, SupervisordFault, SupervisordGone):
        return False
    return rendered.port == port


def look_at_ollama(config: Config | None, env: Mapping[str, str]) -> ServerFact:
    url = config.ollama_url if config else ""
    fact = ServerFact("Ollama", url or USUAL["ollama"], bool(url), keep_alive=env.get("OLLAMA_KEEP_ALIVE", ""))
    fact = fact._replace(is_here=urlsplit(fact.url).hostname in HERE)
    status, version, trouble = ask(f"{fact.url}/api/version")
    if status and not isinstance(version.get("version"), str) and status < 300:
        return fact._replace(trouble="it is no Ollama" if url else "")
    fact = fact._replace(status=status, trouble=trouble, version=str(version.get("version", "")),
                         is_warden="warden" in version)
    if status != http.client.OK:
        return fact
    names = [str(each.get("name", "")) for each in _entries(ask(f"{fact.url}/api/tags")[1])]
    loaded = [(str(each.get("name", "")), int(each.get("size") or 0))
              for each in _entries(ask(f"{fact.url}/api/ps")[1])]
    wanted = (config.ollama_vision_model, config.ollama_document_model) if url else ()
    bare = {name.removesuffix(":latest") for name in names}
    absent = tuple(name for name in dict.fromkeys(wanted) if name and name.removesuffix(":latest") not in bare)
    return fact._replace(models=len(names), loaded=tuple(loaded), wanted=() if fact.is_warden else absent)


def look_at_victoria(config: Config | None) -> ServerFact:
    url = config.victoria_url if config else ""
    fact = ServerFact("Victoria", url or USUAL["victoria"], bool(url))
    status, _, trouble = ask(f"{fact.url}/health")
    return fact._replace(status=status, trouble=trouble)


def _entries(said: dict) -> list[dict]:
    models = said.get("models")
    return [each for each in models if isinstance(each, dict)] if isinstance(models, list) else []


def ask(url: str, limit_s: float = ANSWER_MAX_S) -> tuple[int, dict, str]:
    """GET: status (0: no answer), the JSON object that came ({} for anything else), and why there was no answer."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    try:
        connection = kind(parts.hostname or "", parts.port, timeout=limit_s)
    except (ValueError, http.client.HTTPException) as error:
        return 0, {}, str(error)
    try:
        connection.request("GET", parts.path, headers={"Accept": "application/json"})
        answer = connection.getresponse()
        data = answer.read(BODY_MAX_BYTES)
        return answer.status, _object(data), ""
    except TimeoutError:
        return 0, {}, f"silent for {limit_s:g} s"
    except (OSError, http.client.HTTPException) as error:
        return 0, {}, getattr(error, "strerror", None) or type(error).__name__
    finally:
        connection.close()


def _object(data: bytes) -> dict:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
