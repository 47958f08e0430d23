"""ZeroMQ sockets as every process of this product opens them: ROUTER binds, DEALER connects, and nothing else.

Guarantees: nothing lingers after a close; a peer that is not there is an error for the sender and never a hidden
queue (ROUTER_MANDATORY, IMMEDIATE); a frame above its limit closes the connection that sent it; at most
FRAMES_WAITING_MAX frames of one peer lie inside ZeroMQ. ZeroMQ's own heartbeat only finds half-open connections: the
death of a process on ipc is seen at once, and being alive is said by our own heartbeats. Its timeout is longer than a
process may be stopped without losing its connections.

Refused: PUSH and PULL (a dead PULL peer loses accepted jobs without a word), and binding an endpoint that another
live process holds: hold the process's lock before you bind, for a second bind would steal the first one's clients.
"""

import zmq

FRAMES_WAITING_MAX = 1000
HEARTBEAT_EVERY_MS = 5_000
HEARTBEAT_TIMEOUT_MS = 60_000
RECONNECT_EVERY_MS = 50


def open_router(context: zmq.Context, endpoint: str, frame_max_bytes: int,
                frames_waiting_max: int = FRAMES_WAITING_MAX) -> zmq.Socket:
    """A bound ROUTER. Sending to a peer that is gone raises EHOSTUNREACH, to one that does not read EAGAIN."""
    router = _open(context, zmq.ROUTER, frame_max_bytes, frames_waiting_max)
    router.router_mandatory = 1
    router.bind(endpoint)
    return router


def open_dealer(context: zmq.Context, endpoint: str, frame_max_bytes: int, identity: bytes) -> zmq.Socket:
    """A connecting DEALER, connected or not. Sending while the peer is away raises zmq.Again."""
    dealer = _open(context, zmq.DEALER, frame_max_bytes, FRAMES_WAITING_MAX)
    dealer.identity = identity
    dealer.immediate = 1
    dealer.reconnect_ivl = RECONNECT_EVERY_MS
    dealer.connect(endpoint)
    return dealer


def _open(context: zmq.Context, kind: int, frame_max_bytes: int, frames_waiting_max: int) -> zmq.Socket:
    sock = context.socket(kind)
    sock.linger = 0
    sock.maxmsgsize = frame_max_bytes
    sock.sndhwm = sock.rcvhwm = frames_waiting_max
    sock.heartbeat_ivl, sock.heartbeat_timeout = HEARTBEAT_EVERY_MS, HEARTBEAT_TIMEOUT_MS
    return sock
