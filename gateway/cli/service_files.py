"""The files by which launchd and systemd start the stack at login, as texts. Pure.

What they start is `warden service run`, which becomes supervisord in the foreground (`service_run.py`), so that the
manager watches the very process that watches all others: it is started again when it crashes, and not when `warden
down` ended it, which is exit code 0. `warden up` would not do. It goes into the background, which launchd forbids, and
a unit that is only "active (exited)" after it would never notice a crash.

systemd: a user unit. Stopping is what `warden down` does, which lets all answers end side by side; also after a crash,
when nobody else ends what is left. (`warden service stop` and not `down` itself: systemd runs it too when the service
found a stack that somebody started by hand and left it alone.) A worker that the kernel ends
for want of memory is control's business, so it must not take the whole unit with it (OOMPolicy).
launchd: an agent. Stopping is TERM to supervisord, which does the same one process group at a time, and has ExitTimeOut
for it. ProcessType Interactive: others are slowed down in favour of what is in front.

Each home has names of its own. The environment is written out, because a manager starts programs with next to none.
"""

import hashlib
import plistlib
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import NamedTuple
from xml.parsers.expat import ExpatError

NAME = "mlx-warden"
LABEL_PREFIX = "org."
WRITTEN_BY = "# Written by `warden service install`"
RESTART_AFTER_S = 10
STOP_MARGIN_S = 120  # beside the answers that may end: the other processes, and killing what does not end
UMASK = 0o077
COMMAND = ("service", "run")
PASSED_PREFIXES = ("WARDEN_", "OLLAMA_", "MLX_", "HF_")
PASSED = {"PATH", "XDG_CACHE_HOME", "LANG", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy",
          "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"}
SECRET = re.compile(r"(^|_)(TOKEN|KEY|SECRET|PASSWORD)$")
NO_EXECUTABLE = re.compile(r"""["'\\$]""")
ONE_LINE = re.compile(r"[^\x00-\x1f\x7f]*")


class Service(NamedTuple):
    """What a file is made from: absolute paths, the environment of the programs, and how long stopping may take.

    `is_usual`: the home is ~/.warden, whose service has the plain name.
    """

    home: str
    python: str
    environment: Mapping[str, str]
    stop_wait_s: int
    is_usual: bool = True


class ServiceRefused(Exception):
    """A value that the file cannot hold; one line with the remedy."""


def name_of(home: str, is_usual: bool) -> str:
    """`mlx-warden`, or for another home `mlx-warden-work-1a2b3c4d`: unit names allow few characters."""
    if is_usual:
        return NAME
    spelt = re.sub(r"[^a-z0-9]+", "-", PurePosixPath(home).name.lower()).strip("-")
    digest = hashlib.sha256(home.encode("utf-8", "surrogateescape")).hexdigest()
    return "-".join(filter(None, (NAME, spelt, digest[:8])))


def label_of(home: str, is_usual: bool) -> str:
    """The same for launchd."""
    return f"{LABEL_PREFIX}{name_of(home, is_usual)}"


def choose_environment(env: Mapping[str, str], told: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The variables that are written, and the names of those that are not since they are secrets.

    `told`: what the stack's own programs are told, which comes first; the file may be read by everybody.
    """
    secret = [name for name in sorted(env) if env[name] and name.startswith(PASSED_PREFIXES) and name not in told
              and SECRET.search(name)]
    named = {name: value for name, value in env.items()
             if value and ONE_LINE.fullmatch(value) and (name in PASSED or name.startswith(PASSED_PREFIXES))
             and name not in secret and not ("proxy" in name.lower() and "@" in value)}
    return named | dict(told), secret


def unit_text(service: Service) -> str:
    """A systemd user unit.

    Raises:
        ServiceRefused: a path that a unit cannot hold.
    """
    python = _path("Python interpreter", service.python)
    if found := NO_EXECUTABLE.search(python):
        raise ServiceRefused(f"{python}: holds {found[0]}, which systemd takes in no program's path; install at "
                             "another path")
    warden = f"{_quoted(python)} -P -m gateway.cli.main"
    variables = "".join(f"Environment={_quoted(f'{name}={value}')}\n"
                        for name, value in sorted(service.environment.items()))
    return (
        f"{WRITTEN_BY} for {_path('home', service.home)}: changes are lost when that is run again.\n"
        "[Unit]\n"
        f"Description={_percent(f'mlx-warden, language models of {service.home}')}\n"
        "StartLimitIntervalSec=0\n\n"
        "[Service]\n"
        "Type=exec\n"
        f"ExecStart={warden} {' '.join(COMMAND)}\n"
        f"ExecStop={warden} service stop\n"
        f"WorkingDirectory={_percent(service.home)}\n"
        f"{variables}"
        "Restart=on-failure\n"
        f"RestartSec={RESTART_AFTER_S}\n"
        "KillMode=mixed\n"
        f"TimeoutStopSec={service.stop_wait_s}\n"
        "OOMPolicy=continue\n"
        f"UMask={UMASK:04o}\n\n"
        "[Install]\n"
        "WantedBy=default.target\n")


def plist_bytes(service: Service) -> bytes:
    """A launchd agent.

    Raises:
        ServiceRefused: a value that XML cannot hold.
    """
    home = _path("home", service.home)
    log = f"{home}/logs/service.log"
    return plistlib.dumps({
        "Label": label_of(home, service.is_usual),
        "ProgramArguments": [_path("Python interpreter", service.python), "-P", "-m", "gateway.cli.main", *COMMAND],
        "WorkingDirectory": home,
        "EnvironmentVariables": {name: _path(name, value) for name, value in sorted(service.environment.items())},
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": RESTART_AFTER_S,
        "ExitTimeOut": service.stop_wait_s,
        "ProcessType": "Interactive",
        "Umask": UMASK,
        "StandardOutPath": log,
        "StandardErrorPath": log,
    })


def is_ours(data: bytes, home: str) -> bool:
    """Was this file written by us, for this home?"""
    if data.startswith(f"{WRITTEN_BY} for {home}:".encode("utf-8", "surrogateescape")):
        return True
    said = _plist(data)
    variables, arguments = said.get("EnvironmentVariables"), said.get("ProgramArguments")
    return (isinstance(variables, dict) and variables.get("WARDEN_HOME") == home and isinstance(arguments, list)
            and tuple(arguments[-len(COMMAND):]) == COMMAND)


def python_of(data: bytes) -> str:
    """The interpreter that a file of ours starts, "" if it does not say."""
    arguments = _plist(data).get("ProgramArguments")
    if isinstance(arguments, list) and arguments:
        return str(arguments[0])
    found = re.search(rb'^ExecStart="((?:[^"\\]|\\.)*)"', data, re.MULTILINE)
    if found is None:
        return ""
    return re.sub(r"\\(.)", r"\1", found[1].decode(errors="surrogateescape")).replace("%%", "%")


def _plist(data: bytes) -> dict:
    try:
        said = plistlib.loads(data)
    except (ValueError, LookupError, ExpatError, plistlib.InvalidFileException):
        return {}
    return said if isinstance(said, dict) else {}


def _path(what: str, value: str) -> str:
    if not ONE_LINE.fullmatch(value) or not value.isprintable():
        raise ServiceRefused(f"{what}: {value!r} holds a character that the file cannot; choose another path")
    return value


def _percent(text: str) -> str:
    """systemd expands %h and the like nearly everywhere."""
    return text.replace("%", "%%")


def _quoted(text: str) -> str:
    """One word for systemd, whatever stands in it but line ends."""
    return '"' + _percent(text).replace("\\", "\\\\").replace('"', '\\"') + '"'
