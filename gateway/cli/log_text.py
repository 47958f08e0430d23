"""A line of a log as a person reads it, and as a program does: time, level, program, event, fields.

Whatever a log holds, nothing of it is taken for orders by a terminal: characters that are not printable become spaces,
and in JSON they are escaped. Values in, lines out.
"""

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime

from control.log_files import SUPERVISORD_TIME, LogLine
from gateway.cli.text_table import printable

HEAD = ("timestamp", "level", "process", "event", "exception")
BOLD, DIM, CYAN = "1", "2", "36"
LEVELS = {"warning": "33", "error": "31", "critical": "31", "info": DIM}
OF_SUPERVISORD = {"INFO": "info", "WARN": "warning", "ERRO": "error", "CRIT": "critical"}
LEVEL_COLUMNS, EVENT_COLUMNS, PROGRAM_MAX_COLUMNS = 8, 16, 24
PLAIN_VALUE = re.compile(r"[^\s\"=]+")
Paint = Callable[[str, str], str]


def coloured(text: str, code: str) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if text else ""


def plain(text: str, _code: str) -> str:
    return text


def shown(line: LogLine, program_columns: int, today: datetime | None, paint: Paint) -> str:
    """One or, for a traceback, several lines. `today` None: the whole date always, as for a file."""
    level, words, fields = _parts(line)
    exception = line.fields.get("exception")
    columns = min(program_columns, PROGRAM_MAX_COLUMNS)
    cells = [paint(time_of(line.at_s, today), DIM), paint(level.ljust(LEVEL_COLUMNS), LEVELS.get(level, "")),
             paint(printable(line.program).ljust(columns), CYAN), words if fields is None else (
                 paint(words.ljust(EVENT_COLUMNS) if fields else words, BOLD))]
    told = " ".join(cells) + "".join(f" {paint(f'{printable(name)}=', DIM)}{_value(value)}"
                                     for name, value in (fields or {}).items())
    more = exception.splitlines() if isinstance(exception, str) else []
    return "\n".join([told.rstrip(), *(f"    {printable(each)}" for each in more)])


def _parts(line: LogLine) -> tuple[str, str, dict[str, object] | None]:
    """Level, words, and the fields; None of a line that no journal wrote."""
    if line.fields:
        level, event = (printable(str(line.fields.get(name) or "")) for name in ("level", "event"))
        return level, event, {name: value for name, value in line.fields.items() if name not in HEAD}
    text = printable(line.text)
    time = SUPERVISORD_TIME.match(text)
    if not time:
        return "", text, None
    level, _, text = text[time.end():].lstrip().partition(" ")
    return OF_SUPERVISORD.get(level, level.lower()), text, None


def time_of(at_s: float, today: datetime | None) -> str:
    """In local time; without its date if that is today's."""
    at = datetime.fromtimestamp(at_s)
    if today is None:
        return at.isoformat(sep=" ", timespec="milliseconds")
    return at.strftime("%H:%M:%S" if at.date() == today.date() else "%m-%d %H:%M:%S")


def _value(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if isinstance(value, str) and not PLAIN_VALUE.fullmatch(text):
        text = f'"{text}"'
    return printable(text)


def as_json(line: LogLine) -> str:
    """One object: what the journal wrote with `program`, whose file it is; else `program`, `timestamp` and `text`."""
    if line.fields:
        return json.dumps({**line.fields, "program": line.program})
    return json.dumps({"timestamp": _iso(line.at_s), "program": line.program, "text": line.text})


def _iso(at_s: float) -> str:
    return datetime.fromtimestamp(at_s).astimezone().isoformat(timespec="milliseconds")


def is_about(fields: Mapping[str, object], names: frozenset[str]) -> bool:
    """Does a line of a journal speak of the model that goes by these names?"""
    return str(fields.get("model")) in names
