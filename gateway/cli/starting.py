"""`warden up`: from a checked configuration to a stack that answers, or back to nothing.

1. Refuse what would be in the way: another `warden up`, processes of an earlier stack, a port in use.
   Of a home that already runs it is only told how it is (`running.py`), and nothing is touched.
2. Remove what a killed stack left, write the rendered configuration (0600: it holds the password), start supervisord.
3. Wait until control, gateway and http are ready (`readiness.py`), telling what is waited for.
If step 3 fails or is interrupted, the stack is stopped again and the logs of what failed are shown.
"""

import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from control.config import Config
from control.home import Home, LockHeld, acquire_lock, write_http_secret
from control.private_file import write_private
from control.supervisord import (
    Fault,
    RenderRefused,
    Supervisord,
    SupervisordFault,
    SupervisordGone,
    child_environment,
    render,
    template_path,
)
from gateway.cli.exits import USAGE, CommandFailed
from gateway.cli.leftovers import log_tail, remove_leftovers
from gateway.cli.port import check_port
from gateway.cli.processes import NAME_KEY, UP_LOCK, described, processes_of
from gateway.cli.readiness import Failures, Missing, choose_missing, read_http_status, read_table
from gateway.cli.running import Rendered, choose_differences, choose_remedy, read_rendered
from gateway.cli.settings import config_file, http_url, refuse_open_without_keys
from gateway.cli.stopping import stop_stack, wait_for_end

OLD_LOCK_WAIT_S = 5.0
READY_POLL_EVERY_S = 0.1
SUPERVISORD_START_TIMEOUT_S = 30.0

Say = Callable[[str], None]


class Stack(NamedTuple):
    """What one `warden up` works on. `python` runs every program."""

    config: Config
    home: Home
    env: Mapping[str, str]
    say: Say
    python: str = sys.executable


def start_stack(stack: Stack, wait_s: float) -> str:
    """Bring the home up and wait at most `wait_s` until it answers (0: do not wait). Returns the URL of what runs.

    Raises:
        CommandFailed: it does not run and nothing of it is left, or it ran already and not whole.
    """
    try:
        lock = acquire_lock(stack.home.lock_path(UP_LOCK))
    except LockHeld as held:
        line = f"another `warden up` (pid {held.pid}) is at work on {stack.home.root}; wait for it"
        raise CommandFailed(line) from None
    with lock:
        if is_running(stack.home):
            return tell_how_it_runs(stack)
        refuse_old_processes(stack.home, stack.say)
        check_port(stack.config)
        refuse_open_without_keys(stack.config, stack.home)
        remove_leftovers(stack.home)
        try:
            start_supervisord(stack)
            wait_until_ready(stack, wait_s)
        except (CommandFailed, KeyboardInterrupt):
            stop_stack(stack.home, lambda line: None)
            raise
    url = http_url(stack.config.host, stack.config.port)
    stack.say(f"ready: {url} (home {stack.home.root})")
    return url


def tell_how_it_runs(stack: Stack) -> str:
    """Say where the running stack listens, and whether it would be another one if it were started now. Returns its URL.

    Raises:
        CommandFailed: one of its programs does not run or does not answer; names it, with the remedy.
    """
    home = stack.home
    rendered = read_rendered(home.supervisor_conf)
    try:
        facts = Supervisord(home).processes()
    except (SupervisordGone, SupervisordFault) as error:
        raise CommandFailed(f"supervisord of {home.root} has just stopped answering: {error}; try again") from None
    url = http_url(rendered.host, rendered.port)
    stack.say(f"already running: {url} (home {home.root})")
    differences = choose_differences(rendered, Rendered(render_for(stack, rendered.password)))
    file = config_file(stack.config)
    if file and file.stat().st_mtime_ns > home.supervisor_conf.stat().st_mtime_ns:
        differences.append(f"{file} was changed")
    if differences:
        stack.say("the configuration is not the one that this stack was started with "
                  f"({'; '.join(differences)}): to use it, run `warden down`, then `warden up`")
    http_status = read_http_status(rendered.host, rendered.port)
    missing = choose_missing(facts, read_table(home), http_status, time.monotonic_ns())
    if missing:
        raise CommandFailed(f"it does not run whole: {_listed(missing)}; {choose_remedy(facts)}")
    return url


