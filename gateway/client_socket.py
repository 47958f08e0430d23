"""The one ZeroMQ socket of a client, and how it is served without waiting. Both faces of the client library use it.

Guarantees: nothing waits in a dead connection (LINGER 0, IMMEDIATE 1), so what could not be sent stays in the outbox;
a frame larger than FRAME_MAX_BYTES closes the connection instead of filling memory.
"""

import os
import time

import zmq

from gateway.exchange import Exchange

CONNECT_WITHIN_S = 10.0
TICK_EVERY_S = 0.25
RECONNECT_EVERY_MS = 50
HEARTBEAT_EVERY_MS = 5_000
HEARTBEAT_TIMEOUT_MS = 30_000  # longer than a gateway may be stopped without its clients being thrown out
FRAME_MAX_BYTES = 8 * 1024 * 1024  # all events of one turn for one client
NOW, EVENTS, CAN_SEND, CAN_RECEIVE = map(int, (zmq.DONTWAIT, zmq.EVENTS, zmq.POLLOUT, zmq.POLLIN))  # enums are slow
OPERATIONS_PER_TURN_MAX = 256  # socket operations before anything else gets its turn


def open_socket(endpoint: str) -> zmq.Socket:
    socket = zmq.Context.instance().socket(zmq.DEALER)
    socket.identity = b"c" + os.urandom(15)  # a leading zero byte would be reserved
    socket.linger = 0
    socket.immediate = 1
    socket.reconnect_ivl = RECONNECT_EVERY_MS
    socket.maxmsgsize = FRAME_MAX_BYTES
    socket.heartbeat_ivl = HEARTBEAT_EVERY_MS
    socket.heartbeat_timeout = HEARTBEAT_TIMEOUT_MS
    socket.connect(endpoint)
    return socket


def pump(socket: zmq.Socket, exchange: Exchange) -> bool:
    """Send and receive what can be without waiting. True: there may be more, come again.

    Each operation asks the socket anew, since its descriptor tells only of changes.
    """
    for _ in range(OPERATIONS_PER_TURN_MAX):
        ready = socket.get(EVENTS)
        if exchange.outbox and ready & CAN_SEND:
            try:
                socket.send(exchange.outbox[0], NOW)
            except zmq.Again:
                return False  # the connection went in this very moment; the next one takes the frame
            exchange.outbox.popleft()
        elif ready & CAN_RECEIVE:
            exchange.on_frame(socket.recv(NOW), time.monotonic())
        else:
            return False
    return True
