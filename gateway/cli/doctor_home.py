"""`warden doctor` on the home: may it be used, and what does an earlier stack still hold or leave in it. Pure."""

from typing import NamedTuple

from gateway.cli.doctor_finding import Finding, from_line, listed, note, ok, problem

RUNS, SILENT, REFUSES, STUCK = "runs", "silent", "refuses", "stuck"  # silent: there is none; stuck: it does not answer


class HomeFact(NamedTuple):
    """`troubles`: lines `path: problem; remedy`. `sockets`: where they lie; `moved`: not in `run/`."""

    root: str
    exists: bool
    troubles: tuple[str, ...] = ()
    sockets: str = ""
    moved: bool = False


class StackFact(NamedTuple):
    """Who is there. `supervisord`: runs | silent | refuses | stuck (`why`). `processes`: pid and program.

    `leftovers`: names of files that only a running stack needs. `up_pid`: of a `warden up` that is at work, 0 for none.
    `table`: why the table cannot be read, "" if it can or there is none.
    """

    root: str
    supervisord: str
    why: str = ""
    processes: tuple[tuple[int, str], ...] = ()
    leftovers: tuple[str, ...] = ()
    up_pid: int = 0
    table: str = ""


def check_home(fact: HomeFact) -> list[Finding]:
    found = [problem(*from_line("home", line)) for line in fact.troubles]
    if not fact.exists and not found:
        return [ok("home", f"{fact.root} is not there yet; `warden up` makes it")]
    if not found:
        found = [ok("home", f"{fact.root} is yours alone")]
    if fact.moved:
        found.append(ok("sockets", f"lie in {fact.sockets}, since the path of the home is long"))
    return found


def check_stack(fact: StackFact) -> list[Finding]:
    """The processes of this home as a whole; how a running stack fares is another check."""
    found = []
    programs = [f"{name} (pid {pid})" for pid, name in fact.processes]
    if fact.supervisord == RUNS:
        found.append(ok("stack", f"runs, {len(programs)} processes"))
    elif fact.up_pid:
        found.append(note("stack", f"a `warden up` is at work on it (pid {fact.up_pid})", "wait for it, then look "
                                                                                          "again"))
    elif fact.supervisord == REFUSES:
        found.append(problem("stack", f"supervisord answers and refuses us: {fact.why}", "`warden down`, then `warden "
                                                                                         "up`"))
    elif fact.supervisord == STUCK:
        found.append(problem("stack", "supervisord is there and does not answer: nothing is started or loaded",
                             "`warden down`, then `warden up`"))
    elif programs:
        found.append(problem("stack", f"an earlier one crashed, and some of it still runs: {listed(programs)}",
                             "`warden down` ends it"))
    elif fact.leftovers:
        found.append(note("stack", f"does not run; one that ended without `warden down` left {listed(fact.leftovers)}",
                          "`warden up` removes that and starts; `warden down` only removes it"))
    else:
        found.append(ok("stack", "does not run; `warden up` starts it"))
    if fact.table and fact.supervisord == RUNS:
        found.append(problem(*from_line("table", fact.table)))
    return found
