"""What control reads from and writes to disk for its books: sizes of model files, and measured profiles.

Both are asked several times a second and change rarely, so both are kept: sizes until LOOK_AGAIN_S have passed and the
files are not the ones that were measured, profiles until they are written. Nothing here raises: sizes that cannot be
told are a line of text, a profile that cannot be read is None, one that cannot be written is said once in the journal.
"""

import re
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from control.budget import ModelFacts, Profile
from control.config import Config
from control.model_size import SizeUnknown, read_facts
from control.profiles import fingerprint, read_profile, write_profile

LOOK_AGAIN_S = 5.0


class Disk:
    def __init__(self, config: Config, folder: Path, note: Callable[..., None]) -> None:
        self._models = config.by_slug
        self._folder, self._note = folder, note
        self._prints: dict[str, str] = {}
        self._looked: dict[str, float] = {}
        self._facts: dict[str, ModelFacts | str] = {}
        self._profiles: dict[str, Profile | None] = {}
        self._trouble = ""

    def take_models(self, config: Config) -> None:
        """Other models than before; what is known of those that stay is kept."""
        self._models = config.by_slug
        for known in (self._prints, self._looked, self._facts, self._profiles):
            for slug in known.keys() - self._models.keys():
                del known[slug]

    def _look(self, slug: str) -> None:
        """Measure the files again if they have changed since."""
        now, model = time.monotonic(), self._models[slug]
        if now - self._looked.get(slug, float("-inf")) < LOOK_AGAIN_S:
            return
        self._looked[slug] = now
        seen = fingerprint(model)
        if seen == self._prints.get(slug):
            return
        self._prints[slug] = seen
        try:
            self._facts[slug] = read_facts(model)
        except SizeUnknown as unknown:
            self._facts[slug] = str(unknown)
        self._profiles[slug] = read_profile(self._folder, slug, seen)

    def read_facts(self, slug: str) -> ModelFacts | str:
        self._look(slug)
        return self._facts[slug]

    def read_profile(self, slug: str) -> Profile | None:
        self._look(slug)
        return self._profiles[slug]

    def save_profile(self, slug: str, profile: Profile) -> None:
        trouble = write_profile(self._folder, slug, self._prints[slug], profile)
        kept = None if trouble else read_profile(self._folder, slug, self._prints[slug])  # joined with earlier ones
        self._profiles[slug] = kept or profile
        if trouble and trouble != self._trouble:
            self._note("profile_not_written", model=slug, reason=trouble)
        self._trouble = trouble


def remove_kept(cache: Path, slug: str) -> None:
    """The KV caches of a model that was deleted, since its conversations stand in them (`workers/prefix_disk.py`)."""
    of_it = re.compile(rf"{re.escape(slug)}-[0-9a-f]{{32}}")
    with suppress(OSError):
        for folder in [folder for folder in cache.iterdir() if of_it.fullmatch(folder.name)]:
            shutil.rmtree(folder, ignore_errors=True)
