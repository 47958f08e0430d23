"""The log files of a stack as lines: the newest of them, and those that come. Files are rotated meanwhile.

Each program of the stack writes `NAME.log` in the home's `logs`, and supervisord renames that to `NAME.log.1` and so on
when it is full. A line is what `control.journal` wrote (one JSON object), or any other text: a traceback, supervisord.

Guarantees: memory is bounded (BLOCK_BYTES in hand, LINE_MAX_BYTES of a line); files are read from their ends, no
further than needed; a file that is missing, damaged, cut short or renamed at that moment is read as far as it goes; no
line is given twice or in halves, also where a rotation cut it in two. Of `Follower.last` and then `Follower.read` none
is left out between.
"""

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from io import FileIO
from itertools import islice
from pathlib import Path
from typing import NamedTuple

BACK_MAX_BYTES = 8 * 1024 * 1024  # read backwards of one program, unless told
WHOLE_MAX_BYTES = 64 * 1024 * 1024  # more than what is kept of one program
BLOCK_BYTES = 256 * 1024
READ_MAX_BYTES = 4 * 1024 * 1024  # of one program, in one turn of a follower
LINE_MAX_BYTES = 16 * 1024
ROTATED_MAX = 9
LOG_NAME = re.compile(r"(.+)\.log(\.[1-9])?")
SUPERVISORD_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}(?= )")  # local time, as supervisord writes it

Hints = Callable[[str], Iterable[str]]


class LogLine(NamedTuple):
    """`at_s`: Unix seconds, 0.0 if the line does not say; `program`: whose file it is; `text`: as it was written.

    `fields` are those of a line of the journal, `{}` of any other.
    """

    at_s: float
    program: str
    fields: dict[str, object]
    text: str


def read_line(program: str, text: str) -> LogLine:
    """What a line says. Never raises."""
    fields: object = None
    if text.startswith("{"):
        try:
            fields = json.loads(text)
            if "\\ud" in text.lower():  # half a pair of surrogates is no text: nobody could write it out again
                fields = json.loads(json.dumps(fields, ensure_ascii=False).encode(errors="replace"))
        except (ValueError, RecursionError):
            fields = None
    if isinstance(fields, dict):
        return LogLine(_seconds(str(fields.get("timestamp"))), program, fields, text)
    time = SUPERVISORD_TIME.match(text)
    return LogLine(_seconds(time[0]) if time else 0.0, program, {}, text)


def _seconds(time: str) -> float:
    try:
        return datetime.fromisoformat(time).timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0


def programs_in(logs: Path) -> list[str]:
    """The programs that have a log, in order of their names; none if there are no logs."""
    try:
        names = os.listdir(logs)
    except OSError:
        return []
    return sorted({found[1] for name in names if (found := LOG_NAME.fullmatch(name))})


def read_last(logs: Path, programs: Iterable[str], count: int, wanted: Callable[[LogLine], bool] = lambda _: True,
              hints: Hints = lambda _: (), back_max_bytes: int = BACK_MAX_BYTES) -> list[LogLine]:
    """The newest `count` lines that are `wanted`, oldest first, of all these programs together.

    A line that does not say when it was written has the time of the one before it in its file, else of the next, else
    of the file. `hints` of a program: its lines with none of these texts in them are not wanted, which is found out
    cheaply (none: no hint). `back_max_bytes`: how far back the files of one program are looked through.
    """
    found: list[LogLine] = []
    for program in programs:
        files = [(file, os.fstat(file.fileno()).st_size) for file in _open_all(logs, program)]
        found += _newest(program, files, count, wanted, hints(program), back_max_bytes)
    return _merged(found, count)


def _merged(found: list[LogLine], count: int) -> list[LogLine]:
    found.sort(key=lambda line: line.at_s)  # stable: the lines of a program stay in their order
    return found[-count:] if count > 0 else []


def _newest(program: str, files: list[tuple[FileIO, int]], count: int, wanted: Callable[[LogLine], bool],
            hints: Iterable[str], back_max_bytes: int) -> list[LogLine]:
    """Of one program, whose `files` are read up to these ends and closed."""
    last_s = os.fstat(files[0][0].fileno()).st_mtime if files else 0.0
    lines = _timed(program, _texts_backwards(files, back_max_bytes), [hint.encode() for hint in hints], last_s)
    found = list(islice(filter(wanted, lines), max(0, count)))
    for file, _ in files:
        file.close()
    return found[::-1]


def _timed(program: str, texts: Iterator[bytes], hints: list[bytes], last_s: float) -> Iterator[LogLine]:
    """Lines from texts, the newest first; those without a time wait for the one before them."""
    waiting: list[LogLine] = []
    for text in texts:
        if hints and not any(hint in text for hint in hints):
            continue
        line = read_line(program, _shown(text))
        waiting.append(line)
        if line.at_s:
            last_s = line.at_s
            yield from (each._replace(at_s=last_s) for each in waiting)
            waiting.clear()
    yield from (each._replace(at_s=last_s) for each in waiting)


def _texts_backwards(files: list[tuple[FileIO, int]], back_max_bytes: int) -> Iterator[bytes]:
    """The lines of the files, which are one text, the newest first; the last one also if it has no end yet."""
    head = b""  # of the line whose beginning lies further back
    for file, end in files:
        while end and back_max_bytes > 0:
            size = min(BLOCK_BYTES, end, back_max_bytes)
            end -= size
            back_max_bytes -= size
            head, *lines = (os.pread(file.fileno(), size, end) + head).split(b"\n")
            head = head[:LINE_MAX_BYTES]
            yield from (line for line in reversed(lines) if line)
    if head and back_max_bytes > 0:
        yield head


