"""API keys: how one is made, what of it is kept, and whose a given one is.

A key is `warden-` and 32 random bytes as text. It is shown once, when it is made; the file of a home keeps its SHA-256
and what it allows. A SHA-256 is enough: the secret is random and long, so nobody guesses it from the hash. A given key
is compared with all of them in constant time, so neither time nor order tells anything.

The file is read whole and typed; one that cannot be read is an error with the remedy and never "no keys", for that
would let everybody in. `now` (wall clock, seconds) and randomness come in. Pure.
"""

import hashlib
import hmac
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec

PREFIX = "warden-"
SECRET_BYTES = 32
NAME_MAX_CHARS = 64
KEYS_MAX = 1024
Count = Annotated[int, msgspec.Meta(ge=0, le=10**9)]
Time = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class KeysRefused(Exception):
    """One line: what is wrong with the file or the name, and the remedy."""


class Key(msgspec.Struct, frozen=True):
    """`models`: names or aliases of the only models it may use, also of such as only Ollama has, and "victoria"; empty:
    all. `rate`: requests in the window that is configured; None: as configured. `created_at`: seconds since 1970.
    """

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_MAX_CHARS)]
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    audience: Literal["person", "agent"] = "person"
    max_priority: Literal["high", "medium", "low"] = "high"
    models: list[str] = []
    rate: Count | None = None
    created_at: Time = 0


class _File(msgspec.Struct, forbid_unknown_fields=True):
    version: Literal[1]
    keys: Annotated[list[Key], msgspec.Meta(max_length=KEYS_MAX)]


def hash_of(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


def secret_of(random: bytes) -> str:
    """The text of a new key from SECRET_BYTES random bytes."""
    return PREFIX + random.hex()


def find(secret: str, keys: Sequence[Key]) -> Key | None:
    """Whose key this is. Looks at all of them, whatever it finds."""
    given, found = hash_of(secret), None
    for key in keys:
        if hmac.compare_digest(given, key.sha256):
            found = key
    return found


def decode_keys(data: bytes, where: str) -> list[Key]:
    """Raises: KeysRefused."""
    try:
        keys = msgspec.json.decode(data, type=_File).keys
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise KeysRefused(f"{where}: {problem}; mend it, or remove it and make the keys anew") from None
    names = [key.name for key in keys]
    if len(set(names)) < len(names):
        raise KeysRefused(f"{where}: two keys have the same name; remove one of them")
    return keys


def encode_keys(keys: Sequence[Key]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(_File(1, list(keys))), indent=1) + b"\n"
