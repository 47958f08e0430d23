"""The library of a home: which models were pulled while the stack ran, and which further names were given by copy.

It stands in `$WARDEN_HOME/library.json` beside what `warden.toml` says; where names clash the user's file wins. Here:
what it holds, how it is read and checked. `control/library_file.py` writes it, and only the gateway does so.

Guarantee: `read_library` returns a Library about which nothing is unchecked (well-formed names, absolute paths,
limits), or raises `ConfigError`, one line with the remedy, for any bytes whatever. It changes nothing: a file that
somebody broke is left to be mended.
"""

from os.path import isabs
from pathlib import Path

import msgspec

from control.config_checks import NAME, SLUG_MAX_BYTES, canonical
from control.config_tables import ConfigError
from control.toml_text import shown
from control.weights import HUGGING_FACE_ID

FILE_NAME = "library.json"
FILE_MAX_BYTES = 1024 * 1024
VERSION = 1
FETCHED_MAX = 64  # as many as there may be models in all
ALIASES_MAX = 256
DROPPED_MAX = 256
REMEDY = "mend it, or move it away (then pulled models and copied names are forgotten, and no weights are deleted)"


class Dropped(msgspec.Struct, frozen=True):
    """A snapshot of the Hugging Face cache that nobody refers to any more, to be deleted: repository and commit."""

    source: str
    revision: str


class Fetched(msgspec.Struct, frozen=True):
    """One pulled model. `path`: the absolute directory. `source` and `revision`: repository and commit, "" for a
    directory that is used where it is. `by_us`: this product fetched the weights. `bytes`: of all its files.
    """

    name: str
    path: str
    source: str = ""
    revision: str = ""
    by_us: bool = False
    bytes: int = 0


class Library(msgspec.Struct, frozen=True):
    """`aliases`: from a name that `copy` made to the name of a model, pulled or configured."""

    version: int = VERSION
    models: tuple[Fetched, ...] = ()
    aliases: dict[str, str] = {}
    dropped: tuple[Dropped, ...] = ()

    def find(self, name: str) -> Fetched | None:
        wanted = canonical(name)
        return next((model for model in self.models if canonical(model.name) == wanted), None)


def library_path(root: Path) -> Path:
    """`root`: of the home."""
    return root / FILE_NAME


def read_library(path: Path) -> Library:
    """An empty one if there is no file. Raises: ConfigError."""
    try:
        with open(path, "rb") as stream:
            data = stream.read(FILE_MAX_BYTES + 1)
    except FileNotFoundError:
        return Library()
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read ({error.strerror})", REMEDY) from None
    return decode_library(data, str(path))


def decode_library(data: bytes, where: str) -> Library:
    """Raises: ConfigError."""
    if len(data) > FILE_MAX_BYTES:
        raise ConfigError(where, f"is larger than {FILE_MAX_BYTES} bytes", REMEDY)
    try:
        library = msgspec.json.decode(data, type=Library)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise ConfigError(where, f"is not a library ({problem})", REMEDY) from None
    if why := what_is_wrong(library):
        raise ConfigError(where, why, REMEDY)
    return library


def encode_library(library: Library) -> bytes:
    return msgspec.json.format(msgspec.json.encode(library), indent=2) + b"\n"


def what_is_wrong(library: Library) -> str:
    """The first thing that no library may hold; "" if there is none."""
    if library.version != VERSION:
        return f"version: is {library.version}, and this program reads {VERSION}"
    for what, entries, limit in (("models", library.models, FETCHED_MAX), ("aliases", library.aliases, ALIASES_MAX),
                                 ("dropped", library.dropped, DROPPED_MAX)):
        if len(entries) > limit:
            return f"{what}: there are {len(entries)}; the limit is {limit}"
    for model in library.models:
        if not is_name(model.name):
            return f"models: {shown(model.name)} cannot be a name"
        if not isabs(model.path) or "\0" in model.path:
            return f"models: {shown(model.name)} has the path {shown(model.path)}, which is not absolute"
        if model.bytes < 0 or model.source and not is_snapshot(model.source, model.revision):
            return f"models: {shown(model.name)} has a source, revision or size that cannot be"
    for alias, name in library.aliases.items():
        if not (is_name(alias) and is_name(name)):
            return f"aliases: {shown(alias)} or {shown(name)} cannot be a name"
    if not all(is_snapshot(each.source, each.revision) for each in library.dropped):
        return "dropped: holds what is no repository and commit"
    return ""


def is_name(name: str) -> bool:
    return NAME.fullmatch(name) is not None and bool(canonical(name)) and len(name) <= SLUG_MAX_BYTES


def is_snapshot(source: str, revision: str) -> bool:
    """May these name a snapshot of the cache? Nothing else may become a part of a path there."""
    return HUGGING_FACE_ID.fullmatch(source) is not None and ".." not in source and revision.isalnum()
