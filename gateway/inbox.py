"""What the reader of one request has not taken yet, and how a request ends that failed. Both faces in `client` use it.

Waiting unread is bounded in characters; what an event counts is an estimate of its memory. Pure.
"""

from collections import deque

from gateway import protocol
from gateway.protocol import Accepted, Done, Fetching, Note, Progress, Result, Started, Tokens, Vectors

UNREAD_MAX_CHARS = 1024 * 1024  # of one request; its reader is then too slow and the request is cancelled
UNREAD_FOR_NOTES = UNREAD_MAX_CHARS // 2  # with more unread notes are dropped, so that the answer has room
EVENT_COST_CHARS = 64  # what an event counts besides its tokens
TOKEN_COST_CHARS = 8
LOGPROB_COST_CHARS = 256

Answered = Accepted | Progress | Fetching | Started | Note | Tokens | Vectors | Done | Result


class GatewayError(Exception):
    """A request ended in an error. `code` is a key of `protocol.ERRORS`; `retry_after_s` 0 means: not known."""

    def __init__(self, code: str, message: str, retry_after_s: float = 0.0, status: int = 0,
                 rate: protocol.RateInfo | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.rate = rate  # of this caller, if there is a limit and the request was counted against it
        self.code = code
        self.message = message
        self.retry_after_s = retry_after_s
        self.status = status or protocol.ERRORS[code].status


ENDS = (Done, Result, GatewayError)  # a tuple is looked through three times as fast as a union, for every event


def cost_chars(event: Answered | GatewayError) -> int:
    if isinstance(event, Tokens):
        said = len(event.text) + len(event.thinking)
        if event.calls:
            said += sum(len(call.arguments) for call in event.calls)
        return EVENT_COST_CHARS + said + TOKEN_COST_CHARS * len(event.ids) + LOGPROB_COST_CHARS * len(event.logprobs)
    return EVENT_COST_CHARS + (len(event.text) if isinstance(event, Note) else 0)


class Inbox:
    """The events of one request that its reader has not taken yet, at most UNREAD_MAX_CHARS of them."""

    def __init__(self) -> None:
        self.events: deque[Answered | GatewayError] = deque()
        self.ended = False
        self._unread_chars = 0

    def put(self, event: Answered | GatewayError) -> bool:
        """False: a part of the answer was not kept, since the reader is too slow. Notes are no part of it, and are
        dropped without a word. Errors are always kept.
        """
        unread_chars = self._unread_chars + cost_chars(event)
        if isinstance(event, Note) and unread_chars > UNREAD_FOR_NOTES:
            return True
        if isinstance(event, Tokens) and unread_chars > UNREAD_MAX_CHARS:
            return False
        self._unread_chars = unread_chars
        self.events.append(event)
        self.ended = isinstance(event, ENDS)
        self.wake()
        return True

    def take(self) -> Answered | None:
        """The oldest event, None if there is none now. Raises: GatewayError if the request ended so."""
        if not self.events:
            return None
        event = self.events.popleft()
        if isinstance(event, GatewayError):
            raise event
        self._unread_chars = self._unread_chars - cost_chars(event) if self.events else 0
        return event

    def wake(self) -> None:
        """Something was put. For the asyncio face to wake its reader."""
