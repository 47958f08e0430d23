"""A whole stack of the bench's own: made, started, loaded, and gone again when the block around it ends.

Guarantees: it lives in a directory of its own with a port of its own, so it meets no other stack; no setting of the
user's environment reaches it; its models are loaded before the block begins; nothing of it is left afterwards, however
the block ends.

It is driven by the commands that users have (`warden up`, `warden down`, `python -m workers.random_model`), not by the
product's insides, so that what is measured is what runs.
"""

import json
import os
import signal
import time
import tomllib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.machine import family
from bench.program import (
    BenchFailed,
    add_to_will,
    free_port,
    own_environment,
    own_folder,
    python_module,
    run_command,
    undisturbed,
)
from gateway.client import BlockingClient, GatewayError

RANDOM_MODELS = ("1m", "26m")
ECHO = "echo"
MAKE_MODEL_WITHIN_S = 300.0
UP_WITHIN_S = 120.0
DOWN_WITHIN_S = 120.0
GONE_WITHIN_S = 10.0
GONE_POLL_EVERY_S = 0.05
ANY_NUMBER = 0
DRAIN_DEADLINE_S = 10.0  # a bench that is interrupted does not wait for answers that nobody reads
OWN_SETTINGS = {"prewarm": 0, "drain_deadline_s": DRAIN_DEADLINE_S,
                "rate_limit_max": ANY_NUMBER}  # a bench asks more often than one caller may


class Stack:
    """A running stack. `url` without a slash at the end, `clients` a ZeroMQ endpoint, `paths` name -> model directory.

    Make one with `Stack.started`.
    """

    def __init__(self, folder: Path, port: int, paths: Mapping[str, str], env: Mapping[str, str]) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.clients = ""
        self.paths = dict(paths)
        self._folder = folder
        self._env = dict(env)

    @classmethod
    @contextmanager
    def started(cls, models: Mapping[str, str], max_running: int = 8, pressure: float | None = None,
                loaded: Collection[str] | None = None, **settings: object) -> Iterator["Stack"]:
        """`models`: name -> the lines of its table in warden.toml; `settings`: names of [limits], [control], [memory].

        A model called "1m" or "26m" without a path gets random weights of that size, one called "echo" the echo engine.
        A setting is passed as the variable of its name, so anything that WARDEN_... can say can be said here.
        `pressure`: what share of memory, 0..1, is taken to be used, whatever else this machine does. None: as measured.
        `loaded`: the models that are loaded before the block begins. None: all.

        Raises:
            BenchFailed: it could not be made, started or loaded; nothing is left of it.
        """
        with own_folder() as folder:
            port = free_port()
            paths = {name: str(make_model(name, folder)) for name, body in models.items() if wants_weights(name, body)}
            (folder / "warden.toml").write_text(
                toml_of(models, paths, {"port": port}, {"max_running": max_running}), encoding="utf-8")
            if pressure is not None:
                settings |= {"pressure_file": folder / "pressure"}
                settings["pressure_file"].write_text(f"{pressure}\n", encoding="utf-8")
            stack = cls(folder, port, {name: _path_in(body) for name, body in models.items()} | paths,
                        environment_of(folder, OWN_SETTINGS | settings))
            try:
                stack._up()
                stack._load(models if loaded is None else loaded)
                yield stack
            finally:
                with undisturbed():
                    stack._down()

    @property
    def table_path(self) -> Path:
        return self._folder / "home/run/table"

    @property
    def control_log(self) -> Path:
        return self._folder / "home/logs/control.log"

    def pids(self) -> list[int]:
        """Of supervisord and of all that it started; empty if it does not run."""
        return [process.pid for process in family(self._supervisord())]

    def _supervisord(self) -> list[int]:
        try:
            return [int((self._folder / "home/run/supervisor.pid").read_text())]
        except (OSError, ValueError):
            return []

    def _up(self) -> None:
        settings = [f"{key}={value}" for key, value in self._env.items() if key.startswith("WARDEN_")]
        add_to_will(self._folder, "env", *settings, *_warden("down"))
        told = run_command("warden up", _warden("up", "--json"), self._folder, UP_WITHIN_S, self._env)
        self.clients = json.loads(told)["endpoint"]

    def _load(self, models: Collection[str]) -> None:
        try:
            with BlockingClient(self.clients) as client:
                for name in models:
                    client.load(name)  # ends by itself: control gives up on a load after load_deadline_s
        except GatewayError as error:
            raise BenchFailed(f"the stack that was started does not load its models: {error}") from None

    def _down(self) -> None:
        """`warden down`, and the end of whatever survives that. Raises: BenchFailed if it said that it failed."""
        processes = family(self._supervisord())
        try:
            run_command("warden down", _warden("down"), self._folder, DOWN_WITHIN_S, self._env)
        finally:
            give_up_at = time.monotonic() + GONE_WITHIN_S
            while (left := [each for each in processes if each.is_running()]) and time.monotonic() < give_up_at:
                for process in left:  # known since before, so no pid that was reused meanwhile is taken for one
                    with suppress(ProcessLookupError):
                        os.kill(process.pid, signal.SIGKILL)
                time.sleep(GONE_POLL_EVERY_S)


