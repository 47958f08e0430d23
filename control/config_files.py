"""The files that a configuration names besides weights: `warden.toml` itself, files of keys, the directory of models.

Each is found, or the error says where it was looked for and what to do. Read, never written.
"""

from collections.abc import Mapping
from os import stat
from os.path import isdir, isfile, lexists, realpath
from pathlib import Path

from control.config_tables import ConfigError, Place
from control.toml_text import TomlError, TomlFile
from control.weights import expand

FILE_MAX_BYTES = 1024 * 1024
OTHERS = 0o077


def read_file(env: Mapping[str, str], cwd: Path, home: Path) -> TomlFile | None:
    given = env.get("WARDEN_CONFIG")
    candidates = [cwd / expand(given, env)] if given else [cwd / "warden.toml", home / "warden.toml"]
    path = next((path for path in candidates if lexists(path)), None)
    if path is None and not given:
        return None
    if given and (path is None or not isfile(path)):
        raise ConfigError("WARDEN_CONFIG", f"{candidates[0]} is not a file", "correct the path or unset the variable")
    if not isfile(path):
        raise ConfigError(str(path), "is not a file", "move it away, or put the settings there")
    try:
        with open(path, "rb") as stream:
            data = stream.read(FILE_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read ({error.strerror})", "mend that, or move it away") from None
    if len(data) > FILE_MAX_BYTES:
        raise ConfigError(str(path), f"is larger than {FILE_MAX_BYTES} bytes", "keep only settings in it")
    try:
        return TomlFile(path, data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}", "is not UTF-8 text", "save the file as UTF-8") from None
    except TomlError as error:
        raise ConfigError(f"{path}:{error.line}", error.problem, error.remedy) from None


def key_file(given: str, place: Place, env: Mapping[str, str], *, must_be_there: bool) -> str:
    path = place.base / expand(given, env)
    if must_be_there and not isfile(path):
        raise ConfigError(place.where, f"{path} is not a file", "write the key into it (chmod 600), or leave it out")
    if must_be_there and (mode := stat(path).st_mode) & OTHERS:
        raise ConfigError(place.where, f"others may read {path} (mode {mode & 0o777:04o})", f"run `chmod 600 {path}`")
    return realpath(path)


def models_dir(given: str, place: Place, env: Mapping[str, str]) -> str:
    path = place.base / expand(given, env)
    if not isdir(path):
        raise ConfigError(place.where, f"{path} is not a directory", "correct it, or leave it out")
    return realpath(path)
