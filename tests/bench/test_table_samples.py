"""bench/table_samples.py: what a sample holds, when a model was there, and looks at a real table."""

import threading
import time

import pytest

from bench.table_samples import Sample, Stay, sample_of, stays_of, table_sampled
from control.states import Phase
from control.table import RowControl, RowWorker, Table

WITHIN_S = 10.0


@pytest.fixture
def table(tmp_path):
    made = Table.create(tmp_path / "table", 7)
    made.name_row(0, "m")
    yield made
    made.close()


def put(table, kind, **words):
    writer = table.writer(kind, 0)
    writer.set(**words)
    writer.flush()


def write_worker(table, **words):
    put(table, RowControl, incarnation=2, phase=int(Phase.ALIVE), loads=4)
    put(table, RowWorker, **{"incarnation": 2, "phase": int(Phase.READY), "heartbeat_ns": time.monotonic_ns(),
                             "share_bytes": 100, "mlx_active_bytes": 50, "mlx_peak_bytes": 70, "mlx_cache_bytes": 10,
                             "footprint_bytes": 90, "batch_max": 8} | words)


def look(table):
    [row] = table.snapshot().rows
    return sample_of(row, 1.5, time.monotonic_ns())


def test_a_sample_is_what_the_worker_says(table):
    write_worker(table)
    assert look(table) == Sample(1.5, Phase.READY, 2, 4, 100, 50, 70, 10, 90, 8)


def test_a_worker_that_is_silent_or_of_another_life_says_nothing(table):
    assert look(table) == Sample(1.5, None, 0, 0)
    write_worker(table, incarnation=1)
    assert look(table) == Sample(1.5, Phase.STARTING, 2, 4)
    write_worker(table, heartbeat_ns=1)
    assert look(table) == Sample(1.5, None, 2, 4)


def test_looks_go_on_while_the_block_runs(table):
    write_worker(table)
    with table_sampled(table.path) as samples:
        give_up_at = time.monotonic() + WITHIN_S
        while len(samples.get("m", ())) < 3 and time.monotonic() < give_up_at:
            threading.Event().wait(0.01)
    assert [sample.loads for sample in samples["m"]][:3] == [4, 4, 4]
    times = [sample.at_s for sample in samples["m"]]
    assert times == sorted(times) and times[0] >= 0
    assert not [thread for thread in threading.enumerate() if thread.name == "samples"]


def stays(*seen):
    """`seen`: (phase, incarnation), one look a second."""
    return stays_of([Sample(float(at_s), phase, incarnation, 0) for at_s, (phase, incarnation) in enumerate(seen)])


def test_a_stay_lasts_as_long_as_the_model_is_ready():
    ready, gone = Phase.READY, Phase.DOWN
    assert stays((gone, 1), (ready, 1), (ready, 1), (ready, 1), (gone, 1), (ready, 2), (ready, 2)) == [
        Stay(1, 3, True), Stay(5, 6, False)]
    assert stays((ready, 1), (None, 1), (ready, 1)) == [Stay(0, 2, False)], "unknown is not gone"
    assert stays((ready, 1), (ready, 1), (ready, 2)) == [Stay(0, 1, True), Stay(2, 2, False)], "another process"
    assert stays() == []
