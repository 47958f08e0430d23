"""The rows of a stack's table, looked at SAMPLES_PER_S times a second while a block runs.

A sample is what the table says of one model at that moment: a reading, whole but a heartbeat old. What happens between
two samples is seen only in what the words themselves keep, such as MLX's own peak.
"""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from control.states import Phase
from control.table import Row, Table

SAMPLES_PER_S = 20
END_WITHIN_S = 5.0


class Sample(NamedTuple):
    """`at_s`: since the block began. Bytes; all 0 where no worker speaks. `loads`: how often control had it loaded."""

    at_s: float
    phase: Phase | None
    incarnation: int
    loads: int
    share_bytes: int = 0
    active_bytes: int = 0
    peak_bytes: int = 0
    cache_bytes: int = 0
    footprint_bytes: int = 0
    batch_max: int = 0  # sequences that it decodes at once


class Stay(NamedTuple):
    """A model READY without a break, seconds since the block began. `ended` False: it still was at the last look."""

    from_s: float
    until_s: float
    ended: bool


@contextmanager
def table_sampled(path: Path) -> Iterator[Mapping[str, Sequence[Sample]]]:
    """Samples by model; they grow while the block runs. Raises: TableRefused."""
    table, found, over = Table.open(path), {}, threading.Event()
    began_s = time.monotonic()

    def look() -> None:
        while True:
            for row in table.snapshot().rows:
                found.setdefault(row.name, []).append(sample_of(row, time.monotonic() - began_s, time.monotonic_ns()))
            if over.wait(1 / SAMPLES_PER_S):
                return

    thread = threading.Thread(target=look, name="samples")
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join(END_WITHIN_S)
        table.close()


def sample_of(row: Row, at_s: float, now_ns: int) -> Sample:
    incarnation, loads = (row.control.incarnation, row.control.loads) if row.control is not None else (0, 0)
    sample = Sample(at_s, row.phase(now_ns), incarnation, loads)
    worker = row.worker
    if worker is None or not row.worker_is_fresh(now_ns):
        return sample
    return sample._replace(
        share_bytes=worker.share_bytes, active_bytes=worker.mlx_active_bytes, peak_bytes=worker.mlx_peak_bytes,
        cache_bytes=worker.mlx_cache_bytes, footprint_bytes=worker.footprint_bytes, batch_max=worker.batch_max)


def stays_of(samples: Sequence[Sample]) -> list[Stay]:
    """When the model was READY. A moment at which nothing is known ends no stay."""
    stays: list[Stay] = []
    incarnation = 0
    for sample in samples:
        if sample.phase is Phase.READY:
            if stays and not stays[-1].ended and sample.incarnation == incarnation:
                stays[-1] = stays[-1]._replace(until_s=sample.at_s)
            else:
                stays = [stay._replace(ended=True) for stay in stays] + [Stay(sample.at_s, sample.at_s, False)]
            incarnation = sample.incarnation
        elif sample.phase is not None:
            stays = [stay._replace(ended=True) for stay in stays]
    return stays
