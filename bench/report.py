"""How a result is told: on the terminal as plain text of at most WIDTH_MAX_COLUMNS, and whole as JSON in a file.

A result is a dict: `command`, `bench`, `started_at` (UTC, ISO 8601), `machine` (`machine.read_machine()`), `model`,
`seed`, `settings` {name: value}, `busy` [sentence], `figures` [`figures.Figure`], and whatever else was noted, in any
nesting of dicts, lists, numbers and named tuples, which become JSON objects. It may have `readme` [Table], small ones
that shall stand in the README, and `plots` [`plot.Plot`]; `finish` adds `tables`, what a person saw.

Guarantees: no figure without command, machine, versions, model, seed and settings in front of it; a busy machine is
said before the figures and again after them; the last line says where the JSON is. Refused: a path that cannot be
written, before anything is measured (`choose_path`).
"""

import os
import textwrap
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from bench.figures import figures_in
from bench.pages import write_page
from bench.program import BenchFailed
from bench.table import WIDTH_MAX_COLUMNS, Table, short_figure_table, table_lines

LABEL_COLUMNS = 11
RESULTS = Path(__file__).resolve().parent / "results"


def utc_now() -> str:
    """The `started_at` of a result."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def choose_path(bench: str, started_at: str, asked: str = "", save: str | None = None, folder: Path | None = None,
                ) -> Path:
    """Where the JSON goes: `asked`, else BENCH.json of the machine called `save` in bench/results, else (None)
    bench-NAME-TIME.json in the current directory. Raises: BenchFailed.
    """
    if save is not None:
        path = RESULTS / save / f"{bench}.json"
        if not (RESULTS.parent.parent / "pyproject.toml").is_file():
            raise BenchFailed("--save is for a checkout of the repository; give --json PATH")
        path.parent.mkdir(parents=True, exist_ok=True)
    else:
        stamp = started_at.replace("-", "").replace(":", "").removesuffix("+0000") + "Z"
        path = Path(asked) if asked else (folder or Path.cwd()) / f"bench-{bench}-{stamp}.json"
    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise BenchFailed(f"{path} cannot be written; give another --json PATH")
    return path


def finish(result: dict[str, object], tables: Sequence[Table], path: Path) -> None:
    """The end of a bench: write the JSON and tell it all; with --save the page and the plots too. Raises: BenchFailed.
    """
    result["tables"] = tables
    write_json(result, path)
    print_report(result, tables, path)
    if RESULTS in path.parents:
        write_page(path)


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
    figures = [one for one in figures_in(result) if one.is_judged]
    if figures:
        lines += ["", *table_lines(short_figure_table(figures))]
    return lines + (["", "BUSY: other processes disturbed this run, see above."] if busy else [])


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


def _wrapped(label: str, text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH_MAX_COLUMNS, initial_indent=label.ljust(LABEL_COLUMNS),
                         subsequent_indent=" " * LABEL_COLUMNS, break_on_hyphens=False) or [label]
