"""Small random-weight models for tests, made once and kept beside the user's other caches."""

import hashlib
import os
from pathlib import Path
from typing import Literal

from workers import random_agent, random_model

SOURCES = (Path(random_model.__file__), Path(random_agent.__file__))


def model_path(size: Literal["1m", "26m"], family: random_model.Family = "plain") -> Path:
    """The directory of the model, made now if this version of its maker has not made it before."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mlx-warden-tests"
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in SOURCES)).hexdigest()[:12]
    directory = cache / f"random-{size}-{family}-{digest}"
    if not directory.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        random_model.make_model(directory, size, family=family)
    return directory