def make_model(size: str, folder: Path) -> Path:
    """The directory of a model of random weights, "1m" or "26m", below `folder`. Raises: BenchFailed."""
    path = folder / "models" / size
    command = python_module("workers.random_model", str(path), "--size", size)
    run_command("python -m workers.random_model", command, folder, MAKE_MODEL_WITHIN_S)
    return path


def find_model(model: str, folder: Path) -> str:
    """What everybody can be told to load: the directory (random weights are made in `folder`), or a Hugging Face id.

    Raises:
        BenchFailed: it is neither; names the remedy.
    """
    return str(make_model(model, folder)) if model in RANDOM_MODELS else weights_of(model)


def weights_of(model: str) -> str:
    """What a model of the user's own is called in warden.toml: see `find_model`. Raises: BenchFailed."""
    path = Path(model).expanduser()
    if path.is_dir():
        return str(path.resolve())
    if model.startswith(("/", "~", ".")) or model.count("/") != 1:
        raise BenchFailed(f"--model: {model} is no directory; give one with weights, a Hugging Face id that is in the "
                          f"cache, or {' or '.join(RANDOM_MODELS)}")
    return model


def wants_weights(name: str, body: str) -> bool:
    """Is it one of RANDOM_MODELS that does not say itself where its weights are?"""
    return name in RANDOM_MODELS and not _path_in(body)


def _path_in(body: str) -> str:
    return tomllib.loads(body).get("path", "")


def toml_of(models: Mapping[str, str], paths: Mapping[str, str], server: Mapping[str, int], limits: Mapping[str, int],
            ) -> str:
    """The text of warden.toml. `paths` are those of the weights that were made."""
    lines = ["[server]", *(f"{key} = {value}" for key, value in server.items()),
             "[limits]", *(f"{key} = {value}" for key, value in limits.items())]
    for name, body in models.items():
        lines.append(f'[models."{name}"]')
        if name in paths:
            lines.append(f'path = "{paths[name]}"')
        elif name == ECHO and "engine" not in tomllib.loads(body):
            lines.append('engine = "echo"')
        lines.append(body.strip())
    return "\n".join(lines) + "\n"


def environment_of(folder: Path, settings: Mapping[str, object]) -> dict[str, str]:
    """What the commands of this stack are started with; a setting is the variable of its name."""
    said = {f"WARDEN_{name.upper()}": str(value) for name, value in settings.items()}
    return own_environment(WARDEN_HOME=str(folder / "home"), WARDEN_CONFIG=str(folder / "warden.toml"), **said)


def _warden(*words: str) -> list[str]:
    return python_module("gateway.cli.main", *words)
