"""control/table_rows.py: a model that comes back has one row, also if its old one was never given free."""

from control.home import Home
from control.states import Phase
from control.table import ROWS, RowControl, Table
from control.table_rows import name_rows, row_for, take_table


def test_a_row_that_still_bears_the_name_is_taken_again(tmp_path):
    home = Home(tmp_path)
    home.table.parent.mkdir(exist_ok=True)
    table = Table.create(home.table, 7)
    name_rows(table, ["a", "gone"])
    words = table.writer(RowControl, 1)
    words.set(phase=Phase.ALIVE)
    words.flush()
    table, adopted = take_table(home, {"a"}, print)
    assert adopted and table.find_row("gone") == 1, "its process may be there still"
    assert row_for(table, "gone") == 1
    assert row_for(table, "new") == 2
    table.name_row(1, "gone")


def test_a_full_table_has_none(tmp_path):
    table = Table.create(tmp_path / "table", 7)
    name_rows(table, [f"m{number}" for number in range(ROWS)])
    assert row_for(table, "new") is None and row_for(table, "m3") == 3
