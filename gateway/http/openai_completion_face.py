"""How answers of /v1/completions look: text without a chat, in the shape that OpenAI had before chats. Pure.

`echo`: the prompt of each choice, which stands before its answer. There is no place for reasoning here, and none is
lost: it is a part of the text.
"""

import codecs
from collections.abc import Sequence

from gateway.http.heard import Heard
from gateway.http.openai_face import LOGPROB_MIN, OpenAIFace
from gateway.protocol import Done, TokenLogprob, Tokens


class CompletionFace(OpenAIFace):
    """`echo`: by place of the choice; empty: nothing is echoed. `tops`: are the likeliest tokens told besides?"""

    kind = kind_of_chunk = "text_completion"

    def __init__(self, answer_id: str, created_s: int, *, include_usage: bool, maker: str = "",
                 echo: Sequence[str] = (), tops: bool = False) -> None:
        super().__init__(answer_id, created_s, include_usage=include_usage, maker=maker)
        self._echo = dict(enumerate(echo))  # what is still to be said
        self._tops = tops
        self._chances: dict[int, Chances] = {}

    def tokens(self, event: Tokens, at: str) -> bytes:
        place = self.places.get(event.id, 0)
        text = self._echo.pop(place, "") + event.thinking + event.text
        return self._piece(place, text, event.logprobs)

    def ended(self, done: Done) -> bytes:
        place = self.places.get(done.id, 0)
        return self._piece(place, self._echo.pop(place, ""), [], done.finish_reason)

    def _choice(self, heard: Heard, done: Done) -> dict[str, object]:
        place = self.places.get(done.id, 0)
        return {"text": self._echo.get(place, "") + heard.thinking + heard.text,
                "logprobs": self._told(place, heard.logprobs), "finish_reason": done.finish_reason}

    def _piece(self, place: int, text: str, found: list[TokenLogprob], reason: str | None = None) -> bytes:
        return self._chunk({"index": place, "text": text, "logprobs": self._told(place, found),
                            "finish_reason": reason})

    def _told(self, place: int, found: list[TokenLogprob]) -> dict[str, object] | None:
        if not found:
            return None
        return self._chances.setdefault(place, Chances(tops=self._tops)).take(found)


class Chances:
    """The chances of one choice's tokens in the old shape: lists that belong together. `text_offset` counts characters
    from the beginning of the answer; a token that is a part of a character begins where that character does.
    """

    def __init__(self, *, tops: bool) -> None:
        self._tops = tops
        self._chars = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def take(self, found: list[TokenLogprob]) -> dict[str, object]:
        offsets = []
        for each in found:
            offsets.append(self._chars)
            self._chars += len(self._decoder.decode(each.piece))
        return {"tokens": [shown(each) for each in found], "token_logprobs": [chance(each) for each in found],
                "top_logprobs": [{shown(top): chance(top) for top in each.top} for each in found]
                if self._tops else None, "text_offset": offsets}


def shown(found: TokenLogprob) -> str:
    """Two tokens that are not whole characters must not look the same, for they are keys: OpenAI's way to write bytes.
    """
    try:
        return found.piece.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in found.piece)


def chance(found: TokenLogprob) -> float:
    return max(found.logprob, LOGPROB_MIN)
