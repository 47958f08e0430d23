"""bench/scaling.py: a short real run over a stack, and the figures of rounds."""

import json

import pytest

from bench.scaling import BACK_TARGET, FLAT_TARGET, Round, figures, main, make_parser, tables_of
from bench.scaling_admission import Decisions
from bench.scaling_streams import Memory, Speed
from bench.scaling_table import Snapshots
from bench.table import table_lines

STREAMS = 12


def one_round(slow_per_s, before, after):
    return Round([Decisions(10, 1000.0, [1, 1, 1]), Decisions(100_000, slow_per_s, [1, 1, 1])],
                 Snapshots(80.0, 20.0, 30.0, 1000.0, 990.0),
                 [Memory(0, False, before, before), Memory(STREAMS, False, 60.0, 90.0), Memory(0, True, after, after)],
                 [Speed(1, 100.0, 5.0, 6.0)])


def test_memory_afterwards_is_held_against_that_before_the_first_round():
    rounds = [one_round(400.0, 40.0, 60.0), one_round(600.0, 60.0, 60.0)]
    found = {one.what: one for one in figures(rounds, make_parser().parse_args(["--streams", str(STREAMS)]))}
    assert found["memory of http, after they ended"].values == [1.5, 1.5]
    assert found["memory of http, after they ended"].target == BACK_TARGET
    assert found[f"memory of gateway, {STREAMS} open streams"].value == 60
    flat = found["admission, fastest / slowest, 10 to 100,000 queued"]
    assert flat.value == pytest.approx((2.5 + 1000 / 600) / 2) and flat.target == FLAT_TARGET
    assert found["writes per CPU s beside a reader of the table"].reached
    text = [" ".join(line.split()) for table in tables_of(rounds) for line in table_lines(table)]
    assert f"{STREAMS} open 60.0 90.0 60.0 90.0" in text and "after 60.0 60.0 60.0 60.0" in text


@pytest.mark.integration
def test_streams_of_a_real_stack(tmp_path, capsys):
    path = tmp_path / "scaling.json"
    assert main(["--parts", "streams", "--streams", str(STREAMS), "--hold", "1", "--tokens", "300", "--rounds", "1",
                 "--json", str(path)]) == 0
    result = json.loads(path.read_text())
    [only] = result["rounds"]
    assert [one["open"] for one in only["memory"]] == [0, STREAMS, 0] and only["memory"][-1]["after"]
    assert all(one["gateway_mib"] > 1 and one["http_mib"] > 1 for one in only["memory"])
    assert STREAMS in [one["streams"] for one in only["speed"]]
    assert f"{STREAMS} open" in capsys.readouterr().out
