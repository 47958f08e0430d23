"""What a snapshot of a full table costs, and what a reader costs those who write.

A table of its own with all rows in use. A process of its own writes one record as fast as it can, first alone and then
while another takes snapshots without a break. The writer's figure is writes per second of its own CPU time: on a
machine with few processors a reader may take the processor away, and that is not what is asked.

    python -m bench.scaling_table TABLE       one order per line: seconds; answered by a line of JSON
"""

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec

from bench.program import BenchFailed, Program, own_folder, python_module
from bench.records import percentile
from control.table import ROWS, GatewayWords, RowControl, RowGateway, RowWorker, Table

READY = b"ready"
READY_WITHIN_S = 60.0
MARGIN_S = 30.0
BURST = 64  # writes between two looks at the clock
BOOT_ID = 1
KINDS = (RowControl, RowGateway, RowWorker)
US_PER_S = 1_000_000.0


class Written(NamedTuple):
    writes: int
    wall_s: float
    cpu_s: float


class Snapshots(NamedTuple):
    """Microseconds of a snapshot, by the clock. `new`: every record of every row was written since the one before;
    `beside`: while another process writes. Writes are per second of the writer's CPU time.
    """

    new_p50_us: float
    beside_p50_us: float
    beside_p99_us: float
    alone_per_s: float
    beside_per_s: float


def measure_table(seconds: float) -> Snapshots:
    """Each of three parts takes about `seconds`. Raises: BenchFailed."""
    with own_folder() as folder:
        table = filled(folder / "table")
        command = python_module("bench.scaling_table", str(table.path))
        with Program("table-writer", command, folder, talks=True) as writer:
            writer.next_line(READY_WITHIN_S)
            alone = written(writer, seconds)
            new_s = snapshots(table, time.monotonic() + seconds, Rewriter(table).write)
            found: list[Written] = []
            thread = threading.Thread(target=lambda: found.append(written(writer, seconds)))
            thread.start()
            beside_s = snapshots(table, time.monotonic() + seconds)
            thread.join()
        table.close()
    if not found:
        raise BenchFailed("the writer of the table did not answer")
    return Snapshots(*(percentile(times, q) * US_PER_S for times, q in ((new_s, 50), (beside_s, 50), (beside_s, 99))),
                     *(one.writes / one.cpu_s for one in (alone, found[0])))


def filled(path: Path) -> Table:
    """A table with every row named and written."""
    table = Table.create(path, BOOT_ID)
    table.writer(GatewayWords).flush()
    for row in range(ROWS):
        table.name_row(row, f"model-{row}")
        for kind in KINDS:
            table.writer(kind, row).flush()
    return table


class Rewriter:
    """Writes every record of every row, each time with another value: what a reader keeps of the last look is old."""

    def __init__(self, table: Table) -> None:
        self._records = [table.writer(kind, row) for row in range(ROWS) for kind in KINDS]
        self._number = 0

    def write(self) -> None:
        self._number += 1
        for record in self._records:
            record.set(incarnation=self._number)
            record.flush()


def snapshots(table: Table, until_s: float, before_each: Callable[[], None] = lambda: None) -> list[float]:
    """Seconds that each took; at least one."""
    times: list[float] = []
    while not times or time.monotonic() < until_s:
        before_each()
        began_s = time.perf_counter()
        table.snapshot()
        times.append(time.perf_counter() - began_s)
    return times


def written(writer: Program, seconds: float) -> Written:
    line = writer.ask(f"{seconds}".encode(), seconds + MARGIN_S)
    return Written(**msgspec.json.decode(line))


def write(table: Table, seconds: float) -> Written:
    """The gateway's own words, which change with every request."""
    record = table.writer(GatewayWords)
    writes, began_s, cpu_s = 0, time.monotonic(), time.process_time()
    while time.monotonic() - began_s < seconds:
        for _ in range(BURST):
            writes += 1
            record.set(finished=writes)
            record.flush()
    return Written(writes, time.monotonic() - began_s, time.process_time() - cpu_s)


def main() -> None:
    table = Table.open(Path(sys.argv[1]))
    sys.stdout.buffer.write(READY + b"\n")
    sys.stdout.buffer.flush()
    for line in sys.stdin.buffer:
        sys.stdout.buffer.write(msgspec.json.encode(write(table, float(line))._asdict()) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
