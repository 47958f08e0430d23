"""The answers of a batch as they come: one JSON line each, appended, and read again to know what is answered already.

1. A line is written in one piece and flushed at once, so a kill leaves at most the last one torn. A torn last line is
   cut off at the next start, if it is the beginning of one of ours; its request is asked again.
2. A request counts as answered if a line has its key (id, else line number) and its hash: see `batch_input`.
3. One writer at a time (flock). A file whose lines are not ours is refused and not touched.
4. Only answers stand here; what failed is told on stderr, and is asked again by the next run.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

import msgspec

from gateway.cli.batch_input import Item
from gateway.cli.exits import USAGE, CommandFailed
from gateway.client import Outcome

BEGINNING = b'{"line":'
MODE = 0o600  # answers may be as private as questions


class _Line(msgspec.Struct):
    """What of an answer's line is read again."""

    line: int
    hash: str
    answer: str
    id: str | int | None = None


class Output(Protocol):
    """Where answers go. `answered`: the keys and hashes of those that are there already."""

    answered: set[tuple[tuple[str, str | int], str]]

    def write(self, item: Item, outcome: Outcome) -> None: ...


def encode_answer(item: Item, outcome: Outcome) -> bytes:
    """One line. Its first field is `line`, by which a torn one is known."""
    done = outcome.done
    own_id = {} if item.id is None else {"id": item.id}
    return msgspec.json.encode({
        "line": item.line, **own_id, "hash": item.hash, "answer": outcome.text, "model": done.model,
        "finish_reason": done.finish_reason, "route": done.route, "reason": done.reason,
        "prompt_tokens": done.usage.prompt_tokens, "completion_tokens": done.usage.completion_tokens,
        "total_ms": round(done.timings.total_ms),
    }) + b"\n"


class StreamOutput:
    """A pipe or a terminal: nothing is known of what was written before."""

    def __init__(self, stream: BinaryIO) -> None:
        self.answered: set[tuple[tuple[str, str | int], str]] = set()
        self._stream = stream

    def write(self, item: Item, outcome: Outcome) -> None:
        """Raises: OSError."""
        data = encode_answer(item, outcome)
        while data:
            data = data[self._stream.write(data):]
        self._stream.flush()


class FileOutput:
    def __init__(self, descriptor: int, path: Path) -> None:
        """Raises: CommandFailed (1, 3); then nothing was changed."""
        self._descriptor, self._path = descriptor, path
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandFailed(f"{path}: another `warden batch` is writing to it; wait for it, or choose another "
                                "--out", USAGE) from None
        self.answered: set[tuple[tuple[str, str | int], str]] = set()
        self._read_answered()

    def _read_answered(self) -> None:
        whole_bytes, line = 0, b"\n"
        with open(self._path, "rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    known = msgspec.json.decode(line, type=_Line)
                except (msgspec.DecodeError, UnicodeDecodeError):
                    if line.endswith(b"\n") or not is_torn(line):
                        raise CommandFailed(f"{self._path}:{number}: is no answer of `warden batch`; choose another "
                                            "--out", USAGE) from None
                    os.ftruncate(self._descriptor, whole_bytes)
                    return
                whole_bytes += len(line)
                self.answered.add((("line", known.line) if known.id is None else ("id", known.id), known.hash))
        if not line.endswith(b"\n"):
            write_all(self._descriptor, b"\n")

    def write(self, item: Item, outcome: Outcome) -> None:
        """Raises: OSError."""
        write_all(self._descriptor, encode_answer(item, outcome))


def write_all(descriptor: int, data: bytes) -> None:
    """Raises: OSError."""
    while data:
        data = data[os.write(descriptor, data):]


def is_torn(line: bytes) -> bool:
    """Could this be the beginning of a line of ours?"""
    return line.startswith(BEGINNING) or BEGINNING.startswith(line)


@contextmanager
def opened(path: Path) -> Iterator[Output]:
    """A pipe or device is not read again. Raises: CommandFailed."""
    is_stream = path.exists() and not path.is_file() and not path.is_dir()
    how = os.O_WRONLY if is_stream else os.O_RDWR | os.O_APPEND | os.O_CREAT
    try:
        descriptor = os.open(path, how | os.O_CLOEXEC, MODE)
    except OSError as problem:
        raise CommandFailed(f"{path}: cannot be written ({problem.strerror}); choose another --out", USAGE) from None
    with os.fdopen(descriptor, "wb", buffering=0) as raw:
        yield StreamOutput(raw) if is_stream else FileOutput(descriptor, path)
