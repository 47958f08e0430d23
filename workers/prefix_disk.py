"""KV caches on disk, for when a model comes back: `$WARDEN_HOME/cache/<model slug>-<digest>/`, a file each.

Guarantees
1. A file is found by the model that wrote it and by no other: the folder bears the digest of weights, tokenizer and
   versions (`workers/model_digest.py`). Folders of this slug with another digest are removed.
2. A file is whole or it is not there: it is written under another name and renamed. Its name says the checksum of its
   bytes. One that is cut short, damaged or not ours is removed with a line in the journal, and never used.
3. All models together take `max_bytes` at most, but for a file that two write at the same moment. What was used least
   recently goes first, whosever it is. SPARE_BYTES of the disk are left alone.
4. Nothing that goes wrong here costs an answer: what cannot be written is said in the journal once, and what cannot be
   read is computed. Only we can read it: 0700 and 0600, as the tokens of conversations stand in it.

The index is read from the headers alone. Format: safetensors as mlx_lm saves a prompt cache; tokens stand in the
header. Who writes and reads tensors is given, so MLX is not needed here. One thread only.
"""

import base64
import json
import os
import re
import shutil
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from control.home import check_own
from workers.engine import Spill
from workers.model_digest import HEADER_MAX_BYTES, LENGTH_BYTES
from workers.prefix_cache import count_common, usable

SUFFIX = ".safetensors"
WRITING = "writing"  # begins the name of a file that is not whole yet
NAME = re.compile(r"[0-9a-f]{8}-(?P<crc>[0-9a-f]{8})\.safetensors")
SPARE_BYTES = 1024**3
READ_BYTES = 4 * 1024**2
HELD = "0.tokens", "0.trims"  # how mlx_lm numbers what it is given in the header
BROKEN = (OSError, ValueError, KeyError, TypeError, RuntimeError, IndexError, AttributeError)  # out of a bad file


class Spilled(NamedTuple):
    """One file, and how much it takes."""

    path: Path
    tokens: np.ndarray
    trims: bool
    bytes: int


