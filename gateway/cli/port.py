"""Is the HTTP port free, and if not, who has it? Asked before anything is started.

The answer is advice: somebody may take the port a moment later, and then supervisord says so. Connections that a
stack of before left in TIME_WAIT do not count (SO_REUSEADDR, as supervisord itself sets it).
"""

import errno
import shlex
import shutil
import socket
import subprocess

from control.config import Config
from gateway.cli.exits import USAGE, CommandFailed
from gateway.cli.processes import home_of

LSOF_TIMEOUT_S = 5.0


def check_port(config: Config) -> None:
    """Bind the port once and give it back.

    Raises:
        CommandFailed: one line with the setting, the port, its holder where that can be seen, and the remedy.
    """
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((config.host, config.port))
    except OSError as error:
        raise CommandFailed(_refusal(config, error), USAGE) from None


def port_setting(config: Config) -> str:
    """What decided the port: the variable, a line of the file, or nobody."""
    return config.places.get("port", "server.port (built-in default)")


def _refusal(config: Config, error: OSError) -> str:
    where = f"{port_setting(config)}: port {config.port} on {config.host}"
    remedy = "set WARDEN_PORT or server.port to a free one"
    if error.errno != errno.EADDRINUSE:
        return f"{where} cannot be used ({error.strerror}); {remedy}"
    name, pid = holder_of(config.port)
    by = f" by {name} (pid {pid})" if pid else ""
    home = home_of(pid) if pid else ""
    if home:
        stop = f"stop it with `WARDEN_HOME={shlex.quote(home)} warden down`"
        return f"{where} is in use{by} of the warden stack in {home}; {stop}, or {remedy}"
    return f"{where} is in use{by}; stop that program, or {remedy}"


def holder_of(port: int) -> tuple[str, int]:
    """Name and pid of the process that listens; ("", 0) where lsof is missing or may not see it."""
    lsof = shutil.which("lsof")
    if lsof is None:
        return "", 0
    command = [lsof, "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-Fpc"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=LSOF_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "", 0
    fields = {line[0]: line[1:] for line in reversed(answer.stdout.splitlines()) if line}
    return (fields["c"], int(fields["p"])) if {"p", "c"} <= fields.keys() else ("", 0)
