"""`python -m bench tables`: the README's section of what was measured, made from the files in bench/results.

Prints it; with --write it replaces what stands between the two marks in README.md, and makes the pages and plots beside
the results again. tests/bench/test_tables.py compares README and files.
"""

import textwrap
from collections.abc import Sequence
from pathlib import Path

from bench.all import PLAN
from bench.options import Parser
from bench.pages import read_results, section, write_page
from bench.program import ROOT, BenchFailed
from bench.report import RESULTS

NAME = "tables"
BEGIN = "<!-- what `python -m bench tables --write` writes -->"
END = "<!-- end of what it writes -->"
WIDTH_COLUMNS = 120
EXAMPLES = """
examples:
  python -m bench tables             # print the section
  python -m bench tables --write     # put it into README.md, and make all pages and plots again
"""


def main(arguments: list[str]) -> int:
    """Raises: BenchFailed."""
    parser = Parser(NAME, "The README's section of what was measured, from the files in bench/results.", EXAMPLES)
    parser.add_argument("--write", action="store_true", help="into README.md between its two marks; and all pages")
    options = parser.parse_args(arguments)
    lines = readme_section(RESULTS)
    if not options.write:
        print("\n".join([BEGIN, *lines, END]))
        return 0
    readme = ROOT / "README.md"
    readme.write_text(replaced(readme.read_text(encoding="utf-8"), lines), encoding="utf-8")
    for path in sorted(RESULTS.glob("*/*.json")):
        write_page(path)
    print(f"{readme}, and the pages in {RESULTS}, are those of the results")
    return 0


def readme_section(folder: Path) -> list[str]:
    """Without the marks; no lines if nothing is saved in `folder`. Raises: BenchFailed."""
    folders = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    machines = {path.name: read_results(path) for path in folders}
    others = sorted({bench for results in machines.values() for bench in results} - PLAN.keys())
    lines = section(machines, [*PLAN, *others])
    return [part for line in lines for part in ([line] if line.startswith("|") else _wrapped(line))]


def between_marks(text: str) -> list[str]:
    """What stands in the README now; no lines if it has no marks."""
    lines = text.splitlines()
    return lines[lines.index(BEGIN) + 1:lines.index(END)] if BEGIN in lines and END in lines else []


def replaced(text: str, section_lines: Sequence[str]) -> str:
    """The README with these lines between its marks. Raises: BenchFailed."""
    lines = text.splitlines()
    if BEGIN not in lines or END not in lines:
        raise BenchFailed(f"README.md has no place for it; give it these two lines:\n{BEGIN}\n{END}")
    return "\n".join([*lines[:lines.index(BEGIN) + 1], *section_lines, *lines[lines.index(END):]]) + "\n"


def _wrapped(line: str) -> list[str]:
    return textwrap.wrap(line, WIDTH_COLUMNS, break_long_words=False, break_on_hyphens=False,
                         subsequent_indent="  " if line.startswith("- ") else "") or [""]
