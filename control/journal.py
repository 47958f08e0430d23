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
"""

import os
import select
import sys
import threading
from collections.abc import Mapping
from enum import Enum
from pathlib import PurePath

import structlog

LINE_MAX_BYTES = 4096
WRITE_WAIT_S = 0.02
TEXT_MAX_CHARS = 1000
EVENT_MAX_CHARS = 200
ITEMS_MAX = 32
DEPTH_MAX = 4
FIRST = ("timestamp", "level", "process", "event")  # never left out
SECRET = frozenset({"prompt", "prompts", "messages", "key", "keys", "token", "tokens", "text", "texts", "content",
                    "contents", "password", "secret", "authorization", "cookie"})


class Journal(structlog.BoundLoggerBase):
    """`info`, `warning` and `error` write a line; `bind(**fields)` gives a journal that adds fields to each."""

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
        return self._logger.dropped_lines

    def _line(self, level: str, event: str, fields: dict[str, object]) -> None:
        try:
            first = {"event": event, "level": level}
            (line,), _ = self._process_event("write", None, first | fields | first)
            self._logger.write(line)
        except Exception:  # whatever a field's own code does when it is read: no decision fails for want of a line
            self._logger.drop()


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
    terminal = fd >= 0 and os.isatty(fd)
    render = structlog.processors.JSONRenderer(ensure_ascii=False)
    if terminal:
        render = structlog.dev.ConsoleRenderer(
            colors="NO_COLOR" not in os.environ, exception_formatter=structlog.dev.plain_traceback)
    return Journal(Sink(fd), [
        structlog.processors.format_exc_info,
        _make_harmless,
        _tell_dropped,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if terminal else "iso", utc=not terminal),
        _OneLine(render),
    ], {"process": process})


def _tell_dropped(sink: Sink, _method: str, fields: dict[str, object]) -> dict[str, object]:
    return {**fields, "dropped_lines": sink.dropped_lines} if sink.dropped_since_last else fields


class _OneLine:
    """Last processor: from fields to the bytes of a line that is not too long."""

    def __init__(self, render: structlog.types.Processor) -> None:
        self._render = render

    def __call__(self, sink: Sink, method: str, fields: dict[str, object]) -> bytes:
        fields = {name: fields[name] for name in FIRST} | fields
        left_out = 0
        while True:
            told = {**fields, "left_out": left_out} if left_out else dict(fields)
            line = self._render(sink, method, told).encode(errors="backslashreplace")
            spare = [name for name in fields if name not in FIRST]
            if len(line) < LINE_MAX_BYTES or not spare:
                return line[:LINE_MAX_BYTES - 1] + b"\n"
            del fields[max(spare, key=lambda name: len(str(fields[name])))]
            left_out += 1


def _make_harmless(_sink: Sink, _method: str, fields: dict[str, object]) -> dict[str, object]:
    harmless = _mapping(fields, DEPTH_MAX)
    harmless["event"] = _clean(str(fields["event"]), EVENT_MAX_CHARS)
    if isinstance(fields.get("exception"), str):  # a traceback keeps its lines, and its end if it is too long
        harmless["exception"] = "\n".join(map(_clean, fields["exception"][-2 * TEXT_MAX_CHARS:].split("\n")))
    return harmless


def _mapping(fields: Mapping[object, object], depth: int) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in list(fields.items())[:ITEMS_MAX]:
        name = key.name if isinstance(key, Enum) else _clean(str(key))
        number = value is None or isinstance(value, (bool, int, float))
        secret = not number and not SECRET.isdisjoint(name.lower().replace("-", "_").split("_"))
        found[name] = _withheld(value) if secret else _plain(value, depth)
    if len(fields) > ITEMS_MAX:
        found["..."] = f"{len(fields) - ITEMS_MAX} more"
    return found


def _withheld(value: object) -> str:
    length = f" {len(value)}" if hasattr(value, "__len__") else ""
    return f"<withheld {type(value).__name__}{length}>"


def _plain(value: object, depth: int) -> object:
    """The value in types that JSON has, texts short and harmless."""
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
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
