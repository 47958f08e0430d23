"""`warden doctor` on what is installed: Python, MLX, the limits of the shell, the clock, PATH and variables. Pure."""

from typing import NamedTuple

from gateway.cli.doctor_finding import Finding, listed, note, ok, problem, warning

OLDEST_PYTHON, NEWEST_TRIED = (3, 11), (3, 14)
OLDEST_MACOS = 14
ARM = "arm64"
DESCRIPTORS_NEEDED = 1024  # what the rendered supervisor.conf asks for (minfds)
EARLIEST_S = 1_735_689_600  # 2025: this product did not exist before
FUTURE_MIN_S = 300.0
REINSTALL = "`pip install --upgrade --force-reinstall mlx mlx-lm` with the Python of this installation"


class PythonFact(NamedTuple):
    """`machine`: as `platform.machine` says; `translated`: an Intel program on an ARM Mac; `missing`: packages."""

    version: tuple[int, int, int]
    machine: str
    platform: str
    system: str
    executable: str
    translated: bool = False
    missing: tuple[str, ...] = ()
    macos: int = 0


class MlxFact(NamedTuple):
    """Versions are "" if not installed. `trouble`: why it could not be imported; `device` gpu or cpu."""

    version: str
    lm_version: str
    platform: str
    device: str = ""
    device_name: str = ""
    trouble: str = ""
    slow: bool = False


class LimitsFact(NamedTuple):
    """Open files that a process may have. `hard` -1: any number."""

    soft: int
    hard: int
    is_root: bool = False


class ClockFact(NamedTuple):
    """Unix seconds now, and those of the newest file in the home (0.0: there is none)."""

    now_s: float
    newest_s: float
    newest: str


class PathFact(NamedTuple):
    """Programs by the PATH, "" if it finds none, and ours. All absolute and resolved."""

    warden: str
    our_warden: str
    supervisorctl: str = ""
    our_folder: str = ""


class VariablesFact(NamedTuple):
    """Variables that are read, with what they set ("" where it is more than a setting); and those that look so."""

    read: tuple[tuple[str, str], ...]
    not_read: tuple[str, ...]


def check_python(fact: PythonFact) -> list[Finding]:
    version = ".".join(map(str, fact.version))
    what, found = "Python", f"{version}, {fact.machine}, {fact.system}"
    if fact.version[:2] < OLDEST_PYTHON:
        return [problem(what, f"{version} is too old", "install with Python 3.11 or newer")]
    if fact.platform == "darwin" and fact.machine != ARM:
        if fact.translated:
            return [problem(what, f"{found}: an Intel program under Rosetta, for which there is no MLX "
                                  f"({fact.executable})",
                            "install with an arm64 Python (python.org, `brew` in /opt/homebrew, or uv), in a terminal "
                            "that is not \"opened using Rosetta\"")]
        return [problem(what, f"{found}: MLX needs a Mac with Apple silicon",
                        "run the stack on such a Mac, and name it here as ollama_url in [relays]")]
    if fact.platform == "darwin" and 0 < fact.macos < OLDEST_MACOS:
        return [problem(what, f"{found}: MLX needs macOS {OLDEST_MACOS}", "update macOS")]
    if fact.missing:
        return [problem(what, f"{found}; packages are missing: {listed(fact.missing)}",
                        f"`{fact.executable} -m pip install {' '.join(fact.missing)}`")]
    if fact.version[:2] > NEWEST_TRIED:
        return [note(what, f"{found}: newer than any that was tried",
                     "if something fails to install, use Python " + ".".join(map(str, NEWEST_TRIED)))]
    return [ok(what, found)]


