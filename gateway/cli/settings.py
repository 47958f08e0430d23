"""What every command needs first: the home and the configuration of this environment, or one line and exit code 2."""

import os
from pathlib import Path

from control.config import BUILT_IN, Config, ConfigError, load_config
from control.home import Home, HomeRefused, home_from_env
from gateway.cli.exits import USAGE, CommandFailed


def read_home() -> Home:
    return home_from_env(os.environ)


def read_config(file: str = "") -> Config:
    """The configuration of this environment, or of `file` in its place.

    Raises:
        CommandFailed: with ConfigError's one line, exit code 2; also if `file` is none.
    """
    env = dict(os.environ)
    if file:
        env["WARDEN_CONFIG"] = os.path.expanduser(file)
        if not os.path.isfile(env["WARDEN_CONFIG"]):
            raise CommandFailed(f"{file!r} is not a file; correct the path", USAGE)
    try:
        return load_config(env, Path.cwd())
    except ConfigError as error:
        raise CommandFailed(str(error), USAGE) from None


def refuse_open_without_keys(config: Config, home: Home) -> None:
    """Raises: CommandFailed, if other machines could ask us without a key; names the place of `host`."""
    from gateway import key_file
    from gateway.keys import KeysRefused

    try:
        key_file.refuse_open_without_keys(config.is_reachable, config.host, home)
    except (HomeRefused, KeysRefused) as refused:
        raise CommandFailed(f"{config.places.get('host', 'host')}: {refused}", USAGE) from None


def config_file(config: Config) -> Path | None:
    """The file that was read, None for the built-in defaults."""
    return None if config.source == BUILT_IN else Path(config.source)


def http_url(host: str, port: int) -> str:
    """Where this machine's own programs reach the HTTP face."""
    return f"http://{host}:{port}"


def import_path() -> str:
    """PYTHONPATH with which a program of this interpreter finds our packages, wherever they were found by us."""
    root = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
