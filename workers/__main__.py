"""`python -m workers SLUG`: one worker process, from its first line to its exit. What happens between is `start.py`.

Exit codes: 0 drained or quit empty-handed, 1 the load failed or the hello was refused, 2 wrong configuration or
usage, 3 another process holds this row, 70 the engine died.
"""

import os
import sys

from workers.stop_signals import StopSignals


def main() -> int:
    stop = StopSignals().install()  # before everything else is imported: no TERM is lost
    from workers.start import start

    return start(sys.argv[1:], stop)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # the engine thread may still be inside MLX; the kernel takes everything back at once
