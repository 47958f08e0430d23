"""The journal: one structured line on stderr per decision, with its model, its reason and its numbers.

    journal = get_journal("control")
    journal.info("load", model="phi3.5", reason="2 callers wait", need_bytes=2_400_000_000)

For people where stderr is a terminal, JSON where it is not (supervisord's log files).

Guarantees:
1. It never raises into its caller and holds it up for WRITE_WAIT_S at most: a line that cannot be written (disk full,
   closed stderr, a reader that stands still) is dropped and counted in `dropped_lines`. The next line that can be
   written carries the count, and until then nothing waits at all.
2. A line is written at once and has at most LINE_MAX_BYTES, which a pipe takes whole, so that lines of two threads or
   processes do not mix. One that would be longer loses its longest fields and says how many (`left_out`).
3. No prompt and no key: what stands in a field with such a name is replaced by its kind and length, at any depth, and
   of objects only the class is named. Numbers stay, so that `prompt_tokens=12` can be said. This is a net below
   callers who do not log such things in the first place. Control characters are escaped, so that nobody's text moves
   the cursor of whoever reads the log.
4. It is cheap, since each request has two lines: some 14 us for one (33 with structlog, whose import took 0.16 s of CPU
   time of every process besides).
"""

import json
import os
import select
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from enum import Enum
from functools import lru_cache
from pathlib import PurePath

LINE_MAX_BYTES = 4096
WRITE_WAIT_S = 0.02
TEXT_MAX_CHARS = 1000
EVENT_MAX_CHARS = 200
ITEMS_MAX = 32
DEPTH_MAX = 4
NAMES_KEPT = 1024
NS_PER_S, NS_PER_US = 1_000_000_000, 1_000
FIRST = ("timestamp", "level", "process", "event")  # never left out
SECRET = frozenset({"prompt", "prompts", "messages", "key", "keys", "token", "tokens", "text", "texts", "content",
                    "contents", "password", "secret", "authorization", "cookie"})
LEVEL_COLOURS = {"info": "32", "warning": "33", "error": "31"}
Fields = dict[str, object]
encode = json.JSONEncoder(ensure_ascii=False).encode


class Journal:
    """`info`, `warning` and `error` write a line; `bind(**fields)` gives a journal that adds fields to each.
    `render` makes the text of a line of the fields, without its end.
    """

    def __init__(self, sink: "Sink", render: Callable[[Fields], str], bound: Fields) -> None:
        self._sink, self._render, self._bound = sink, render, bound

    def bind(self, **fields: object) -> "Journal":
        return Journal(self._sink, self._render, self._bound | fields)

    def info(self, event: str, /, **fields: object) -> None:
        """A decision, and why."""
        self._line("info", event, fields)

    def warning(self, event: str, /, **fields: object) -> None:
        """Something an operator may want to look at."""
        self._line("warning", event, fields)

    def error(self, event: str, /, **fields: object) -> None:
        """Something broke. `exc_info=True` adds the traceback of the exception in hand, without any variables."""
        self._line("error", event, fields)

    @property
    def dropped_lines(self) -> int:
        """How many lines could not be written."""
        return self._sink.dropped_lines

    def _line(self, level: str, event: str, fields: Fields) -> None:
        try:
            first = {"event": event, "level": level}
            told = _make_harmless(_with_traceback({**self._bound, **first, **fields, **first}))
            if self._sink.dropped_since_last:
                told["dropped_lines"] = self._sink.dropped_lines
            self._sink.write(_one_line(self._render, told))
        except Exception:  # whatever a field's own code does when it is read: no decision fails for want of a line
            self._sink.drop()


class Sink:
    """A file descriptor that takes a line whole or drops it."""

    def __init__(self, fd: int) -> None:
        self.dropped_lines = 0
        self.dropped_since_last = 0
        self._fd = fd
        self._torn = False  # the last write stopped in the middle of a line
        self._lock = threading.RLock()  # re-entrant: a signal handler may write while a line is being written

    def drop(self) -> None:
        """Count a line that is not written."""
        with self._lock:
            self.dropped_lines += 1
            self.dropped_since_last += 1

    def write(self, line: bytes) -> None:
        """Write `line`, which ends with a line end, or drop it."""
        with self._lock:
            data = b"\n" + line if self._torn else line
            wait_s = 0.0 if self.dropped_since_last else WRITE_WAIT_S
            try:
                written = os.write(self._fd, data) if select.select([], [self._fd], [], wait_s)[1] else 0
            except (OSError, ValueError):  # ValueError: no descriptor at all, or one that select cannot watch
                written = 0
            if written == len(data):
                self._torn = False
                self.dropped_since_last = 0
            else:
                self._torn = self._torn or written > 0
                self.drop()


def get_journal(process: str, fd: int | None = None) -> Journal:
    """The journal of this process on `fd`, by default stderr. Never raises; the journal does not close `fd`.

    A process that was started without stderr writes nowhere: its descriptor 2 may be any file by now.
    """
    if fd is None:
        fd = 2 if sys.__stderr__ is not None else -1
    render = encode
    if fd >= 0 and os.isatty(fd):
        render = _plain_line if "NO_COLOR" in os.environ else _coloured_line
    return Journal(Sink(fd), render, {"process": process})


