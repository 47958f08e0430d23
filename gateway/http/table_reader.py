"""The table as http sees it: read-only, and opened anew whenever control has put another one in its place.

A missing table is a fact to report, not an error: health must be true while everything else is down.
"""

from pathlib import Path

from control.table import Snapshot, Table, TableRefused


class TableReader:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._table: Table | None = None

    def snapshot(self) -> Snapshot | str:
        """All of it, or one line that says why it cannot be read now."""
        if self._table is not None and self._table.replaced():
            self.close()
        if self._table is None:
            try:
                self._table = Table.open(self._path)
            except TableRefused as refused:
                return str(refused)
        return self._table.snapshot()

    def close(self) -> None:
        if self._table is not None:
            self._table.close()
            self._table = None
