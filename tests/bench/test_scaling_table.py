"""bench/scaling_table.py: a full table, read beside a real writer."""

from bench.scaling_table import Rewriter, filled, measure_table, snapshots, write
from control.table import ROWS, GatewayWords, Table

SHORT_S = 0.05


def test_a_table_whose_every_row_is_in_use(tmp_path):
    table = filled(tmp_path / "table")
    rows = table.snapshot().rows
    assert len(rows) == ROWS and all(row.control and row.gateway and row.worker for row in rows)
    rewriter = Rewriter(table)
    rewriter.write()
    rewriter.write()
    assert {row.worker.incarnation for row in table.snapshot().rows} == {2}
    calls = []
    assert len(snapshots(table, 0.0, lambda: calls.append(1))) == len(calls) == 1
    table.close()


def test_what_was_written_can_be_read(tmp_path):
    table = filled(tmp_path / "table")
    one = write(table, SHORT_S)
    assert Table.open(table.path).read(GatewayWords).finished == one.writes > 0 and one.wall_s >= SHORT_S
    table.close()


def test_snapshots_beside_a_writer_of_its_own():
    one = measure_table(SHORT_S)
    assert all(value > 0 for value in one) and one.beside_p50_us <= one.beside_p99_us
