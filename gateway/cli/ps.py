"""`warden ps`: the models of the running stack and below them its relays, how each is and why.

It reads the table and asks no process, so it works while the gateway is down. What it shows is a reading: a worker that
is silent reads as unknown, and so do the numbers of a silent gateway. Standard output has these and nothing else;
what concerns all of them (who is silent, what an operator should know, memory above its levels) goes to stderr.
"""

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from control.states import Phase, is_fresh

if TYPE_CHECKING:
    from control.table import ControlWords, GatewayWords, Row, RowControl, RowGateway, Snapshot

MIB, GIB = 1024**2, 1024**3
NS = 1_000_000_000
IN_MINUTES_S, IN_HOURS_S, IN_DAYS_S = 100, 100 * 60, 48 * 3600  # shorter times are given in the unit before
NO_WORD = "no fresh word from control or the worker"
HEADER = ["NAME", "STATE", "PID", "MEM/SHARE", "CTX", "IN-FLIGHT", "QUEUED", "UNTIL", "REASON"]
RELAY_HEADER = ["RELAY", "STATE", "BREAKER", "PID", "IN-FLIGHT", "QUEUED", "REASON"]
READY = "ready"  # a relay's reason until control has heard why its server does not answer
NO_ANSWER = "its server does not answer; logs/{name}.log says what it does"
REMEDIES = {
    Phase.HELD: "`warden ctl start worker-{slug}` ends that",
    Phase.QUARANTINED: "logs/worker-{slug}.log says more, `warden ctl start worker-{slug}` tries again",
    Phase.LEAK_SUSPECTED: "a reboot frees it",
}


def ps(as_json: Annotated[bool, typer.Option("--json", help="One JSON array.")] = False) -> None:
    """The models and relays of the running stack, from the table in shared memory."""
    import time

    from control.config import RELAYS
    from control.table import Table, TableRefused
    from gateway.cli.exits import CommandFailed
    from gateway.cli.settings import read_home

    try:
        table = Table.open(read_home().table)
    except TableRefused as refused:
        raise CommandFailed(str(refused)) from None
    snapshot, now_ns = table.snapshot(), time.monotonic_ns()
    table.close()
    for line in choose_remarks(snapshot, now_ns):
        print(line, file=sys.stderr)
    models = [describe(row, snapshot.gateway, now_ns) for row in snapshot.rows if row.name not in RELAYS.values()]
    relays = [describe_relay(row, snapshot.gateway, now_ns) for row in snapshot.rows if row.name in RELAYS.values()]
    if as_json:
        print(json.dumps([{"kind": "model"} | line for line in models] + [{"kind": "relay"} | line for line in relays],
                         indent=2))
        return
    from gateway.cli.text_table import print_table

    print_table(HEADER, [cells(line) for line in models])
    if relays:
        print()
        print_table(RELAY_HEADER, [relay_cells(line) for line in relays])


def choose_remarks(snapshot: "Snapshot", now_ns: int) -> list[str]:
    """Who is silent, so that the reader knows what the numbers are worth; what control warns of; how memory is."""
    control, remarks = snapshot.control, []
    if not _beats(control, now_ns):
        remarks.append("control is silent: this is what was last written")
    elif control.supervisord_is_silent:
        remarks.append("supervisord does not answer: nothing can be loaded; run `warden down`, then `warden up`")
    if not _beats(snapshot.gateway, now_ns):
        remarks.append("the gateway is silent: what runs and waits is not known; `warden ctl status` shows why")
    if snapshot.warning:
        remarks.append(f"warning: {snapshot.warning}")
    if control is not None and control.pressure_level:
        given = size_text(control.reserved_bytes) if control.reserved_bytes else "nothing"
        remarks.append(f"memory is at {control.pressure_permille / 10:g} % of {size_text(control.total_bytes)}; given "
                       f"out: {given} of the budget of {size_text(control.ceiling_bytes)}")
    return remarks


def _beats(words: "ControlWords | GatewayWords | None", now_ns: int) -> bool:
    return words is not None and is_fresh(words.heartbeat_ns, now_ns)


def describe(row: "Row", gateway_words: "GatewayWords | None", now_ns: int) -> dict:
    """A row for people and for `--json`: plain values, 0 where nothing is known.

    Memory and context only from a fresh worker whose process lives. Counters only if this gateway wrote them (those of
    another epoch add up to nothing), and None if it is silent. `keep_until_s` counts from now: 0 if it may go at any
    time, None if it may stay for ever or nothing is loaded; `until` says which.
    """
    phase, control = row.phase(now_ns), row.control
    pid = control.pid if control else 0
    worker = row.worker if pid and row.worker_is_fresh(now_ns) else None
    counts, nothing = _counts(row, gateway_words, now_ns)
    return {
        "name": row.name,
        "state": phase.name.lower() if phase else "unknown",
        "pid": pid,
        "memory_bytes": (worker.footprint_bytes or worker.mlx_active_bytes) if worker else 0,
        "share_bytes": control.share_bytes if control else 0,
        "context_length": worker.context_length if worker else 0,
        "load_percent": worker.load_progress_permille / 10 if worker and phase is Phase.LOADING else None,
        "in_flight": counts.dispatched - counts.finished if counts else nothing,
        "unfinished": counts.unfinished if counts else nothing,
        "queued": sum(counts.waiting) if counts else nothing,
        "pinned": bool(control and control.pinned),
        "keep_until_s": _keep_until_s(control, now_ns),
        "until": _until(control, counts, phase, now_ns),
        "reason": _reason(row, phase, now_ns),
    }


