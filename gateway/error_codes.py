"""The one closed list of errors that clients can see; `gateway.protocol` hands it on.

A code that is not here cannot be said: whoever ends a request takes its status from this list, and every dialect of
http shapes each entry (`gateway/http/errors.py`). Pure.
"""

from typing import Literal, NamedTuple


class ErrorCode(NamedTuple):
    """One line of the closed list: HTTP status, whether the same request may succeed later, and whose fault it is."""

    status: int
    retryable: bool
    fault: Literal["caller", "capacity", "server", "upstream"]


ERRORS: dict[str, ErrorCode] = {
    "invalid_request": ErrorCode(400, False, "caller"),
    "context_length_exceeded": ErrorCode(400, False, "caller"),
    "unauthorized": ErrorCode(401, False, "caller"),  # no key where one is needed, or one that nobody knows
    "model_reserved": ErrorCode(403, False, "caller"),  # for agents alone
    "model_not_allowed": ErrorCode(403, False, "caller"),  # the key is for other models
    "host_not_allowed": ErrorCode(403, False, "caller"),
    "origin_not_allowed": ErrorCode(403, False, "caller"),
    "model_not_found": ErrorCode(404, False, "caller"),
    "not_found": ErrorCode(404, False, "caller"),
    "method_not_allowed": ErrorCode(405, False, "caller"),
    "request_timeout": ErrorCode(408, True, "caller"),
    "model_busy": ErrorCode(409, True, "capacity"),  # it answers, loads or is pinned: it is not evicted
    "duplicate_id": ErrorCode(400, False, "caller"),
    "body_too_large": ErrorCode(413, False, "caller"),
    "not_json": ErrorCode(415, False, "caller"),
    "rate_limited": ErrorCode(429, True, "caller"),
    "worker_crashed": ErrorCode(500, True, "server"),
    "internal": ErrorCode(500, True, "server"),
    "not_offered": ErrorCode(501, False, "server"),
    "upstream_failed": ErrorCode(502, True, "upstream"),  # a relay's server is down, refused or broke off
    "queue_full": ErrorCode(503, True, "capacity"),
    "displaced": ErrorCode(503, True, "capacity"),
    "memory_pressure": ErrorCode(503, True, "capacity"),  # no new work of this class while memory is short
    "model_unavailable": ErrorCode(503, True, "capacity"),
    "gateway_unavailable": ErrorCode(503, True, "capacity"),
    "slow_reader": ErrorCode(503, True, "caller"),
    "queue_deadline": ErrorCode(504, True, "capacity"),
    "upstream_timeout": ErrorCode(504, True, "upstream"),  # a relay's server did not answer in time
    "insufficient_memory": ErrorCode(507, False, "server"),  # the model fits at no time: its need is above the ceiling
    "loop_detected": ErrorCode(508, False, "caller"),  # the request was handed on too often
}
