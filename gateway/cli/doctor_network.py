"""`warden doctor` on ports and on other servers: who listens on ours, and what Ollama and Victoria are up to. Pure."""

import shlex
from typing import NamedTuple

from control.budget import size
from gateway.cli.doctor_finding import Finding, counted, listed, note, ok, problem, warning

OLLAMA, VICTORIA = "Ollama", "Victoria"


class PortFact(NamedTuple):
    """`state`: free | used | unusable (`why`). `holder` "": not to be seen; `holder_home`: of a stack of ours."""

    host: str
    port: int
    setting: str
    home: str
    state: str
    why: str = ""
    holder: str = ""
    pid: int = 0
    holder_home: str = ""


class ServerFact(NamedTuple):
    """`name`: Ollama or Victoria; `url` is asked, configured or the usual one. `status` 0: no answer (`trouble`).

    `loaded`: names and bytes of the models that it holds in memory now. `is_here`: on this machine. `wanted`: models
    that the configuration names and that it has not.
    """

    name: str
    url: str
    configured: bool
    status: int = 0
    trouble: str = ""
    version: str = ""
    is_warden: bool = False
    models: int = 0
    loaded: tuple[tuple[str, int], ...] = ()
    is_here: bool = True
    wanted: tuple[str, ...] = ()
    keep_alive: str = ""


def check_port(fact: PortFact) -> list[Finding]:
    what, where = "port", f"{fact.port} on {fact.host}"
    change = "set WARDEN_PORT, or port in [server], to a free one"
    if fact.state == "free":
        return [ok(what, f"{where} is free")]
    if fact.state == "unusable":
        return [problem(what, f"{where} cannot be used: {fact.why} ({fact.setting})", change)]
    if fact.holder_home == fact.home:
        return [ok(what, f"{where} is served by this stack")]
    by = f" by {fact.holder} (pid {fact.pid})" if fact.pid else ""
    if fact.holder_home:
        return [problem(what, f"{where} is in use{by} of the warden stack in {fact.holder_home} ({fact.setting})",
                        f"`WARDEN_HOME={shlex.quote(fact.holder_home)} warden down`, or {change}")]
    return [problem(what, f"{where} is in use{by} ({fact.setting})", f"stop that program, or {change}")]


def check_ollama(fact: ServerFact) -> list[Finding]:
    name = "another mlx-warden" if fact.is_warden else OLLAMA
    if not _answers(fact):
        return _absent(fact, "`ollama serve`", "simple work stays here when MLX is busy, and images are refused")
    version = f" {fact.version}" if fact.version and not fact.is_warden else ""
    found_text = f"{name}{version} answers at {fact.url}"
    if fact.status in (401, 403):
        return [ok(OLLAMA, f"{found_text} and asks for a key")]
    found = [ok(OLLAMA, f"{found_text}: {counted(fact.models, 'model')}")] if fact.configured else [note(
        OLLAMA, f"{found_text} ({counted(fact.models, 'model')}), and no work is handed to it",
        f"to use it when MLX is busy: ollama_url = \"{fact.url}\" in [relays]")]
    held = sum(count for _, count in fact.loaded)
    if fact.loaded and fact.is_here and not fact.is_warden:
        names = [model for model, _ in fact.loaded]
        stays = f" (OLLAMA_KEEP_ALIVE={fact.keep_alive})" if fact.keep_alive else ""
        found.append(note(OLLAMA, f"{listed(names)} {'holds' if len(names) == 1 else 'hold'} {size(held)} of the "
                                  "memory "
                          f"that models here want too{stays}", f"`ollama stop {shlex.quote(names[0])}` frees it"))
    if fact.configured and fact.wanted:
        found.append(note(OLLAMA, f"has no {listed(fact.wanted)}, which [relays] names for images",
                          f"`ollama pull {shlex.quote(fact.wanted[0])}`, or name a model that it has"))
    return found


def check_victoria(fact: ServerFact) -> list[Finding]:
    if not _answers(fact):
        return _absent(fact, "the agent", "chats that want her are answered here")
    if fact.configured:
        return [ok(VICTORIA, f"answers at {fact.url}")]
    return [note(VICTORIA, f"something answers /health at {fact.url}, and no work is handed to it",
                 f"if it is the Victoria agent: victoria_url = \"{fact.url}\" in [relays]")]


def _answers(fact: ServerFact) -> bool:
    """An error of the server is no answer; a stranger's 404 on a port that is not configured is none either."""
    return fact.status in (401, 403) or 200 <= fact.status < 300


def _absent(fact: ServerFact, start: str, meanwhile: str) -> list[Finding]:
    if not fact.configured:
        return [ok(fact.name, f"none at {fact.url}, and none is configured")]
    why = f"answers {fact.status}" if fact.status else f"does not answer ({fact.trouble})"
    return [warning(fact.name, f"{fact.url} {why}: {meanwhile}",
                    f"start {start} there, or correct the url in [relays]")]
