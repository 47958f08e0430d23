"""Which paths are compared with which, and how their figures become ratios and rows."""

import pytest

from bench import overhead
from bench.load import Loaded
from bench.overhead import (
    ECHO_SERVER,
    OURS_HTTP,
    OURS_ZMQ,
    RELAY,
    SATURATED,
    Path,
    differences_ms,
    figures,
    figures_to_reach,
    path_of,
    readme_table,
    tables_of,
    told,
)
from bench.records import Heard, Spread
from bench.table import table_lines
from bench.rounds import Turn


def path(p50_ms, per_s=1000.0, **fields):
    return Path(Spread(p50_ms, p50_ms * 2, p50_ms * 3), per_s, **{"done": 10, "failed": 0, "details": {}} | fields)


PATHS = {
    OURS_ZMQ: [path(0.8), path(1.6), path(0.9)],
    RELAY: [path(0.2), path(0.4), path(0.3)],
    OURS_HTTP: [path(1.2), path(2.4), path(1.5)],
    ECHO_SERVER: [path(0.4), path(0.8), path(0.3)],
    OURS_ZMQ + SATURATED: [path(7.0, 9_000.0), path(9.0, 5_000.0), path(7.0, 10_000.0)],
    RELAY + SATURATED: [path(2.0, 27_000.0), path(3.0, 20_000.0), path(2.0, 25_000.0)],
}


def test_what_is_to_be_reached_compares_within_a_round():
    relayed, saturated, above = figures_to_reach(PATHS)
    assert (relayed.value, relayed.reached) == (pytest.approx(4.0), False)
    assert (saturated.value, saturated.better) == (pytest.approx(1 / 3), "higher")
    assert above.values == pytest.approx([1.0, 1.0, 2.0]), "what HTTP adds, in round trips of a bare web server"
    assert (above.value, above.reached) == (pytest.approx(1.0), True)


def test_differences_are_those_of_a_round():
    assert differences_ms(PATHS, OURS_HTTP, OURS_ZMQ) == pytest.approx([0.4, 0.8, 0.6])


def test_the_readme_has_each_path_once():
    assert readme_table(PATHS, 64).rows == [
        (OURS_ZMQ, "0.900", "9000"), (RELAY, "0.300", "25000"), (OURS_HTTP, "1.500", ""), (ECHO_SERVER, "0.400", "")]


def test_a_row_holds_the_medians():
    paths, differences = (table_lines(table) for table in tables_of(PATHS))
    text = [" ".join(line.split()) for line in paths + differences]
    assert f"{OURS_ZMQ} 0.900 1.800 2.700 1000 30 0 -" in text
    assert f"{OURS_ZMQ}{SATURATED} 7.000 14.000 21.000 9000 30 0 -" in text
    assert f"{OURS_HTTP} - {OURS_ZMQ} 0.600" in text


def test_nothing_measured_is_no_figure():
    silent = {name: [Path(Spread(None, None, None), 0.0, 0, 3, {"refused": 3})] for name in PATHS}
    assert differences_ms(silent, OURS_HTTP, OURS_ZMQ) == [None]
    assert [(one.value, one.reached) for one in figures_to_reach(silent)] == [(None, False)] * 3
    text = [" ".join(line.split()) for line in table_lines(tables_of(silent)[0])]
    assert f"{OURS_ZMQ} - - - 0.00 0 3 -" in text
    busy = table_lines(tables_of({name: [path(1.0, generator_share=0.875)] for name in PATHS})[0])
    assert busy[-1].endswith(" 88%")


def test_latency_counts_from_sending_to_the_end_and_failures_are_kept():
    heard = [Heard("medium", at_s, at_s, at_s + 0.001, at_s + 0.002, 1) for at_s in (0.0, 0.002, 0.004)]
    heard.append(Heard("medium", 0.006, 0.006, None, 0.008, 0, (), "error", "cut"))
    one = path_of(Loaded(heard, 0.004))
    assert one.generator_share == pytest.approx(0.5), "seconds of CPU of the 8 ms it took"
    assert one.total_ms.p50 == pytest.approx(2.0) and one.per_s == pytest.approx(3 / 0.008)
    assert (one.done, one.failed, one.details) == (3, 1, {"cut": 1})


def test_the_json_holds_every_round():
    found = figures([Turn(one, 0.25, 1.0) for one in PATHS[OURS_ZMQ]])
    assert found["total_ms"].p50 == 0.9 and found["per_s"] == 1000
    assert [one["others_share"] for one in found["rounds"]] == [0.25] * 3


def test_progress_says_what_the_path_is_measured_for():
    assert told(RELAY, path(0.25)) == "bare-relay, p50 0.250 ms"
    assert told(RELAY + SATURATED, path(2.0, 27_000.0)) == "bare-relay, saturated, 27000 requests/s"


@pytest.mark.parametrize("arguments", [["--requests", "0"], ["--outstanding", "1"], ["--outstanding", "257"],
                                       ["--saturated-requests", "x"], ["--url", "http://127.0.0.1:1"]])
def test_wrong_options_are_told_in_one_line(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        overhead.main(arguments)
    assert ended.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
