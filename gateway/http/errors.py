"""How each error of the closed list looks to a caller: status, headers and body in the shape of the dialect asked.

The list itself is `gateway.protocol.ERRORS`. A dialect is "ollama" (also for operations endpoints and pages, since
{"error": "..."} is the plainest shape there is), "openai" or "anthropic". Anthropic's clients know no 503: what is busy
or short of something is 529 there. They tell a prompt that is too long by how its message begins.
Retry-After is given when the caller may come again and we know when: whole seconds, 1..RETRY_AFTER_MAX_S, because
client libraries refuse to wait longer. A model that cannot be had until somebody acts has none, and says so. So has
what another server may have done already (`Elsewhere`): SDKs ask again by themselves unless told not to. Pure.
"""

import math
from collections.abc import Mapping

from control.states import LOCAL, VICTORIA
from gateway.protocol import ERRORS, HANDED_ON, Progress, RateInfo, Started

RETRY_AFTER_MAX_S = 120
OPENAI_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 408: "timeout_error",
                429: "rate_limit_error"}
ANTHROPIC_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 408: "timeout_error",
                   413: "request_too_large", 429: "rate_limit_error", 503: "overloaded_error", 504: "timeout_error"}
ANTHROPIC_VERSION = "anthropic-version"  # the header by which its clients are known where a path is not theirs alone
UNAVAILABLE, OVERLOADED = 503, 529
TOO_LONG = "prompt is too long"
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


def dialect_of(path: str, *, versioned: bool = False) -> str:
    """Which shape a caller of this path expects. `versioned`: it sent ANTHROPIC_VERSION."""
    if path.startswith("/v1/"):
        return "anthropic" if versioned or f"{path}/".startswith("/v1/messages/") else "openai"
    return "ollama"


def status_of(dialect: str, code: str, status: int = 0) -> int:
    """`status`: the gateway's, 0 if it said none."""
    status = status or ERRORS[code].status
    return OVERLOADED if dialect == "anthropic" and status == UNAVAILABLE else status


def error_body(dialect: str, code: str, message: str, param: str | None = None,
               request_id: str = "") -> dict[str, object]:
    """The dialect's error object."""
    if dialect == "openai":
        param = "model" if code == "model_not_found" and param is None else param
        return {"error": {"message": message, "type": openai_type(code), "param": param, "code": code}}
    if dialect == "anthropic":
        message = f"{TOO_LONG}: {message}" if code == "context_length_exceeded" else message
        error = {"type": anthropic_type(code), "message": message, "details": {"error_code": code}}
        return {"type": "error", "error": error, "request_id": request_id or None}
    if code in BUSY_CODES and not message.startswith(BUSY):
        message = f"{BUSY}: {message}"
    return {"error": message}


def openai_type(code: str) -> str:
    entry = ERRORS[code]
    return OPENAI_TYPES.get(entry.status, "invalid_request_error" if entry.status < 500 else "server_error")


def anthropic_type(code: str) -> str:
    entry = ERRORS[code]
    return ANTHROPIC_TYPES.get(entry.status, "invalid_request_error" if entry.status < 500 else "api_error")


def rate_headers(rate: RateInfo | None) -> dict[str, str]:
    """In the names that OpenAI's clients read."""
    if rate is None:
        return {}
    return {"x-ratelimit-limit-requests": str(rate.limit), "x-ratelimit-remaining-requests": str(rate.remaining),
            "x-ratelimit-reset-requests": f"{math.ceil(rate.reset_s)}s"}


class Elsewhere:
    """Where a request has been outside this machine's own workers, as far as its events tell.

    An agent's work has effects, so what she may have had is never done again by a library, whatever failed after it.
    A model's has none: its failures may be tried again, but not when the gateway was lost meanwhile, for that answer
    may still be running there.
    """

    def __init__(self) -> None:
        self._has_left = self._had_agent = self._is_unnamed = False

    def see(self, event: Progress | Started) -> None:
        if isinstance(event, Progress):
            self._is_unnamed |= event.reason == HANDED_ON  # who was given it is told by Started, or never
            self._has_left |= self._is_unnamed
            return
        tried = event.route.split(">")
        self._has_left |= tried[-1] not in LOCAL
        self._had_agent |= tried[-1] == VICTORIA or (self._is_unnamed and VICTORIA in tried)
        self._is_unnamed = False

    def forbids(self, code: str) -> bool:
        """No library may ask again by itself after this error."""
        return self._had_agent or self._is_unnamed or (self._has_left and code == "gateway_unavailable")


def error_headers(code: str, retry_after_s: float = 0.0, *, once: bool = False) -> dict[str, str]:
    """What belongs to the error beside its body. SDKs retry every 5xx unless they are told not to. `once`: no library
    may ask again by itself, so no time is given either.
    """
    entry = ERRORS[code]
    if once:
        return {"x-should-retry": "false"}
    if code == "unauthorized":
        return {"www-authenticate": "Bearer"}
    held = code == "model_unavailable" and retry_after_s <= 0
    if entry.retryable and not held and (entry.fault == "capacity" or retry_after_s > 0):
        return {"retry-after": str(min(max(math.ceil(retry_after_s), 1), RETRY_AFTER_MAX_S))}
    if held or (entry.status >= 500 and not entry.retryable):
        return {"x-should-retry": "false"}
    return {}
