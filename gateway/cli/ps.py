"""`warden ps`: the models of the running stack and below them its relays, how each is and why.

It reads the table and asks no process, so it works while the gateway is down. Standard output has the models and relays
and nothing else; what concerns all of them (who is silent, what an operator should know, memory above its levels) goes
to stderr.
"""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.options import Json, print_json

if TYPE_CHECKING:
    from control.table import Snapshot

Watch = Annotated[bool, typer.Option("--watch", help="Again and again until q or Ctrl-C; with --json, or not on a "
                                     "terminal, a line or block for each change.")]


def ps(as_json: Json = False, watch: Watch = False) -> None:
    """The models and relays of the running stack, from the table in shared memory."""
    if watch:
        from gateway.cli.watch import watch as watch_table

        watch_table(as_json=as_json)
        return
    import time

    from control.overview import overview
    from gateway.cli.ps_lines import lines_of
    from gateway.cli.text_table import terminal_width

    seen = overview(read_snapshot(), time.monotonic_ns())
    for line in seen["remarks"]:
        print(line, file=sys.stderr)
    if as_json:
        print_json([{"kind": "model"} | line for line in seen["models"]]
                   + [{"kind": "relay"} | line for line in seen["relays"]])
        return
    print("\n".join(lines_of(seen, terminal_width())))


def read_snapshot() -> "Snapshot":
    """Raises: CommandFailed."""
    from control.table import Table, TableRefused
    from gateway.cli.exits import CommandFailed
    from gateway.cli.settings import read_home

    home = read_home()
    if not home.table.exists():
        raise CommandFailed(f"nothing runs in {home.root}; start it with `warden up`")
    try:
        table = Table.open(home.table)
    except TableRefused as refused:
        raise CommandFailed(str(refused)) from None
    snapshot = table.snapshot()
    table.close()
    return snapshot
