"""Imports mlx_lm without transformers reading its own source, which is two thirds of what that import takes.

transformers finds out at each start which of its modules has which names, by reading all of its 3,300 model files: 0.75
of 1.2 s of CPU here, and more where a disk has to be asked. The answer changes with its version alone, so the first
worker of a home keeps it in a file, and later ones take it from there.

Guarantees
1. What was kept counts for one version of transformers, in one place, whose directory of models was not changed since.
2. It fails towards the slow way: a transformers that is built otherwise, a file that is missing, damaged or cannot be
   written cost what they always did, and nothing here raises.
3. The file has names only. Whoever could change it could hide a name, and have no other code imported.
"""

import sys
import zlib
from collections.abc import Callable
from contextlib import suppress
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

import msgspec

from control.private_file import write_private

SEARCHER, SEARCH = "transformers.utils.import_utils", "define_import_structure"
WHERE = ("transformers", "models")  # the directory that takes so long
FILE = "transformers.names"
SUM_BYTES = 4

Names = dict[frozenset[str], dict[str, set[str]]]  # what a name needs -> module -> its names


class Kept(msgspec.Struct, frozen=True, array_like=True):
    version: str
    place: str
    changed_ns: int
    names: list[tuple[set[str], dict[str, set[str]]]]  # as `Names`; MessagePack has no sets for keys


decode = msgspec.msgpack.Decoder(Kept).decode
encode = msgspec.msgpack.Encoder().encode


def install(folder: Path, by: str) -> None:
    """From now on transformers is imported so. `folder` is there, and nobody else's; `by` names this process."""
    if SEARCHER not in sys.modules:
        sys.meta_path.insert(0, _Finder(folder, by))


class _Finder(MetaPathFinder):
    """Stands in the way of one module, once."""

    def __init__(self, folder: Path, by: str) -> None:
        self._folder, self._by = folder, by

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name != SEARCHER:
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_replace(module: ModuleType) -> None:
                execute(module)
                if callable(search := getattr(module, SEARCH, None)):
                    setattr(module, SEARCH, remembered(search, self._folder, self._by))

            spec.loader.exec_module = execute_and_replace
        return spec


def remembered(search: Callable[..., Names], folder: Path, by: str) -> Callable[..., Names]:
    """The search with a memory for the one directory that takes long; any other is searched as ever."""

    def search_or_recall(module_path: str | Path, prefix: str | None = None) -> Names:
        place = Path(module_path)
        place = place.parent if place.suffix else place
        if place.parts[-2:] != WHERE:
            return search(module_path, prefix)
        version = str(getattr(sys.modules.get(WHERE[0]), "__version__", ""))
        names = recall(folder / FILE, version, place)
        if names is None:
            names = search(place, None)
            keep(folder / FILE, version, place, names, by)
        if prefix is None:
            return names
        return {needs: {f"{prefix}.{module}": said for module, said in modules.items()}
                for needs, modules in names.items()}

    return search_or_recall


def recall(path: Path, version: str, place: Path) -> Names | None:
    """None: nothing is kept, or not of this."""
    try:
        written = path.read_bytes()
        if written[:SUM_BYTES] != _checksum(written[SUM_BYTES:]):
            return None
        kept = decode(written[SUM_BYTES:])
        if (kept.version, kept.place, kept.changed_ns) != (version, str(place), place.stat().st_mtime_ns):
            return None
    except (OSError, ValueError, msgspec.DecodeError):
        return None
    return {frozenset(needs): modules for needs, modules in kept.names}


def keep(path: Path, version: str, place: Path, names: Names, by: str) -> None:
    with suppress(OSError, TypeError, AttributeError):  # the latter two: names of another shape than is known here
        kept = Kept(version, str(place), place.stat().st_mtime_ns,
                    [(set(needs), {module: set(said) for module, said in modules.items()})
                     for needs, modules in names.items()])
        words = encode(kept)
        write_private(path, _checksum(words) + words, by)


def _checksum(words: bytes) -> bytes:
    """One name that is spelt otherwise would keep a worker from starting, again and again."""
    return zlib.crc32(words).to_bytes(SUM_BYTES, "little")
