"""`warden doctor` on a stack that runs: what is down, out of date or in trouble; its logs; does it come back. Pure."""

from typing import NamedTuple

from gateway.cli.doctor_finding import Finding, counted, from_line, listed, note, ok, problem, warning

ENDED_MODELS = ("quarantined", "leak_suspected", "held", "backoff")


class Resident(NamedTuple):
    """A model or relay as `warden ps` shows it; `breaker` "": not a relay, or not known."""

    name: str
    state: str
    reason: str
    breaker: str = ""


class RunningFact(NamedTuple):
    """`missing`: program and what it lacks; `stopped`: programs without a process. `remarks`: as of `warden ps`.

    `differences`: places in which today's configuration is another. `python`: that of the running stack, if it is gone;
    `version` "": http does not say.
    """

    url: str
    version: str
    our_version: str
    missing: tuple[tuple[str, str], ...] = ()
    remedy: str = "`warden ctl status` shows more"
    remarks: tuple[str, ...] = ()
    residents: tuple[Resident, ...] = ()
    differences: tuple[str, ...] = ()
    python: str = ""


class LogFact(NamedTuple):
    """Errors of the last hour as far as was looked back: how many, and the last of them. `whole`: the hour was seen."""

    errors: int
    last: str = ""
    program: str = ""
    whole: bool = True


class SleepFact(NamedTuple):
    """After how many idle minutes this Mac goes to sleep; 0: never. `platform` as Python's."""

    platform: str
    minutes: int
    prevented: bool = False


class ServiceFact(NamedTuple):
    """`manager` "": neither launchd nor systemd is here. `state`: absent | ours | foreign | outdated.

    `gone`: the interpreter that it starts, if that is gone. `by_hand`: the stack runs, and not as this service, which
    `start` starts.
    """

    manager: str
    path: str
    state: str
    gone: str = ""
    by_hand: bool = False
    start: str = ""


def check_running(fact: RunningFact | None) -> list[Finding]:
    """None: nothing runs, which is told elsewhere."""
    if fact is None:
        return []
    found = [problem(name, lacks, fact.remedy) for name, lacks in fact.missing]
    if not found:
        found.append(ok("programs", f"control, gateway and http answer at {fact.url}"))
    if fact.python:
        found.append(problem("Python", f"the one that runs this stack is gone: {fact.python}",
                             "`warden down`, then `warden up` with the present one"))
    if fact.version and fact.version != fact.our_version:
        found.append(warning("version", f"{fact.version} runs, and this command is {fact.our_version}",
                             "`warden down`, then `warden up`"))
    if fact.differences:
        found.append(warning("configuration", f"is not the one that this stack was started with: "
                             f"{listed(fact.differences)}", "to use it: `warden down`, then `warden up`"))
    found += [warning(*from_line("stack", line)) if "; " in line else
              warning("stack", line.removeprefix("warning: "), "`warden ps` shows all models and reasons")
              for line in fact.remarks]
    return found + check_residents(fact.residents)


def check_residents(residents: tuple[Resident, ...]) -> list[Finding]:
    """Models and relays in trouble; of those that are well only how many."""
    found = []
    for each in residents:
        reason, _, remedy = each.reason.partition("; ")
        if each.state in ENDED_MODELS:
            level = note if each.state in ("held", "backoff") else problem
            found.append(level(each.name, f"{each.state.replace('_', ' ')}: {reason or 'no reason is known'}",
                               remedy or f"`warden logs worker-{each.name}` says more"))
        elif each.breaker in ("open", "half_open"):
            found.append(warning(each.name, f"its server does not answer (breaker {each.breaker.replace('_', '-')})",
                                 f"start that server; logs/{each.name}.log says what it answers"))
    if not found:
        ready = sum(each.state == "ready" for each in residents)
        found.append(ok("models", f"{ready} of {len(residents)} ready, relays included; none is in trouble"))
    return found


def check_logs(fact: LogFact) -> list[Finding]:
    if not fact.errors:
        return [ok("logs", "no errors in the last hour")]
    least = "" if fact.whole else "at least "
    return [note("logs", f"{least}{counted(fact.errors, 'error')} in the last hour, the last from {fact.program}: "
                         f"{fact.last}",
                 f"`warden logs {fact.program}` shows what was around it")]


def check_sleep(fact: SleepFact) -> list[Finding]:
    if fact.platform != "darwin":
        return []
    if fact.minutes and not fact.prevented:
        return [note("sleep", f"this Mac sleeps after {fact.minutes} idle min, and answers nobody then",
                     "keep it awake while the stack runs: `caffeinate -i -w $(cat ~/.warden/run/supervisor.pid)`, or "
                     "`sudo pmset -c sleep 0`")]
    return [ok("sleep", "this Mac stays awake")]


def check_service(fact: ServiceFact) -> list[Finding]:
    if not fact.manager:
        return []
    if fact.state == "foreign":
        return [warning("service", f"{fact.path} was not written by `warden service install`, or for another home",
                        "look at it, and remove it if it is not needed")]
    if fact.gone:
        return [problem("service", f"{fact.path} starts {fact.gone}, which is gone", "`warden service install` again")]
    if fact.by_hand:
        return [note("service", "is installed, but this stack was started by hand: it does not come back after a crash",
                     f"`warden down && {fact.start}`")]
    if fact.state == "outdated":
        return [note("service", f"{fact.path} is not what would be written today",
                     "`warden service show` says how; `warden service install` renews it")]
    if fact.state == "ours":
        return [ok("service", f"is installed: the stack starts at login ({fact.path})")]
    return [ok("service", "is not installed; `warden service install` starts the stack at login")]
