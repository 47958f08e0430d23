"""`python -m workers.fetch`: one model from the Hugging Face hub into its usual cache, told line by line on stdout.

    pull ID               fetch, or go on where an earlier pull ended
    check DIRECTORY       is this a model that can be loaded? It is used where it is
    drop ID REVISION      delete that one snapshot from the cache, unless another home of mlx-warden uses it

1. Only what mlx_lm reads is fetched: safetensors, JSON, tokenizers, templates. No code and no pickles.
2. A large file grows under its final name plus `.incomplete`; what is there already is not asked for again. It gets its
   name when its SHA-256 is the hub's. (huggingface_hub begins such a file anew in every process, so here it is asked
   only for its parts: addresses, ranges, tries, the layout of the cache.)
3. Whether there is room on the disk is looked at before the first byte.
4. Who uses what this fetched is noted beside it (`workers.fetch_users`). What another program fetched is never noted,
   and so never deleted, even if a file of it was missing.
5. Standard input is held open by whoever started this; when it closes, that process is gone, and so is this one.

Where from and with which token: HF_ENDPOINT, HF_TOKEN, HF_HOME, HF_HUB_CACHE, as for every program that fetches models.
Exit code 0 after `done`, 1 after `failed`. The token is never shown.
"""

import fnmatch
import hashlib
import os
import shutil
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

from huggingface_hub import HfApi, constants, get_hf_file_metadata, hf_hub_download, hf_hub_url, scan_cache_dir
from huggingface_hub.errors import HTTPError
from huggingface_hub.file_download import http_get, repo_folder_name
from huggingface_hub.utils import WeakFileLock, build_hf_headers

from control.config import ConfigError
from control.home import home_from_env
from control.weights import WEIGHTS, find_weights
from workers import fetch_lines as lines
from workers.fetch_errors import FetchFailed, explained
from workers.fetch_teller import Growing, Part, Teller
from workers.fetch_users import claim, release

WANTED = (WEIGHTS, "*.json", "*.jsonl", "*.txt", "*.jinja", "*.model", "*.tiktoken")
BELOW = ("1_Pooling/config.json",)  # how a model of sentence-transformers makes one vector of many
SPARE_BYTES = 64 * 1024 * 1024  # of the disk are left alone
constants.DOWNLOAD_CHUNK_SIZE = 256 * 1024  # of 10 MB nothing reaches the file before all of it came
HASH_PIECE_BYTES = 4 * 1024 * 1024
SHA256_CHARS = 64
USERS_LOCK = "warden-users.lock"


def pull(repository: str, teller: Teller) -> lines.Done:
    """Raises: FetchFailed, and what `explained` explains."""
    teller.say(lines.Progress(lines.MANIFEST))
    info = HfApi().model_info(repository, files_metadata=True)
    parts = [part for sibling in info.siblings or () if (part := wanted(sibling)) is not None]
    check_is_model(repository, parts)
    folder = folder_of(repository)
    snapshot = folder / "snapshots" / info.sha
    check_room(sum(part.size - begun_bytes(folder, part) for part in lacking(parts, snapshot)), folder)
    with WeakFileLock(lock_of(folder, USERS_LOCK)):
        by_us = claim(folder, info.sha, our_home())  # before it is looked at: from now on nobody deletes it
    missing, whole_bytes = lacking(parts, snapshot), sum(part.size for part in parts)
    teller.say(lines.Progress(lines.MANIFEST, total=whole_bytes, completed=whole_bytes - sum(
        part.size - begun_bytes(folder, part) for part in missing)))
    for part in sorted(missing, key=lambda part: bool(part.sha256)):  # the small ones first
        fetch(repository, info.sha, part, folder, teller)
    for part in parts:
        if part.sha256 and part not in missing:
            teller.progress(lines.PULLING, part, part.size)
    teller.say(lines.Progress(lines.WRITING))
    write_reference(folder, info.sha)
    path = check(str(snapshot)).path
    return lines.Done(path, info.sha, by_us, whole_bytes)


def folder_of(repository: str) -> Path:
    return Path(constants.HF_HUB_CACHE, repo_folder_name(repo_id=repository, repo_type="model"))


def lock_of(folder: Path, name: str) -> Path:
    lock = Path(constants.HF_HUB_CACHE, ".locks", folder.name, name)
    lock.parent.mkdir(parents=True, exist_ok=True)
    return lock


def our_home() -> str:
    return str(home_from_env(os.environ).root)


def lacking(parts: Sequence[Part], snapshot: Path) -> list[Part]:
    return [part for part in parts if not (snapshot / part.name).is_file()]


def wanted(sibling: object) -> Part | None:
    name, lfs = sibling.rfilename, sibling.lfs
    here = "/" not in name and any(fnmatch.fnmatchcase(name, pattern) for pattern in WANTED)
    if not here and name not in BELOW:
        return None
    sha256 = lfs.sha256 if lfs is not None and len(lfs.sha256 or "") == SHA256_CHARS else ""
    return Part(name, (lfs.size if lfs is not None else sibling.size) or 0, sha256)


def check_is_model(repository: str, parts: Sequence[Part]) -> None:
    names = [part.name for part in parts]
    if "config.json" not in names or not any(fnmatch.fnmatchcase(name, WEIGHTS) for name in names):
        raise FetchFailed("invalid_request", f"{repository} is no model that MLX loads: it lacks config.json or "
                          f"{WEIGHTS} (GGUF, ONNX and PyTorch files are not read); look for one of mlx-community")


def check_room(needed: int, folder: Path) -> None:
    there = next(each for each in (folder, *folder.parents) if each.is_dir())
    free = shutil.disk_usage(there).free
    if needed > free - SPARE_BYTES:
        raise FetchFailed("insufficient_memory", f"{needed / 1e9:.2f} GB are to be fetched, and the disk of {there} "
                          f"has {free / 1e9:.2f} GB free; make room, or set HF_HOME to a larger disk")


