"""bench/pages.py: what is read back from results, and the Markdown that is made of it."""

import json

import pytest

from bench.figures import Figure
from bench.pages import page_lines, provenance, read_result, read_results, section, write_page
from bench.plot import Line, Plot
from bench.program import BenchFailed
from bench.report import write_json
from bench.table import Table

MACHINE = {"cpu": "A Chip", "cores": 2, "memory_gib": 16.0, "system": "Linux", "python": "3.11.7",
           "versions": {"mlx-warden": "0.1.0", "mlx": "0.32.0", "aiohttp": ""}, "git_commit": "abc"}
MISSED = Figure("tokens/s over HTTP", "higher", (581, 640), "tokens/s", (712, 710), "bare-batch", 0.9)
REACHED = Figure("CPU per token", "lower", (90.0, 80.0), "us", target=100)
ABSOLUTE = Figure("first text", "lower", (10.0,), "ms")
RESULT = {
    "command": "python -m bench throughput --rounds 2", "bench": "throughput",
    "started_at": "2026-01-02T03:04:05+00:00", "machine": MACHINE, "model": "1m", "seed": 7, "settings": {"streams": 8},
    "busy": [], "figures": [MISSED, REACHED, ABSOLUTE], "readme": [Table("Peers", ("", "tokens/s"), [("ollama", "5")])],
    "tables": [Table("all of it", ("a",), [("1",)])],
    "plots": [Plot("bars", "Bars", "", "", [Line("ours", [(0, 1.0)])], groups=["8"])],
}


def test_a_page_has_all_that_is_known(tmp_path):
    path = tmp_path / "throughput.json"
    write_json(RESULT, path)
    write_page(path)
    text = (tmp_path / "throughput.md").read_text()
    for part in ("--rounds 2", "A Chip, 2 cores", "commit abc", "seed 7", "Model: 1m", "streams 8", "**MISSED**",
                 "all of it", "![Bars](throughput-bars.svg)", "(throughput-targets.svg)"):
        assert part in text
    assert {one.name for one in tmp_path.iterdir()} == {
        "throughput.json", "throughput.md", "throughput-bars.svg", "throughput-targets.svg"}
    assert page_lines(read_result(path)) == page_lines(json.loads(path.read_text()))


def test_the_readme_says_what_is_missed_and_what_is_reached():
    lines = section({"linux-2core": {"throughput": RESULT}}, ["overhead", "throughput"])
    text = "\n".join(lines)
    assert "1 of 2 targets are reached" in text
    row = "| tokens/s over HTTP | 610 tokens/s | bare-batch 711 tokens/s | 0.86 (0.82 to 0.90) | >= 0.9 | **MISSED** |"
    assert row in lines
    assert "| CPU per token | 85.0 us |  | 85.0 (80.0 to 90.0) | <= 100 | reached |" in lines
    assert "first text" not in text, "neither a target nor a reference"
    assert "| ollama | 5 |" in lines
    assert "- `python -m bench throughput --rounds 2`: 2026-01-02, mlx-warden 0.1.0, commit abc, seed 7." in lines


def test_a_disturbed_run_is_said():
    assert provenance(RESULT | {"busy": ["ours, round 1: others"]}).endswith(" Other processes disturbed it.")


def test_nothing_saved_is_nothing_to_say():
    assert section({}, ["throughput"]) == section({"linux-2core": {}}, ["throughput"]) == []


def test_what_is_no_result_is_refused(tmp_path):
    for name, text in (("a.json", "{}"), ("b.json", "[1]"), ("c.json", "no json")):
        (tmp_path / name).write_text(text)
        with pytest.raises(BenchFailed, match="is no result of"):
            read_result(tmp_path / name)
    with pytest.raises(BenchFailed, match="cannot be read"):
        read_result(tmp_path / "gone.json")
    with pytest.raises(BenchFailed, match="is no result of"):
        read_results(tmp_path)
