"""`python -m gateway`: the ZeroMQ gateway's process, from lock to drain.

Exit codes: 0 stopped by TERM, 1 another gateway holds the lock, 2 the configuration or the file of keys is wrong
(not retried).
"""

import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from control.config import Config, ConfigError, load_config
from control.home import Home, HomeRefused, LockHeld, acquire_lock, home_from_env, prepare_home
from control.journal import get_journal
from control.table import Table, TableRefused
from gateway.garbage import settle_garbage
from gateway.key_file import key_path, read_keys
from gateway.keys import KeysRefused
from gateway.loop import Loop

TABLE_POLL_S = 0.05
TABLE_NOTE_EVERY_S = 10.0
KEYS_OFF = "WARDEN_TEST_KEYS_OFF"  # for the bench alone: it shows that answers are lost without this key


def main() -> int:
    try:
        config = load_config(os.environ, Path.cwd(), models_must_be_whole=False)
        home = home_from_env(os.environ)
        prepare_home(home)
        lock = acquire_lock(home.lock_path("gateway"))
        read_keys(key_path(home))
    except (ConfigError, HomeRefused, KeysRefused) as problem:
        print(problem, file=sys.stderr)
        return 2
    except LockHeld as held:
        print(f"another gateway serves this home: {held}", file=sys.stderr)
        return 1
    with lock:
        serve(config, home)
    return 0


def serve(config: Config, home: Home) -> None:
    journal = get_journal("gateway")
    table = wait_for_table(home, journal)
    loop = Loop(config, home, table, journal.info)
    if key_is_off(os.environ):
        loop.dispatcher.switch_key_off()
        journal.error("key_switched_off", key="gate", reason=f"{KEYS_OFF} says so: EVICTIONS NOW COST ANSWERS")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: setattr(loop, "stopping", True))
    journal.info("gateway_up", epoch=loop.dispatcher.epoch, boot_id=table.boot_id, models=len(config.models))
    settle_garbage()
    loop.run()
    loop.close()
    journal.info("gateway_down", epoch=loop.dispatcher.epoch)


def key_is_off(env: Mapping[str, str]) -> bool:
    """Does a bench ask to go without the gateway's key?"""
    return "gate" in env.get(KEYS_OFF, "").replace(",", " ").split()


def wait_for_table(home: Home, journal) -> Table:
    """Control makes the table; until it stands there is nothing to serve from."""
    noted_at = 0.0
    while True:
        try:
            return Table.open(home.table)
        except TableRefused as refused:
            if time.monotonic() - noted_at > TABLE_NOTE_EVERY_S:
                noted_at = time.monotonic()
                journal.info("waiting_for_table", reason=str(refused))
            time.sleep(TABLE_POLL_S)


if __name__ == "__main__":
    sys.exit(main())
