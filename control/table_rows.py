"""Which row of the table is whose: rows are found again, given to new models, and come free.

A row keeps its model as long as the table lasts, also over restarts of control.
"""

import secrets
from collections.abc import Callable, Iterator

from control.home import Home
from control.states import HAS_PROCESS
from control.table import ROWS, RowGateway, Table, TableRefused


def take_table(home: Home, slugs: set[str], note: Callable[..., None]) -> tuple[Table, bool]:
    """The table of an earlier control process if it is sound and has room, else a new one. (table, adopted)"""
    try:
        table = Table.open(home.table)
        for row in table.snapshot().rows:  # deleted while no control process was there
            if row.name and row.name not in slugs and (row.control is None or row.control.phase not in HAS_PROCESS):
                table.unname_row(row.index)
        if len(slugs | {row.name for row in table.snapshot().rows}) <= ROWS:
            return table, True
        reason = "rows of models that were removed fill the old one"
    except TableRefused as refused:
        reason = str(refused) if home.table.exists() else ""  # without one, this is simply the first start
    note("table_created", reason=reason)
    return Table.create(home.table, secrets.randbits(62) + 1), False


def name_rows(table: Table, slugs: list[str]) -> dict[str, int]:
    """Give every slug a row; one that has a row keeps it."""
    taken = {row.name: row.index for row in table.snapshot().rows}
    free = free_rows(table)
    rows = {}
    for slug in slugs:
        rows[slug] = taken.get(slug)
        if rows[slug] is None:
            rows[slug] = next(free)
            table.name_row(rows[slug], slug)
    return rows


def row_for(table: Table, slug: str) -> int | None:
    """A free one, None if there is none. One that bears the name already is its own: it was deleted, and its process
    was still there when control began.
    """
    standing = table.find_row(slug)
    return standing if standing is not None else next(free_rows(table), None)


def free_rows(table: Table) -> Iterator[int]:
    """Those that never had a model first: a row that had one still holds what the gateway said of that."""
    standing = {row.index for row in table.snapshot().rows}  # a row whose name is damaged is listed too: it is not free
    free = [index for index in range(ROWS) if index not in standing]
    return iter(sorted(free, key=lambda index: table.read(RowGateway, index) is not None))
