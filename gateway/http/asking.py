"""Who asks over HTTP, and what kind of work it is: read from the headers, the same for every dialect.

    Authorization: Bearer KEY, x-api-key: KEY    the API key; the gateway knows whose it is
    `user_header` of [server]                    the user that a front end on this machine names
    X-Request-Priority: high | medium | low      the class
    X-Warden-Kind: chat | task | batch | agent   the kind of work, which chooses the chain of backends
    X-Warden-Category: NAME                      for dialects whose bodies have no field for it
    X-Warden-Hop: N                              how often the request was handed on
    X-Warden-Progress: 1                         who waits for a stream hears of it at once (`answering`)

A user's name is believed only from a peer on this machine, or beside a key: anybody else could be anyone.

Where a key is needed (`require_key`, or an address that other machines can reach), all that asks the gateway needs one:
answers, lists of models, loads. Pages, /status and the operations endpoints do not: they read the table, and monitors
and browsers that ask have no key. Whoever is on this machine reads all that they say. Anybody else reads:
    /health, /queue/stats    status, service and version
    /status                  the same, and which backends are healthy, without the reasons
    /dashboard/events        nothing; it waits for the gateway and opens by a key (`dashboard_api`)
    /livez, /readyz, /chat, /openapi.json   everything: alive or not, ready or not and why, the page, what is served
    /metrics, /dashboard/events   nothing, unless a key is shown that is not for some models only
It goes by the address alone, because only the gateway could check a key, and they must not wait for it. So a proxy on
this machine shows everything to whom it lets in.
A request without a key is refused here as well as by the gateway, so that neither alone can let it in.
"""

from ipaddress import ip_address

from gateway.http.call import Call
from gateway.http.errors import Problem
from gateway.protocol import ID_MAX_CHARS, KEY_MAX_CHARS, USER

KINDS = ("chat", "task", "batch", "agent")
BEARER = "bearer "
NEEDED = ("an API key is needed here; send it as `Authorization: Bearer KEY` or `x-api-key: KEY` (`warden key create "
          "--name NAME` makes one)")


def may_see_all(call: Call) -> bool:
    """Do pages of operations tell this caller more than how we are? By the address; nobody is asked."""
    return is_here(call.caller) or not call.services.config.needs_key


def read_key(call: Call) -> str:
    """"" if there is none and none is needed. Raises: Problem `unauthorized`, also for one too long to be a key."""
    given = call.headers.get("x-api-key", "").strip()
    authorization = call.headers.get("authorization", "")
    if not given and authorization[:len(BEARER)].lower() == BEARER:
        given = authorization[len(BEARER):].strip()
    if len(given) > KEY_MAX_CHARS:
        raise Problem("unauthorized", f"this API key has {len(given)} characters; ours have at most {KEY_MAX_CHARS}")
    if not given and call.services.config.needs_key:
        raise Problem("unauthorized", NEEDED)
    return given


def read_caller(call: Call, key: str) -> str:
    """Whose share of the queue: the user that a front end names, else the address."""
    name = call.services.config.user_header.lower()
    user = call.headers.get(name, "").strip()[:ID_MAX_CHARS] if name else ""
    if user and (key or is_here(call.caller)):
        return USER + user
    return call.caller


def is_here(address: str) -> bool:
    """`address`: of the peer; "local" if it has none."""
    try:
        there = ip_address(address)
    except ValueError:
        return address == "local"
    return (getattr(there, "ipv4_mapped", None) or there).is_loopback


def who_asks(call: Call) -> dict[str, str]:
    """Of questions and orders. Raises: Problem."""
    return {"key": read_key(call)}


def how_asked(call: Call, *, kind: str = "task", priority: str = "medium") -> dict[str, object]:
    """Of a request for an answer: the fields of `Submit` that headers give. Raises: Problem."""
    key = read_key(call)
    asked = {"priority": call.read_priority(priority), "key": key, "caller": read_caller(call, key),
             "hop": read_hop(call), "kind": read_kind(call, kind), "trace": call.request_id}
    if traceparent := call.services.tracing.begin(call):
        asked["traceparent"] = traceparent
    category = call.headers.get("x-warden-category", "").strip()
    return {**asked, "category": category} if category else asked


def read_kind(call: Call, kind: str) -> str:
    given = call.headers.get("x-warden-kind", kind).strip().lower()
    if given not in KINDS:
        raise Problem("invalid_request", f"X-Warden-Kind: {given[:40]!r} is not one of {', '.join(KINDS)}",
                      "X-Warden-Kind")
    return given


def read_hop(call: Call) -> int:
    given = call.headers.get("x-warden-hop", "0").strip()
    if not (given.isascii() and given.isdigit() and len(given) <= 3):
        raise Problem("invalid_request", f"X-Warden-Hop: {given[:40]!r} is not a whole number from 0 to 999",
                      "X-Warden-Hop")
    return int(given)
