"""Turns the root's `supervisor.conf` into the file that supervisord reads: `render` is the whole of it, and pure.

The template says everything about a program but what only this machine knows. `${name}` outside of comments is
replaced; the section of `worker-${slug}` is written once for each configured model, that of `${relay}` once for each
configured relay. A name that the template uses and `render` does not fill is an error, so that the two cannot drift
apart.

Refused: values that supervisord's format would read as something else (`%` starts an expansion, `;` and `#` a comment,
a quote ends a value). For a path that is an error. An environment variable with such a value, or one that looks like
a secret, is left out of the file; a child still inherits it from supervisord, which inherited it from `warden up`.
"""

import configparser
import math
import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from control.config import Config
from control.home import Home
from control.settings import SECTIONS, settings_of

PASSED_PREFIXES = ("WARDEN_", "OLLAMA_", "MLX_", "HF_")
PATH_VARIABLES = ("WARDEN_MODELS_DIR", "MLX_MODELS_DIR", "WARDEN_PRESSURE_FILE", "HF_HOME", "HF_HUB_CACHE",
                  "WARDEN_OLLAMA_KEY_FILE", "WARDEN_VICTORIA_KEY_FILE")
SETTINGS = frozenset(name for cls in SECTIONS.values() for item in settings_of(cls).values() for name in item.variables)
SECRET_WORDS = frozenset({"TOKEN", "KEY", "SECRET", "PASSWORD"})
CANNOT_CARRY = re.compile(r"""[%;#'"\\\x00-\x1f\x7f]""")
PLACEHOLDER = re.compile(r"\$\{(\w+)\}")
RELAY_SECTION, WORKER_SECTION = "[program:${relay}]", "[program:worker-${slug}]"
PYTHON = re.compile(r"^command=(.*) -P -m control$", re.MULTILINE)
WRITTEN_BY = "; Written by `warden up` from supervisor.conf: changes made here are lost at the next `warden up`.\n"


class RenderRefused(Exception):
    """The configuration cannot be written as supervisord's; str() is one line with the value and the remedy."""


class Credentials(NamedTuple):
    """What the unix socket of a home asks for. Lives only in the rendered file."""

    username: str
    password: str


def template_path() -> Path:
    """Where `supervisor.conf` stands: at the root of a checkout, inside the package in an installed copy.

    Raises:
        RenderRefused: neither is there.
    """
    here = Path(__file__).resolve().parent
    for candidate in (here.parent / "supervisor.conf", here / "supervisor.conf"):
        if candidate.is_file():
            return candidate
    raise RenderRefused(f"supervisor.conf is missing from {here.parent}; install the product again")


def child_environment(env: Mapping[str, str], cwd: Path, home: Home, config_file: Path | None) -> dict[str, str]:
    """The variables that the rendered file sets for every program, from those set at `warden up`.

    `config_file` is the absolute path of the file that was read, None if there was none. Programs run in another
    directory than `cwd`, so relative paths are made absolute. In a checkout the children are told where our packages
    are (`-P` takes the current directory off their path).

    Raises:
        RenderRefused: the home, the file or the checkout has a path that the format cannot hold.
    """
    ours = {key: value for key, value in env.items() if key.startswith(PASSED_PREFIXES)}
    ours |= {key: os.path.join(cwd, ours[key]) for key in PATH_VARIABLES if ours.get(key, "~")[:1] != "~"}
    passed = {key: value for key, value in ours.items() if _may_stand_in_file(key, value)}
    passed["WARDEN_HOME"] = _carried("WARDEN_HOME", str(home.root))
    if config_file is not None:
        passed["WARDEN_CONFIG"] = _carried("WARDEN_CONFIG", str(config_file))
    root = Path(__file__).resolve().parent.parent
    if (root / "supervisor.conf").is_file():
        inherited = [entry for entry in env.get("PYTHONPATH", "").split(":") if entry and Path(entry) != root]
        passed["PYTHONPATH"] = _carried("PYTHONPATH", ":".join([str(root), *inherited]))
    return passed


