"""What `warden doctor` sees of a stack that runs, of the logs, of a Mac's sleep and of the service. It only asks."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping

import gateway
from control.config import Config
from control.home import Home
from control.log_files import LogLine, programs_in, read_last
from control.overview import overview
from control.supervisord import ProcessFact, Supervisord, SupervisordFault, SupervisordGone
from control.table import Snapshot
from gateway.cli.doctor_look_network import ask
from gateway.cli.doctor_probes import look
from gateway.cli.doctor_running import LogFact, Resident, RunningFact, SleepFact
from gateway.cli.exits import CommandFailed
from gateway.cli.readiness import choose_missing, read_http_status, read_table
from gateway.cli.running import Rendered, choose_differences, choose_remedy, read_rendered
from gateway.cli.settings import config_file, http_url
from gateway.cli.starting import Stack, render_for

HOUR_S = 3600.0
BACK_BYTES = 2 * 1024 * 1024  # of each program
ERRORS_MAX = 100
PMSET_MAX_S = 1.0
PYTHON = re.compile(r"^command=(.*) -P -m control$", re.MULTILINE)
SLEEP = re.compile(r"^\s*sleep\s+(\d+)(.*)$", re.MULTILINE)


def look_at_running(config: Config | None, home: Home, env: Mapping[str, str], limit_s: float) -> RunningFact | None:
    """None if none does, or its supervisord does not answer. The configuration is compared as `warden up` would render
    it.
    """
    facts = look({"processes": lambda: _processes(home)}, limit_s)["processes"]
    try:
        rendered = read_rendered(home.supervisor_conf)
    except CommandFailed:
        return None
    if not isinstance(facts, dict):
        return None
    table, url = read_table(home), http_url(rendered.host, rendered.port)
    missing = choose_missing(facts, table, read_http_status(rendered.host, rendered.port), time.monotonic_ns())
    seen = _overview(table)
    return RunningFact(
        url, str(ask(f"{url}/health")[1].get("version", "")), gateway.VERSION,
        tuple((each.program, each.lacks) for each in missing), choose_remedy(facts), tuple(seen["remarks"]),
        tuple(Resident(line["name"], line["state"], line["reason"], line.get("breaker", ""))
              for line in (*seen["models"], *seen["relays"])),
        _differences(config, home, env, rendered), _gone_python(home))


def _processes(home: Home) -> dict[str, ProcessFact] | None:
    try:
        return Supervisord(home).processes()
    except (SupervisordGone, SupervisordFault):
        return None


def _overview(table: Snapshot | None) -> dict:
    return overview(table, time.monotonic_ns()) if table else {"remarks": [], "models": [], "relays": []}


def _differences(config: Config | None, home: Home, env: Mapping[str, str], rendered: Rendered) -> tuple[str, ...]:
    if config is None:
        return ()  # that it is wrong is told elsewhere
    try:
        today = Rendered(render_for(Stack(config, home, env, lambda line: None), rendered.password))
    except CommandFailed as refused:
        return (str(refused),)
    different = choose_differences(rendered, today)
    file = config_file(config)
    if file and file.stat().st_mtime_ns > home.supervisor_conf.stat().st_mtime_ns:
        different.append(f"{file} was changed")
    return tuple(different)


def _gone_python(home: Home) -> str:
    """The interpreter of the running stack if it is there no more: then nothing can be started again."""
    found = PYTHON.search(home.supervisor_conf.read_text(encoding="utf-8"))
    python = found[1].strip("'") if found else ""
    return python if python and not os.path.exists(python) else ""


def look_at_logs(home: Home, now_s: float) -> LogFact:
    """Errors of the last hour, in the last BACK_BYTES of each log and at most ERRORS_MAX of them."""
    def is_wanted(line: LogLine) -> bool:
        return line.fields.get("level") == "error" and line.at_s > now_s - HOUR_S

    errors = read_last(home.logs, programs_in(home.logs), ERRORS_MAX, is_wanted, lambda _: ('"error"',), BACK_BYTES)
    if not errors:
        return LogFact(0)
    last = errors[-1].fields
    reason = last.get("reason") or last.get("error") or ""
    return LogFact(len(errors), f"{last.get('event', '')}{f' ({reason})' if reason else ''}", errors[-1].program,
                   len(errors) < ERRORS_MAX)


def look_at_sleep(system: str = sys.platform, pmset: Callable[[], str] | None = None) -> SleepFact:
    """On a Mac what `pmset -g` says; nowhere else is anything asked."""
    if system != "darwin":
        return SleepFact(system, 0)
    said = (pmset or _pmset)()
    found = SLEEP.search(said)
    if found is None:
        return SleepFact(system, 0)
    return SleepFact(system, int(found[1]), "prevented" in found[2])


def _pmset() -> str:
    return subprocess.run(["pmset", "-g"], capture_output=True, text=True, errors="replace", timeout=PMSET_MAX_S,
                          check=False).stdout
