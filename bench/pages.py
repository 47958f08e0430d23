"""What stands beside a saved JSON in bench/results: a page in Markdown and its plots; and the README's section of all.

All of it is made from the JSON files alone, so it can be made again at any time (`python -m bench tables`), and a test
compares the README with them. Pages and plots are for whoever browses the folder; nothing reads them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from bench.figures import figures_in
from bench.plot import draw, draw_figures, plots_in
from bench.program import BenchFailed
from bench.table import VERDICTS, Table, figure_table, markdown_lines, table_lines, tables_in

MEANING = ("Each figure is the median of its rounds, with the lowest and the highest of them. Its reference ran in the "
           "same rounds, in turn with ours; a value with a reference is ours divided by it, round by round.")

Results = Mapping[str, Mapping[str, object]]  # by bench


def read_result(path: Path) -> dict[str, object]:
    """Raises: BenchFailed: it is not there, or no result of a bench."""
    try:
        result = msgspec.json.decode(path.read_bytes())
    except OSError as problem:
        raise BenchFailed(f"{path} cannot be read ({problem.strerror})") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        result = None
    if not isinstance(result, dict) or not {"bench", "machine", "settings", "command"} <= result.keys():
        raise BenchFailed(f"{path} is no result of `python -m bench`")
    return result


def read_results(folder: Path) -> dict[str, dict[str, object]]:
    """All JSON files of one machine, by bench. Raises: BenchFailed."""
    found = [read_result(path) for path in sorted(folder.glob("*.json"))]
    return {result["bench"]: result for result in found}


def write_page(path: Path) -> None:
    """BENCH.md and its plots beside BENCH.json. Raises: BenchFailed."""
    result, drawn = read_result(path), []
    for plot in plots_in(result):
        drawn.append((plot.title, path.with_name(f"{path.stem}-{plot.name}.svg")))
        draw(plot, drawn[-1][1])
    figures = figures_in(result)
    if any(one.target and one.value for one in figures):
        drawn.append(("How near each figure is to its target", path.with_name(f"{path.stem}-targets.svg")))
        draw_figures(figures, f"{result['bench']} ({path.parent.name})", drawn[-1][1])
    lines = page_lines(result) + [f"\n![{title}]({each.name})" for title, each in drawn]
    path.with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def page_lines(result: Mapping[str, object]) -> list[str]:
    """Without the plots."""
    settings = ", ".join(f"{name} {value}" for name, value in result["settings"].items())
    lines = [f"# bench {result['bench']}", "", f"`{result['command']}`", "",
             f"{machine_words(result)}. {provenance(result)}", "",
             f"Model: {result['model']}. Settings: {settings}."]
    lines += [f"\n**Busy:** {sentence}" for sentence in result["busy"]]
    figures = [one for one in figures_in(result) if one.is_judged]
    if figures:
        lines += ["", MEANING, "", *markdown_lines(loud(figure_table(figures)))]
    for table in tables_in(result, "tables"):  # as they were seen: their stacked headings are no Markdown
        lines += ["", "```", *table_lines(table), "```"]
    return lines


def section(machines: Mapping[str, Results], order: Sequence[str]) -> list[str]:
    """What stands in the README: by machine, one table of what is to be reached, and the benches' own. `order`: of the
    benches. No lines if nothing was saved.
    """
    lines = []
    for name, results in machines.items():
        known = [results[bench] for bench in order if bench in results]
        if known:
            lines += ["", *_machine_lines(name, known)]
    return lines[1:]


def _machine_lines(name: str, results: Sequence[Mapping[str, object]]) -> list[str]:
    lines = [f"**{name}**: {machine_words(results[0])}. {MEANING} All of it, with plots: "
             f"[bench/results/{name}](bench/results/{name})."]
    figures = [one for result in results for one in figures_in(result) if one.is_judged]
    if figures:
        missed = sum(one.reached is False for one in figures)
        wanted = sum(one.reached is not None for one in figures)
        reached = [f"{wanted - missed} of {wanted} targets are reached.", ""] if wanted else []
        lines += ["", *reached, *markdown_lines(loud(figure_table(figures)))]
    for result in results:
        for table in tables_in(result, "readme"):
            lines += ["", f"{table.title}:", "", *markdown_lines(table)]
    lines += ["", *(f"- `{result['command']}`: {provenance(result)}" for result in results)]
    return lines


def loud(table: Table) -> Table:
    """A miss in bold."""
    return table._replace(rows=[[f"**{cell}**" if cell == VERDICTS[False] else cell for cell in row]
                                for row in table.rows])


def machine_words(result: Mapping[str, object]) -> str:
    machine = result["machine"]
    versions = [f"{name} {version}" for name, version in machine["versions"].items()
                if version and name != "mlx-warden"]
    return ", ".join([machine["cpu"], f"{machine['cores']} cores", f"{machine['memory_gib']} GiB", machine["system"],
                      f"Python {machine['python']}", *versions])


def provenance(result: Mapping[str, object]) -> str:
    """When, from what, with what seed; and whether others disturbed it."""
    machine = result["machine"]
    commit = f", commit {machine['git_commit']}" if machine["git_commit"] else ""
    busy = " Other processes disturbed it." if result["busy"] else ""
    return (f"{result['started_at'][:10]}, mlx-warden {machine['versions']['mlx-warden']}{commit}, "
            f"seed {result['seed']}.{busy}")