def is_running(home: Home) -> bool:
    """Does the supervisord of this home answer? One that is stopping counts as not running, its processes as old."""
    try:
        Supervisord(home).pid()
    except SupervisordGone:
        return False
    except SupervisordFault as fault:
        if fault.code != Fault.SHUTDOWN_STATE:
            raise CommandFailed(f"supervisord of {home.root} refuses us: {fault}; run `warden down`") from None
        return False
    return True


def refuse_old_processes(home: Home, say: Say) -> None:
    """Wait `OLD_LOCK_WAIT_S` for what is left of an earlier stack.

    Raises:
        CommandFailed: something stays; names every process.
    """
    left = processes_of(home)
    if left:
        say(f"waiting {OLD_LOCK_WAIT_S:g} s for an earlier stack: {described(left)}")
        left = wait_for_end(home, OLD_LOCK_WAIT_S, say)
    if left:
        raise CommandFailed(f"an earlier stack still holds {home.root}: {described(left)}; end it with `warden down`")


def start_supervisord(stack: Stack) -> None:
    """Write the rendered configuration and start supervisord, which goes into the background once its socket stands."""
    write_private(stack.home.supervisor_conf, render_for(stack, secrets.token_hex(32)).encode())
    write_http_secret(stack.home)
    command = [sys.executable, "-P", "-m", "supervisor.supervisord", "-c", str(stack.home.supervisor_conf)]
    try:
        done = subprocess.run(
            command, env={**stack.env, **told_to_children(stack), NAME_KEY: "supervisord"}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=SUPERVISORD_START_TIMEOUT_S, check=False,
        )
    except subprocess.TimeoutExpired:
        raise CommandFailed(f"supervisord did not start within {SUPERVISORD_START_TIMEOUT_S:g} s") from None
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise CommandFailed(f"supervisord did not start: {''.join(last) or f'exit code {done.returncode}'}")


def render_for(stack: Stack, password: str) -> str:
    """The text of the rendered configuration.

    Raises:
        CommandFailed: something in it cannot be written as supervisord's.
    """
    try:
        template = template_path().read_text(encoding="utf-8")
        environment = told_to_children(stack)
        return render(stack.config, stack.home, stack.python, template, password=password, environment=environment)
    except RenderRefused as refused:
        raise CommandFailed(str(refused), USAGE) from None


def told_to_children(stack: Stack) -> dict[str, str]:
    """See `child_environment`."""
    return child_environment(stack.env, Path.cwd(), stack.home, config_file(stack.config))


def wait_until_ready(stack: Stack, wait_s: float) -> None:
    """Look at the stack until nothing is missing.

    Raises:
        CommandFailed: a program is hopeless, or the time is up; with the last lines of the logs concerned.
    """
    deadline_s = time.monotonic() + wait_s
    failures, told = Failures(), []
    while wait_s > 0:
        try:
            facts = Supervisord(stack.home).processes()
        except (SupervisordGone, SupervisordFault) as error:
            raise CommandFailed(_with_logs(stack.home, f"supervisord ended: {error}", ["supervisord"])) from None
        hopeless = failures.hopeless(facts)
        if hopeless:
            reasons = "; ".join(f"{name} {why}" for name, why in sorted(hopeless.items()))
            raise CommandFailed(_with_logs(stack.home, reasons, sorted(hopeless)))
        http_status = read_http_status(stack.config.host, stack.config.port)
        missing = choose_missing(facts, read_table(stack.home), http_status, time.monotonic_ns())
        if not missing:
            return
        if time.monotonic() > deadline_s:
            text = f"not ready after {wait_s:g} s: {_listed(missing)}"
            raise CommandFailed(_with_logs(stack.home, text, [entry.program for entry in missing]))
        programs = [entry.program for entry in missing]
        if programs != told:
            stack.say(f"waiting: {', '.join(programs)}")
            told = programs
        time.sleep(READY_POLL_EVERY_S)


def _listed(missing: list[Missing]) -> str:
    return ", ".join(f"{entry.program} {entry.lacks}" for entry in missing)


def _with_logs(home: Home, line: str, programs: list[str]) -> str:
    parts = [line]
    for program in programs:
        tail = log_tail(home, program)
        parts.append(f"--- last lines of {program} ---\n{tail}" if tail else f"--- {program} wrote no log ---")
    return "\n".join(parts)
