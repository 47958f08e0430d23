"""`warden service run`: the stack in the foreground, for launchd and systemd, which started this and watch it.

The process turns into supervisord, so the manager's child *is* supervisord: its end is the end of the stack, its crash
is seen at once, and nothing stands between the two. Before that, what a crash has left is ended and removed: no person
is there who could run `warden down`. A home that runs already is left alone, with exit code 0: somebody started it by
hand.

It does not wait until the stack answers; `warden doctor` and `logs/` say how it fares.
"""

import os
import secrets
import sys

from control.home import Home, HomeRefused, LockHeld, acquire_lock, prepare_home, write_http_secret
from control.private_file import write_private
from control.supervisord import Supervisord, SupervisordFault, SupervisordGone
from gateway.cli.exits import USAGE, CommandFailed
from gateway.cli.leftovers import remove_leftovers
from gateway.cli.port import check_port
from gateway.cli.processes import NAME_KEY, UP_LOCK, processes_of
from gateway.cli.service_files import UMASK
from gateway.cli.settings import refuse_open_without_keys
from gateway.cli.starting import Stack, is_running, render_for, told_to_children
from gateway.cli.stopping import Say, stop_stack


def run_in_foreground(stack: Stack) -> None:
    """Become the supervisord of the home. Returns only if it runs already.

    Raises:
        CommandFailed: it cannot start; the manager tries again later.
    """
    home = stack.home
    prepare(home)
    try:
        lock = acquire_lock(home.lock_path(UP_LOCK))
    except LockHeld as held:
        raise CommandFailed(f"a `warden up` (pid {held.pid}) is at work on {home.root}") from None
    with lock:
        if is_running(home):
            stack.say(f"{home.root} runs already")
            return
        if processes_of(home):
            stop_stack(home, stack.say)
            prepare(home)  # where sockets have a directory of their own, it went with the stack
        check_port(stack.config)
        refuse_open_without_keys(stack.config, home)
        remove_leftovers(home)
        write_private(home.supervisor_conf, render_for(stack, secrets.token_hex(32)).encode())
        write_http_secret(home)
        stack.say(f"starting {home.root}")
        become_supervisord(stack)


def prepare(home: Home) -> None:
    """Raises: CommandFailed."""
    try:
        prepare_home(home)
    except HomeRefused as refused:
        raise CommandFailed(str(refused), USAGE) from None


def stop_own(home: Home, main_pid: int, say: Say) -> None:
    """As `warden down`, but not of a stack whose supervisord is another than `main_pid`, the manager's child (0: it
    ended).

    Raises:
        CommandFailed: something could not be ended.
    """
    try:
        pid = Supervisord(home).pid()
    except (SupervisordGone, SupervisordFault):
        pid = main_pid  # what is left belongs to nobody
    if pid != main_pid:
        say(f"{home.root} was started by hand, and goes on (supervisord {pid})")
        return
    stop_stack(home, say)


def become_supervisord(stack: Stack) -> None:
    """supervisord sets neither directory nor umask when it stays in the foreground, so we do. Never returns."""
    os.chdir(stack.home.run)
    os.umask(UMASK)
    sys.stdout.flush()
    sys.stderr.flush()
    command = [stack.python, "-P", "-m", "supervisor.supervisord", "--nodaemon", "--silent",
               "-c", str(stack.home.supervisor_conf)]
    os.execve(stack.python, command, {**stack.env, **told_to_children(stack), NAME_KEY: "supervisord"})
