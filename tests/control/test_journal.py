"""The journal writes whole lines or drops and counts them; it never raises, never blocks, and keeps secrets out."""

import fcntl
import json
import os
import pty
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.config_tables import Place
from control.journal import LINE_MAX_BYTES, get_journal
from control.states import Phase, Priority


class Pipe:
    """A pipe whose reading end never blocks the test."""

    def __init__(self) -> None:
        self.reader, self.fd = os.pipe()
        os.set_blocking(self.reader, False)

    def lines(self) -> list[dict]:
        """Everything written since the last call, decoded."""
        data = b""
        while True:
            try:
                chunk = os.read(self.reader, 65_536)
            except BlockingIOError:
                break
            if not chunk:
                break
            data += chunk
        assert not data or data.endswith(b"\n")
        return [json.loads(line, parse_constant=pytest.fail) for line in data.splitlines()]

    def fill(self) -> None:
        """Leave no room for another byte, as a reader that stands still does."""
        os.set_blocking(self.fd, False)
        for size in (65_536, 4096, 1):
            try:
                while os.write(self.fd, b"\n" * size):
                    pass
            except BlockingIOError:
                continue
        os.set_blocking(self.fd, True)

    def drain(self) -> None:
        """Read and forget what stands in the pipe."""
        while True:
            try:
                if not os.read(self.reader, 65_536):
                    return
            except BlockingIOError:
                return


@pytest.fixture
def pipe():
    made = Pipe()
    yield made
    for fd in (made.reader, made.fd):
        try:
            os.close(fd)
        except OSError:
            continue


def test_a_line_is_one_json_object_with_time_level_process_and_fields(pipe):
    journal = get_journal("control", pipe.fd)
    journal.info("load", model="phi", reason="2 callers wait", need_bytes=5, wait_s=0.5, phase=Phase.READY,
                 path=Path("/x"), waiting={Priority.HIGH: 1}, rows=(1, None))
    journal.bind(epoch=7).warning("stale")
    journal.error("broken", error=ValueError("x"))
    first, second, third = pipe.lines()
    assert list(first)[:4] == ["timestamp", "level", "process", "event"] and first.pop("timestamp").endswith("Z")
    assert first == {"level": "info", "process": "control", "event": "load", "model": "phi", "need_bytes": 5,
                     "reason": "2 callers wait", "wait_s": 0.5, "phase": "READY", "path": "/x", "rows": [1, None],
                     "waiting": {"HIGH": 1}}
    assert (second["level"], second["event"], second["epoch"]) == ("warning", "stale", 7)
    assert (third["level"], third["error"]) == ("error", "ValueError: x")
    assert journal.dropped_lines == 0


def test_a_terminal_gets_a_line_for_people():
    leader, follower = pty.openpty()
    try:
        get_journal("control", follower).info("load", model="phi", reason="asked")
        line = os.read(leader, 4096).decode()
    finally:
        os.close(leader)
        os.close(follower)
    assert "load" in line and "phi" in line and "reason" in line and "\x1b[" in line and not line.startswith("{")


def test_a_traceback_is_told_without_the_values_of_variables(pipe):
    answer = "the secret answer"
    try:
        raise RuntimeError("broken\x1b[2J")
    except RuntimeError:
        get_journal("control", pipe.fd).error("failed", exc_info=True)
    [line] = pipe.lines()
    assert line["exception"].startswith("Traceback") and "\n" in line["exception"]
    assert line["exception"].endswith("RuntimeError: broken\\x1b[2J") and answer not in line["exception"]


@pytest.mark.parametrize("field", ["prompt", "Prompt", "messages", "key", "api_key", "token", "tokens", "token_ids",
                                   "text", "content", "answer-text", "password", "Authorization"])
@pytest.mark.parametrize("wrap", [lambda field: field, lambda field: {"request": [{"inner": field}]}])
def test_what_stands_in_a_secret_field_is_withheld_at_any_depth(pipe, field, wrap):
    journal = get_journal("control", pipe.fd)
    for value in ("SECRET", b"SECRET", ["SECRET"], {"x": "SECRET"}, ("SECRET",)):
        journal.info("asked", **wrap({field: value}))
    lines = pipe.lines()
    assert len(lines) == 5 and "SECRET" not in json.dumps(lines) and "withheld str 6" in json.dumps(lines)


def test_objects_are_named_and_not_shown(pipe):
    class Submit:
        def __repr__(self) -> str:
            return "Submit(prompt='SECRET')"

    get_journal("control", pipe.fd).info("asked", request=Submit(), raw=b"SECRET", deep=[[[[["SECRET"]]]]])
    [line] = pipe.lines()
    assert line["request"] == "<withheld Submit>" and line["raw"] == "<withheld bytes 6>"
    assert "SECRET" not in json.dumps(line)


