"""TERM and INT from the first line of our own code on: noted at once, looked at when there is somebody to do so.

A worker is started to be told things, and the first may be that it should go. What the interpreter would do with TERM
(die on the spot) is right only until there is something to finish; what a library's import would do while the handler
is missing is nobody's choice. So `workers/__main__.py` installs this before it imports anything else.
"""

import signal
from collections.abc import Callable


class StopSignals:
    """`asked`: one has come. `wake`, once set, is called from the handler; it must not block."""

    def __init__(self) -> None:
        self.asked = False
        self.wake: Callable[[], None] = lambda: None

    def install(self) -> "StopSignals":
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        return self

    def _on_signal(self, *_: object) -> None:
        self.asked = True
        self.wake()
