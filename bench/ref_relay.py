"""The reference for the path of one request over ZeroMQ: three bare processes, one frame there and one back.

client DEALER -> ROUTER relay ROUTER -> DEALER worker: the shape of client, gateway and worker, without admission,
engine, decoding or anything else that ours do. Raw pyzmq, blocking poll loops, frames of the size of ours.

    python -m bench.ref_relay relay FRONT BACK        FRONT, BACK: endpoints; runs until its standard input ends
    python -m bench.ref_relay worker BACK
    python -m bench.ref_relay client FRONT            reads orders on standard input, answers each with one line (JSON)

`bare_relay` starts all three. Refused: an answer that does not come within ANSWER_WITHIN_S.
"""

import argparse
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import zmq

from bench.program import BenchFailed, Program, python_module

NAME = "bare-relay"
REQUEST_BYTES = 340  # about a submit of one short message
ANSWER_BYTES = 540  # about what comes back for it: accepted, started, tokens, done
REQUESTS_MAX = 1_000_000
OUTSTANDING_MAX = 900  # below ZeroMQ's own limit of waiting frames per connection, so that nothing is dropped
ANSWER_WITHIN_S = 10.0
RUN_WITHIN_S = 600.0
WORKER_NAME = b"w"

Count = Annotated[int, msgspec.Meta(ge=1, le=REQUESTS_MAX)]


class Order(msgspec.Struct, frozen=True):
    """So many requests, so many of them on their way at any time."""

    requests: Count
    outstanding: Annotated[int, msgspec.Meta(ge=1, le=OUTSTANDING_MAX)]


class Relayed(msgspec.Struct, frozen=True):
    """How long each took, in seconds, in the order of the answers; and all together."""

    latencies_s: list[float]
    wall_s: float


class Relay:
    """Three processes that are ready; see `bare_relay`."""

    def __init__(self, client: Program, others: list[Program]) -> None:
        self._client = client
        self.pids = [client.pid, *(other.pid for other in others)]

    def run(self, requests: int, outstanding: int) -> Relayed:
        """Raises: BenchFailed."""
        order = msgspec.json.encode(Order(requests, outstanding))
        try:
            return msgspec.json.decode(self._client.ask(order, RUN_WITHIN_S), type=Relayed)
        except msgspec.DecodeError as error:
            raise BenchFailed(f"{NAME} answers what it should not: {error}") from None


@contextmanager
def bare_relay(folder: Path) -> Iterator[Relay]:
    """The three processes while the block runs; their sockets lie in `folder`. Raises: BenchFailed."""
    front, back = f"ipc://{folder}/front.ipc", f"ipc://{folder}/back.ipc"
    with ExitStack() as running:
        programs = [
            running.enter_context(
                Program(f"{NAME}-{words[0]}", python_module("bench.ref_relay", *words), folder, talks=True))
            for words in (["relay", front, back], ["worker", back], ["client", front])]
        relay = Relay(programs[-1], programs[:-1])
        relay.run(1, 1)  # comes back when all three are connected
        yield relay


def relay(front: zmq.Socket, back: zmq.Socket, orders: int) -> None:
    """Pass frames on, from the worker's hello until `orders`, a file descriptor, can be read (at its end)."""
    poller = zmq.Poller()
    for each in (back, orders):
        poller.register(each, zmq.POLLIN)
    if orders in dict(poller.poll()):
        return
    back.recv_multipart()
    poller.register(front, zmq.POLLIN)
    while True:
        ready = dict(poller.poll())
        if orders in ready:
            return
        if front in ready:
            client, frame = front.recv_multipart()
            back.send_multipart([WORKER_NAME, client, frame])
        if back in ready:
            _, client, frame = back.recv_multipart()
            front.send_multipart([client, frame])


def work(back: zmq.Socket, orders: int) -> None:
    """Answer each frame with one of ANSWER_BYTES until `orders` can be read."""
    answer = bytes(ANSWER_BYTES)
    poller = zmq.Poller()
    poller.register(back, zmq.POLLIN)
    poller.register(orders, zmq.POLLIN)
    back.send(b"")  # hello: from now on the relay can reach this worker
    while True:
        ready = dict(poller.poll())
        if orders in ready:
            return
        client, _ = back.recv_multipart()
        back.send_multipart([client, answer])


def ask(front: zmq.Socket, order: Order) -> Relayed:
    """Carry out one order. Answers come in the order of the requests, there being one worker. Raises: TimeoutError."""
    request = bytes(REQUEST_BYTES)
    sent_s: deque[float] = deque(maxlen=OUTSTANDING_MAX)
    latencies_s: list[float] = []
    waiting = order.requests
    started_s = time.perf_counter()
    while len(latencies_s) < order.requests:
        while waiting and len(sent_s) < order.outstanding:
            sent_s.append(time.perf_counter())
            front.send(request)
            waiting -= 1
        if not front.poll(ANSWER_WITHIN_S * 1000):
            raise TimeoutError(f"no answer within {ANSWER_WITHIN_S:g} s")
        front.recv()
        latencies_s.append(time.perf_counter() - sent_s.popleft())
    return Relayed(latencies_s, time.perf_counter() - started_s)


def open_socket(kind: int, *, bind: str = "", connect: str = "", name: bytes = b"") -> zmq.Socket:
    socket = zmq.Context.instance().socket(kind)
    socket.linger = 0
    if name:
        socket.identity = name
    if kind == zmq.ROUTER:
        socket.router_mandatory = 1  # a frame for somebody who is not there is an error, not silence
    socket.bind(bind) if bind else socket.connect(connect)
    return socket


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.ref_relay", description=__doc__.splitlines()[0])
    parser.add_argument("role", choices=["relay", "worker", "client"])
    parser.add_argument("endpoints", nargs="+")
    arguments = parser.parse_args()
    endpoints, orders = arguments.endpoints, sys.stdin.fileno()
    if arguments.role == "relay":
        relay(open_socket(zmq.ROUTER, bind=endpoints[0]), open_socket(zmq.ROUTER, bind=endpoints[1]), orders)
    elif arguments.role == "worker":
        work(open_socket(zmq.DEALER, connect=endpoints[0], name=WORKER_NAME), orders)
    else:
        front = open_socket(zmq.DEALER, connect=endpoints[0])
        for line in sys.stdin.buffer:
            sys.stdout.buffer.write(msgspec.json.encode(ask(front, msgspec.json.decode(line, type=Order))) + b"\n")
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
