"""`python -m control`: the control process, from lock to exit. It leaves the workers as they are: they serve on.

Exit codes: 0 stopped by TERM, 1 another control process holds the lock, 2 the configuration is wrong (not retried),
3 the table was lost (the next control process makes another).
"""

import os
import signal
import sys
from pathlib import Path

from control.config import Config, ConfigError, load_config
from control.home import Home, HomeRefused, LockHeld, acquire_lock, home_from_env, prepare_home
from control.journal import get_journal
from control.loop import Loop, TableLost
from control.table import TableRefused


def main() -> int:
    try:
        config = load_config(os.environ, Path.cwd(), models_must_be_whole=False)
        home = home_from_env(os.environ)
        prepare_home(home)
        lock = acquire_lock(home.lock_path("control"))
    except (ConfigError, HomeRefused) as problem:
        print(problem, file=sys.stderr)
        return 2
    except LockHeld as held:
        print(f"another control process serves this home: {held}", file=sys.stderr)
        return 1
    with lock:
        return reconcile(config, home)


def reconcile(config: Config, home: Home) -> int:
    journal = get_journal("control")
    loop = Loop(config, home, journal.info)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: setattr(loop, "stopping", True))
    journal.info("control_up", epoch=loop.reconciler.epoch, boot_id=loop.reconciler.boot_id, source=config.source)
    try:
        loop.run()
    except (TableLost, TableRefused):
        journal.error("table_lost", remedy="another control process makes another table")
        return 3
    loop.close()
    journal.info("control_down")
    return 0


if __name__ == "__main__":
    sys.exit(main())