def _one_line(render: Callable[[Fields], str], fields: Fields) -> bytes:
    """From fields to the bytes of a line that is not too long."""
    seconds, ns = divmod(time.time_ns(), NS_PER_S)
    fields = {"timestamp": f"{_second_of(seconds)}.{ns // NS_PER_US:06d}Z", "level": fields["level"],
              "process": fields["process"], "event": fields["event"]} | fields
    left_out = 0
    while True:
        line = render({**fields, "left_out": left_out} if left_out else fields).encode(errors="backslashreplace")
        if len(line) < LINE_MAX_BYTES:
            return line + b"\n"
        spare = [name for name in fields if name not in FIRST]
        if not spare:
            return line[:LINE_MAX_BYTES - 1] + b"\n"
        del fields[max(spare, key=lambda name: len(str(fields[name])))]
        left_out += 1


@lru_cache(2)  # lines come many in a second
def _second_of(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _plain_line(fields: Fields, paint: Callable[[str, str], str] = lambda code, text: text) -> str:
    """For people: the time here, the level, who, what, and the fields; a traceback stands below."""
    told = {name: value for name, value in fields.items() if name not in (*FIRST, "exception")}
    level = str(fields["level"])
    words = [paint("2", time.strftime("%H:%M:%S")), paint(LEVEL_COLOURS.get(level, "0"), f"{level:7}"),
             str(fields["process"]), paint("1", f"{fields['event']!s:18}"),
             *(f"{paint('36', name)}={value if isinstance(value, str) else encode(value)}"
               for name, value in told.items())]
    return "\n".join([" ".join(words).rstrip(), *filter(None, [str(fields.get("exception", ""))])])


def _coloured_line(fields: Fields) -> str:
    return _plain_line(fields, lambda code, text: f"\x1b[{code}m{text}\x1b[0m")


def _with_traceback(fields: Fields) -> Fields:
    """`exc_info` (True, an exception, or what `sys.exc_info` gives) becomes `exception`, a text."""
    if "exc_info" not in fields:
        return fields
    found = fields.pop("exc_info")
    if found is True:
        found = sys.exc_info()[1]
    if isinstance(found, tuple):
        found = found[1]
    if isinstance(found, BaseException):
        fields["exception"] = "".join(traceback.format_exception(found)).rstrip("\n")
    return fields


def _make_harmless(fields: Fields) -> Fields:
    harmless = _mapping(fields, DEPTH_MAX)
    harmless["event"] = _clean(str(fields["event"]), EVENT_MAX_CHARS)
    if isinstance(fields.get("exception"), str):  # a traceback keeps its lines, and its end if it is too long
        harmless["exception"] = "\n".join(map(_clean, fields["exception"][-2 * TEXT_MAX_CHARS:].split("\n")))
    return harmless


def _mapping(fields: Mapping[object, object], depth: int) -> Fields:
    found: Fields = {}
    for key, value in list(fields.items())[:ITEMS_MAX]:
        name, is_secret = _name_of(key.name if isinstance(key, Enum) else str(key))
        if is_secret and not (value is None or isinstance(value, (bool, int, float))):
            found[name] = _withheld(value)
        else:
            found[name] = _plain(value, depth)
    if len(fields) > ITEMS_MAX:
        found["..."] = f"{len(fields) - ITEMS_MAX} more"
    return found


@lru_cache(NAMES_KEPT)
def _name_of(key: str) -> tuple[str, bool]:
    """How the field is called in a line, and whether what stands in it is withheld unless it is a number."""
    name = _clean(key)
    return name, not SECRET.isdisjoint(name.lower().replace("-", "_").split("_"))


def _withheld(value: object) -> str:
    length = f" {len(value)}" if hasattr(value, "__len__") else ""
    return f"<withheld {type(value).__name__}{length}>"


def _plain(value: object, depth: int) -> object:
    """The value in types that JSON has, texts short and harmless."""
    if type(value) is str:
        return _clean(value)
    if isinstance(value, Enum):
        return value.name
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if abs(value) < float("inf") else str(value)  # JSON has neither infinity nor NaN
    if isinstance(value, BaseException):
        return _clean(f"{type(value).__name__}: {value}")
    if isinstance(value, (str, PurePath)):
        return _clean(str(value))
    if depth and hasattr(value, "_asdict"):
        return _mapping(value._asdict(), depth - 1)
    if depth and isinstance(value, Mapping):
        return _mapping(value, depth - 1)
    if depth and isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(each, depth - 1) for each in list(value)[:ITEMS_MAX]]
    return _withheld(value)


def _clean(text: str, limit: int = TEXT_MAX_CHARS) -> str:
    """On one line, without control characters, cut at `limit` characters."""
    text = text if len(text) <= limit else f"{text[:limit]}..."
    if text.isprintable():  # almost all are, and to look at each character costs more than all else of a line
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
