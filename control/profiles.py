"""What each model was measured to take, kept from one run of the stack to the next: `profiles/<slug>.json`.

A profile only makes a guess better, so no trouble with it may cost anything else:
1. Reading never raises. A file that is missing, damaged, too large, of another format or of another model is None.
2. Writing never raises. It is done under another name, 0600, and renamed, so a reader sees the old profile or the new
   one; a full disk leaves the old one. The answer is why it was not kept, for the journal.
3. A profile counts for the files it was measured with. The fingerprint is made of the engine, the place, and names,
   sizes and times of config.json and the weights; the weights themselves are not read.
4. While the fingerprint stays, the peak only grows and `loaded_bytes` only falls: it may have been measured when the
   first requests had already come, and must not count their cache as the model's.
"""

import hashlib
import json
import os
from math import isfinite
from pathlib import Path

from control.budget import Profile
from control.config import ModelConfig
from control.model_size import WEIGHTS

FORMAT = 1
FILE_MAX_BYTES = 4096
BYTES_MAX = 2**60


def fingerprint(model: ModelConfig) -> str:
    """Hexadecimal digits that change when the model's files do. Files that cannot be seen are left out."""
    place = Path(model.path)
    files = [place / "config.json", *sorted(place.glob(WEIGHTS))] if model.path else []
    seen: list[object] = [FORMAT, model.engine, model.path]
    for file in files:
        try:
            facts = file.stat()
        except OSError:
            continue
        seen.append([file.name, facts.st_size, facts.st_mtime_ns])
    return hashlib.sha256(json.dumps(seen).encode("utf-8", "surrogateescape")).hexdigest()


def read_profile(folder: Path, slug: str, seen: str) -> Profile | None:
    """The profile of the files whose fingerprint is `seen`, if there is a sound one."""
    try:
        # O_NONBLOCK: a named pipe under that name must not hold control up.
        with open(os.open(_path(folder, slug), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
            data = stream.read(FILE_MAX_BYTES + 1)
        said = json.loads(data) if len(data) <= FILE_MAX_BYTES else None
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(said, dict) or (said.get("format"), said.get("fingerprint")) != (FORMAT, seen):
        return None
    loaded, peak, load_s = (said.get(name) for name in Profile._fields)
    sizes = (loaded == 0 or _is_size(loaded)) and _is_size(peak)
    if not (sizes and type(load_s) in (int, float) and isfinite(load_s) and load_s >= 0):
        return None
    return Profile(loaded, max(loaded, peak), float(load_s))


def write_profile(folder: Path, slug: str, seen: str, profile: Profile) -> str:
    """Keep it, joined with the one that is there (4). Returns "" or why it was not kept, in one line."""
    known = read_profile(folder, slug, seen)
    if known:
        measured = [size for size in (known.loaded_bytes, profile.loaded_bytes) if size]
        profile = profile._replace(loaded_bytes=min(measured, default=0),
                                   peak_bytes=max(known.peak_bytes, profile.peak_bytes))
    if profile == known:
        return ""
    path = _path(folder, slug)
    new = path.with_name(f".{path.name}.new")
    text = json.dumps({"format": FORMAT, "fingerprint": seen, **profile._asdict()}, indent=2)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(new, flags, 0o600), "w", encoding="ascii") as stream:
            stream.write(f"{text}\n")
        os.replace(new, path)
    except OSError as error:
        return f"{path}: cannot be written ({error.strerror}); the model is measured anew the next time"
    return ""


def _path(folder: Path, slug: str) -> Path:
    return folder / f"{slug}.json"


def _is_size(value: object) -> bool:
    return type(value) is int and 0 < value < BYTES_MAX
