"""`python -m bench compare A B`: what got slower from result A to result B, what faster, what is within the noise.

A and B are two JSON files of one bench, or two folders of them (each bench that both have is compared). When two
figures differ is decided in `figures.choose_change`, from the spread of the rounds. Exit code 1 if something got
slower, 0 if nothing did, 2 if they cannot be compared.

Refused: two different benches; another machine, model, seed or setting, unless --anyway, which names them in front of
the figures. Versions and commits may differ, since they are what one compares; they are shown.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.figures import (
    CHANGE_MIN,
    PAIRS_MIN,
    SINGLE_CHANGE_MIN,
    Change,
    Figure,
    choose_change,
    figures_in,
    noise_of,
    relative,
)
from bench.options import Parser
from bench.pages import provenance, read_result, read_results
from bench.records import median_of
from bench.table import Table, figure, table_lines

NAME = "compare"
HARDWARE = ("cpu", "cores", "memory_gib")
RULE = (f"Slower or faster: at least {PAIRS_MIN:.0%} of all pairs of rounds, one of A and one of B, say so, and the "
        f"medians\ndiffer by more than {CHANGE_MIN:.0%} ({SINGLE_CHANGE_MIN:.0%} where a run has one round only). A "
        "figure with a reference is judged by its\nratio, so a slower machine is not taken for slower code.")
EXAMPLES = """
examples:
  python -m bench compare before.json after.json
  git stash; python -m bench throughput --rounds 5 --json /tmp/a.json; git stash pop
  python -m bench throughput --rounds 5 --json /tmp/b.json; python -m bench compare /tmp/a.json /tmp/b.json
  python -m bench compare bench/results/linux-2core /tmp/today
"""


def main(arguments: list[str]) -> int:
    """Raises: BenchFailed: a file cannot be read."""
    parser = Parser(NAME, "What got slower from A to B, by figure; exit code 1 if anything did.", EXAMPLES)
    parser.add_argument("before", metavar="A", type=Path, help="a JSON file, or a folder of them")
    parser.add_argument("after", metavar="B", type=Path, help="of the same bench, or a folder")
    parser.add_argument("--anyway", action="store_true", help="compare also what was measured in different ways")
    options = parser.parse_args(arguments)
    before, after = read_side(options.before), read_side(options.after)
    both = [name for name in before if name in after]
    if not both:
        parser.error(f"A has {' and '.join(before) or 'nothing'}, B has {' and '.join(after) or 'nothing'}")
    unlike = {name: found for name in both if (found := differences(before[name], after[name]))}
    if unlike and not options.anyway:
        told_differences = "; ".join(f"{name}: {', '.join(found)}" for name, found in unlike.items())
        parser.error(f"A and B were not measured in the same way: {told_differences}; --anyway compares them")
    changes: Counter[Change] = Counter()
    for name in both:
        lines, of_bench = compared(before[name], after[name], unlike.get(name, []))
        print("\n".join(lines))
        changes += of_bench
    for name in sorted(before.keys() ^ after.keys()):
        print(f"{name}: only in {'A' if name in before else 'B'}")
    print(RULE)
    print(", ".join(f"{changes[change]} {change}" for change in Change if changes[change]) or "no figures", flush=True)
    return int(changes[Change.SLOWER] > 0)


def read_side(path: Path) -> dict[str, dict[str, object]]:
    """By bench. Raises: BenchFailed."""
    if path.is_dir():
        return read_results(path)
    result = read_result(path)
    return {result["bench"]: result}


def differences(one: Mapping[str, object], other: Mapping[str, object]) -> list[str]:
    """What makes the figures of two results speak about different things, each in words."""
    pairs = {name: (one["machine"].get(name), other["machine"].get(name)) for name in HARDWARE}
    pairs |= {name: (one.get(name), other.get(name)) for name in ("model", "seed")}
    settings, others = one["settings"], other["settings"]
    pairs |= {name: (settings.get(name), others.get(name)) for name in settings | others
              if name != "rounds"}  # more rounds are more certain, not different
    return [f"{name} {a!r} and {b!r}" for name, (a, b) in pairs.items() if a != b]


def compared(one: Mapping[str, object], other: Mapping[str, object], unlike: Sequence[str],
             ) -> tuple[list[str], Counter[Change]]:
    """What is told of one bench, and how many figures changed in which way."""
    lines = [f"bench {one['bench']}", f"  A: {provenance(one)}", f"  B: {provenance(other)}"]
    lines += [f"  NOT THE SAME: {each}" for each in unlike]
    versions = [result["machine"]["versions"] | {name: result["machine"][name] for name in ("python", "system")}
                for result in (one, other)]
    lines += [f"  {name}: A {versions[0].get(name)}, B {versions[1].get(name)}" for name in versions[0]
              if versions[0].get(name) != versions[1].get(name)]
    before, after = ({one.what: one for one in figures_in(result)} for result in (one, other))
    changes = {what: choose_change(before[what], after[what]) for what in before if what in after}
    changes |= dict.fromkeys(before.keys() ^ after.keys(), Change.UNKNOWN)
    rows = [row_of(what, before.get(what), after.get(what), change) for what, change in changes.items()]
    if rows:
        lines += ["", *table_lines(Table("", ("figure", "A", "B", "change", "rounds", "", "ours, A", "ours, B"), rows))]
    return [*lines, ""], Counter(changes.values())


def row_of(what: str, before: Figure | None, after: Figure | None, change: Change) -> tuple[str, ...]:
    unknown = change is Change.UNKNOWN
    grew, noise = ("", "") if unknown else (f"{relative(before, after):+.1%}", f"+-{noise_of(before, after):.0%}")
    ours = [figure(median_of(one.ours)) if one and one.reference_name else "" for one in (before, after)]
    return (what, *(figure(one and one.value) for one in (before, after)), grew, noise, str(change), *ours)
