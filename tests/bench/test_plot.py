"""bench/plot.py: files that a browser takes, the same for the same values; how near a figure is to its target."""

import builtins
import xml.etree.ElementTree as ElementTree

import pytest

from bench.figures import Figure
from bench.plot import Line, Plot, draw, draw_figures, part_of, plots_in
from bench.program import BenchFailed

LINES = Plot("x", "a < b & c", "seconds", "GiB", [Line("share", [(0, 2.0), (10, 2.0)]), Line("x<y", [(0, 1), (10, 0)])])
BARS = Plot("x", "bars", "", "of it", [Line("ours", [(0, 0.9), (1, 0.8)]), Line("bare", [(0, 1.0)])], groups=["8", "1"])
HTTP = Figure("tokens/s over HTTP", "higher", (581, 640), "tokens/s", (712, 710), "bare-batch", 0.9)
CPU = Figure("CPU per token", "lower", (200.0, 50.0), "us", target=100)


def texts_of(path):
    return {"".join(text.itertext()).strip() for text in ElementTree.parse(path).getroot().iter()
            if text.tag.endswith("}text")}


@pytest.mark.parametrize("plot", [LINES, BARS, LINES._replace(log_x=True, log_y=True), LINES._replace(lines=[])],
                         ids=["lines", "bars", "logarithmic", "nothing"])
def test_the_same_values_are_the_same_file(plot, tmp_path):
    for name in ("one.svg", "two.svg"):
        draw(plot, tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    assert {plot.title, plot.y_name, *(line.name for line in plot.lines)} <= texts_of(tmp_path / "one.svg")


def test_figures_are_drawn_by_how_near_they_are(tmp_path):
    assert part_of(HTTP, 0.45) == pytest.approx(0.5) and part_of(CPU, 200.0) == pytest.approx(0.5)
    draw_figures([HTTP, CPU, CPU._replace(what="not shown", target=None)], "near", tmp_path / "x.svg")
    assert {"near", HTTP.what, CPU.what} <= texts_of(tmp_path / "x.svg")
    assert "not shown" not in texts_of(tmp_path / "x.svg")


def test_from_a_file_a_plot_is_the_same():
    written = BARS._asdict() | {"lines": [line._asdict() for line in BARS.lines]}
    assert plots_in({"plots": [written]}) == plots_in({"plots": [BARS]}) == [BARS]


def test_without_the_extra_the_remedy_is_named(tmp_path, monkeypatch):
    real = builtins.__import__

    def refuse(name, *rest):
        if name == "matplotlib":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(BenchFailed, match="pip install 'mlx-warden\\[bench\\]'"):
        draw(LINES, tmp_path / "x.svg")


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(BenchFailed, match="cannot be written"):
        draw(LINES, tmp_path / "nowhere/x.svg")
