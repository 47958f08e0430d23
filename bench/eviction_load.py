"""The clients of an eviction run, as one process: asks at random for short streamed answers, and checks every word.

It speaks the client protocol itself and not through `gateway.client`, because that library hides what a checker must
see, such as a second end. Arrivals are Poisson and depend on nothing that the server does; the same seed asks for the
same models and lengths in the same order. Only while OUTSTANDING_MAX answers are outstanding does it hold back, which
is counted.

The pipe carries MessagePack: `Plan` in, `News` out every NEWS_EVERY_S, an empty frame in: ask no more. Then it waits
for the answers that are outstanding, at most DRAIN_WITHIN_S, and its last `News` says that it is the last. It ends by
itself when the one that started it is gone, and ignores Ctrl-C, which the parent heeds.
"""

import os
import signal
import time
from math import ceil
from random import Random
from typing import Protocol

import msgspec
import zmq

from bench.eviction_check import Checker, Loss
from gateway import protocol

NEWS_EVERY_S = 0.5
DRAIN_WITHIN_S = 60.0
OUTSTANDING_MAX = 4_000  # answers
FRAMES_PER_TURN_MAX = 64
SEND_WITHIN_MS = 10_000
FRAME_MAX_BYTES = 8 * 1024 * 1024
LENGTHS = (3, 8)  # tokens of an answer, from and to
TOKEN_RATES_PER_S = (500, 1000)  # of one answer: so it lives for 3 to 16 ms

decode_frame = msgspec.msgpack.Decoder(protocol.Event | list[protocol.Event]).decode
encode = msgspec.msgpack.Encoder().encode


class Plan(msgspec.Struct, frozen=True):
    endpoint: str
    models: list[str]
    rate_per_s: float
    seed: str


class News(msgspec.Struct, frozen=True):
    """Counts since the beginning, but for `losses`: those since the last news. `asking_s`: how long it has asked."""

    sent: int
    ended: int
    done: int
    refused: int
    held_back: int
    outstanding: int
    errors: dict[str, int]
    lost: int
    losses: list[Loss]
    asking_s: float
    cpu_s: float
    is_last: bool


decode_plan = msgspec.msgpack.Decoder(Plan).decode
decode_news = msgspec.msgpack.Decoder(News).decode


class Pipe(Protocol):
    """What this needs of a connection of multiprocess."""

    def recv_bytes(self) -> bytes: ...

    def send_bytes(self, data: bytes) -> None: ...

    def fileno(self) -> int: ...


def generate(pipe: Pipe) -> None:
    """The life of the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        plan = decode_plan(pipe.recv_bytes())
        socket = open_socket(plan.endpoint)
        Clients(plan, socket, pipe).run()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # the parent is gone: nobody reads the news


def open_socket(endpoint: str) -> zmq.Socket:
    socket = zmq.Context.instance().socket(zmq.DEALER)
    socket.identity = b"e" + os.urandom(15)
    socket.linger = 0
    socket.sndtimeo = SEND_WITHIN_MS
    socket.maxmsgsize = FRAME_MAX_BYTES
    socket.connect(endpoint)
    return socket


class Asks:
    """What is asked next, drawn from a seed: model, length in tokens, prompt, seconds until the one after it."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._random = Random(plan.seed)

    def draw(self) -> tuple[str, int, str, float]:
        random = self._random
        length = random.randint(*LENGTHS)
        prompt = f"#tokens={length} #rate={random.randint(*TOKEN_RATES_PER_S)}"
        return random.choice(self._plan.models), length, prompt, random.expovariate(self._plan.rate_per_s)


class Clients:
    def __init__(self, plan: Plan, socket: zmq.Socket, pipe: Pipe) -> None:
        self._asks = Asks(plan)
        self._socket = socket
        self._pipe = pipe
        self._checker = Checker()
        self._held_back = 0
        self._poller = zmq.Poller()
        self._poller.register(socket, zmq.POLLIN)
        self._poller.register(pipe.fileno(), zmq.POLLIN)

    def run(self) -> None:
        """Ask until told to stop, wait for what is outstanding, say the last news."""
        self._socket.send(protocol.encode(protocol.Hello(batch=True)))
        began_s = stopped_s = time.monotonic()
        due_s, news_s = began_s, began_s + NEWS_EVERY_S
        asking = True
        while asking or (self._checker.open and time.monotonic() < stopped_s + DRAIN_WITHIN_S):
            now_s = time.monotonic()
            if asking:
                due_s, stopped_s = self._ask(due_s, now_s), now_s
            if now_s >= news_s:
                self._tell(stopped_s - began_s)
                news_s = now_s + NEWS_EVERY_S
            wake_s = min(due_s, news_s) if asking else news_s
            ready = dict(self._poller.poll(max(0, ceil((wake_s - time.monotonic()) * 1000))))
            if self._socket in ready:
                self._hear()
            if self._pipe.fileno() in ready and asking:
                self._pipe.recv_bytes()
                self._poller.unregister(self._pipe.fileno())
                asking = False
        self._checker.give_up(time.monotonic())
        self._tell(stopped_s - began_s, is_last=True)

    def _ask(self, due_s: float, now_s: float) -> float:
        """Send all that is due. Returns when the next is."""
        while due_s <= now_s:
            model, length, prompt, gap_s = self._asks.draw()
            due_s += gap_s
            if len(self._checker.open) >= OUTSTANDING_MAX:
                self._held_back += 1
                continue
            number = self._checker.on_sent(model, length, now_s)
            self._socket.send(protocol.encode(protocol.Submit(str(number), model, prompt=prompt)))
        return due_s

    def _hear(self) -> None:
        for _ in range(FRAMES_PER_TURN_MAX):
            try:
                events = decode_frame(self._socket.recv(zmq.NOBLOCK))
            except zmq.Again:
                return
            now_s = time.monotonic()
            for event in events if isinstance(events, list) else (events,):
                self._checker.on_event(event, now_s)

    def _tell(self, asking_s: float, *, is_last: bool = False) -> None:
        checker, losses = self._checker, self._checker.losses
        checker.losses = []
        self._pipe.send_bytes(encode(News(
            checker.sent, checker.ended, checker.done, checker.refused, self._held_back, len(checker.open),
            dict(checker.errors), checker.lost, losses, asking_s, time.process_time(), is_last)))
