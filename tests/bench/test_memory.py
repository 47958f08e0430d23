"""bench/memory.py: what is above the share is found, wherever and whenever it is."""

import pytest

from bench.memory import MIB, faults_of, highest_of, make_parser, plot_of, tables_of, verdict
from bench.records import Heard, summarise
from bench.table import table_lines
from bench.table_samples import Sample
from control.states import Phase


def sample(at_s, **changes):
    """A worker that keeps to its share of 100 MiB, but for the changes (MiB)."""
    sizes = {"share": 100, "active": 50, "peak": 60, "cache": 20, "footprint": 90} | changes
    return Sample(at_s, Phase.READY, 1, 1, *(size * MIB for size in sizes.values()), batch_max=8)


def summary(*outcomes):
    return summarise([Heard("medium", 0.0, 0.0, 0.1, 0.2, 5, outcome=outcome, detail="why" * (outcome != "done"))
                      for outcome in outcomes])


GOOD = [sample(0.0), sample(0.1, active=80), sample(0.2)]


def test_a_worker_that_keeps_to_its_share():
    assert faults_of(GOOD, summary("done", "done")) == []
    assert highest_of(GOOD) == {"share": 100 * MIB, "active and cache": 100 * MIB,
                                "active, MLX's own peak": 60 * MIB, "footprint": 90 * MIB}
    assert verdict([]).startswith("GOOD")


@pytest.mark.parametrize(("changes", "words"), [
    ({"active": 81}, "active and cache was 1 MiB above the share at 0.3 s"),
    ({"cache": 60}, "active and cache was 10 MiB above"),
    ({"peak": 103}, "the peak of active was 3 MiB above"),
    ({"footprint": 105}, "the footprint was 5 MiB above"),
    ({"share": 80}, "the footprint was 10 MiB above"),  # the share of that moment counts
])
def test_one_look_above_the_share_is_enough(changes, words):
    [fault] = faults_of([*GOOD, sample(0.3, **changes), sample(0.4)], summary("done"))
    assert words in fault
    assert verdict([fault]) == f"NOT GOOD: {fault}"


def test_a_run_that_shows_nothing_is_not_good():
    assert faults_of(GOOD, summary("done", "refused", "error")) == ["2 of 3 requests were not answered"]
    assert faults_of([sample(0.0, active=0)], summary("done")) == ["the worker does not say what MLX uses"]


def test_the_plot_and_the_tables(tmp_path):
    plot = plot_of("26m", GOOD)
    assert [line.name for line in plot.lines] == ["share", "footprint", "active and cache", "active"]
    assert [x for x, _ in plot.lines[0].points] == [0.0, 0.1, 0.2]
    told = [line for table in tables_of(GOOD, [], summary("done", "refused"), tmp_path / "plot.svg")
            for line in table_lines(table)]
    assert any(line.split() == ["footprint", "90", "90%"] for line in told)
    assert any(line.split() == ["why", "1"] for line in told)
    assert "at most 8 sequences at once" in "\n".join(told)


def test_options():
    options = make_parser().parse_args(["--share", "2", "--model", "26m"])
    assert (options.share, options.model, options.sequences) == (2, "26m", 8)
