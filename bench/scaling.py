"""`python -m bench scaling`: what grows with the number of requests, and what must not.

1. `admission`: decisions a second of the gateway's own Admission with 10 to 100,000 requests queued
   (`scaling_admission.py`, no processes).
2. `table`: a snapshot of a table of 64 rows, and what it costs a writer (`scaling_table.py`).
3. `streams`: memory of the gateway and the http process with many streams open, and after they have ended; tokens per
   second and CPU for each token by the number of streams (`scaling_streams.py`, echo engine).

Each part is measured in every round (`streams` in the first two only); figures are medians.
"""

import asyncio
from argparse import Namespace
from collections.abc import Sequence
from typing import NamedTuple

from bench.figures import Figure
from bench.machine import Watch, busy_sentence, read_machine
from bench.options import Parser, add_run_options, command_line, number, whole
from bench.plot import Line, Plot
from bench.program import BenchFailed
from bench.records import median_of
from bench.report import choose_path, finish, utc_now
from bench.rounds import say
from bench.scaling_admission import Decisions, decisions_per_s, spread_of
from bench.scaling_streams import (
    RUNNING_MAX,
    Memory,
    Speed,
    measure_memory,
    measure_speed,
    models_for,
    raise_descriptors,
)
from bench.scaling_table import Snapshots, measure_table
from bench.stack import Stack
from bench.table import Table, figure
from gateway.client import GatewayError

NAME = "scaling"
PARTS = ("admission", "table", "streams")
QUEUED = (10, 100, 1_000, 10_000, 100_000)
STREAM_ROUNDS_MAX = 2  # of `streams`, which take longest: the second begins with what the first left
SPEEDS = (1, 8, 64)  # and those of --streams
FLAT_TARGET, SNAPSHOT_TARGET_US, WRITER_TARGET, MEMORY_TARGET_MIB, BACK_TARGET = 2.0, 100.0, 0.95, 200.0, 1.1

EXAMPLES = """
examples:
  python -m bench scaling
  python -m bench scaling --parts admission table --rounds 5
  python -m bench scaling --parts streams --streams 100 500 1000 --hold 20
"""


class Round(NamedTuple):
    """A part that was not asked for is empty, or None."""

    admission: list[Decisions]
    table: Snapshots | None
    memory: list[Memory]
    speed: list[Speed]


def main(arguments: list[str]) -> int:
    """Measure, tell, write; see `bench.__main__` for the exit codes. Raises: BenchFailed."""
    options = make_parser().parse_args(arguments)
    started_at = utc_now()
    path = choose_path(NAME, started_at, options.json, options.save)
    rounds, busy = measure(options)
    result = {
        "command": command_line(NAME, arguments), "bench": NAME, "started_at": started_at, "machine": read_machine(),
        "model": "echo engine", "seed": options.seed,
        "settings": {"parts": " ".join(options.parts), "decisions": options.decisions, "streams": options.streams,
                     "hold_s": options.hold, "tokens": options.tokens, "rounds": options.rounds},
        "busy": busy, "figures": figures(rounds, options), "rounds": rounds, "plots": plots_of(rounds)}
    finish(result, tables_of(rounds), path)
    return 0


def make_parser() -> Parser:
    parser = Parser(NAME, "What grows with the number of requests, and what must not.", EXAMPLES)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="(default: all)")
    parser.add_argument("--decisions", type=whole(100, 10_000_000), default=10_000,
                        help="of admission, for each length of the queue (%(default)s)")
    parser.add_argument("--table-seconds", type=number(0.05, 60), default=0.5,
                        help="of each of three parts of `table` (%(default)g)")
    parser.add_argument("--streams", nargs="+", type=whole(1, RUNNING_MAX), default=[100, 1_000],
                        help="open at once (100 1000)")
    parser.add_argument("--hold", type=number(1, 3_600), default=5.0,
                        help="seconds for which streams are open (%(default)g)")
    parser.add_argument("--tokens", type=whole(1, 10_000_000), default=20_000,
                        help="of all streams together, where speed is measured (%(default)s)")
    add_run_options(parser)
    return parser


# -- measuring -----------------------------------------------------------------------------------------------------


def measure(options: Namespace) -> tuple[list[Round], list[str]]:
    """All rounds, and what was said about a busy machine. Raises: BenchFailed."""
    if "streams" not in options.parts:
        watch = Watch()
        rounds = [measure_round(None, options, turn) for turn in range(options.rounds)]
        return rounds, [sentence] if (sentence := busy_sentence(watch.others_share())) else []
    most = max(*SPEEDS, *options.streams)
    say("starting a stack")
    with Stack.started(models_for(most), max_running=most, max_queued=most) as stack:
        raise_descriptors()
        watch = Watch(stack.pids())
        rounds = [measure_round(stack, options, turn) for turn in range(options.rounds)]
        busy = busy_sentence(watch.others_share())
    return rounds, [busy] if busy else []


def measure_round(stack: Stack | None, options: Namespace, turn: int) -> Round:
    admission, table, memory, speed = [], None, [], []
    if "admission" in options.parts:
        admission = [decisions_per_s(queued, options.decisions, f"{options.seed}/{turn}") for queued in QUEUED]
        say(f"round {turn + 1}: decisions/s " + ", ".join(f"{one.per_s:.0f} ({one.queued:,})" for one in admission))
    if "table" in options.parts:
        table = measure_table(options.table_seconds)
        say(f"round {turn + 1}: snapshot {table.new_p50_us:.0f} us")
    if stack is not None and turn < STREAM_ROUNDS_MAX:
        models, counts = list(models_for(max(*SPEEDS, *options.streams))), sorted(set(options.streams))
        try:
            # first: what is idle must not have been busy before
            memory = asyncio.run(measure_memory(stack, models, counts, options.hold))
            speed = [asyncio.run(measure_speed(stack, models, count, options.tokens))
                     for count in sorted({*SPEEDS, *counts})]
        except GatewayError as problem:
            raise BenchFailed(str(problem)) from None
        say(f"round {turn + 1}: " + ", ".join(f"{memory_name(one)}: {one.gateway_mib:.0f} + {one.http_mib:.0f} MiB"
                                              for one in memory))
    return Round(admission, table, memory, speed)


