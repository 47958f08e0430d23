"""Lines of logs for people and for programs; nothing in them is an order to a terminal."""

import json
from datetime import datetime, timedelta

import pytest

from control.log_files import LogLine, read_line
from gateway.cli.log_text import as_json, coloured, plain, shown, time_of

AT = datetime(2026, 8, 8, 10, 0, 1, 250_000)


def line(program: str = "control", **fields) -> LogLine:
    return LogLine(AT.timestamp(), program, {"timestamp": "x", "process": "control"} | fields, "")


@pytest.mark.parametrize(("given", "text"), [
    (line(event="load", level="info", model="phi", share_bytes=5, reason="2 callers wait", closing=False, none=None),
     '10:00:01 info     control load             model=phi share_bytes=5 reason="2 callers wait" '
     'closing=false none=null'),
    (line("http-0", event="http_up", level="warning"), "10:00:01 warning  http-0  http_up"),
    (line(event="x", level="error", empty="", list=["a", 1], equals="a=b"),
     '10:00:01 error    control x                empty="" list=["a", 1] equals="a=b"'),
    (line(event="x", level="error", exception="Traceback\n  File\nValueError: \x1b[2J"),
     "10:00:01 error    control x\n    Traceback\n      File\n    ValueError:  [2J"),
    (LogLine(AT.timestamp(), "worker", {}, "Traceback\t\x1b]0;x\x07"), "10:00:01          worker  Traceback  ]0;x"),
    (LogLine(AT.timestamp(), "supervisord", {}, "2026-08-08 10:00:01,250 WARN exited: \x9bx"),
     "10:00:01 warning  supervisord exited:  x")])
def test_a_line_for_people(given: LogLine, text: str) -> None:
    assert shown(given, len("control"), AT, plain) == text


def test_colours_are_added_and_nothing_else() -> None:
    told = line(event="load", level="error", model="phi", reason="two words")
    painted = shown(told, 9, AT, coloured)
    assert "\x1b[31merror" in painted
    for code in ("0", "1", "2", "31", "36"):
        painted = painted.replace(f"\x1b[{code}m", "")
    assert painted == shown(told, 9, AT, plain)


def test_the_date_is_told_where_it_is_not_todays() -> None:
    at_s = AT.timestamp()
    assert time_of(at_s, AT) == "10:00:01" and time_of(at_s, AT + timedelta(days=1)) == "08-08 10:00:01"
    assert time_of(at_s, None) == "2026-08-08 10:00:01.250"


def test_a_line_for_programs_is_an_object_whatever_stood_there() -> None:
    assert json.loads(as_json(line("http-1", event="x", n=1))) == {
        "timestamp": "x", "process": "control", "event": "x", "n": 1, "program": "http-1"}
    told = as_json(read_line("worker-a", "\x1b[2J\u202e text")._replace(at_s=AT.timestamp()))
    assert told.isascii() and told.isprintable()
    assert json.loads(told)["text"] == "\x1b[2J\u202e text" and json.loads(told)["timestamp"].startswith("2026-08-08T")