def render(
    config: Config, home: Home, python: str, template: str, *, password: str, environment: Mapping[str, str]
) -> str:
    """The text of `run/supervisor.conf` for this configuration.

    `python` is the interpreter that runs every program, `password` the secret of the unix socket.

    Raises:
        RenderRefused: a value that the format cannot hold, or a placeholder that nobody fills.
    """
    if ":" in config.host:
        raise RenderRefused(f"server.host: supervisord cannot listen on IPv6 ({config.host}); use an IPv4 address")
    one_http = config.http_processes == 1
    values = {
        "home": _carried("home directory", str(home.root)),
        "run": _carried("run directory", str(home.run)),
        "logs": _carried("log directory", str(home.logs)),
        "socket": _carried("socket", str(home.supervisor_socket)),
        "pidfile": _carried("pidfile", str(home.supervisor_pidfile)),
        "python": shlex.quote(_carried("Python interpreter", python)),
        "password": _carried("password", password),
        "environment": ",".join(f'{key}="{value}"' for key, value in sorted(environment.items())),
        "host": _carried("server.host", config.host),
        "port": str(config.port),
        "http_processes": str(config.http_processes),
        "http_process_name": "http" if one_http else "http-%(process_num)s",
        "drain_deadline_s": str(math.ceil(config.drain_deadline_s)),
    }
    head, relay, worker = _split_template(template)
    parts = [WRITTEN_BY, _fill(head, values)]
    parts += [_fill(relay, values | {"relay": slug}) for slug in config.relays.values()]
    parts += [_worker_sections(config, worker, values)]
    return "".join(parts)


def with_workers(rendered: str, config: Config, home: Home, template: str) -> str:
    """A rendered file with the programs of these models in place of those that it has; all else is left as it is.

    Raises:
        RenderRefused: also for a text that `render` did not make.
    """
    python = PYTHON.search(rendered)
    first = rendered.find(WORKER_SECTION.partition("$")[0])
    if python is None or first < 0:
        raise RenderRefused(f"{home.supervisor_conf} is not as `warden up` wrote it; run `warden down`, then "
                            "`warden up`")
    values = {"python": python[1], "logs": _carried("log directory", str(home.logs)),
              "drain_deadline_s": str(math.ceil(config.drain_deadline_s))}
    return rendered[:first] + _worker_sections(config, _split_template(template)[2], values)


def _worker_sections(config: Config, worker: str, values: Mapping[str, str]) -> str:
    return "".join(_fill(worker, {**values, "slug": _carried("slug", model.slug)}) for model in config.models)


def read_credentials(path: Path) -> Credentials | None:
    """User and password of a rendered file, None if there is no such file or it holds none."""
    try:
        section = _parsed(path)["unix_http_server"]
        return Credentials(section["username"], section["password"])
    except KeyError:
        return None


def read_stop_wait_s(path: Path) -> float:
    """The longest that ending what a rendered file defines may take: whoever answers all together, the others in turn.
    """
    workers, others = [0.0], [0.0]
    for name, section in _parsed(path).items():
        waits = workers if name.startswith(("program:worker-", "program:relay-")) else others
        waits.append(section.getfloat("stopwaitsecs", 0.0))
    return max(workers) + sum(others)


def _parsed(path: Path) -> configparser.RawConfigParser:
    """A rendered file; without any section if it cannot be read."""
    parser = configparser.RawConfigParser(strict=False, inline_comment_prefixes=(";", "#"))
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, configparser.Error):
        parser.clear()
    return parser


def _split_template(template: str) -> tuple[str, str, str]:
    """What is written once, for each relay, and for each model."""
    rest, parts = template, []
    for section in (RELAY_SECTION, WORKER_SECTION):
        head, found, rest = rest.partition(section)
        if not found:
            raise RenderRefused(f"supervisor.conf has no section {section}; install the product again")
        parts.append(head)
        rest = section + rest
    return parts[0], parts[1], f"{rest}\n"


def _fill(text: str, values: Mapping[str, str]) -> str:
    def value_of(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise RenderRefused(f"supervisor.conf uses ${{{match[1]}}}, which nothing fills")
        return values[match[1]]

    lines = text.splitlines(keepends=True)
    return "".join(line if line.startswith(";") else PLACEHOLDER.sub(value_of, line) for line in lines)


def _carried(what: str, value: str) -> str:
    found = CANNOT_CARRY.search(value)
    if found:
        raise RenderRefused(f"{what}: {value!r} holds {found[0]!r}, which supervisord cannot take; choose another path")
    return value


def _may_stand_in_file(key: str, value: str) -> bool:
    """No setting is a secret: what is called a key there is the name of a file, or whether one is asked for."""
    is_secret = key not in SETTINGS and SECRET_WORDS.intersection(key.split("_"))
    return not is_secret and not CANNOT_CARRY.search(value)