def check_mlx(fact: MlxFact) -> list[Finding]:
    absent = [name for name, version in (("mlx", fact.version), ("mlx-lm", fact.lm_version)) if not version]
    if absent:
        return [problem("MLX", f"{' and '.join(absent)} {'is' if len(absent) == 1 else 'are'} not installed",
                        f"install with {REINSTALL}")]
    versions = f"mlx {fact.version}, mlx-lm {fact.lm_version}"
    if fact.slow:
        return [note("MLX", f"{versions}: importing it took too long to wait for",
                     "`warden doctor --wait 20` waits longer")]
    if fact.trouble:
        return [problem("MLX", f"{versions} cannot be imported: {fact.trouble}", f"install it again: {REINSTALL}")]
    if fact.platform == "darwin" and fact.device != "gpu":
        return [problem("MLX", f"{versions} finds no GPU: Metal is not available",
                        "a virtual machine has none: run the stack on the Mac itself")]
    named = f" ({fact.device_name})" if fact.device_name else ""
    if fact.device == "gpu":
        return [ok("MLX", f"{versions}, on the GPU{named}")]
    return [note("MLX", f"{versions}, on the CPU{named}", "fine for trying things out; real models want a Mac's GPU")]


def check_limits(fact: LimitsFact) -> list[Finding]:
    """supervisord raises the soft limit itself as far as the hard one lets it, and does not start otherwise."""
    hard = "any number" if fact.hard < 0 else str(fact.hard)
    if 0 <= fact.hard < DESCRIPTORS_NEEDED and not fact.is_root:
        return [problem("open files", f"a process may have {hard}; supervisord needs {DESCRIPTORS_NEEDED}",
                        f"raise the limit (`ulimit -Hn {DESCRIPTORS_NEEDED}` as an administrator, or limits.conf)")]
    return [ok("open files", f"a process may have {fact.soft}, and raise that to {hard}")]


def check_clock(fact: ClockFact) -> list[Finding]:
    remedy = "set the clock (macOS: System Settings, General, Date & Time; Linux: `timedatectl set-ntp true`)"
    if fact.now_s < EARLIEST_S:
        return [problem("clock", "is years behind: HTTPS to Hugging Face fails, and logs are dated wrongly", remedy)]
    ahead_s = fact.newest_s - fact.now_s
    if ahead_s > FUTURE_MIN_S:
        return [warning("clock", f"{fact.newest} was written {ahead_s / 60:.0f} min in the future: the clock was set "
                                 "back",
                        f"if it is wrong now, {remedy}")]
    return [ok("clock", "agrees with what was written last")]


def check_path(fact: PathFact) -> list[Finding]:
    found = []
    if not fact.our_warden:
        found.append(ok("PATH", f"does not matter: `warden` is run as a module of {fact.our_folder}/python"))
    elif not fact.warden:
        found.append(note("PATH", "does not find `warden`",
                          f"call it by its path, or add it: export PATH=\"{fact.our_folder}:$PATH\""))
    elif fact.warden != fact.our_warden:
        found.append(warning("PATH", f"finds another `warden`: {fact.warden} (this one: "
                                     f"{fact.our_warden})",
                             f"remove that one, or put {fact.our_folder} first on the PATH"))
    else:
        found.append(ok("PATH", f"finds this `warden`: {fact.warden}"))
    if fact.supervisorctl and not fact.supervisorctl.startswith(f"{fact.our_folder}/"):
        found.append(note("supervisorctl", f"on the PATH is another installation's ({fact.supervisorctl}), which does "
                          "not know our models", "use `warden ctl` for this stack"))
    return found


def check_variables(fact: VariablesFact) -> list[Finding]:
    found = []
    beat = [f"{name} ({what})" for name, what in fact.read if what]
    if beat:
        found.append(note("variables", f"beat the file: {listed(beat, 8)}", "`unset` those that should not count"))
    others = [name for name, what in fact.read if not what]
    if others:
        found.append(ok("variables", f"{'also ' if beat else ''}set: {listed(others, 8)}"))
    if fact.not_read:
        found.append(note("variables", f"not read by mlx-warden: {listed(fact.not_read, 8)}",
                          "`warden check --example` lists the settings, and each has a variable WARDEN_NAME"))
    return found or [ok("variables", "none is set that changes anything")]
