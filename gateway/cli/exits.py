"""How a command ends: four exit codes, and one exception that carries a code and the one line that explains it.

0: done. 1: it failed while running. 2: the command line, the configuration or the machine must be changed first;
nothing was started. 130: Ctrl-C. The line goes to stderr, what was asked for to stdout.

Where a command does many things, 0 is for all of them. `warden batch`: 0, every request of the file has its answer in
the output; 1, some have not, and the same command again asks only these; 2, nothing was sent, for the file, the output
or an argument is wrong; 130, it was stopped and can be resumed the same way. `warden route`: 1 if nobody would answer.
"""

OK = 0
FAILED = 1
USAGE = 2
INTERRUPTED = 130


class CommandFailed(Exception):
    """`str()` is the line for the user; `code` is FAILED or USAGE."""

    def __init__(self, line: str, code: int = FAILED) -> None:
        super().__init__(line)
        self.code = code
