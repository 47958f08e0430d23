"""Which model a kept KV cache belongs to: a digest of everything that decides what is in it.

Two models have the same digest only if tokens, words and weights are the same, and the cache is written the same way.
Reading all weights would take as long as loading them, so of each file of tensors these count: its name, size, time of
change and header, and SAMPLES pieces of its tensors. A fine-tune of the same shape differs in nearly every tensor; one
that was put in the place of another differs in the time besides. All other files that mlx_lm reads count in full.
"""

import hashlib
from pathlib import Path

FORMAT = 1  # of the files in `workers/prefix_disk.py`, and of what they mean
TEXTS = (".json", ".jinja", ".txt", ".model", ".tiktoken")
WEIGHTS = ".safetensors"
LENGTH_BYTES = 8  # of the header's length, at the front of a file of tensors
HEADER_MAX_BYTES = 100_000_000  # as the format has it
SAMPLES, SAMPLE_BYTES = 32, 4096


def digest_model(path: Path, versions: str) -> str:
    """Of a model's directory, 32 hex digits. `versions`: of what makes the caches.

    Raises: OSError if a file cannot be read.
    """
    digest = hashlib.sha256(f"{FORMAT} {versions}".encode())
    for file in sorted(path.iterdir()):
        if file.suffix == WEIGHTS:
            facts = file.stat()
            digest.update(f"\0{file.name} {facts.st_size} {facts.st_mtime_ns}\0".encode())
            _sample(file, facts.st_size, digest)
        elif file.suffix in TEXTS:
            words = file.read_bytes()
            digest.update(f"\0{file.name} {len(words)}\0".encode() + words)
    return digest.hexdigest()[:32]


def _sample(file: Path, size_bytes: int, digest: "hashlib._Hash") -> None:
    """The header, and pieces of what follows it from its beginning to its end."""
    with open(file, "rb") as opened:
        length = opened.read(LENGTH_BYTES)
        header_bytes = min(int.from_bytes(length, "little"), HEADER_MAX_BYTES)
        digest.update(length + opened.read(header_bytes))
        first = LENGTH_BYTES + header_bytes
        for sample in range(SAMPLES):
            opened.seek(first + (max(0, size_bytes - first - SAMPLE_BYTES) * sample) // (SAMPLES - 1))
            digest.update(opened.read(SAMPLE_BYTES))