class PrefixDisk:
    """`bytes`: of this model's files. Raises HomeRefused if the folder cannot be used safely, and OSError."""

    def __init__(self, spill: Spill, digest: str) -> None:
        self._spill = spill
        self._folder = spill.root / f"{spill.slug}-{digest}"
        self._trouble = ""
        for folder in (spill.root, self._folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if check_own(folder.resolve()) != 0o700:  # a link of ours to a bigger disk will do
                folder.chmod(0o700)
        self._remove_older()
        self._files = {file.path: file for file in self._read_index()}

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self._files.values())

    def find(self, asked: np.ndarray, least: int) -> Spilled | None:
        """What holds most of the first tokens `asked`, and at least so many."""
        best = max(self._files.values(), key=lambda file: usable(file.tokens, asked, file.trims), default=None)
        return best if best is not None and usable(best.tokens, asked, best.trims) >= least else None

    def load(self, file: Spilled, read: Callable[[str], Any]) -> Any | None:
        """What `read` makes of the file; None if it is gone or was damaged."""
        try:
            if _checksum(file.path) != NAME.fullmatch(file.path.name)["crc"]:
                raise ValueError("its checksum is another")
            found = read(str(file.path))
            os.utime(file.path)
        except FileNotFoundError:  # another model's worker needed the room
            self._files.pop(file.path)
            return None
        except BROKEN as problem:
            self._remove_broken(file.path, problem)
            self._files.pop(file.path)
            return None
        return found

    def save(self, tokens: np.ndarray, trims: bool, size_bytes: int,
             write: Callable[[str, dict[str, str]], None]) -> bool:
        """`write` is given a path and what belongs in the header. False: it is not on disk, and why is said once."""
        covered = [file for file in self._files.values() if count_common(file.tokens, tokens) == len(file.tokens)
                   and (len(file.tokens) == len(tokens) or (trims and file.trims))]
        beside = self._folder / f"{WRITING}-{os.getpid()}{SUFFIX}"
        try:
            self._make_room(size_bytes, covered)
            os.close(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600))
            write(str(beside), {"tokens": base64.b64encode(tokens.astype("<i4").tobytes()).decode(),
                                "trims": str(int(trims))})
            written = _read_header(beside)
            name = f"{zlib.crc32(written.tokens.tobytes()):08x}-{_checksum(beside)}{SUFFIX}"
            beside.rename(self._folder / name)
        except BROKEN as problem:
            with suppress(OSError):
                beside.unlink(missing_ok=True)
            self._tell(problem)
            return False
        self._files[self._folder / name] = written._replace(path=self._folder / name)
        self._trouble = ""
        return True

    def _tell(self, problem: Exception) -> None:
        text = f"{type(problem).__name__}: {problem}"
        if text != self._trouble:
            self._spill.note("prefix_cache_not_written", reason=text)
        self._trouble = text

    def _make_room(self, size_bytes: int, covered: list[Spilled]) -> None:
        """Raises OSError if there is none."""
        for file in covered:
            self._remove(file.path)
        if size_bytes > self._spill.max_bytes:
            raise OSError(f"{size_bytes} bytes are more than prefix_cache_disk_gb allows for all: "
                          f"{self._spill.max_bytes}")
        files = sorted(_all_files(self._spill.root))
        taken = sum(file[1] for file in files)
        for _, taken_bytes, path in files:
            if taken + size_bytes <= self._spill.max_bytes:
                break
            self._remove(path)
            taken -= taken_bytes
        if (free := shutil.disk_usage(self._folder).free) < size_bytes + SPARE_BYTES:
            raise OSError(f"the disk has {free} bytes free, and {SPARE_BYTES} are left alone")

    def _remove(self, path: Path) -> None:
        self._files.pop(path, None)
        with suppress(OSError):
            path.unlink()

    def _remove_older(self) -> None:
        """Folders of this model as it was before."""
        name = re.compile(rf"{re.escape(self._spill.slug)}-[0-9a-f]{{32}}")
        for folder in self._spill.root.iterdir():
            if name.fullmatch(folder.name) and folder != self._folder:
                shutil.rmtree(folder, ignore_errors=True)
                self._spill.note("prefix_cache_removed", folder=folder.name, reason="the model's files have changed")

    def _read_index(self) -> Iterator[Spilled]:
        for path in list(self._folder.iterdir()):
            try:
                if path.name.startswith(WRITING):  # whoever wrote it is gone
                    path.unlink()
                    continue
                if not NAME.fullmatch(path.name) or path.is_symlink():
                    raise ValueError("it is none of ours")
                yield _read_header(path)
            except BROKEN as problem:
                self._remove_broken(path, problem)

    def _remove_broken(self, path: Path, problem: Exception) -> None:
        self._spill.note("prefix_cache_removed", file=path.name, reason=f"{type(problem).__name__}: {problem}")
        with suppress(OSError):
            path.unlink()


def _read_header(path: Path) -> Spilled:
    """Without its tensors. Raises one of BROKEN for what is no whole file of ours."""
    with open(path, "rb") as opened:
        size_bytes = os.fstat(opened.fileno()).st_size
        length = int.from_bytes(opened.read(LENGTH_BYTES), "little")
        if length > min(HEADER_MAX_BYTES, size_bytes):
            raise ValueError("it is cut short")
        header = json.loads(opened.read(length))
    known = header.pop("__metadata__")
    if LENGTH_BYTES + length + max(tensor["data_offsets"][1] for tensor in header.values()) != size_bytes:
        raise ValueError("it is cut short")
    tokens = np.frombuffer(base64.b64decode(known[HELD[0]], validate=True), "<i4").astype(np.int32)
    return Spilled(path, tokens, known[HELD[1]] == "1", size_bytes)


def _checksum(path: Path) -> str:
    crc = 0
    with open(path, "rb") as opened:
        while piece := opened.read(READ_BYTES):
            crc = zlib.crc32(piece, crc)
    return f"{crc:08x}"


def _all_files(root: Path) -> Iterator[tuple[int, int, Path]]:
    """(time of last use, bytes, path) of every model's files."""
    for path in root.glob(f"*/*{SUFFIX}"):
        with suppress(OSError):
            facts = path.stat(follow_symlinks=False)
            yield facts.st_mtime_ns, facts.st_size, path
