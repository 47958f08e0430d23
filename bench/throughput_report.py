"""What `bench throughput` has measured, told: figures and their targets, tables, a plot."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bench.answerers import FACE, GATEWAY, HTTP, WORKER, ZMQ, Round
from bench.figures import Figure
from bench.load import Target
from bench.plot import Line, Plot
from bench.records import median_of, ratio
from bench.ref_batch import NAME as BARE
from bench.rounds import Turn
from bench.table import Table, figure

AT_LEAST = {("1m", 8): 0.90, ("26m", 8): 0.97, ("1m", 1): 0.85}  # HTTP, of the bare generator's tokens per second
CPU_US_MAX = 100  # of gateway and http, for each token over HTTP
CPU_CASE = ("1m", 8)
RANDOM_WORDS = {"1m": "1 M model", "26m": "26 M model"}
OVER = {ZMQ: "over ZeroMQ", HTTP: "over HTTP"}


class Case(NamedTuple):
    """What one column of the table is about. `model` "": whatever the targets serve."""

    model: str
    streams: int

    @property
    def words(self) -> str:
        streams = f"{self.streams} stream{'s' if self.streams > 1 else ''}"
        return f"{streams}, {model_words(self.model)}" if self.model else streams


OfCase = Mapping[str, Sequence[Round]]  # by target, in the order of the rounds


def model_words(model: str) -> str:
    """For the name of a figure: without the folder that the weights lie in."""
    return RANDOM_WORDS.get(model) or model.rstrip("/").rpartition("/")[2]


def told_models(models: Sequence[str], others: Sequence[Target], *, own_stack: bool) -> str:
    """What is started here serves these; what each of the others serves, since a ratio of two models says little."""
    names = ", ".join(filter(None, models))
    started = [names if own_stack else f"references: {names}"] if names else []
    return "; ".join(started + [f"{one.name}: {one.model or 'its own choice'} at {one.address}" for one in others])


def figures(turns: Sequence[Turn[Round]]) -> dict[str, object]:
    """Of one target, for the JSON: the median, and every round with all that is known about it."""
    return {"tokens_per_s": median_of(turn.figures.tokens_per_s for turn in turns),
            "rounds": [{"tokens_per_s": turn.figures.tokens_per_s, **turn.record()} for turn in turns]}


def rates(rounds: Sequence[Round]) -> list[float]:
    return [one.tokens_per_s for one in rounds]


def figures_to_reach(case: Case, of_case: OfCase) -> list[Figure]:
    """Ours beside the bare generator, or beside each other server where that was not measured; and the CPU it takes."""
    found = []
    for ours in (name for name in OVER if name in of_case):
        others = [BARE] if BARE in of_case else [name for name in of_case if name not in OVER]
        for other in others:
            beside = "" if other == BARE else f", beside {other}"
            target = AT_LEAST.get((case.model, case.streams)) if (ours, other) == (HTTP, BARE) else None
            found.append(Figure(f"tokens/s {OVER[ours]}, {case.words}{beside}", "higher", rates(of_case[ours]),
                                "tokens/s", rates(of_case[other]), other, target))
        if not others:
            found.append(Figure(f"tokens/s {OVER[ours]}, {case.words}", "higher", rates(of_case[ours]), "tokens/s"))
    cpu_us = [one.cpu_us(GATEWAY, FACE) for one in of_case.get(HTTP, ())]
    if any(value is not None for value in cpu_us):
        wanted = CPU_US_MAX if (case.model, case.streams) == CPU_CASE else None
        found.append(Figure(f"CPU per token in gateway and http, {case.words}", "lower", cpu_us, "us",
                            target=wanted))
    return found


def peers_table(rounds: Mapping[Case, OfCase], tokens: int, others: Sequence[Target]) -> Table:
    """Everybody who was measured, beside each other: tokens per second, and the ratio to the first of them; the others
    with the model that they were asked for.
    """
    models = {one.name: f" ({one.model or 'its own choice'})" for one in others}
    names = list(dict.fromkeys(name for of_case in rounds.values() for name in of_case))
    base = BARE if BARE in names else names[0]
    rows = []
    for name in names:
        cells = []
        for of_case in rounds.values():
            share = None if name == base else ratio(rates(of_case[name]), rates(of_case[base]))
            cells.append(figure(median_of(rates(of_case[name]))) + (f" ({figure(share)})" if share is not None else ""))
        rows.append([name + models.get(name, ""), *cells])
    return Table(f"`bench throughput`, answers of {tokens} tokens: tokens/s (of {base}, same round)",
                 ["tokens/s", *(case.words for case in rounds)], rows)


def plot_of(rounds: Mapping[Case, OfCase]) -> Plot:
    """Bars: the share of the first target's tokens per second, since models differ too much for one axis."""
    names = list(dict.fromkeys(name for of_case in rounds.values() for name in of_case))
    base = BARE if BARE in names else names[0]
    lines = [Line(name, [(float(place), ratio(rates(of_case[name]), rates(of_case[base])) or 0.0)
                         for place, of_case in enumerate(rounds.values())]) for name in names]
    return Plot("ratios", f"Tokens per second, of those of {base}", "", f"of {base}", lines,
                groups=[case.words for case in rounds])


def tables_of(rounds: Mapping[Case, OfCase]) -> list[Table]:
    """For each case, tokens per second by round; and why answers failed, if any did."""
    tables, failures = [], []
    for case, of_case in rounds.items():
        count = max(map(len, of_case.values()))
        columns = ["tokens per s", "median", *(f"round {number}" for number in range(1, count + 1)), "answers",
                   "failed", "us of CPU per token\ngateway", "\nhttp", "\nworkers", "generator\nCPU"]
        tables.append(Table(case.words, columns, [row_of(name, of_name) for name, of_name in of_case.items()]))
        failures += [(detail, f"{name}, {case.words}", str(times)) for name, of_name in of_case.items()
                     for detail, times in sum((Counter(one.details) for one in of_name), Counter()).items()]
    return tables + ([Table("Refused or failed, all rounds", ("why", "target", "times"), failures)] if failures else [])


def row_of(name: str, rounds: Sequence[Round]) -> list[str]:
    """The generator's CPU is in percent of one core."""
    share = median_of(one.generator_cpu_s / one.wall_s for one in rounds
                      if one.generator_cpu_s is not None and one.wall_s)
    cpu = [median_of(one.cpu_us(module) for one in rounds) for module in (GATEWAY, FACE, WORKER)]
    return [name, figure(median_of(rates(rounds))), *map(figure, rates(rounds)), str(sum(one.done for one in rounds)),
            str(sum(one.failed for one in rounds)), *map(figure, cpu), "-" if share is None else f"{share:.0%}"]
