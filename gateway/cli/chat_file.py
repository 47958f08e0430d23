"""Conversations of `warden run` in files (`/save`, `/load`), and what was typed, so that it can be found again.

1. Both are 0600 and whole or not there: they hold what a person said. A file that is no conversation is never replaced.
2. `chat_history` in the home holds what was typed at the prompt, one JSON text in a line, at most KEPT_MAX of them and
   FILE_MAX_BYTES; the oldest go at the next start. A line that is none of ours is passed over. Two programs at once may
   cost each other a line, never the file.
3. No error about the history keeps anybody from chatting: it is told once, and then nothing is kept.
"""

import json
import os
from pathlib import Path

from control.private_file import write_private
from gateway.cli.chat_session import (
    FILE_MAX_BYTES,
    Conversation,
    ConversationRefused,
    decode_conversation,
    encode_conversation,
)

HISTORY = "chat_history"
KEPT_MAX = 1000
ENTRY_MAX_CHARS = 64 * 1024  # what is pasted in whole books is not typed again
HISTORY_MAX_BYTES = 4 * 1024 * 1024


def save(conversation: Conversation, name: str) -> str:
    """A line about it. Raises: ConversationRefused."""
    path = _path(name)
    try:
        if path.exists():
            _read(path)
        write_private(path, encode_conversation(conversation))
    except ConversationRefused:
        raise ConversationRefused(f"/save: {path} is there and is no conversation; choose another name") from None
    except OSError as problem:
        raise ConversationRefused(f"/save: {path} cannot be written ({problem.strerror})") from None
    return f"saved in {path}"


def load(name: str) -> Conversation:
    """Raises: ConversationRefused."""
    path = _path(name)
    try:
        return _read(path)
    except ConversationRefused as refused:
        raise ConversationRefused(f"/load: {path} {refused}") from None
    except OSError as problem:
        raise ConversationRefused(f"/load: {path} cannot be read ({problem.strerror}); correct the path") from None


def _path(name: str) -> Path:
    """Where a link leads, so that the link itself stays."""
    return Path(os.path.realpath(os.path.expanduser(name)))


def _read(path: Path) -> Conversation:
    with open(path, "rb") as stream:
        return decode_conversation(stream.read(FILE_MAX_BYTES + 1))


class TypedBefore:
    """The history file of a home. `keeps` False: nothing more is written."""

    def __init__(self, root: Path) -> None:
        self.path = root / HISTORY
        self.keeps, self.trouble = True, ""

    def read(self) -> list[str]:
        """The oldest first; the file is cut to its limits."""
        try:
            with open(self.path, "rb") as stream:
                stream.seek(max(0, stream.seek(0, os.SEEK_END) - HISTORY_MAX_BYTES))
                lines = stream.read().splitlines()
        except FileNotFoundError:
            return []
        except OSError as problem:
            self._give_up(problem)
            return []
        found = [entry for line in lines if (entry := _entry(line)) is not None]
        if len(lines) > KEPT_MAX:
            found = found[-KEPT_MAX:]
            try:
                write_private(self.path, b"".join(map(_line, found)))
            except OSError as problem:
                self._give_up(problem)
        return found

    def add(self, entry: str) -> None:
        if not self.keeps or len(entry) > ENTRY_MAX_CHARS:
            return
        try:
            how = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(self.path, how, 0o600)
            try:
                os.write(descriptor, _line(entry))
            finally:
                os.close(descriptor)
        except OSError as problem:
            self._give_up(problem)

    def _give_up(self, problem: OSError) -> None:
        self.keeps = False
        self.trouble = f"what you type is not kept: {self.path}: {problem.strerror}"


def _entry(line: bytes) -> str | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, str) else None


def _line(entry: str) -> bytes:
    return json.dumps(entry).encode() + b"\n"
