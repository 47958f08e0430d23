"""An answer that is collected as a whole: text, reasoning, calls, chances, vectors. Bounded in characters. Pure."""

from gateway.inbox import cost_chars
from gateway.protocol import CallPiece, TokenLogprob, Tokens, ToolCall, Vectors

ANSWER_MAX_CHARS = 64 * 1024 * 1024
VECTOR_BYTES_PER_CHAR = 4


class Heard:
    """`add` what came, in order; then read it. `chars` is what it costs, to be held against ANSWER_MAX_CHARS."""

    def __init__(self) -> None:
        self.chars = 0
        self.vectors: list[bytes] = []
        self.logprobs: list[TokenLogprob] = []
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._pieces: list[CallPiece] = []

    def add(self, event: Tokens | Vectors) -> None:
        if isinstance(event, Vectors):
            self.vectors += event.vectors
            self.chars += sum(map(len, event.vectors)) // VECTOR_BYTES_PER_CHAR
            return
        self.chars += cost_chars(event)
        self._texts.append(event.text)
        if event.thinking:
            self._thoughts.append(event.thinking)
        self._pieces += event.calls
        self.logprobs += event.logprobs

    @property
    def text(self) -> str:
        return "".join(self._texts)

    @property
    def thinking(self) -> str:
        return "".join(self._thoughts)

    @property
    def calls(self) -> list[ToolCall]:
        """In the order of their indices, each with all of its arguments."""
        found: dict[int, ToolCall] = {}
        for piece in self._pieces:
            known = found.get(piece.index, ToolCall("", ""))
            found[piece.index] = ToolCall(known.name or piece.name, known.arguments + piece.arguments,
                                          known.id or piece.id)
        return [found[index] for index in sorted(found)]