def test_numbers_and_lengths_stay(pipe):
    get_journal("control", pipe.fd).info("done", prompt_tokens=12, tokens=3, key=None, content_length=4,
                                         rate=float("nan"), most=float("inf"), place=Place("f:1", Path("/x")))
    [line] = pipe.lines()
    assert (line["rate"], line["most"], line["place"]) == ("nan", "inf", {"where": "f:1", "base": "/x"})
    assert (line["prompt_tokens"], line["tokens"], line["key"], line["content_length"]) == (12, 3, None, 4)


def test_nobodys_text_moves_the_cursor_or_makes_a_line(pipe):
    get_journal("control", pipe.fd).info("a\nb", model="\x1b[2J\r\n\u2028", **{"x\ny": 1})
    [line] = pipe.lines()
    assert (line["event"], line["model"], line["x\\ny"]) == ("a\\nb", "\\x1b[2J\\r\\n\\u2028", 1)


def test_a_line_that_is_too_long_loses_its_longest_fields_and_says_so(pipe):
    journal = get_journal("control", pipe.fd)
    journal.info("e" * 1000, short=1, reason="r" * 100, **{f"long{n}": "é" * (900 + n) for n in range(8)})
    journal.info("many", **{f"f{n}": n for n in range(100)})
    long, many = pipe.lines()
    assert len(json.dumps(long, ensure_ascii=False).encode()) < LINE_MAX_BYTES
    assert long["event"] == "e" * 200 + "..." and long["reason"] == "r" * 100 and long["left_out"] == 6
    assert "long0" in long and "long7" not in long
    assert many["f5"] == 5 and "f99" not in many and many["..."] == "71 more"


def test_a_reader_that_stands_still_costs_lines_and_they_are_counted(pipe):
    journal = get_journal("control", pipe.fd)
    pipe.fill()
    journal.info("lost")
    journal.bind(x=1).info("lost too")
    assert journal.dropped_lines == 2
    pipe.drain()
    journal.info("back")
    journal.info("and on")
    back, on = pipe.lines()
    assert (back["event"], back["dropped_lines"]) == ("back", 2)
    assert on["event"] == "and on" and "dropped_lines" not in on


def test_a_full_disk_costs_lines_only():
    full = os.open("/dev/full", os.O_WRONLY) if os.path.exists("/dev/full") else pytest.skip("no /dev/full here")
    journal = get_journal("control", full)
    journal.info("lost")
    os.close(full)
    assert journal.dropped_lines == 1


@pytest.mark.parametrize("end", ["reader", "fd"])
def test_a_closed_end_costs_lines_only(pipe, end):
    journal = get_journal("control", pipe.fd)
    os.close(getattr(pipe, end))
    journal.info("lost")
    assert journal.dropped_lines == 1


def test_a_line_that_was_cut_short_does_not_spoil_the_next(tmp_path):
    path = tmp_path / "log"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    journal = get_journal("control", fd)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, limits[1]))
    try:
        journal.info("cut")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    journal.info("whole")
    os.close(fd)
    cut, whole = path.read_text().splitlines()
    assert len(cut) == 20 and journal.dropped_lines == 1
    assert json.loads(whole)["event"] == "whole" and json.loads(whole)["dropped_lines"] == 1


def test_fields_that_cannot_be_read_cost_the_line_only(pipe):
    class Bad(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    journal = get_journal("control", pipe.fd)
    journal.info("x", error=Bad(), huge=1)
    journal.info("x", huge=16 ** 5000)
    assert journal.dropped_lines == 2 and pipe.lines() == []
    endless: list = []
    endless.append(endless)
    journal.info("x", endless=endless)
    assert pipe.lines()[0]["dropped_lines"] == 2


@given(event=st.text(), fields=st.dictionaries(st.text(), st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3))))
def test_any_fields_make_one_line(event, fields):
    pipe = Pipe()
    try:
        journal = get_journal("control", pipe.fd)
        journal.info(event, **fields)
        assert journal.dropped_lines == 0 and len(pipe.lines()) == 1
    finally:
        os.close(pipe.reader)
        os.close(pipe.fd)


def test_a_process_without_stderr_writes_nowhere(tmp_path):
    """Its descriptor 2 is the next file it opens; a log line in there would destroy it."""
    code = ("import os, sys\n"
            "assert os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT) == 2\n"
            "sys.stdout = open(sys.argv[1], 'w')\n"
            "from control.journal import get_journal\n"
            "journal = get_journal('control'); journal.info('lost'); print(journal.dropped_lines)")
    command = [sys.executable, "-c", code, str(tmp_path / "out"), str(tmp_path / "precious")]
    subprocess.run(["/bin/sh", "-c", 'exec "$@" 2>&-', "sh", *command], check=True, timeout=30,
                   cwd=Path(__file__).parents[2])
    assert (tmp_path / "out").read_text() == "1\n" and (tmp_path / "precious").read_bytes() == b""


def test_without_a_descriptor_given_it_is_stderr(capfd):
    journal = get_journal("gateway")
    assert fcntl.fcntl(2, fcntl.F_GETFD) >= 0
    journal.info("up")
    assert json.loads(capfd.readouterr().err)["process"] == "gateway"
