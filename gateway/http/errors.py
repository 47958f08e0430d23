"""How each error of the closed list looks to a caller: status, headers and body in the shape of the dialect asked.

The list itself is `gateway.protocol.ERRORS`. A dialect is "ollama" (also for operations endpoints and pages, since
{"error": "..."} is the plainest shape there is), "openai" or "anthropic".
Retry-After is given when the caller may come again and we know when: whole seconds, 1..RETRY_AFTER_MAX_S, because
client libraries refuse to wait longer. A model that cannot be had until somebody acts has none, and says so. Pure.
"""

import math
from collections.abc import Mapping

from gateway.protocol import ERRORS

RETRY_AFTER_MAX_S = 120
OPENAI_TYPES = {403: "permission_error", 404: "not_found_error", 408: "timeout_error"}
ANTHROPIC_TYPES = {403: "permission_error", 404: "not_found_error", 413: "request_too_large"}
BUSY = "server busy, please try again"
BUSY_CODES = ("queue_full", "displaced", "queue_deadline")  # too many callers, and nothing else, is "busy"


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
    if path.startswith("/v1/"):
        return "anthropic" if f"{path}/".startswith("/v1/messages/") else "openai"
    return "ollama"


def error_body(dialect: str, code: str, message: str, param: str | None = None) -> dict[str, object]:
    """The dialect's error object."""
    if dialect == "openai":
        param = "model" if code == "model_not_found" and param is None else param
        return {"error": {"message": message, "type": openai_type(code), "param": param, "code": code}}
    if dialect == "anthropic":
        return {"type": "error", "error": {"type": anthropic_type(code), "message": message}}
    if code in BUSY_CODES and not message.startswith(BUSY):
        message = f"{BUSY}: {message}"
    return {"error": message}


def openai_type(code: str) -> str:
    entry = ERRORS[code]
    return OPENAI_TYPES.get(entry.status, "invalid_request_error" if entry.status < 500 else "server_error")


def anthropic_type(code: str) -> str:
    entry = ERRORS[code]
    return ANTHROPIC_TYPES.get(entry.status, "invalid_request_error" if entry.status < 500 else "api_error")


def error_headers(code: str, retry_after_s: float = 0.0) -> dict[str, str]:
    """What belongs to the error beside its body. SDKs retry every 5xx unless they are told not to."""
    entry = ERRORS[code]
    held = code == "model_unavailable" and retry_after_s <= 0
    if entry.retryable and not held and (entry.fault == "capacity" or retry_after_s > 0):
        return {"retry-after": str(min(max(math.ceil(retry_after_s), 1), RETRY_AFTER_MAX_S))}
    if held or (entry.status >= 500 and not entry.retryable):
        return {"x-should-retry": "false"}
    return {}
