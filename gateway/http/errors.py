"""How each error of the closed list looks to a caller: status, headers and body in the shape of the dialect asked.

The list itself is `gateway.protocol.ERRORS`. A dialect is "ollama" (also for operations endpoints and pages, since
{"error": "..."} is the plainest shape there is) or "openai". Bodies are the same in mid-stream and as a whole answer.
Retry-After is given when the caller may come again and we know when: whole seconds, 1..RETRY_AFTER_MAX_S, because
client libraries refuse to wait longer. Pure.
"""

import math
from collections.abc import Mapping

from gateway.protocol import ERRORS

RETRY_AFTER_MAX_S = 120
OPENAI_TYPES = {403: "permission_error", 404: "not_found_error", 408: "timeout_error"}
BUSY = "server busy, please try again"


class Problem(Exception):
    """A request that http itself refuses. `code` is a key of ERRORS, `param` the field at fault if it is one."""

    def __init__(self, code: str, message: str, param: str | None = None, headers: Mapping[str, str] = {}) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.param = param
        self.headers = headers


def dialect_of(path: str) -> str:
    """Which shape a caller of this path expects."""
    return "openai" if path.startswith("/v1/") else "ollama"


def error_body(dialect: str, code: str, message: str, param: str | None = None) -> dict[str, object]:
    """The dialect's error object."""
    if dialect == "openai":
        return {"error": {"message": message, "type": openai_type(code), "param": param, "code": code}}
    entry = ERRORS[code]
    if entry.status == 503 and entry.fault == "capacity" and not message.startswith(BUSY):
        message = f"{BUSY}: {message}"
    return {"error": message}


def openai_type(code: str) -> str:
    entry = ERRORS[code]
    return OPENAI_TYPES.get(entry.status, "invalid_request_error" if entry.status < 500 else "server_error")


def error_headers(code: str, retry_after_s: float = 0.0) -> dict[str, str]:
    """What belongs to the error beside its body. SDKs retry every 5xx unless they are told not to."""
    entry = ERRORS[code]
    if entry.retryable and (entry.fault == "capacity" or retry_after_s > 0):
        return {"retry-after": str(min(max(math.ceil(retry_after_s), 1), RETRY_AFTER_MAX_S))}
    if entry.status >= 500 and not entry.retryable:
        return {"x-should-retry": "false"}
    return {}
