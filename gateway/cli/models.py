"""`warden ps`, `ls`, `check` and `version`: what is known about the models, without asking any process.

`ps` reads the table, so it works while the gateway is down; what it shows is a reading, a worker that is silent reads
as unknown, and so do the numbers of a silent gateway. `ls` and `check` read the configuration only.
"""

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

import gateway
from control.states import Phase, is_fresh

if TYPE_CHECKING:
    from control.table import ControlWords, GatewayWords, Row, Snapshot

MIB = 1024 * 1024
PIPE_WIDTH_COLUMNS = 240
NO_WORD = "no fresh word from control or the worker"
REASONS = {
    Phase.HELD: "stopped by an operator; `warden ctl start worker-{slug}` ends that",
    Phase.QUARANTINED: "crashed too often (see logs/worker-{slug}.log); `warden ctl start worker-{slug}` tries again",
    Phase.LEAK_SUSPECTED: "its memory did not come back",
}


def ps(as_json: Annotated[bool, typer.Option("--json", help="One JSON array.")] = False) -> None:
    """The models of the running stack, from the table in shared memory."""
    import time

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
    lines = [describe(row, snapshot.gateway, now_ns) for row in snapshot.rows]
    if as_json:
        print(json.dumps(lines, indent=2))
        return
    _print_table(
        ["NAME", "STATE", "PID", "MEM", "IN-FLIGHT", "QUEUED", "REASON"],
        [
            [line["name"], line["state"], line["pid"] or "-", _mebibytes(line["memory_bytes"]),
             _number(line["in_flight"]), _number(line["queued"]), line["reason"]]
            for line in lines
        ],
    )


def choose_remarks(snapshot: "Snapshot", now_ns: int) -> list[str]:
    """Who is silent, so that the reader knows what the numbers are worth."""
    control, remarks = snapshot.control, []
    if not _beats(control, now_ns):
        remarks.append("control is silent: this is what was last written")
    elif control.supervisord_is_silent:
        remarks.append("supervisord does not answer: nothing can be loaded; run `warden down`, then `warden up`")
    if not _beats(snapshot.gateway, now_ns):
        remarks.append("the gateway is silent: what runs and waits is not known; `warden ctl status` shows why")
    return remarks


def _beats(words: "ControlWords | GatewayWords | None", now_ns: int) -> bool:
    return words is not None and is_fresh(words.heartbeat_ns, now_ns)


def describe(row: "Row", gateway_words: "GatewayWords | None", now_ns: int) -> dict:
    """A row for people and for `--json`: plain values, 0 where nothing is known.

    Memory only from a fresh worker whose process lives. Counters only if this gateway wrote them (those of another
    epoch add up to nothing), and None if it is silent.
    """
    phase = row.phase(now_ns)
    pid = row.control.pid if row.control else 0
    worker = row.worker if pid and row.worker_is_fresh(now_ns) else None
    known = _beats(gateway_words, now_ns)
    counts = row.gateway if row.gateway and known and row.gateway.epoch == gateway_words.epoch else None
    nothing = 0 if known else None
    return {
        "name": row.name,
        "state": phase.name.lower() if phase else "unknown",
        "pid": pid,
        "memory_bytes": (worker.footprint_bytes or worker.mlx_active_bytes) if worker else 0,
        "in_flight": counts.dispatched - counts.finished if counts else nothing,
        "queued": counts.waiting_high + counts.waiting_medium + counts.waiting_low if counts else nothing,
        "reason": _reason(row, phase, now_ns),
    }


def _reason(row: "Row", phase: Phase | None, now_ns: int) -> str:
    if phase is None:
        return NO_WORD
    if phase is Phase.LOADING and row.worker:
        return f"{row.worker.load_progress_permille / 10:.0f} % loaded"
    if phase is Phase.BACKOFF and row.control:
        left_s = max(0.0, (row.control.backoff_until_ns - now_ns) / 1e9)
        return f"crashes: {row.control.crashes}; may start again in {left_s:.0f} s"
    return REASONS.get(phase, "").format(slug=row.name)


def ls() -> None:
    """The configured models."""
    from gateway.cli.settings import read_config

    config = read_config()
    default = config.find("")
    _print_table(
        ["NAME", "ENGINE", "ALIASES", "PATH"],
        [
            [f"{model.name} (default)" if model is default else model.name, model.engine,
             ", ".join(model.aliases), str(model.path)]
            for model in config.models
        ],
    )


def check(
    config: Annotated[str, typer.Argument(metavar="[CONFIG]", help="A file to check in place of the one in use.")] = "",
) -> None:
    """Check the configuration and start nothing."""
    from gateway.cli.settings import http_url, read_config

    checked = read_config(config)
    names = ", ".join(model.name for model in checked.models)
    print(f"ok: {checked.source}")
    print(f"http: {http_url(checked.host, checked.port)}")
    print(f"limits: {checked.max_running} running, {checked.max_queued} queued")
    print(f"models: {names}")


def version() -> None:
    """The version of mlx-warden."""
    print(gateway.VERSION)


def _number(count: int | None) -> str:
    return "-" if count is None else str(count)


def _mebibytes(count: int) -> str:
    return f"{count / MIB:.0f} MiB" if count else "-"


def _print_table(header: list[str], lines: list[list[object]]) -> None:
    from rich.console import Console
    from rich.table import Table as TextTable

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH_COLUMNS
    text = TextTable(*header, box=None, pad_edge=False)
    for line in lines:
        text.add_row(*(str(cell) for cell in line))
    console.print(text)
