"""What `ps --watch` takes for a change, and what it says while nothing runs."""

import json
import time
from datetime import UTC, datetime

import pytest

from control.home import Home
from control.table import ControlWords, Table
from gateway.cli.watch import NOTHING_RUNS, LiveTable, block, cut, draw_frame, json_line, runs_nothing, what_counts
from tests.gateway.cli.test_ps import ready, write_table
from tests.support.overviews import a_memory, a_model, an_overview, silent_overview

AT = datetime(2026, 8, 8, 10, tzinfo=UTC)


def test_a_table_is_followed_from_one_stack_to_the_next(home: Home) -> None:
    table = LiveTable(home)
    assert table.look(1) is None and table.why == NOTHING_RUNS
    write_table(home, **ready(time.monotonic_ns()))
    assert table.look(time.monotonic_ns())["models"][0]["state"] == "ready" and table.why == ""
    write_table(home, **ready(1))  # of a stack that was killed
    assert table.look(time.monotonic_ns()) is None and table.why == NOTHING_RUNS
    home.table.unlink()
    assert table.look(time.monotonic_ns()) is None and table.why == NOTHING_RUNS
    home.table.write_text("no table")
    assert table.look(time.monotonic_ns()) is None and str(home.table) in table.why


@pytest.mark.parametrize(("seen", "nothing"), [
    (an_overview(), False), (silent_overview(), True), (silent_overview() | {"models": []}, True),
    (silent_overview() | {"models": [a_model()]}, False), (silent_overview() | {"memory": a_memory()}, False)])
def test_nothing_runs_if_nobody_is_heard(seen: dict, nothing: bool) -> None:
    assert runs_nothing(seen) is nothing


@pytest.mark.parametrize(("after", "is_change"), [
    (an_overview(models=[a_model(until="4 min", keep_until_s=240.0, tokens_per_s=1.0, memory_bytes=1)]), False),
    (an_overview(models=[a_model()], memory=a_memory(used_percent=63.0, available_bytes=1)), False),
    (an_overview(models=[a_model()], memory=a_memory(level="critical")), True),
    (an_overview(models=[a_model(state="draining")]), True), (an_overview(models=[a_model(in_flight=3)]), True),
    (an_overview(models=[a_model()], queue=None), True), (an_overview(models=[a_model()], relays=[]), True),
    (None, True)])
def test_the_passing_of_time_is_no_change(after: dict | None, is_change: bool) -> None:
    before = an_overview(models=[a_model(until="5 min", keep_until_s=300.0)])
    assert (what_counts(before) != what_counts(after)) is is_change


def test_a_change_is_a_line_of_json_or_a_block_of_text() -> None:
    told = json.loads(json_line(an_overview(), "", AT))
    assert told.pop("at").startswith("2026-08-08T10:00:00.000") and told.pop("running") is True
    assert told == an_overview()
    assert json.loads(json_line(None, "why", AT)) == {"at": AT.isoformat(timespec="milliseconds"), "running": False,
                                                      "why": "why"}
    assert block(None, "gone\x1b", AT).splitlines() == ["2026-08-08 10:00:00+00:00", "gone "]
    assert block(an_overview(remarks=["look"]), "", AT).splitlines()[1] == "look"


def test_a_frame_marks_states_and_is_cut_to_the_window() -> None:
    seen = an_overview(remarks=["warning: memory"], models=[a_model("ready-or-not", state="ready"), a_model("b")])
    frame = draw_frame(seen, "", "10:00:00", 160)
    assert [line.plain.split()[:1] for line in frame] == [["10:00:00"], ["warning:"], ["NAME"], ["ready-or-not"], ["b"],
                                                          [], ["RELAY"], ["relay-ollama"]]
    painted = next(line for line in frame if line.plain.startswith("ready-or-not"))
    [span] = painted.spans
    assert (painted.plain[span.start:span.end], span.style) == ("ready", "green") and span.start > len("ready-or-not")
    assert [line.plain for line in cut(frame, 3)][-1] == f"{len(frame) - 2} more lines in a taller window"
    assert cut(frame, len(frame)) == frame
    assert draw_frame(None, "nothing", "10:00:00", 5)[1].plain == "nothi"


def test_a_table_of_another_boot_is_opened_anew(home: Home) -> None:
    write_table(home, **ready(time.monotonic_ns()))
    table = LiveTable(home)
    assert table.look(time.monotonic_ns()) is not None
    Table.create(home.table, boot_id=2).writer(ControlWords).flush()
    assert table.look(time.monotonic_ns()) is None