# -- telling -------------------------------------------------------------------------------------------------------


def memory_name(one: Memory) -> str:
    return "after" if one.after else f"{one.open:,} open" if one.open else "idle"


def figures(rounds: Sequence[Round], options: Namespace) -> list[Figure]:
    found = []
    if rounds[0].admission:
        found.append(Figure(f"admission, fastest / slowest, {QUEUED[0]} to {QUEUED[-1]:,} queued", "lower",
                            [spread_of([one.per_s for one in each.admission]) for each in rounds], "", (), "",
                            FLAT_TARGET))
        found.append(Figure(f"admission decisions per CPU s, {QUEUED[-1]:,} queued", "higher",
                            [each.admission[-1].per_s for each in rounds], "per s"))
    if rounds[0].table:
        found += table_figures([each.table for each in rounds])
    return found + (memory_figures(rounds, max(options.streams)) if rounds[0].memory else [])


def table_figures(tables: Sequence[Snapshots]) -> list[Figure]:
    return [
        Figure("table snapshot, 64 rows, all of them new", "lower", [one.new_p50_us for one in tables], "us", (), "",
               SNAPSHOT_TARGET_US),
        Figure("table snapshot, 64 rows, beside a writer", "lower", [one.beside_p50_us for one in tables], "us", (),
               "", SNAPSHOT_TARGET_US),
        Figure("writes per CPU s beside a reader of the table", "higher", [one.beside_per_s for one in tables],
               "per s", [one.alone_per_s for one in tables], "alone", WRITER_TARGET)]


def memory_figures(rounds: Sequence[Round], most: int) -> list[Figure]:
    found, rounds = [], [each for each in rounds if each.memory]
    for name in ("gateway", "http"):
        full = [next(getattr(one, f"{name}_mib") for one in each.memory if one.open == most) for each in rounds]
        after = [getattr(each.memory[-1], f"{name}_mib") for each in rounds]
        idle = [getattr(rounds[0].memory[0], f"{name}_mib")] * len(rounds)  # later rounds begin with what is left
        found += [Figure(f"memory of {name}, {most:,} open streams", "lower", full, "MiB", (), "", MEMORY_TARGET_MIB),
                  Figure(f"memory of {name}, after they ended", "lower", after, "MiB", idle, "before", BACK_TARGET)]
    return [*found, *(Figure(f"CPU of gateway and http per token, {one.streams:,} streams", "lower",
                             [each.speed[place].gateway_us + each.speed[place].http_us for each in rounds], "us")
                      for place, one in enumerate(rounds[0].speed))]


def tables_of(rounds: Sequence[Round]) -> list[Table]:
    tables = []
    if rounds[0].admission:
        tables.append(Table("Admission: finish, next and submit", ("queued", "decisions\nper CPU s", "HIGH", "MEDIUM",
                                                                  "LOW"),
                            [(f"{one.queued:,}", figure(median_of(each.admission[place].per_s for each in rounds)),
                              *map(str, one.taken)) for place, one in enumerate(rounds[0].admission)]))
    if rounds[0].table:
        rows = [(name.replace("_", " "), figure(median_of(getattr(each.table, name) for each in rounds)))
                for name in Snapshots._fields]
        tables.append(Table("The table: snapshots of 64 rows (us), writes per CPU second", ("", ""), rows))
    rounds = [each for each in rounds if each.memory]
    if rounds:
        tables.append(Table("Memory, MiB resident", ("streams", "gateway", "http", "last round's\ngateway", "http"), [
            (memory_name(one), *(figure(median_of(getattr(each.memory[place], part) for each in rounds))
                                 for part in ("gateway_mib", "http_mib")),
             *map(figure, rounds[-1].memory[place][2:])) for place, one in enumerate(rounds[0].memory)]))
        tables.append(Table("Speed, answers as fast as they are asked", (
            "streams", "tokens\nper s", "CPU us per token\ngateway", "http"), [
            (f"{one.streams:,}", *(figure(median_of(each.speed[place][part] for each in rounds)) for part in (1, 2, 3)))
            for place, one in enumerate(rounds[0].speed)]))
    return tables


def plots_of(rounds: Sequence[Round]) -> list[Plot]:
    plots = []
    if rounds[0].admission:
        points = [(one.queued, median_of(each.admission[place].per_s for each in rounds))
                  for place, one in enumerate(rounds[0].admission)]
        plots.append(Plot("admission", "Admission decisions by the length of the queue", "requests queued",
                          "decisions per CPU second", [Line("decisions", points)], log_x=True))
    rounds = [each for each in rounds if each.memory]
    if rounds:
        shown = [(place, one) for place, one in enumerate(rounds[0].memory) if not one.after]
        plots.append(Plot("memory", "Memory by open streams", "open streams", "MiB resident", [
            Line(name, [(one.open, median_of(each.memory[place][part] for each in rounds)) for place, one in shown])
            for part, name in ((2, "gateway"), (3, "http"))]))
    return plots
