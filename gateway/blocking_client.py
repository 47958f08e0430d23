"""The client library without asyncio and without threads: for the command line, load generators and scripts.

Guarantees: those of `exchange`; time passes for the client only inside its calls. Refused: use from two threads.
"""

import itertools
import time
from collections import deque
from collections.abc import Iterator

import zmq

from gateway import protocol
from gateway.client_socket import CONNECT_WITHIN_S, TICK_EVERY_S, open_socket, pump
from gateway.exchange import Answered, Exchange, GatewayError, Inbox, Question
from gateway.protocol import Accepted, Done, ModelInfo, OrderDone, Progress, Result, Started, StatsInfo, Tokens


class BlockingClient:
    """The same for programs without asyncio, in one thread: `with BlockingClient(endpoint) as client: ...`"""

    def __init__(self, endpoint: str, submit_max_bytes: int = protocol.BODY_MAX_BYTES) -> None:
        self.endpoint = endpoint
        self.submit_max_bytes = submit_max_bytes  # the gateway cuts a client that sends more than its own limit
        self.exchange = self._new_exchange()
        self._ids = map(str, itertools.count(1))
        self._socket: zmq.Socket | None = None

    def _new_exchange(self) -> Exchange:
        return Exchange(self.endpoint, time.monotonic(), self.submit_max_bytes)

    @property
    def epoch(self) -> int:
        return self.exchange.epoch

    def start(self) -> None:
        """Connect and wait for the gateway at most CONNECT_WITHIN_S. Raises: GatewayError `gateway_unavailable`."""
        self.exchange = self._new_exchange()
        self._socket = open_socket(self.endpoint)
        give_up_at = time.monotonic() + CONNECT_WITHIN_S
        while not self.exchange.epoch:
            if time.monotonic() > give_up_at:
                self.close()
                raise self.exchange.unavailable(CONNECT_WITHIN_S)
            self._turn()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def __enter__(self) -> "BlockingClient":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def generate(self, **fields: object) -> Iterator[Accepted | Progress | Started | Tokens | Done]:
        """Fields of `protocol.Submit` but id. Leaving the iterator early cancels. Raises: GatewayError."""
        return self._events(protocol.Submit(next(self._ids), **fields))

    def ask_load(self, model: str, keep_alive_s: float | None = None) -> Iterator[Progress | Result]:
        """Load without asking: Progress events, then one Result that holds a ModelInfo. Leaving does not unload."""
        return self._events(protocol.LoadModel(next(self._ids), model, keep_alive_s))

    def load(self, model: str, keep_alive_s: float | None = None) -> ModelInfo:
        return protocol.decode_model(self._result(protocol.LoadModel(next(self._ids), model, keep_alive_s)))

    def unload(self, model: str) -> OrderDone:
        """As soon as it is idle and nobody waits for it. Raises: GatewayError `invalid_request` if it is pinned."""
        return self._order(protocol.Unload(next(self._ids), model))

    def evict(self, model: str) -> OrderDone:
        """Now, or not at all. Raises: GatewayError `model_busy`."""
        return self._order(protocol.Evict(next(self._ids), model))

    def pin(self, model: str) -> OrderDone:
        return self._order(protocol.Pin(next(self._ids), model))

    def unpin(self, model: str) -> OrderDone:
        return self._order(protocol.Unpin(next(self._ids), model))

    def _order(self, order: protocol.Order) -> OrderDone:
        return protocol.decode_order(self._result(order))

    def list_models(self) -> list[ModelInfo]:
        return protocol.decode_models(self._result(protocol.ListModels(next(self._ids))))

    def show(self, model: str) -> ModelInfo:
        return protocol.decode_model(self._result(protocol.Show(next(self._ids), model)))

    def stats(self) -> StatsInfo:
        return protocol.decode_stats(self._result(protocol.Stats(next(self._ids))))

    def _result(self, question: Question) -> bytes:
        return deque(self._events(question), maxlen=1).pop().value

    def _events(self, question: Question) -> Iterator[Answered]:
        inbox = Inbox()
        self.exchange.ask(question, inbox, time.monotonic())
        try:
            while True:
                if (event := inbox.take()) is not None:
                    yield event
                elif inbox.ended:
                    return
                else:
                    self._turn()
        finally:
            self.exchange.leave(question.id)
            if self._socket is not None:
                pump(self._socket, self.exchange)

    def _turn(self) -> None:
        """Wait at most TICK_EVERY_S until something can be sent or received, and do so."""
        if self._socket is None:
            raise GatewayError("gateway_unavailable", f"the client of {self.endpoint} is not started; call start()")
        self._socket.poll(TICK_EVERY_S * 1000, zmq.POLLIN | (zmq.POLLOUT if self.exchange.outbox else 0))
        pump(self._socket, self.exchange)
        self.exchange.on_tick(time.monotonic())
