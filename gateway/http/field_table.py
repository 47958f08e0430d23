"""`python -m gateway.http.field_table`: the README's table of what becomes of each field of a request, as Markdown.

Made of what the modules of the dialects declare (`fields.Asks`) for the routes of `app`, so that there is no second
list. The fields of one endpoint stand under its heading, one line each, as their structs have them.
"""

import re
import sys
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from gateway.http.app import ROUTES
from gateway.http.fields import HONOURED, IGNORED, REFUSED, collect

WORDS = {HONOURED: "honoured", IGNORED: "accepted and ignored", REFUSED: "refused"}
DIALECTS = {"ollama": "Ollama", "openai": "OpenAI", "anthropic": "Anthropic", "chat": "Chat front ends"}
BEGIN, END = "<!-- fields: begin -->", "<!-- fields: end -->"
LINE = re.compile(r"\| `([^`]+)` \| ([a-z ]+) \|(.*)\|")
HEADING = re.compile(r"<summary>([^:]+): <code>(\w+) (\S+)</code></summary>")


class Row(NamedTuple):
    """`endpoint`: method and path. `verdict`: one of WORDS."""

    dialect: str
    endpoint: str
    field: str
    verdict: str
    note: str


def rows() -> Iterator[Row]:
    """Of all endpoints, by dialect. One that has the fields of another says so in one row."""
    asked = collect(ROUTES)
    for dialect in DIALECTS:
        for (method, path), asks in asked.items():
            if asks.dialect != dialect:
                continue
            endpoint = f"{method} {path}"
            if asks.same_as:
                yield Row(dialect, endpoint, "*", WORDS[HONOURED], f"as `{asks.same_as}`")
                continue
            for field in asks.fields():
                yield Row(dialect, endpoint, field.where, WORDS[field.verdict], plain(field.note))


def plain(note: str) -> str:
    """In one cell of a table."""
    return " ".join(note.replace("|", "/").split())


def markdown(found: Iterable[Row]) -> str:
    """Between BEGIN and END; each endpoint folds away."""
    lines, endpoint = [BEGIN], ""
    for row in found:
        if row.endpoint != endpoint:
            if endpoint:
                lines += ["", "</details>"]
            endpoint = row.endpoint
            lines += ["", f"<details><summary>{DIALECTS[row.dialect]}: <code>{endpoint}</code></summary>", "",
                      "| Field | | |", "|---|---|---|"]
        lines.append(f"| `{row.field}` | {row.verdict} | {row.note} |")
    return "\n".join([*lines, "", "</details>", "", END, ""])


def parse(text: str) -> list[Row]:
    """The rows of a page that holds the table; [] if there is none. The reverse of `markdown`."""
    found, dialect, endpoint = [], "", ""
    names = {shown: name for name, shown in DIALECTS.items()}
    for line in text.partition(BEGIN)[2].partition(END)[0].splitlines():
        if heading := HEADING.search(line):
            dialect, endpoint = names.get(heading[1], ""), f"{heading[2]} {heading[3]}"
        elif row := LINE.fullmatch(line):
            found.append(Row(dialect, endpoint, row[1], row[2], row[3].strip()))
    return found


if __name__ == "__main__":
    sys.stdout.write(markdown(rows()))
