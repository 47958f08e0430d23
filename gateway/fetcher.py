"""A downloader process (`workers.fetch`) as the gateway holds it: started, listened to, ended; none of it waits.

It ends when we do, however we end: it reads from a pipe of which only we hold the other end.
"""

import os
import subprocess
import sys

import msgspec

from workers import fetch_lines
from workers.fetch_lines import Line

PIECE_BYTES = 64 * 1024
NAME_KEY = "SUPERVISOR_PROCESS_NAME"  # by it the command line tells whose processes are left of a home


class Fetch:
    """One run of the downloader. Raises: OSError if there can be no more processes."""

    def __init__(self, *words: str) -> None:
        self._process = subprocess.Popen([sys.executable, "-P", "-m", "workers.fetch", *words], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, env={**os.environ, NAME_KEY: "fetch"})
        self._out = self._process.stdout.fileno()
        os.set_blocking(self._out, False)
        self._rest = b""

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def read(self) -> list[Line]:
        """What it has said since the last call; lines that cannot be read are left out."""
        found = []
        while piece := self._piece():
            *whole, self._rest = (self._rest + piece).split(b"\n")
            if len(self._rest) > fetch_lines.LINE_MAX_BYTES:
                self._rest = b""
            for line in whole:
                try:
                    found.append(fetch_lines.decode(line))
                except (msgspec.MsgspecError, UnicodeDecodeError):
                    continue
        return found

    def _piece(self) -> bytes:
        try:
            return os.read(self._out, PIECE_BYTES)
        except BlockingIOError:
            return b""

    def kill(self) -> None:
        """Now. What it has written to disk stays, and the next one goes on from there."""
        self._process.kill()
