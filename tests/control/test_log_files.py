"""Log files as lines: while supervisord's own handler rotates them, while they are deleted, cut, damaged or huge."""

import json
import os
from pathlib import Path

import pytest
from supervisor.loggers import LogRecord, RotatingFileHandler

from control import log_files
from control.log_files import Follower, LogLine, programs_in, read_last, read_line

DAY = "2026-08-08T10:00:"


def said(number: float, event: str = "said", **fields: object) -> str:
    return json.dumps({"timestamp": f"{DAY}{number:09.6f}Z", "event": event, "number": number} | fields)


def write(logs: Path, name: str, *lines: str, end: str = "\n") -> None:
    with open(logs / name, "a") as file:
        file.write("".join(f"{line}{end}" for line in lines))


def rotate(logs: Path) -> None:
    for number in (2, 1, 0):
        old = logs / f"a.log{f'.{number}' if number else ''}"
        if old.exists():
            old.rename(logs / f"a.log.{number + 1}")


def numbers(lines: list[LogLine]) -> list:
    return [line.fields.get("number", line.text) for line in lines]


def last(logs: Path, count: int = 100, **given) -> list:
    return numbers(read_last(logs, programs_in(logs), count, **given))


@pytest.fixture
def follower(tmp_path: Path):
    """Of a folder with one line that it does not give."""
    write(tmp_path, "a.log", said(1))
    made = Follower(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize(("text", "at_s", "fields"), [
    ('{"timestamp": "1970-01-01T00:00:02.5Z", "event": "x"}', 2.5, {"event": "x"}),
    ('{"timestamp": "soon", "event": "x"}', 0.0, {"event": "x"}), ('{"event": "x"}', 0.0, {"event": "x"}),
    ('{"timestamp": "9999-99-99"}', 0.0, {}), ("{}", 0.0, {}), ("[1]", 0.0, {}), ("{broken", 0.0, {}),
    ("Traceback (most recent call last):", 0.0, {}), ("{" * 100_000, 0.0, {}), ('{"a":' * 100_000, 0.0, {}),
    (f'{{"a": {"1" * 10_000}}}', 0.0, {})])
def test_a_line_is_one_of_the_journal_or_any_text(text: str, at_s: float, fields: dict) -> None:
    line = read_line("control", text)
    assert (line.program, line.text) == ("control", text)
    assert line.at_s == at_s and fields.items() <= line.fields.items()


def test_half_a_surrogate_pair_becomes_a_character_that_can_be_written() -> None:
    fields = read_line("a", '{"\\ud800": ["x\\uDCFF", "\\ud83d\\ude00", 1]}').fields
    assert fields == {"?": ["x?", "\U0001f600", 1]}


def test_supervisords_own_lines_have_a_time() -> None:
    earlier, later = (read_line("supervisord", f"2026-08-08 10:00:0{n},250 INFO spawned: 'control' with pid 7").at_s
                      for n in (1, 3))
    assert later - earlier == 2 and earlier % 1 == 0.25


def test_programs_are_known_by_their_files(tmp_path: Path) -> None:
    for name in ("http-1.log", "http-0.log", "worker-a.log.1", "worker-a.log.2", "notes.txt", "x.logs", ".log"):
        write(tmp_path, name, "x")
    assert programs_in(tmp_path) == ["http-0", "http-1", "worker-a"]
    assert programs_in(tmp_path / "missing") == []


def test_the_newest_lines_of_all_programs_in_order_of_time(tmp_path: Path) -> None:
    write(tmp_path, "a.log.2", said(1))
    write(tmp_path, "a.log.1", said(3), said(5))
    write(tmp_path, "a.log", said(7), said(9))
    write(tmp_path, "b.log", said(2), said(6), said(8))
    assert last(tmp_path) == [1, 2, 3, 5, 6, 7, 8, 9]
    assert last(tmp_path, 3) == [7, 8, 9] and last(tmp_path, 0) == []
    assert last(tmp_path, 2, wanted=lambda line: line.fields["number"] < 7) == [5, 6]
    assert last(tmp_path, hints=lambda program: {"a": ['"number": 5'], "b": ['"number": 2']}[program]) == [2, 5]


def test_a_traceback_stays_behind_the_line_before_it(tmp_path: Path) -> None:
    write(tmp_path, "a.log", "begin", said(1), "Traceback", "  it broke", said(5))
    write(tmp_path, "b.log", said(3))
    assert last(tmp_path) == ["begin", 1, "Traceback", "  it broke", 3, 5]
    assert last(tmp_path, 4) == ["Traceback", "  it broke", 3, 5]


def test_a_program_that_only_ever_failed_is_seen_among_the_newest(tmp_path: Path) -> None:
    """Its traceback says no time; that of its file counts."""
    write(tmp_path, "a.log", *(said(n) for n in range(9)))
    write(tmp_path, "b.log", "ModuleNotFoundError")
    assert last(tmp_path, 2) == [8, "ModuleNotFoundError"]


def test_two_files_may_cut_a_line_anywhere(tmp_path: Path) -> None:
    text = "".join(f"{said(n)}\n" for n in range(9))
    for cut in range(0, len(text), 7):
        (tmp_path / "a.log.1").write_text(text[:cut])
        (tmp_path / "a.log").write_text(text[cut:])
        assert last(tmp_path) == list(range(9))
    for back in (len(text) - 1, len(text) - 3 * len(said(0)) - 5):
        found = last(tmp_path, back_max_bytes=back)
        assert found == list(range(9 - len(found), 9)) and 3 <= len(found) < 9


def test_a_file_larger_than_a_block_is_read_from_its_end(tmp_path: Path) -> None:
    count = 3 * log_files.BLOCK_BYTES // len(said(0)) + 1
    write(tmp_path, "a.log", *(said(n % 60, place=n) for n in range(count)))
    lines = read_last(tmp_path, ["a"], count)
    assert [line.fields["place"] for line in lines] == sorted(range(count), key=lambda n: (n % 60, n))
    assert len(read_last(tmp_path, ["a"], 5)) == 5


def test_memory_for_an_endless_line_is_bounded(tmp_path: Path, follower: Follower) -> None:
    for _ in range(3):
        write(tmp_path, "a.log", "x" * log_files.LINE_MAX_BYTES, end="")
        assert follower.read() == []
    write(tmp_path, "a.log", "", said(2))
    assert [len(line.text) for line in follower.read()] == [log_files.LINE_MAX_BYTES, len(said(2))]


def test_a_huge_line_is_cut_and_costs_no_other(tmp_path: Path, follower: Follower) -> None:
    huge = "x" * (2 * log_files.BLOCK_BYTES)
    write(tmp_path, "a.log", huge, said(2))
    for lines in (read_last(tmp_path, ["a"], 3)[1:], follower.read()):
        assert [line.text for line in lines] == [huge[:log_files.LINE_MAX_BYTES], said(2)]


def test_what_is_no_text_is_shown_as_far_as_it_goes(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"\xff\x00half\r\n\n" + said(2).encode())
    assert [line.text for line in read_last(tmp_path, ["a", "gone"], 9)] == ["\ufffd\x00half", said(2)]


def test_a_follower_gives_each_line_once_and_whole(tmp_path: Path, follower: Follower) -> None:
    assert follower.read() == []
    write(tmp_path, "a.log", said(2)[:9], end="")
    assert follower.read() == []
    write(tmp_path, "a.log", said(2)[9:], said(3))
    write(tmp_path, "b.log", said(2.5))
    assert numbers(follower.read()) == [2, 2.5, 3] and follower.read() == []


def test_nothing_is_lost_or_told_twice_between_the_last_lines_and_the_next(tmp_path: Path) -> None:
    write(tmp_path, "a.log.1", said(1))
    write(tmp_path, "a.log", said(2))
    write(tmp_path, "a.log", said(3)[:9], end="")
    follower = Follower(tmp_path)
    write(tmp_path, "a.log", said(3)[9:], said(4))
    assert numbers(follower.last(9)) == [1, 2] and numbers(follower.read()) == [3, 4]
    rotate(tmp_path)
    write(tmp_path, "a.log", said(5))
    assert numbers(follower.last(1)) == [4] and numbers(follower.read()) == [5]
    follower.close()


def test_a_follower_keeps_to_its_programs(tmp_path: Path) -> None:
    follower = Follower(tmp_path, ["a"])
    write(tmp_path, "a.log", said(1))
    write(tmp_path, "b.log", said(2))
    assert numbers(follower.read()) == [1]
    follower.close()
    assert Follower(tmp_path / "missing").read() == []


class Supervisord:
    """What supervisord writes a program's output with."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._handler = RotatingFileHandler(str(path), maxBytes=max_bytes, backupCount=3)

    def write(self, text: str) -> None:
        record = LogRecord(level=20, msg=text)
        record.asbytes = lambda: text.encode()
        self._handler.emit(record)

    def close(self) -> None:
        self._handler.close()


@pytest.mark.parametrize("look_every", [1, 5, 17])
def test_a_follower_goes_on_across_rotations(tmp_path: Path, look_every: int) -> None:
    """Supervisord's own handler, which rotates where its last piece of a pipe ended: that may be within a line."""
    count, piece = 300, 37
    text = "".join(f"{said(n / 10)}\n" for n in range(count))
    supervisord, follower, found = Supervisord(tmp_path / "a.log", 2000), Follower(tmp_path), []
    for number, begin in enumerate(range(0, len(text), piece)):
        supervisord.write(text[begin:begin + piece])
        if number % look_every == 0:
            found += numbers(follower.read())
    found += numbers(follower.read())
    assert found == [n / 10 for n in range(count)]
    kept = last(tmp_path, count)
    assert kept == found[-len(kept):] and len(list(tmp_path.iterdir())) == 4
    supervisord.close()
    follower.close()


def test_two_rotations_between_two_looks_lose_nothing(tmp_path: Path, follower: Follower) -> None:
    write(tmp_path, "a.log", said(2))
    for number in (3, 4):
        rotate(tmp_path)
        write(tmp_path, "a.log", said(number))
    assert numbers(follower.read()) == [2, 3, 4]


@pytest.mark.parametrize("half", ["", said(9)[:20]])
@pytest.mark.parametrize("how", ["deleted", "cut", "replaced"])
def test_a_file_that_is_deleted_or_cut_short_is_begun_anew(
        tmp_path: Path, follower: Follower, how: str, half: str) -> None:
    write(tmp_path, "a.log", said(2))
    write(tmp_path, "a.log", half, end="")
    assert numbers(follower.read()) == [2]
    path = tmp_path / "a.log"
    if how == "cut":
        os.truncate(path, 0)
    else:
        path.rename(tmp_path / "elsewhere") if how == "replaced" else path.unlink()
        assert follower.read() == []
    write(tmp_path, "a.log", said(4))
    assert numbers(follower.read()) == [4]


def test_what_came_at_once_is_read_in_turns(tmp_path: Path, follower: Follower) -> None:
    line = said(2, much="x" * 4000)
    count = log_files.READ_MAX_BYTES // len(line) + 10
    write(tmp_path, "a.log", *[line] * count)
    first, second = follower.read(), follower.read()
    assert len(first) < count and len(first) + len(second) == count


def test_a_traceback_in_a_turn_of_its_own_is_not_put_before_the_others(tmp_path: Path, follower: Follower) -> None:
    write(tmp_path, "a.log", "Traceback")
    write(tmp_path, "b.log", said(2))
    assert numbers(follower.read()) == [2, "Traceback"]
    write(tmp_path, "a.log", "more", said(3), "and more")
    assert numbers(follower.read()) == ["more", 3, "and more"]
