"""How a result is told: on the terminal as plain text of at most WIDTH_MAX_COLUMNS, and whole as JSON in a file.

A result is a dict: `command`, `bench`, `started_at` (UTC, ISO 8601), `machine` (`machine.read_machine()`), `model`,
`seed`, `settings` {name: value}, `busy` [sentence], `targets` {name: figures}, `ratios` {what: number or None}.
Figures may be any nesting of dicts, lists, numbers and named tuples, which become JSON objects.

Guarantees: no figure without command, machine, versions, model, seed and settings in front of it; a busy machine is
said before the figures and again after them; the last line says where the JSON is. Refused: a path that cannot be
written, before anything is measured (`choose_path`).
"""

import os
import textwrap
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from bench.program import BenchFailed

WIDTH_MAX_COLUMNS = 120
LABEL_COLUMNS = 11
GAP = "  "


class Table(NamedTuple):
    """Cells are text; a heading of two lines holds a newline. The first column is left-aligned, all others right."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def utc_now() -> str:
    """The `started_at` of a result."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def choose_path(bench: str, started_at: str, asked: str = "", folder: Path | None = None) -> Path:
    """Where the JSON goes: `asked`, else bench-NAME-TIME.json in the current directory. Raises: BenchFailed."""
    stamp = started_at.replace("-", "").replace(":", "").removesuffix("+0000") + "Z"
    path = Path(asked) if asked else (folder or Path.cwd()) / f"bench-{bench}-{stamp}.json"
    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise BenchFailed(f"{path} cannot be written; give another --json PATH")
    return path


def write_json(result: Mapping[str, object], path: Path) -> None:
    """Raises: BenchFailed."""
    text = msgspec.json.format(msgspec.json.encode(plain(result)), indent=2)
    try:
        path.write_bytes(text + b"\n")
    except OSError as problem:
        raise BenchFailed(f"{path} cannot be written ({problem.strerror}); give another --json PATH") from None


def plain(value: object) -> object:
    """Named tuples as dicts, at any depth."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value


def print_report(result: Mapping[str, object], tables: Sequence[Table], path: Path) -> None:
    """All of it to standard output; `path` is where the JSON was written."""
    for line in report_lines(result, tables):
        print(line)
    print(f"\nAll figures: {path}", flush=True)


def report_lines(result: Mapping[str, object], tables: Sequence[Table]) -> list[str]:
    """Without the last line."""
    lines = head_lines(result)
    busy = [line for sentence in result["busy"] for line in _wrapped("BUSY", sentence)]
    lines += ["", *busy] if busy else []
    for table in tables:
        lines += ["", *table_lines(table)]
    if result["ratios"]:
        rows = [(what, figure(value)) for what, value in result["ratios"].items()]
        lines += ["", *table_lines(Table("Ratios, median of those of each round", ("", "ratio"), rows))]
    return lines + (["", f"BUSY: {len(result['busy'])} of these were disturbed, see above."] if busy else [])


def head_lines(result: Mapping[str, object]) -> list[str]:
    machine = result["machine"]
    versions = [f"{name} {version}" for name, version in machine["versions"].items() if version]
    if machine["git_commit"]:
        versions.append(f"commit {machine['git_commit']}")
    facts = [machine["cpu"], f"{machine['cores']} cores", f"{machine['memory_gib']} GiB", machine["system"],
             f"Python {machine['python']}"]
    said = {
        "command": result["command"],
        "started": result["started_at"],
        "machine": ", ".join(filter(None, facts)),
        "versions": ", ".join(versions),
        "model": result["model"],
        "seed": str(result["seed"]),
        "settings": ", ".join(f"{name} {value}" for name, value in result["settings"].items()),
    }
    return [line for label, text in said.items() for line in _wrapped(label, text)]


def table_lines(table: Table) -> list[str]:
    heads = [column.split("\n") for column in table.columns]
    depth = max(len(head) for head in heads)
    above = [[([""] * (depth - len(head)) + head)[line] for head in heads] for line in range(depth)]
    cells = [*above, *table.rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(table.columns))]
    lines = [GAP.join(cell.rjust(width) if place else cell.ljust(width)
                      for place, (cell, width) in enumerate(zip(row, widths, strict=True))).rstrip() for row in cells]
    lines = lines[:depth] + ["-" * min(max(map(len, lines)), WIDTH_MAX_COLUMNS)] + lines[depth:]
    return [*_cut(table.title.splitlines()), *_cut(lines)]


def figure(value: float | None) -> str:
    """Three digits that matter, "-" for none."""
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _wrapped(label: str, text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH_MAX_COLUMNS, initial_indent=label.ljust(LABEL_COLUMNS),
                         subsequent_indent=" " * LABEL_COLUMNS, break_on_hyphens=False) or [label]


def _cut(lines: Sequence[str]) -> list[str]:
    return [line if len(line) <= WIDTH_MAX_COLUMNS else line[: WIDTH_MAX_COLUMNS - 1] + "…" for line in lines]
