"""What the downloader says to the gateway: one JSON object in each line of its standard output, typed. Pure.

    progress*, then done | failed        the last line; a process that ends without one has failed
"""

import msgspec

LINE_MAX_BYTES = 64 * 1024
MANIFEST, PULLING, VERIFYING, WRITING = "pulling manifest", "pulling", "verifying sha256 digest", "writing manifest"


class Progress(msgspec.Struct, tag="progress", frozen=True):
    """`file` "": about all of it. `digest`: the SHA-256 of the file in hex, "" if the hub does not know it."""

    status: str
    file: str = ""
    digest: str = ""
    total: int = 0
    completed: int = 0


class Done(msgspec.Struct, tag="done", frozen=True):
    """`path`: the directory that holds the model. `by_us`: this product fetched it; of a deletion: it is done, and no
    other home uses the snapshot. `bytes`: of all its files.
    """

    path: str
    revision: str = ""
    by_us: bool = False
    bytes: int = 0


class Failed(msgspec.Struct, tag="failed", frozen=True):
    """`code` is one of the client protocol's closed list."""

    code: str
    message: str


Line = Progress | Done | Failed
encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Line).decode
