"""How embeddings look in each dialect: one object, never a stream. Values in, bytes out. Pure.

A vector that is asked to be shorter is cut and made of length one again, as models that are trained for it want.
"""

import base64
import math
from array import array

from gateway.http.errors import Problem
from gateway.http.heard import Heard
from gateway.http.streams import NS_PER_MS, Face, encode
from gateway.protocol import Done

FLOAT_BYTES = 4


class EmbedFace(Face):
    """`model` is as the caller wrote it, else as resolved. `dimensions` 0: as long as the model makes them."""

    media_type = "application/json"

    def __init__(self, model: str = "", dimensions: int = 0) -> None:
        self.model = model
        self._dimensions = dimensions

    def vectors(self, heard: Heard) -> list[bytes]:
        """Raises: Problem `invalid_request` if they are shorter than what is asked."""
        width = len(heard.vectors[0]) // FLOAT_BYTES if heard.vectors else 0
        if width < self._dimensions:
            raise Problem("invalid_request", f"dimensions: {self._dimensions} is more than the {width} of this model",
                          "dimensions")
        if not self._dimensions or self._dimensions == width:
            return heard.vectors
        return [shortened(vector, self._dimensions) for vector in heard.vectors]


class OllamaEmbedFace(EmbedFace):
    """/api/embed."""

    def whole(self, heard: Heard, done: Done, at: str) -> bytes:
        return self._object([floats(vector) for vector in self.vectors(heard)], done.timings.total_ms,
                            done.timings.load_ms, done.usage.prompt_tokens)

    def loaded(self, at: str) -> bytes:
        """Nothing was to be embedded, so the model was loaded."""
        return self._object([], 0.0, 0.0, 0)

    def _object(self, embeddings: list[list[float]], total_ms: float, load_ms: float, tokens: int) -> bytes:
        return encode({"model": self.model, "embeddings": embeddings, "total_duration": round(total_ms * NS_PER_MS),
                       "load_duration": round(load_ms * NS_PER_MS), "prompt_eval_count": tokens})


class OldOllamaEmbedFace(EmbedFace):
    """/api/embeddings: one text, one vector."""

    def whole(self, heard: Heard, done: Done, at: str) -> bytes:
        return encode({"embedding": floats(self.vectors(heard)[0])})

    def loaded(self, at: str) -> bytes:
        return encode({"embedding": []})


class OpenAIEmbedFace(EmbedFace):
    """/v1/embeddings. `as_base64`: the bytes of the floats, little-endian, which OpenAI's own clients ask for."""

    def __init__(self, dimensions: int = 0, *, as_base64: bool = False) -> None:
        super().__init__("", dimensions)
        self._as_base64 = as_base64

    def whole(self, heard: Heard, done: Done, at: str) -> bytes:
        show = (lambda vector: base64.b64encode(vector).decode()) if self._as_base64 else floats
        data = [{"object": "embedding", "index": index, "embedding": show(vector)}
                for index, vector in enumerate(self.vectors(heard))]
        tokens = done.usage.prompt_tokens
        return encode({"object": "list", "data": data, "model": self.model,
                       "usage": {"prompt_tokens": tokens, "total_tokens": tokens}})


def floats(vector: bytes) -> list[float]:
    return array("f", vector).tolist()


def shortened(vector: bytes, dimensions: int) -> bytes:
    kept = floats(vector)[:dimensions]
    length = math.sqrt(math.fsum(each * each for each in kept)) or 1.0
    return array("f", [each / length for each in kept]).tobytes()
