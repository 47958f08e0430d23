"""How the downloader tells how far it is: the files of a repository, who says so, and a file that tells as it grows."""

import time
from collections.abc import Callable
from typing import BinaryIO, NamedTuple

from workers import fetch_lines as lines

SAY_EVERY_S = 0.25
NEVER = float("-inf")


class Part(NamedTuple):
    """One file of a repository. `sha256` "": the hub knows none, for it is small."""

    name: str
    size: int
    sha256: str


class Teller:
    """Says how far it is, at most every SAY_EVERY_S for one file but for its begin and end."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._said_at, self._said = NEVER, ("", "")

    def say(self, line: lines.Line) -> None:
        self._write(lines.encode(line) + b"\n")

    def progress(self, status: str, part: Part, completed: int) -> None:
        now, about = time.monotonic(), (status, part.name)
        if about == self._said and completed < part.size and now - self._said_at < SAY_EVERY_S:
            return
        self._said_at, self._said = now, about
        self.say(lines.Progress(status, part.name, part.sha256, part.size, completed))


class Growing:
    """The file that a download is written to, as `http_get` needs it; tells of each piece."""

    def __init__(self, file: BinaryIO, told: Callable[[int], None]) -> None:
        self._file, self._told = file, told
        self.tell, self.seek, self.truncate = file.tell, file.seek, file.truncate

    def write(self, data: bytes) -> int:
        written = self._file.write(data)
        self._told(self._file.tell())
        return written
