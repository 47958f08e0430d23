"""The pages for people, as files: which there are, how they are sent, and what a browser lets them do.

Every file of the folder `pages` is served under its name at /pages/NAME, and nothing else is: the names are read once,
when the process starts, so that no path of a caller reaches the disk. They tell nothing secret and need no key.

A page may run only scripts and styles of this server that are files, and may talk to nobody but it. Nothing inline
runs, so text that became markup by a mistake could still do nothing. Browsers keep a file and ask each time whether it
is the same (ETag), so that a page and its scripts are always of one version.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from gateway.http.call import Call, Handler
from gateway.http.errors import Problem

FOLDER = Path(__file__).parent / "pages"
MEDIA = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
         ".js": "text/javascript; charset=utf-8"}
POLICY = ("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
          "base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
HEADERS = {"content-security-policy": POLICY, "referrer-policy": "no-referrer", "cache-control": "no-cache",
           "cross-origin-resource-policy": "same-origin"}


class File(NamedTuple):
    body: bytes
    media_type: str
    etag: str


def read_files(folder: Path) -> dict[str, File]:
    """The files that are served, by name."""
    files = {}
    for path in sorted(folder.iterdir()):
        if path.suffix in MEDIA:
            body = path.read_bytes()
            files[path.name] = File(body, MEDIA[path.suffix], f'"{hashlib.sha256(body).hexdigest()[:32]}"')
    return files


FILES = read_files(FOLDER)


def is_known(etag: str, if_none_match: str) -> bool:
    """Does the caller have this very file? `if_none_match`: the header, "" if there is none."""
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag in tags or "*" in tags


async def send_file(call: Call, name: str, further: Mapping[str, str] = {}) -> None:
    """`further`: headers. Raises: Problem `not_found`."""
    file = FILES.get(name)
    if file is None:
        raise Problem("not_found", f"there is no page {name[:80]!r} here; the pages are / and /chat")
    headers = {**HEADERS, "etag": file.etag, **further}
    if is_known(file.etag, call.headers.get("if-none-match", "")):
        await call.start(304, file.media_type, headers)
        await call.body(b"", more=False)
        return
    await call.reply(file.body, file.media_type, headers=headers)


def page(name: str) -> Handler:
    """The handler of a path that is always this file."""
    async def send_page(call: Call) -> None:
        await send_file(call, name)

    return send_page


async def page_file(call: Call) -> None:
    """GET /pages/{name}"""
    await send_file(call, call.scope["path_params"]["name"])
