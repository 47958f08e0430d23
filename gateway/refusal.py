"""A request that is answered by an error at once, and the names of the classes. Pure."""

from control.states import Priority

PRIORITY_BY_NAME = {"high": Priority.HIGH, "medium": Priority.MEDIUM, "low": Priority.LOW}


class Refusal(Exception):
    """`code` is a key of `protocol.ERRORS`."""

    def __init__(self, code: str, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after_s = retry_after_s
