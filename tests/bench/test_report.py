"""bench/report.py: what stands on the terminal and in the file."""

import json
from pathlib import Path

import pytest

from bench.figures import Figure
from bench.program import BenchFailed
from bench.records import Spread
from bench.report import choose_path, finish, print_report, report_lines, utc_now, write_json
from bench.table import WIDTH_MAX_COLUMNS, Table

RESULT = {
    "command": "python -m bench latency --rate 4", "bench": "latency", "started_at": "2026-01-02T03:04:05+00:00",
    "machine": {"cpu": "A Chip", "cores": 2, "memory_gib": 16.0, "system": "Linux", "python": "3.11.7",
                "versions": {"mlx-warden": "0.1.0", "mlx": "0.32.0", "aiohttp": ""}, "git_commit": "abc+changes"},
    "model": "1m", "seed": 7, "settings": {"max_running": 8, "streams": 4}, "busy": [],
    "targets": {"t": {"spread": Spread(1.0, 2.0, None), "rounds": [Spread(1.0, float("nan"), 3.0)]}},
    "figures": [Figure("a", "higher", (90.0,), "", (100.0,), "b", 0.9)],
}
TABLE = Table("a title", ("class", "first\np50", "p95"), [("high", "1.5", "200"), ("medium", "10.5", "3000")])


def test_what_the_figures_belong_to_stands_in_front_of_them():
    lines = report_lines(RESULT, [TABLE])
    head = "\n".join(lines[: lines.index("a title")])
    for fact in ("--rate 4", "2026-01-02T03:04:05", "A Chip", "2 cores", "16.0 GiB", "3.11.7", "mlx-warden 0.1.0",
                 "mlx 0.32.0", "abc+changes", "1m", "7", "max_running 8", "streams 4"):
        assert fact in head
    assert "aiohttp" not in head


def test_a_busy_machine_is_said_before_and_after():
    lines = report_lines(RESULT | {"busy": ["t, round 1: others"]}, [TABLE])
    assert [number for number, line in enumerate(lines) if "BUSY" in line][0] < lines.index("a title")
    assert lines[-1].startswith("BUSY")
    assert not any("BUSY" in line for line in report_lines(RESULT, [TABLE]))


def test_figures_are_shown_where_there_are_any():
    lines = report_lines(RESULT, [])
    assert any(line.split() == ["a", "90.0", "/", "100", "b", "0.90", ">=", "0.9", "reached"] for line in lines)
    assert not any("reached" in line for line in report_lines(RESULT | {"figures": []}, []))


def test_the_file_has_everything_with_names(tmp_path):
    path = tmp_path / "x.json"
    write_json(RESULT, path)
    read = json.loads(path.read_text())
    assert read["targets"]["t"]["spread"] == {"p50": 1.0, "p95": 2.0, "p99": None}
    assert read["targets"]["t"]["rounds"] == [{"p50": 1.0, "p95": None, "p99": 3.0}]
    assert read["settings"] == RESULT["settings"]
    assert path.read_text().count("\n") > 20, "a person can read it"


def test_the_last_line_says_where_the_file_is(tmp_path, capsys):
    print_report(RESULT, [TABLE], tmp_path / "x.json")
    assert capsys.readouterr().out.splitlines()[-1] == f"All figures: {tmp_path / 'x.json'}"


def test_the_file_is_named_by_bench_and_time(tmp_path):
    at = "2026-01-02T03:04:05+00:00"
    assert choose_path("latency", at, folder=tmp_path) == tmp_path / "bench-latency-20260102T030405Z.json"
    assert choose_path("latency", at, folder=None).parent == Path.cwd()
    assert choose_path("latency", at, str(tmp_path / "mine.json")) == tmp_path / "mine.json"
    assert choose_path("latency", utc_now(), folder=tmp_path).name.endswith("Z.json")


def test_a_path_that_cannot_be_written_is_refused_before_anything_is_measured(tmp_path):
    with pytest.raises(BenchFailed, match="--json PATH"):
        choose_path("latency", utc_now(), str(tmp_path / "missing" / "x.json"))
    with pytest.raises(BenchFailed, match="--json PATH"):
        choose_path("latency", utc_now(), str(tmp_path))
    with pytest.raises(BenchFailed, match="Is a directory"):
        write_json(RESULT, tmp_path)


def test_no_line_of_the_head_is_too_long():
    result = RESULT | {"command": "word " * 60, "model": "m" * 300, "busy": ["busy " * 50]}
    assert max(map(len, report_lines(result, []))) <= WIDTH_MAX_COLUMNS


def test_what_is_saved_lies_in_the_folder_of_the_machine_with_its_page(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("bench.report.RESULTS", tmp_path / "checkout/bench/results")
    with pytest.raises(BenchFailed, match="--save is for a checkout"):
        choose_path("latency", utc_now(), save="linux-2core")
    (tmp_path / "checkout").mkdir()
    (tmp_path / "checkout/pyproject.toml").touch()
    path = choose_path("latency", utc_now(), save="linux-2core")
    assert path == tmp_path / "checkout/bench/results/linux-2core/latency.json"
    finish(dict(RESULT), [TABLE], path)
    assert {one.name for one in path.parent.iterdir()} == {"latency.json", "latency.md", "latency-targets.svg"}
    assert json.loads(path.read_text())["tables"][0]["title"] == "a title"
    assert str(path) in capsys.readouterr().out