def describe_relay(row: "Row", gateway_words: "GatewayWords | None", now_ns: int) -> dict:
    """The same of a relay, which holds no model. `breaker` "": it is not known."""
    from control.states import Breaker

    phase, pid = row.phase(now_ns), row.control.pid if row.control else 0
    worker = row.worker if pid and row.worker_is_fresh(now_ns) else None
    counts, nothing = _counts(row, gateway_words, now_ns)
    answers = worker is None or worker.breaker == Breaker.CLOSED
    return {
        "name": row.name,
        "state": phase.name.lower() if phase else "unknown",
        "breaker": Breaker(worker.breaker).name.lower() if worker else "",
        "pid": pid,
        "in_flight": counts.dispatched - counts.finished if counts else nothing,
        "queued": sum(counts.waiting) if counts else nothing,
        "reason": NO_WORD if phase is None else (
            row.reason if answers or row.reason != READY else NO_ANSWER.format(name=row.name)),
    }


def _counts(row: "Row", gateway_words: "GatewayWords | None", now_ns: int) -> "tuple[RowGateway | None, int | None]":
    """What this gateway wrote about it, and what a count is where it wrote nothing: 0, or None if it is silent."""
    known = _beats(gateway_words, now_ns)
    ours = row.gateway if row.gateway and known and row.gateway.epoch == gateway_words.epoch else None
    return ours, 0 if known else None


def _keep_until_s(control: "RowControl | None", now_ns: int) -> float | None:
    from control.table import FOREVER

    if control is None or control.keep_until_ns in (0, FOREVER):
        return None
    return round(max(0, control.keep_until_ns - now_ns) / NS, 1)


def _until(control: "RowControl | None", counts: "RowGateway | None", phase: Phase | None, now_ns: int) -> str:
    """How long the model stays loaded. One that is pinned or in use stays whatever the clock says."""
    if control is None or phase not in (Phase.READY, Phase.LOADING):
        return "-"
    if control.pinned:
        return "pinned"
    if counts and counts.unfinished:
        return "in use"
    if not control.keep_until_ns:
        return "-"
    left_s = _keep_until_s(control, now_ns)
    return "for ever" if left_s is None else _time_left(left_s)


def _time_left(seconds: float) -> str:
    if seconds <= 0:
        return "now"
    if seconds < IN_MINUTES_S:
        return f"{seconds:.0f} s"
    if seconds < IN_HOURS_S:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < IN_DAYS_S else f"{seconds / 86_400:.0f} days"


def _reason(row: "Row", phase: Phase | None, now_ns: int) -> str:
    """Control's own words, with what they cannot say: how far it is, how long it lasts, what ends it."""
    if phase is None:
        return NO_WORD
    said = [row.reason]
    if phase is Phase.LOADING and row.worker:
        said = [f"{row.worker.load_progress_permille / 10:.0f} % loaded", row.reason]
    elif phase is Phase.BACKOFF and row.control:
        left_s = max(0.0, (row.control.backoff_until_ns - now_ns) / NS)
        said.append(f"{left_s:.0f} s left (crashes: {row.control.crashes})")
    said.append(REMEDIES.get(phase, "").format(slug=row.name))
    return "; ".join(filter(None, said))


def cells(line: dict) -> list[str]:
    """One line of the table, in the order of HEADER."""
    sizes = "/".join(size_text(line[name]) for name in ("memory_bytes", "share_bytes"))
    numbers = [_number(line[name]) for name in ("in_flight", "queued")]
    return [line["name"], line["state"], str(line["pid"] or "-"), "-" if sizes == "-/-" else sizes,
            str(line["context_length"] or "-"), *numbers, line["until"], line["reason"]]


def relay_cells(line: dict) -> list[str]:
    """One line of the table, in the order of RELAY_HEADER."""
    return [line["name"], line["state"], line["breaker"].replace("_", "-") or "-", str(line["pid"] or "-"),
            _number(line["in_flight"]), _number(line["queued"]), line["reason"]]


def _number(count: int | None) -> str:
    return "-" if count is None else str(count)


def size_text(count: int) -> str:
    """A number of bytes for people; "-" for 0, which is "not known"."""
    if not count:
        return "-"
    return f"{count / MIB:.0f} MiB" if count < GIB else f"{count / GIB:.1f} GiB"
