"""How a command ends: three exit codes, and one exception that carries a code and the one line that explains it.

0: done. 1: it failed while running. 2: the command line, the configuration or the machine must be changed first;
nothing was started. The line goes to stderr, what was asked for to stdout.
"""

OK = 0
FAILED = 1
USAGE = 2


class CommandFailed(Exception):
    """`str()` is the line for the user; `code` is FAILED or USAGE."""

    def __init__(self, line: str, code: int = FAILED) -> None:
        super().__init__(line)
        self.code = code
