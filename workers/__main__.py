"""`python -m workers SLUG`: one worker process, from lock to exit.

Exit codes: 0 drained or quit empty-handed, 1 the load failed or the hello was refused, 2 wrong configuration or
usage, 3 another process holds this row, 70 the engine died.
"""

import os
import sys
import time
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from control.config import Config, ConfigError, ModelConfig, load_config
from control.home import Home, HomeRefused, LockHeld, acquire_lock, home_from_env, prepare_home
from control.journal import get_journal
from control.process_facts import process_start_time_us
from control.table import Table, TableRefused
from workers.engine import Engine
from workers.loop import Loop

TABLE_POLL_S = 0.05
TABLE_WITHIN_S = 30.0


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: python -m workers SLUG", file=sys.stderr)
        return 2
    slug = arguments[0]
    close_environment(os.environ)
    try:
        model = find_model(load_config(os.environ, Path.cwd(), models_must_be_whole=False), slug)
        home = home_from_env(os.environ)
        prepare_home(home)
        lock = acquire_lock(home.lock_path(f"row-{slug}"))
        table = wait_for_table(home.table)
    except (ConfigError, HomeRefused, TableRefused) as problem:
        print(problem, file=sys.stderr)
        return 2
    except LockHeld as held:
        print(f"another process serves {slug}: {held}", file=sys.stderr)
        return 3
    with lock:
        journal = get_journal(f"worker-{slug}")
        start_time_us = process_start_time_us(os.getpid()) or 0
        parent = expected_parent(home, os.environ)
        loop = Loop(slug, home, table, make_engine(model), start_time_us, parent, journal.info)
        return loop.run()


def close_environment(env: MutableMapping[str, str]) -> None:
    """No variable may make a library run code from a model's directory, or fetch one: a worker reads what is there."""
    for name in [name for name in env if "TRUST_REMOTE_CODE" in name or name == "MLXLM_USE_MODELSCOPE"]:
        del env[name]
    env["HF_HUB_OFFLINE"] = "1"


def expected_parent(home: Home, env: Mapping[str, str]) -> int:
    """Whose child this worker is while it is no orphan: supervisord's if that started it, which may have died since."""
    if "SUPERVISOR_ENABLED" not in env:
        return os.getppid()
    try:
        return int(home.supervisor_pidfile.read_text())
    except (OSError, ValueError):
        return 0  # the stack is being taken down: nobody's child


def find_model(config: Config, slug: str) -> ModelConfig:
    for model in config.models:
        if model.slug == slug:
            return model
    raise ConfigError(config.source, f"no model has the slug {slug!r}", "`warden check` lists the models")


def make_engine(model: ModelConfig) -> Engine:
    """Only the engine that is asked for is imported: an echo worker starts without MLX."""
    if model.engine == "echo":
        from workers.echo_engine import EchoEngine

        echo = model.echo
        return EchoEngine(
            batch_max=model.batch_size,
            context_length=model.context_length,
            rate_per_s=echo.rate_per_s,
            load_s=echo.load_s,
            answer_tokens=echo.answer_tokens,
            crash_in_load=echo.crash_in_load,
            hang_in_load=echo.hang_in_load,
        )
    from workers.mlx_engine import MlxEngine

    return MlxEngine(str(model.path), batch_max=model.batch_size, context_length=model.context_length)


def wait_for_table(path: Path) -> Table:
    """Raises: TableRefused when it is still missing or wrong after TABLE_WITHIN_S."""
    deadline = time.monotonic() + TABLE_WITHIN_S
    while True:
        try:
            return Table.open(path)
        except TableRefused:
            if time.monotonic() > deadline:
                raise
            time.sleep(TABLE_POLL_S)


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # the engine thread may still be inside MLX; the kernel takes everything back at once
