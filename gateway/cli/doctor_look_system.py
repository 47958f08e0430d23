"""What `warden doctor` looks at on this machine besides memory: Python, MLX, limits, clock, PATH, variables.

MLX is imported by a program of its own: where Metal or a processor's instructions are missing it ends the process, and
that must be the other's end. What only a Mac has is asked through arguments, so that a test can play one.
"""

import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from importlib import metadata, util
from pathlib import Path

from control.darwin import read_sysctl
from control.home import Home
from gateway.cli.doctor_system import ClockFact, LimitsFact, MlxFact, PathFact, PythonFact, VariablesFact

NEEDED = ("msgspec", "numpy", "psutil", "zmq", "rich", "starlette", "supervisor", "tokenizers", "typer",
          "uvicorn")
PREFIXES = ("WARDEN_", "OLLAMA_", "MLX_", "HF_")
OURS = {"WARDEN_HOME", "WARDEN_CONFIG", "WARDEN_KEY", "WARDEN_PRESSURE_FILE", "HF_HOME", "HF_HUB_CACHE", "HF_TOKEN",
        "HF_HUB_OFFLINE", "HF_ENDPOINT"}
TRANSLATED = "sysctl.proc_translated"
IMPORT_MLX = """
import json, mlx.core as mx
gpu = mx.default_device().type == mx.DeviceType.gpu
info = mx.device_info() if hasattr(mx, "device_info") else {}
print(json.dumps({"device": "gpu" if gpu else "cpu", "name": str(info.get("device_name", ""))}))
"""


def look_at_python(system: str = sys.platform, sysctl: Callable[[str], int] = read_sysctl) -> PythonFact:
    version = platform.mac_ver()[0] if system == "darwin" else platform.release()
    name = {"darwin": "macOS", "linux": "Linux"}.get(system, system)
    missing = tuple(package for package in NEEDED if util.find_spec(package) is None)
    major = version.partition(".")[0]
    return PythonFact(sys.version_info[:3], platform.machine(), system, f"{name} {version}".strip(), sys.executable,
                      system == "darwin" and _is_translated(sysctl), missing,
                      int(major) if system == "darwin" and major.isdecimal() else 0)


def _is_translated(sysctl: Callable[[str], int]) -> bool:
    try:
        return sysctl(TRANSLATED) == 1
    except OSError:
        return False  # an Intel Mac does not know the name


def look_at_mlx(env: Mapping[str, str], limit_s: float, python: str = sys.executable) -> MlxFact:
    fact = MlxFact(_version("mlx"), _version("mlx-lm"), sys.platform)
    if not fact.version:
        return fact
    try:
        ran = subprocess.run([python, "-P", "-c", IMPORT_MLX], env=dict(env), stdin=subprocess.DEVNULL,
                             capture_output=True, text=True, errors="replace", timeout=limit_s, check=False)
    except subprocess.TimeoutExpired:
        return fact._replace(slow=True)
    if ran.returncode:
        last = ran.stderr.strip().splitlines()[-1:]
        ended = f"signal {-ran.returncode} ended it" if ran.returncode < 0 else f"exit code {ran.returncode}"
        return fact._replace(trouble="".join(last) or ended)
    said = json.loads(ran.stdout)
    return fact._replace(device=said["device"], device_name=said["name"])


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def look_at_limits() -> LimitsFact:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return LimitsFact(soft, -1 if hard == resource.RLIM_INFINITY else hard, os.geteuid() == 0)


def look_at_clock(home: Home) -> ClockFact:
    """Compared with what the stack wrote last: its logs and its table."""
    newest, newest_s = "", 0.0
    for path in (*home.logs.glob("*.log"), home.table, home.supervisor_conf):
        try:
            written_s = path.stat().st_mtime
        except OSError:
            continue
        if written_s > newest_s:
            newest, newest_s = str(path), written_s
    return ClockFact(time.time(), newest_s, newest)


def look_at_path(called_as: str) -> PathFact:
    """`called_as`: argv[0]. Called as a module, ours is what stands beside the interpreter."""
    called = Path(called_as)
    folder = called.absolute().parent if called.name == "warden" and called.is_file() else Path(sys.executable).parent
    ours = folder / "warden"
    return PathFact(_found("warden"), os.path.realpath(ours) if ours.is_file() else "", _found("supervisorctl"),
                    str(folder))


def _found(program: str) -> str:
    path = shutil.which(program)
    return os.path.realpath(path) if path else ""


def look_at_variables(env: Mapping[str, str], places: Mapping[str, str] | None) -> VariablesFact:
    """`places`: of the configuration, setting -> where it was given; a variable stands there by its name. None: not
    known.
    """
    names = [name for name in sorted(env) if name.startswith(PREFIXES) and env[name]]
    if places is None:
        return VariablesFact(tuple((name, "") for name in names), ())
    sets = {place: setting for setting, place in places.items() if place in env}
    read = [(name, sets.get(name, "")) for name in names if name in sets or name in OURS]
    return VariablesFact(tuple(read), tuple(name for name in names if name not in sets and name not in OURS))