def fetch(repository: str, revision: str, part: Part, folder: Path, teller: Teller) -> None:
    """The file, whole and under its name in the snapshot."""
    if part.sha256 and part.size <= constants.MAX_HTTP_DOWNLOAD_SIZE:
        blob = folder / "blobs" / part.sha256
        blob.parent.mkdir(parents=True, exist_ok=True)
        with WeakFileLock(lock_of(folder, f"{part.sha256}.lock")):
            if not blob.exists():
                grow(repository, revision, part, blob, teller)
        hf_hub_download(repository, part.name, revision=revision)  # it has come, and gets its link
        return
    teller.progress(lines.PULLING, part, 0)
    hf_hub_download(repository, part.name, revision=revision)
    teller.progress(lines.PULLING, part, part.size)


def grow(repository: str, revision: str, part: Part, blob: Path, teller: Teller) -> None:
    """Go on with the file where it ends, and let it be `blob` when it is whole."""
    url, headers = address(repository, revision, part)
    begun = unfinished(blob)
    with open(begun, "ab", buffering=0) as file:
        size = file.tell()
        if size > part.size:
            file.truncate(size := 0)
        teller.progress(lines.PULLING, part, size)
        http_get(url, Growing(file, lambda at: teller.progress(lines.PULLING, part, at)), resume_size=size,
                 headers=headers, expected_size=part.size, displayed_filename=part.name)
    if sha256_of(begun, part, teller) != part.sha256:
        begun.unlink()
        raise FetchFailed("upstream_failed", f"{part.name} came damaged: its SHA-256 is not the hub's, so it was "
                          "thrown away; pull again")
    os.rename(begun, blob)


def address(repository: str, revision: str, part: Part) -> tuple[str, dict[str, str]]:
    """Where the bytes are, and what to say there: a token is for the hub alone, not for where it sends us."""
    url = hf_hub_url(repository, part.name, revision=revision)
    headers = build_hf_headers()
    location = get_hf_file_metadata(url, headers=headers).location
    if urlsplit(location).netloc != urlsplit(url).netloc:
        headers.pop("authorization", None)
    return location, headers


def unfinished(blob: Path) -> Path:
    return blob.with_name(f"{blob.name}.incomplete")


def begun_bytes(folder: Path, part: Part) -> int:
    """What of the file is there already."""
    blob = folder / "blobs" / part.sha256
    for path in (blob, unfinished(blob)) if part.sha256 else ():
        if path.is_file():
            return min(path.stat().st_size, part.size)
    return 0


def sha256_of(path: Path, part: Part, teller: Teller) -> str:
    found, done = hashlib.sha256(), 0
    with open(path, "rb") as file:
        while piece := file.read(HASH_PIECE_BYTES):
            found.update(piece)
            done += len(piece)
            teller.progress(lines.VERIFYING, part, done)
    return found.hexdigest()


def write_reference(folder: Path, revision: str) -> None:
    """What other programs take for the newest."""
    reference = folder / "refs" / "main"
    reference.parent.mkdir(parents=True, exist_ok=True)
    scratch = reference.with_name(".main.new")
    scratch.write_text(revision)
    os.rename(scratch, reference)


def check(directory: str) -> lines.Done:
    try:
        path = find_weights(directory, directory, [Path("/")], os.environ)
    except ConfigError as problem:
        raise FetchFailed("invalid_request", str(problem)) from None
    return lines.Done(path, bytes=sum(entry.stat().st_size for entry in os.scandir(path) if entry.is_file()))


def drop(repository: str, revision: str) -> lines.Done:
    """Delete one snapshot, and what only it uses. One that is not there is deleted already; one that another home uses
    stays, and is none of ours any more (`by_us` false).
    """
    folder = folder_of(repository)
    if not folder.is_dir():
        return lines.Done("", revision, True)
    with WeakFileLock(lock_of(folder, USERS_LOCK)):
        if release(folder, revision, our_home()):
            return lines.Done("", revision)
        found = scan_cache_dir()
        mine = frozenset(repo for repo in found.repos if (repo.repo_type, repo.repo_id) == ("model", repository))
        here = {each.commit_hash for repo in mine for each in repo.revisions} & {revision}
        # In this repository alone: a repository that was made from another shares its commits.
        strategy = replace(found, repos=mine).delete_revisions(*here)
        strategy.execute()
    if (folder / "snapshots" / revision).exists():
        raise FetchFailed("internal", f"{folder / 'snapshots' / revision} could not be removed; remove it by hand")
    return lines.Done("", revision, True, strategy.expected_freed_size)


def leave_with_parent() -> None:
    """Whoever started this holds the other end of stdin (5)."""
    def wait() -> None:
        while os.read(0, 4096):
            pass
        os._exit(1)

    threading.Thread(target=wait, name="parent", daemon=True).start()


def main(words: Sequence[str]) -> int:
    teller = Teller(lambda data: os.write(1, data))
    leave_with_parent()
    try:
        match list(words):
            case ["pull", repository]:
                teller.say(pull(repository, teller))
            case ["check", directory]:
                teller.say(check(directory))
            case ["drop", repository, revision]:
                teller.say(drop(repository, revision))
            case _:
                print("usage: python -m workers.fetch pull ID | check DIRECTORY | drop ID REVISION", file=sys.stderr)
                return 2
    except BrokenPipeError:
        return 1  # nobody reads on
    except (FetchFailed, HTTPError, OSError, ValueError) as problem:
        failed = explained(words[1], problem)
        teller.say(lines.Failed(failed.code, str(failed)))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
