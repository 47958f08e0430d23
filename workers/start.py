"""How a worker process begins: the environment closed, the row's lock taken, the table found, the engine chosen.

Everything that can be wrong with a configuration ends here with one line on stderr, before the row has a word of ours.
TERM is noted from before this module was imported (`stop_signals`): while there is nothing to finish it ends the
waiting, and the process leaves with 0.
"""

import os
import sys
import time
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from control.config import RELAYS, Config, ConfigError, ModelConfig, load_config, with_library
from control.home import Home, HomeRefused, LockHeld, acquire_lock, home_from_env, prepare_home
from control.journal import get_journal
from control.library import library_path, read_library
from control.pooling import choose_pooling
from control.process_facts import process_start_time_us
from control.table import Table, TableRefused
from workers import quick_imports
from workers.engine import Engine, Spill
from workers.engine_thread import EngineThread
from workers.loop import Loop, MakeThread
from workers.relay import Limits, Server
from workers.relay_thread import RelayThread
from workers.stop_signals import StopSignals
from workers.third_key import ThirdKey

GIB = 1024**3
TABLE_POLL_S = 0.05
TABLE_WITHIN_S = 30.0
KEYS_OFF = "WARDEN_TEST_KEYS_OFF"  # for the bench alone: it shows that answers are lost without this key


def start(arguments: list[str], stop: StopSignals) -> int:
    """Lock, table, loop; returns the exit code. `arguments`: the slug."""
    if len(arguments) != 1:
        print("usage: python -m workers SLUG", file=sys.stderr)
        return 2
    slug = arguments[0]
    close_environment(os.environ)
    try:
        config = read_config()
        home = home_from_env(os.environ)
        batch_max, make_thread = make_body(config, slug, home.cache)
        prepare_home(home)
        lock = acquire_lock(home.lock_path(f"row-{slug}"))
        quick_imports.install(home.run, slug)
        table = wait_for_table(home.table, stop)
    except (ConfigError, HomeRefused, TableRefused) as problem:
        print(problem, file=sys.stderr)
        return 2
    except LockHeld as held:
        print(f"another process serves {slug}: {held}", file=sys.stderr)
        return 3
    with lock:
        if table is None:
            return 0
        journal = get_journal(slug if slug in RELAYS.values() else f"worker-{slug}")
        third_key = ThirdKey(switched_off="worker" in os.environ.get(KEYS_OFF, "").split(","))
        if third_key.switched_off:
            journal.error("key_switched_off", key="worker", reason=f"{KEYS_OFF} says so: EVICTIONS NOW COST ANSWERS")
        start_time_us = process_start_time_us(os.getpid()) or 0
        parent = expected_parent(home, os.environ)
        loop = Loop(slug, home, table, batch_max, make_thread, start_time_us, parent, journal.info, stop, third_key,
                    ConfiguredModels(config, library_path(home.root)).find)
        return loop.run()


def read_config() -> Config:
    """Raises: ConfigError."""
    return load_config(os.environ, Path.cwd(), models_must_be_whole=False)


class ConfiguredModels:
    """All models by their slugs: those of the file as it was at our start, and of the library as it stands now.

    Whenever the library was written since it was read, it is read again: a model may have come, gone, or come back in
    another directory.
    """

    def __init__(self, config: Config, library: Path) -> None:
        self._config, self._library, self._seen = config, library, _Stamp()

    def find(self, slug: str) -> ModelConfig | None:
        if (seen := stamp(self._library)) != self._seen:
            with suppress(ConfigError):  # who broke it is told when the stack starts
                self._config, self._seen = with_library(self._config, read_library(self._library)), seen
        return self._config.by_slug.get(slug)


class _Stamp(NamedTuple):
    """Of a file; 0, 0 of none. A file that is written anew has another inode."""

    inode: int = 0
    mtime_ns: int = 0


def stamp(path: Path) -> _Stamp:
    try:
        found = path.stat()
    except OSError:
        return _Stamp()
    return _Stamp(found.st_ino, found.st_mtime_ns)


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


def make_body(config: Config, slug: str, cache: Path | None = None) -> tuple[int, MakeThread]:
    """How many jobs it takes at once, and what makes the thread that does the work. `cache`: where KV caches may lie on
    disk. Raises: ConfigError.
    """
    for name, relay in config.relays.items():
        if slug == relay:  # one place more than its limit: for who was called back
            server = make_server(config, name)
            make_thread = partial(RelayThread, server, config.relay_probe_every_s)
            return getattr(config, f"{name}_max_running") + 1, make_thread
    for name, relay in RELAYS.items():
        if slug == relay:
            raise ConfigError(config.source, f"{name}_url in [relays] is not set", f"set it: {slug} calls that server")
    spill = Spill(cache, slug, int(config.prefix_cache_disk_gb * GIB), get_journal(f"worker-{slug}").info)
    engine = make_engine(find_model(config, slug), spill if cache and config.prefix_cache_disk_gb else None)
    return engine.batch_max, partial(EngineThread, engine)


def make_server(config: Config, name: str) -> Server:
    """Only the relays import an HTTP client."""
    from workers.relay_ollama import OllamaServer
    from workers.relay_victoria import VictoriaServer

    kind = {"ollama": OllamaServer, "victoria": VictoriaServer}[name]
    limits = Limits(config.relay_connect_s, config.relay_first_byte_s, config.relay_idle_s)
    return kind(getattr(config, f"{name}_url"), getattr(config, f"{name}_key_file"), limits)


def find_model(config: Config, slug: str) -> ModelConfig:
    for model in config.models:
        if model.slug == slug:
            return model
    raise ConfigError(config.source, f"no model has the slug {slug!r}", "`warden check` lists the models")


def make_engine(model: ModelConfig, spill: Spill | None = None) -> Engine:
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

    pooling = choose_pooling(model.engine, model.path, model.embeddings)
    return MlxEngine(str(model.path), batch_max=model.batch_size, context_length=model.context_length,
                     pooling=pooling.how, why_no_vectors=pooling.why, prefix_cache=model.prefix_cache, spill=spill)


def wait_for_table(path: Path, stop: StopSignals, within_s: float = TABLE_WITHIN_S) -> Table | None:
    """None: told to leave before there was one. Raises: TableRefused after `within_s` without a right one."""
    deadline = time.monotonic() + within_s
    while not stop.asked:
        try:
            return Table.open(path)
        except TableRefused:
            if time.monotonic() > deadline:
                raise
            time.sleep(TABLE_POLL_S)
    return None
