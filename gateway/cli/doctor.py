"""`warden doctor`: what is wrong with this installation, machine, configuration or stack, and how to mend it.

It may be run at any time, before anything was started and while everything runs. It changes nothing, sends nothing but
questions to this machine and to the servers that the configuration names, and ends within three seconds.

`CHECKS` pairs what is looked at (doctor_look_*.py: facts, in threads with a time limit) with what is concluded from it
(pure functions from a fact to findings). Exit code 1: a problem was found. 0: nothing worse than a warning.
"""

import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from gateway.cli.exits import FAILED
from gateway.cli.options import Json, print_json

if TYPE_CHECKING:
    from control.config import Config
    from control.home import Home
    from gateway.cli.doctor_finding import Finding, Group, Unseen

WAIT_S = 1.8
PARTS = 0.4, 0.6, 0.9  # of that: for the configuration before all, for supervisord, for the import of MLX
MACHINE, MODELS, HOME, OTHERS, STACK = (
    "This machine", "Configuration and models", "Home", "Ports and other servers", "Running stack")


class Check(NamedTuple):
    """Under which title, by what name if its fact cannot be seen, what is looked at, and what follows from it."""

    title: str
    what: str
    look: Callable[[], object]
    judge: "Callable[[object], list[Finding]]"


def doctor(
    as_json: Json = False,
    wait: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, help="How long to wait for answers of system and servers.")
    ] = WAIT_S,
) -> None:
    """Find what is wrong and how to mend it. Works while nothing runs, and changes nothing."""
    from gateway.cli.doctor_finding import worst
    from gateway.cli.doctor_text import how_it_looks, lines_of

    groups = examine(wait)
    findings = [finding for group in groups for finding in group.findings]
    if as_json:
        print_json([{"group": group.title, **finding._asdict()} for group in groups for finding in group.findings])
    else:
        print("\n".join(lines_of(groups, how_it_looks())))
    if worst(findings) == "problem":
        sys.stdout.flush()
        raise typer.Exit(FAILED)


def examine(wait_s: float) -> "list[Group]":
    """All groups, in order. `wait_s`: for all that is asked together."""
    from gateway.cli.doctor_finding import Group, Unseen, not_seen
    from gateway.cli.doctor_look_models import read_configuration
    from gateway.cli.doctor_probes import look
    from gateway.cli.settings import read_home

    home = read_home()
    seen = look({"configuration": lambda: read_configuration(os.environ)}, wait_s * PARTS[0])["configuration"]
    config, error = (None, seen) if isinstance(seen, Unseen) else seen
    checks = [*of_machine(config, home, wait_s), *of_models(config, error, home), *of_home(home, wait_s),
              *of_others(config, home), *of_stack(config, home, wait_s)]
    facts = look({f"{check.title}/{check.what}": check.look for check in checks}, wait_s)
    found: dict[str, list[Finding]] = {}
    for check in checks:
        fact = facts[f"{check.title}/{check.what}"]
        said = [not_seen(check.what, fact)] if isinstance(fact, Unseen) else check.judge(fact)
        found.setdefault(check.title, []).extend(said)
    return [Group(title, tuple(findings)) for title, findings in found.items()]


def of_machine(config: "Config | None", home: "Home", wait_s: float) -> list[Check]:
    from gateway.cli import doctor_look_memory as memory
    from gateway.cli import doctor_look_system as system
    from gateway.cli.doctor_memory import check_disk, check_memory
    from gateway.cli.doctor_system import (
        check_clock,
        check_limits,
        check_mlx,
        check_path,
        check_python,
        check_variables,
    )

    env = os.environ
    return [
        Check(MACHINE, "Python", system.look_at_python, check_python),
        Check(MACHINE, "MLX", lambda: system.look_at_mlx(env, wait_s * PARTS[2]), check_mlx),
        Check(MACHINE, "memory", lambda: memory.look_at_memory(config, env), check_memory),
        Check(MACHINE, "disk", lambda: memory.look_at_disk(home, env), check_disk),
        Check(MACHINE, "open files", system.look_at_limits, check_limits),
        Check(MACHINE, "clock", lambda: system.look_at_clock(home), check_clock),
        Check(MACHINE, "PATH", lambda: system.look_at_path(sys.argv[0]), check_path),
        Check(MACHINE, "variables", lambda: system.look_at_variables(env, config.places if config else None),
              check_variables),
    ]


def of_models(config: "Config | None", error: "str | Unseen", home: "Home") -> list[Check]:
    from gateway.cli.check_budget import judge, read_ceiling, read_needs
    from gateway.cli.doctor_finding import Unseen
    from gateway.cli.doctor_look_models import look_at_cache, look_at_config
    from gateway.cli.doctor_models import check_cache, check_config

    checks = [Check(MODELS, "configuration", lambda: (
        error if isinstance(error, Unseen) else look_at_config(config, error, home)), check_config)]
    if config is not None:
        checks.append(Check(MODELS, "memory for models", lambda: (read_needs(config, home), read_ceiling(config)),
                            lambda fact: judge(fact[0], fact[1].bytes, fact[1].why)))
    return [*checks, Check(MODELS, "cache", lambda: look_at_cache(os.environ), check_cache)]


def of_home(home: "Home", wait_s: float) -> list[Check]:
    from gateway.cli.doctor_home import check_home, check_stack
    from gateway.cli.doctor_look_home import look_at_home, look_at_stack

    return [Check(HOME, "home", lambda: look_at_home(home), check_home),
            Check(HOME, "stack", lambda: look_at_stack(home, wait_s * PARTS[1]), check_stack)]


def of_others(config: "Config | None", home: "Home") -> list[Check]:
    from gateway.cli.doctor_look_network import look_at_ollama, look_at_port, look_at_victoria
    from gateway.cli.doctor_network import check_ollama, check_port, check_victoria

    port = [Check(OTHERS, "port", lambda: look_at_port(config, home), check_port)] if config else []
    return [*port, Check(OTHERS, "Ollama", lambda: look_at_ollama(config, os.environ), check_ollama),
            Check(OTHERS, "Victoria", lambda: look_at_victoria(config), check_victoria)]


def of_stack(config: "Config | None", home: "Home", wait_s: float) -> list[Check]:
    from gateway.cli.doctor_look_running import look_at_logs, look_at_running, look_at_sleep
    from gateway.cli.doctor_look_service import look_at_service
    from gateway.cli.doctor_running import check_logs, check_running, check_service, check_sleep

    checks = [Check(STACK, "logs", lambda: look_at_logs(home, time.time()), check_logs),
              Check(STACK, "sleep", look_at_sleep, check_sleep),
              Check(STACK, "service", lambda: look_at_service(config, home), check_service)]
    env, limit_s = os.environ, wait_s * PARTS[1]
    return [Check(STACK, "programs", lambda: look_at_running(config, home, env, limit_s), check_running),
            *checks]