def _shown(text: bytes) -> str:
    return text[:LINE_MAX_BYTES].decode(errors="replace").rstrip("\r")


def _open_all(logs: Path, program: str) -> list[FileIO]:
    """The files of a program, the newest first. One that is renamed just now is not opened twice."""
    files: dict[tuple[int, int], FileIO] = {}
    for number in range(ROTATED_MAX + 1):
        try:
            file = FileIO(logs / f"{program}.log{f'.{number}' if number else ''}")
        except OSError:
            if number:
                break
            continue  # between being renamed and being there anew
        facts = os.fstat(file.fileno())
        if (facts.st_dev, facts.st_ino) in files:
            file.close()
        else:
            files[facts.st_dev, facts.st_ino] = file
    return list(files.values())


class _Place:
    """Where a follower stands in a program's files: `file` was read up to `at`, the last `rest` of it half a line."""

    def __init__(self, file: FileIO, *, at_end: bool) -> None:
        self.file, self.at, self.rest = file, 0, b""
        if at_end:
            self.at = os.fstat(file.fileno()).st_size
            begin = max(0, self.at - LINE_MAX_BYTES)
            self.rest = os.pread(file.fileno(), self.at - begin, begin).rpartition(b"\n")[2]

    def move(self, file: FileIO, *, keep_rest: bool) -> None:
        self.file.close()
        self.file, self.at = file, 0
        self.rest = self.rest if keep_rest else b""


class Follower:
    """The lines that come from now on. `programs` None: all, also those that get a log later."""

    def __init__(self, logs: Path, programs: Iterable[str] | None = None) -> None:
        self._logs = logs
        self._only = None if programs is None else set(programs)
        self._places: dict[str, _Place] = {}
        for program in self._listed():
            self._begin(program, at_end=True)

    def last(self, count: int, wanted: Callable[[LogLine], bool] = lambda _: True, hints: Hints = lambda _: (),
             back_max_bytes: int = BACK_MAX_BYTES) -> list[LogLine]:
        """As `read_last`: the newest lines before those that `read` gives. Call it first."""
        found: list[LogLine] = []
        for program, place in self._places.items():
            files = [(file, os.fstat(file.fileno()).st_size) for file in _open_all(self._logs, program)]
            while files and not os.path.samestat(os.fstat(files[0][0].fileno()), os.fstat(place.file.fileno())):
                files.pop(0)[0].close()  # begun since
            if files:
                files[0] = files[0][0], place.at - len(place.rest)
            found += _newest(program, files, count, wanted, hints(program), back_max_bytes)
        return _merged(found, count)

    def read(self) -> list[LogLine]:
        """What came since the last call, in order of time as far as lines say it."""
        found: list[LogLine] = []
        for program in self._listed():
            if program in self._places or self._begin(program, at_end=False):
                found += self._new_lines(program, self._places[program])
        found.sort(key=lambda line: line.at_s)
        return found

    def close(self) -> None:
        for place in self._places.values():
            place.file.close()
        self._places.clear()

    def _listed(self) -> list[str]:
        return [name for name in programs_in(self._logs) if self._only is None or name in self._only]

    def _begin(self, program: str, *, at_end: bool) -> bool:
        try:
            self._places[program] = _Place(FileIO(self._logs / f"{program}.log"), at_end=at_end)
        except OSError:
            return False
        return True

    def _new_lines(self, program: str, place: _Place) -> list[LogLine]:
        lines: list[LogLine] = []
        at_s, left = 0.0, READ_MAX_BYTES
        while left > 0:
            successor, goes_on = self._successor(program, place)  # before the last look at this one
            data = os.pread(place.file.fileno(), min(BLOCK_BYTES, left), place.at)
            left -= len(data)
            place.at += len(data)
            *whole, rest = (place.rest + data).split(b"\n")
            place.rest = rest[:LINE_MAX_BYTES]
            for text in filter(None, whole):
                line = read_line(program, _shown(text))
                if line.at_s and not at_s:
                    lines = [each._replace(at_s=line.at_s) for each in lines]
                at_s = line.at_s or at_s
                lines.append(line._replace(at_s=at_s or os.fstat(place.file.fileno()).st_mtime))
            if successor is not None and not data:
                place.move(successor, keep_rest=goes_on)
            elif successor is not None:
                successor.close()
            elif not data:
                break
        return lines

    def _successor(self, program: str, place: _Place) -> tuple[FileIO | None, bool]:
        """The file that the program's lines go on in, if this one was renamed (rotation) or deleted; and whether a line
        may go on in it. A file that was cut short is begun anew."""
        ours = os.fstat(place.file.fileno())
        try:
            is_newest = os.path.samestat(os.stat(self._logs / f"{program}.log"), ours)
        except OSError:
            return None, False
        if is_newest:
            if ours.st_size < place.at:
                place.at, place.rest = 0, b""
            return None, False
        files = _open_all(self._logs, program)
        position = next((at for at, file in enumerate(files)
                         if os.path.samestat(os.fstat(file.fileno()), ours)), None)
        found = files[max(0, (position or 0) - 1)] if files else None
        for file in files:
            if file is not found:
                file.close()
        return found, position is not None
