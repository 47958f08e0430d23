"""`warden service install|remove|show`: the stack starts at login and comes back after a crash.

By the user's own launchd (macOS) or systemd (Linux): no administrator is needed, and nothing runs while the user is
logged out, unless Linux is told so (`loginctl enable-linger`). The configuration and the variables of the moment of
`install` are what the service runs with; `install` again renews them.
"""

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.options import Json, print_json

if TYPE_CHECKING:
    from control.config import Config
    from control.home import Home
    from gateway.cli.service_manager import Placed

app = typer.Typer(help="Start the stack at login, and again after a crash (launchd or systemd).", no_args_is_help=True,
                  rich_markup_mode=None, add_completion=False)
Print = Annotated[bool, typer.Option("--print", help="Only show the file; write and run nothing.")]


@app.command()
def install(only_print: Print = False) -> None:
    """Have the stack started now and at each login."""
    from control.home import HomeRefused, prepare_home
    from gateway.cli import service_manager as manager
    from gateway.cli.exits import USAGE, CommandFailed
    from gateway.cli.settings import read_config, read_home, refuse_open_without_keys
    from gateway.cli.starting import is_running

    config, home = read_config(), read_home()
    placed, secret = place_of(config, home, or_by_hand=only_print)
    if only_print:
        sys.stdout.write(placed.data.decode(errors="surrogateescape"))
        return
    try:
        prepare_home(home)
    except HomeRefused as refused:
        raise CommandFailed(str(refused), USAGE) from None
    refuse_open_without_keys(config, home)
    by_hand = is_running(home) and not manager.is_active(placed)
    manager.install(placed, not by_hand, print)
    for name in secret:
        print(f"{name} is a secret and was not written: the service does not have it (for Hugging Face: `hf auth "
              "login`)")
    if by_hand:
        print(f"{home.root} runs already, started by hand: the service begins at the next login, or now with "
              f"`warden down && {start_line(placed)}`")
    else:
        print("the stack starts; `warden doctor` says how it is")
    if placed.manager == manager.SYSTEMD:
        print("to have it run without a login too: loginctl enable-linger")


@app.command()
def remove(only_print: Print = False) -> None:
    """Stop the service, running answers first, and remove its file."""
    from gateway.cli import service_manager as manager
    from gateway.cli.settings import read_home

    placed, _ = place_of(None, read_home(), or_by_hand=only_print)
    if only_print:
        print(f"would stop and remove {placed.path}" if manager.state_of(placed) != manager.ABSENT else
              f"there is no {placed.path}")
    elif not manager.remove(placed, print):
        print(f"no service is installed for {placed.home} (there is no {placed.path})")


@app.command()
def show(as_json: Json = False) -> None:
    """Where the service's file is, if it is up to date, and if it runs."""
    from gateway.cli import service_manager as manager
    from gateway.cli.settings import read_config, read_home

    placed, _ = place_of(read_config(), read_home())
    state = manager.state_of(placed)
    if as_json:
        ours = state in (manager.OURS, manager.OUTDATED)
        print_json({"file": str(placed.path), "manager": placed.manager, "name": placed.name, "state": state,
                    "runs": ours and manager.is_active(placed), "gone_python": manager.gone_python(placed) if ours
                    else ""})
        return
    told = {manager.ABSENT: "is not installed; `warden service install` does that",
            manager.OURS: "is installed",
            manager.OUTDATED: "is installed with other settings than today's; `warden service install` renews it",
            manager.FOREIGN: "is a file of somebody else, or of another home"}
    print(f"{placed.path}: {told[state]}")
    if state in (manager.OURS, manager.OUTDATED):
        print(f"{placed.manager}: {placed.name} {'runs' if manager.is_active(placed) else 'does not run'}")
        gone = manager.gone_python(placed)
        if gone:
            print(f"it starts {gone}, which is gone: `warden service install` again")
    if state == manager.OUTDATED:
        print("".join(differences(placed)), end="")


@app.command(hidden=True)
def run() -> None:
    """The stack in the foreground, as launchd and systemd start it."""
    from gateway.cli.service_run import run_in_foreground
    from gateway.cli.settings import read_config, read_home
    from gateway.cli.starting import Stack

    run_in_foreground(Stack(read_config(), read_home(), dict(os.environ), lambda line: print(line, flush=True)))


@app.command(hidden=True)
def stop() -> None:
    """What systemd runs to stop it: `down`, but for a stack that was started by hand."""
    from gateway.cli.service_run import stop_own
    from gateway.cli.settings import read_home

    main_pid = os.environ.get("MAINPID", "")
    stop_own(read_home(), int(main_pid) if main_pid.isdecimal() else 0, lambda line: print(line, flush=True))


def place_of(config: "Config | None", home: "Home", or_by_hand: bool = False) -> "tuple[Placed, list[str]]":
    """The service of this home, and the variables that are left out. Without a configuration it is good for its name.

    Raises:
        CommandFailed: neither launchd nor systemd is here, unless the file is only wanted for use by hand.
    """
    import math
    from pathlib import Path

    from control.supervisord import RenderRefused, child_environment
    from gateway.cli import service_manager as manager
    from gateway.cli.exits import USAGE, CommandFailed
    from gateway.cli.service_files import STOP_MARGIN_S, Service, choose_environment
    from gateway.cli.settings import config_file

    chosen = manager.choose_manager()
    if not chosen and not or_by_hand:
        raise CommandFailed("neither launchd nor systemd is here; `warden service install --print` shows a systemd "
                            "unit "
                            "to go by, and `warden service run` is what any other program has to keep running", USAGE)
    try:
        told = child_environment(os.environ, Path.cwd(), home, config_file(config) if config else None)
    except RenderRefused as refused:
        raise CommandFailed(str(refused), USAGE) from None
    environment, secret = choose_environment(os.environ, told)
    wait_s = math.ceil(config.drain_deadline_s) + STOP_MARGIN_S if config else STOP_MARGIN_S
    usual = Path(os.path.expanduser("~")) / ".warden"
    service = Service(str(home.root), sys.executable, environment, wait_s, home.root == usual)
    return manager.place(service, chosen or manager.SYSTEMD, os.environ), secret


def start_line(placed: "Placed") -> str:
    """How a person starts the installed service."""
    from gateway.cli.service_manager import SYSTEMD

    if placed.manager == SYSTEMD:
        return f"systemctl --user start {placed.name}"
    return f"launchctl bootstrap gui/{os.getuid()} {placed.path}"


def differences(placed: "Placed") -> list[str]:
    """What would change, as lines of a diff."""
    import difflib

    before = placed.path.read_text(errors="replace").splitlines(keepends=True)
    after = placed.data.decode(errors="replace").splitlines(keepends=True)
    return list(difflib.unified_diff(before, after, "as it is", "as it would be", n=0))
