"""bench/compare.py: what it says of two results, and when it refuses."""

import pytest

from bench.compare import differences, main
from bench.program import BenchFailed
from bench.report import write_json
from tests.bench.test_pages import MACHINE, RESULT

FAST, SLOW = (581.0, 590.0, 600.0), (480.0, 470.0, 490.0)


@pytest.fixture
def saved(tmp_path):
    """`saved(name, **changes)`: the path of such a result."""
    def save(name, **changes):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        write_json(RESULT | changes, path)
        return str(path)
    return save


def figures(*ours):
    return [RESULT["figures"][0]._replace(ours=ours, reference=(700.0,) * len(ours))]


def test_slower_is_1_and_faster_is_0(saved, capsys):
    before, after = saved("a.json", figures=figures(*FAST)), saved("b.json", figures=figures(*SLOW))
    assert main([before, after]) == 1
    told = capsys.readouterr().out
    assert "SLOWER" in told and "-18.6%" in told and "590" in told
    assert told.splitlines()[-1] == "1 SLOWER"
    assert main([after, before]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 faster"
    assert main([before, before]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 noise"


def test_folders_are_compared_bench_by_bench(saved, tmp_path, capsys):
    for folder in ("one", "two"):
        saved(f"{folder}/throughput.json")
    saved("one/overhead.json", bench="overhead")
    assert main([str(tmp_path / "one"), str(tmp_path / "two")]) == 0
    told = capsys.readouterr().out
    assert "bench throughput" in told and "overhead: only in A" in told


@pytest.mark.parametrize(("changes", "says"), [
    ({"model": "26m"}, "model '1m' and '26m'"), ({"settings": {"streams": 1}}, "streams 8 and 1"),
    ({"machine": MACHINE | {"cores": 12}}, "cores 2 and 12"), ({"seed": 8}, "seed 7 and 8"),
])
def test_what_was_measured_in_another_way_is_refused_or_said(saved, capsys, changes, says):
    before, after = saved("a.json"), saved("b.json", **changes)
    with pytest.raises(SystemExit) as ended:
        main([before, after])
    assert ended.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert says in line and "--anyway" in line
    assert main([before, after, "--anyway"]) == 0
    assert f"NOT THE SAME: {says}" in capsys.readouterr().out


def test_versions_and_rounds_may_differ_and_are_shown(saved, capsys):
    other = MACHINE | {"versions": MACHINE["versions"] | {"mlx": "0.33.0"}, "git_commit": "def"}
    assert differences(RESULT, RESULT | {"machine": other, "settings": {"streams": 8, "rounds": 9}}) == []
    assert main([saved("a.json"), saved("b.json", machine=other)]) == 0
    told = capsys.readouterr().out
    assert "mlx: A 0.32.0, B 0.33.0" in told and "commit def" in told


def test_two_benches_cannot_be_compared_nor_what_is_no_result(saved, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main([saved("a.json"), saved("b.json", bench="overhead")])
    assert ended.value.code == 2 and "A has throughput, B has overhead" in capsys.readouterr().err
    with pytest.raises(BenchFailed, match="cannot be read"):
        main([saved("a.json"), str(tmp_path / "gone.json")])


def test_a_figure_of_one_side_is_said(saved, capsys):
    assert main([saved("a.json"), saved("b.json", figures=[])]) == 0
    assert "3 not in both" in capsys.readouterr().out
