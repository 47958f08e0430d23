"""What the name of a pull means: a repository of the Hugging Face hub, or a directory of this machine. Pure."""

import os.path
from fnmatch import fnmatchcase
from typing import NamedTuple

from control.config_checks import HUBS
from control.library import is_name
from control.weights import HUGGING_FACE_ID
from gateway.refusal import Refusal

LATEST = ":latest"
INSTEAD = ("mlx-warden fetches from the Hugging Face hub: name a repository, such as "
           "mlx-community/Llama-3.2-3B-Instruct-4bit")


class Wanted(NamedTuple):
    """`name` is what it will be called; `directory` "" for a repository."""

    name: str
    repository: str
    directory: str = ""

    @property
    def words(self) -> tuple[str, str]:
        """For `workers.fetch`."""
        return ("check", self.directory) if self.directory else ("pull", self.repository)


def bare(name: str) -> str:
    """Without the hub's address before it and the tag behind it."""
    for hub in HUBS:
        if name.lower().startswith(hub):
            name = name[len(hub):]
    return name[:-len(LATEST)] if name.lower().endswith(LATEST) else name


def read_wanted(model: str, source: str) -> Wanted:
    """`source` "": the model's own name says it. Raises: Refusal `invalid_request`, `model_not_found`."""
    given = source or model
    if given.startswith(("/", "~", "./", "../")):
        if not given.startswith("/"):
            raise Refusal("invalid_request", f"model: {given[:200]!r} is not an absolute path; give the directory from "
                          "the root on")
        directory = os.path.normpath(given)
        name = bare(model) if source else os.path.basename(directory)
        return Wanted(checked(name), "", directory)
    repository = bare(given)
    if "/" not in repository:
        raise Refusal("model_not_found", f'model "{given[:200]}" not found: {INSTEAD}, or an absolute directory')
    if ":" in repository:
        raise Refusal("invalid_request", f"model: {given[:200]!r}: a repository of the hub has no tag but latest; "
                      "leave it out")
    if not HUGGING_FACE_ID.fullmatch(repository) or ".." in repository:
        raise Refusal("invalid_request", f"model: {given[:200]!r} is no name of a repository; {INSTEAD}")
    return Wanted(checked(bare(model)), repository)


def check_allowed(wanted: Wanted, pull_from: tuple[str, ...]) -> None:
    """`pull_from`: the setting; capitals and small letters are the same, as on the hub. Directories are not fetched.

    Raises: Refusal `model_not_allowed`.
    """
    repository = wanted.repository.lower()
    if repository and not any(fnmatchcase(repository, each if "/" in each else f"{each}/*")
                                            for each in map(str.lower, pull_from)):
        raise Refusal("model_not_allowed", f"{wanted.repository} is not fetched here: `pull_from` in [server] (or "
                      f"WARDEN_PULL_FROM) allows {', '.join(pull_from) or 'nobody'}; add "
                      f"{wanted.repository.partition('/')[0]}")


def checked(name: str) -> str:
    if not is_name(name):
        raise Refusal("invalid_request", f"model: {name[:200]!r} cannot be a name; use 1 to 96 letters, digits and "
                      ". _ - : /")
    return name
