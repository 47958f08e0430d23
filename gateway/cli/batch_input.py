"""The lines of a batch: each one request, checked whole before anything is sent, and known again by key and hash.

1. A line is a JSON object (`request_fields`) and may have an `id`, a text or a whole number that stands once in the
   file. Blank lines count as lines and are no requests.
2. The hash is of what decides the answer: model, category, messages and options. Who changes one of them in a line has
   a new request; its class, its place in the file (if it has an id) and the spelling of the JSON do not count.
3. The first thing that is wrong is told with file and line, and then nothing is sent.

Pure.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from gateway.cli.request_fields import FieldsRefused, fields_of, read_object

LINE_MAX_BYTES = 32 * 1024 * 1024
ID_MAX_CHARS = 256
HASH_CHARS = 16


class LineRefused(Exception):
    """`FILE:LINE: what is wrong`."""


class Item(NamedTuple):
    """One request. `id` None: it goes by its line."""

    line: int
    id: str | int | None
    hash: str
    fields: dict[str, object]

    @property
    def key(self) -> tuple[str, str | int]:
        return ("line", self.line) if self.id is None else ("id", self.id)

    @property
    def called(self) -> str:
        """For people."""
        return f"line {self.line}" if self.id is None else f"line {self.line} (id {self.id})"


def read_items(lines: Iterable[bytes], name: str, model: str = "") -> list[Item]:
    """`name` of the file, for messages; `model` for lines that name neither model nor category. Raises: LineRefused."""
    items: list[Item] = []
    first_line: dict[tuple[str, str | int], int] = {}
    for number, line in enumerate(lines, 1):
        line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        if not line.strip():
            continue
        try:
            item = _read_item(line, number, model)
            if (before := first_line.setdefault(item.key, number)) != number:
                raise FieldsRefused(f"id: {item.id!r} is already that of line {before}; every id may stand once")
        except FieldsRefused as refused:
            raise LineRefused(f"{name}:{number}: {refused}") from None
        items.append(item)
    if not items:
        raise LineRefused(f"{name}: holds no request; write one JSON object per line, such as {{\"prompt\": \"...\"}}")
    return items


def _read_item(line: bytes, number: int, model: str) -> Item:
    """Raises: FieldsRefused."""
    if len(line) > LINE_MAX_BYTES:
        raise FieldsRefused(f"has {len(line)} bytes; the limit is {LINE_MAX_BYTES}")
    given = read_object(line)
    own_id = given.pop("id", None)
    if own_id is not None and (isinstance(own_id, bool) or not isinstance(own_id, str | int) or own_id == ""):
        raise FieldsRefused("id: must be a text or a whole number, and not empty")
    if len(str(own_id)) > ID_MAX_CHARS:
        raise FieldsRefused(f"id: has {len(str(own_id))} characters; the limit is {ID_MAX_CHARS}")
    fields = fields_of(given)
    if model and not (fields.get("model") or fields.get("category")):
        fields["model"] = model
    return Item(number, own_id, hash_of(fields), fields)


def hash_of(fields: dict[str, object]) -> str:
    options = msgspec.structs.asdict(fields["options"])
    decides = [fields.get("model", ""), fields.get("category", ""), msgspec.to_builtins(fields["messages"]),
               sorted((name, value) for name, value in options.items() if value is not None)]
    return hashlib.sha256(msgspec.json.encode(decides)).hexdigest()[:HASH_CHARS]


def first_of_each_model(items: Sequence[Item]) -> list[Item]:
    """One item for each model or category that is named, and one for none."""
    found: dict[tuple[object, object], Item] = {}
    for item in items:
        found.setdefault((item.fields.get("model", ""), item.fields.get("category", "")), item)
    return list(found.values())
