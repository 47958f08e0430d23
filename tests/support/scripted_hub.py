"""A small Hugging Face hub in its own process: the endpoints that huggingface_hub calls for a model, and what tests do
to a download.

    python -m tests.support.scripted_hub --folder MODELS --behaviour FILE

MODELS holds ORG/NAME/FILES. Large files and safetensors are "LFS": they have a SHA-256 and lie on another host
(`localhost` in place of `127.0.0.1`), to which `resolve` redirects, as on the real one. FILE holds a `Behaviour` as
JSON and is read again for every request and every piece. FILE with the ending .jsonl gets a line for each request when
it ends: {"method", "path", "range", "has_token", "status", "sent"}. Its port is the first line on stdout.
"""

import argparse
import hashlib
import json
import re
import subprocess
import sys
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec

LFS_BYTES = 100_000
PIECE_BYTES = 32 * 1024
HELD_MAX_S = 60.0
LOOK_EVERY_S = 0.005
TOKEN = "hf_of_the_test"


class Behaviour(msgspec.Struct, forbid_unknown_fields=True):
    """`hold_after`: bytes of a large file after which it stands still; `break_after`: after which the connection
    closes; -1: never. `pause_s`: before each piece of a large file. `gated`: without TOKEN it is refused. `down`: every
    request gets this status. `damage`: large files come with a wrong byte.
    """

    hold_after: int = -1
    break_after: int = -1
    pause_s: float = 0.0
    gated: bool = False
    down: int = 0
    damage: bool = False


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder: Path
    behaviour_file: Path

    def log_message(self, *_: object) -> None:
        pass

    @property
    def behaviour(self) -> Behaviour:
        return msgspec.json.decode(self.behaviour_file.read_bytes(), type=Behaviour)

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        self.sent = self.status = 0
        try:
            self.route(urllib.parse.urlsplit(self.path).path)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        with open(self.behaviour_file.with_suffix(".jsonl"), "a") as log:
            log.write(json.dumps({"method": self.command, "path": self.path, "range": self.headers.get("Range", ""),
                                  "has_token": "authorization" in self.headers, "status": self.status,
                                  "sent": self.sent}) + "\n")

    def route(self, path: str) -> None:
        behaviour = self.behaviour
        if behaviour.down:
            self.say(behaviour.down, b"{}")
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/[^/]+)?", path):
            self.with_model(found[1], behaviour, lambda model: self.say(200, describe(self.folder, model)))
        elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self.with_model(found[1], behaviour, lambda model: self.resolve(model, found[3]))
        elif found := re.fullmatch(r"/cdn/([^/]+/[^/]+)/(.+)", path):
            self.serve(self.folder / found[1] / found[2], behaviour)
        else:
            self.say(404, b"{}")

    def with_model(self, name: str, behaviour: Behaviour, then: object) -> None:
        if not (self.folder / name).is_dir():
            self.say(401, b'{"error": "Invalid username or password."}', {"X-Error-Code": "RepoNotFound"})
        elif behaviour.gated and self.headers.get("authorization") != f"Bearer {TOKEN}":
            self.say(403, b'{"error": "gated"}', {"X-Error-Code": "GatedRepo"})
        else:
            then(name)

    def resolve(self, model: str, name: str) -> None:
        path = self.folder / model / name
        if not path.is_file():
            self.say(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit_of(self.folder / model)})
            return
        commit = {"X-Repo-Commit": commit_of(self.folder / model)}
        if is_lfs(path):
            location = f"http://localhost:{self.server.server_port}/cdn/{model}/{name}"
            self.say(302, b"", commit | {"Location": location, "X-Linked-Etag": f'"{sha256_of(path)}"',
                                         "X-Linked-Size": str(path.stat().st_size)})
        else:
            self.say(200, path.read_bytes(), commit | {"ETag": f'"{blob_id(path)}"'})

    def serve(self, path: Path, behaviour: Behaviour) -> None:
        data = path.read_bytes()
        if behaviour.damage:
            data = data[:-1] + bytes([data[-1] ^ 1])
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        begin = int(asked[1]) if asked else 0
        headers = {"Content-Range": f"bytes {begin}-{len(data) - 1}/{len(data)}"} if asked else {}
        self.head(206 if asked else 200, headers | {"Content-Length": str(len(data) - begin), "ETag": '"cdn"'})
        if self.command == "HEAD":
            return
        for at in range(begin, len(data), PIECE_BYTES):
            behaviour, since = self.behaviour, time.monotonic()
            while (time.monotonic() - since < behaviour.pause_s
                   or 0 <= behaviour.hold_after <= at and time.monotonic() - since < HELD_MAX_S):
                time.sleep(LOOK_EVERY_S)
                behaviour = self.behaviour
            if 0 <= behaviour.break_after <= at:
                self.close_connection = True
                return
            piece = data[at:at + PIECE_BYTES]
            self.wfile.write(piece)
            self.sent += len(piece)

    def head(self, status: int, headers: dict[str, str]) -> None:
        self.status = status
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def say(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.head(status, {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})})
        if self.command != "HEAD":
            self.wfile.write(body)
            self.sent += len(body)


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def blob_id(path: Path) -> str:
    """As git counts it."""
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def is_lfs(path: Path) -> bool:
    return path.suffix == ".safetensors" or path.stat().st_size > LFS_BYTES


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def commit_of(folder: Path) -> str:
    return hashlib.sha1("".join(f"{path.name}{blob_id(path)}" for path in files_of(folder)).encode()).hexdigest()


def describe(folder: Path, model: str) -> bytes:
    siblings = []
    for path in files_of(folder / model):
        size = path.stat().st_size
        lfs = {"lfs": {"sha256": sha256_of(path), "size": size, "pointerSize": 134}} if is_lfs(path) else {}
        name = str(path.relative_to(folder / model))
        siblings.append({"rfilename": name, "size": size, "blobId": blob_id(path), **lfs})
    return json.dumps({"_id": "1", "id": model, "modelId": model, "sha": commit_of(folder / model), "private": False,
                       "gated": False, "tags": [], "downloads": 0, "likes": 0, "siblings": siblings}).encode()


class Hub:
    """The process, as tests hold it. `folder` is where its models lie."""

    def __init__(self, place: Path) -> None:
        self.folder, self._file = place / "models", place / "behaviour.json"
        self.folder.mkdir(parents=True)
        self.behave()
        command = [sys.executable, "-m", "tests.support.scripted_hub", "--folder", str(self.folder), "--behaviour",
                   str(self._file)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"

    def env(self, home: Path) -> dict[str, str]:
        """What a program is told that shall fetch from here, into a cache of its own."""
        return {"HF_ENDPOINT": self.url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1",
                "HF_HUB_OFFLINE": "0", "HF_TOKEN": ""}

    def behave(self, **fields: object) -> None:
        """From now on; what is not named is as it was at first."""
        scratch = self._file.with_suffix(".new")
        scratch.write_bytes(msgspec.json.encode(Behaviour(**fields)))
        scratch.rename(self._file)

    def asked(self, part: str = "") -> list[dict]:
        """The requests that ended and have `part` in their path."""
        try:
            lines = self._file.with_suffix(".jsonl").read_text().splitlines()
        except FileNotFoundError:
            return []
        return [each for each in map(json.loads, lines) if part in each["path"]]

    def sent(self, part: str) -> int:
        """Bytes of files with `part` in their path."""
        return sum(each["sent"] for each in self.asked(part) if each["method"] == "GET")

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--behaviour", type=Path, required=True)
    options = parser.parse_args()
    Handler.folder, Handler.behaviour_file = options.folder, options.behaviour
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
