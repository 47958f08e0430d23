"""Is the HTTP port free, and if not, who has it? Asked before anything is started.

The answer is advice: somebody may take the port a moment later, and then supervisord says so. Connections that a
stack of before left in TIME_WAIT do not count (SO_REUSEADDR, as supervisord itself sets it).
"""

import errno
import shutil
import socket
import subprocess
from collections.abc import Mapping

from control.config import Config
from gateway.cli.exits import USAGE, CommandFailed
from gateway.cli.settings import config_file

LSOF_TIMEOUT_S = 5.0


def check_port(config: Config, env: Mapping[str, str]) -> None:
    """Bind the port once and give it back.

    Raises:
        CommandFailed: one line with the setting, the port, its holder where that can be seen, and the remedy.
    """
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((config.host, config.port))
    except OSError as error:
        raise CommandFailed(_refusal(config, env, error), USAGE) from None


def port_setting(config: Config, env: Mapping[str, str]) -> str:
    """What decided the port: the variable, the file, or nobody."""
    if env.get("WARDEN_PORT"):
        return "WARDEN_PORT"
    file = config_file(config)
    return f"{file}: server.port" if file else "server.port (built-in default)"


def _refusal(config: Config, env: Mapping[str, str], error: OSError) -> str:
    where = f"{port_setting(config, env)}: port {config.port} on {config.host}"
    remedy = "set WARDEN_PORT or server.port to a free one"
    if error.errno == errno.EADDRINUSE:
        holder = _holder(config.port)
        return f"{where} is in use{f' by {holder}' if holder else ''}; stop that program, or {remedy}"
    return f"{where} cannot be used ({error.strerror}); {remedy}"


def _holder(port: int) -> str:
    """`name (pid N)` of the process that listens, "" where lsof is missing or may not see it."""
    lsof = shutil.which("lsof")
    if lsof is None:
        return ""
    command = [lsof, "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-Fpc"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=LSOF_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    fields = {line[0]: line[1:] for line in reversed(answer.stdout.splitlines()) if line}
    return f"{fields['c']} (pid {fields['p']})" if {"p", "c"} <= fields.keys() else ""
