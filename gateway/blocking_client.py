"""The client library without asyncio and without threads: for the command line, load generators and scripts.

Guarantees: those of `exchange`; time passes for the client only inside its calls. Refused: use from two threads.
"""

import itertools
import time
from collections import deque
from collections.abc import Iterable, Iterator

import zmq

from gateway import protocol
from gateway.client_socket import CONNECT_WITHIN_S, TICK_EVERY_S, open_socket, pump
from gateway.exchange import Exchange, Question
from gateway.inbox import Answered, GatewayError, Inbox
from gateway.protocol import (
    Accepted,
    CallerInfo,
    Done,
    Fetching,
    MetricsInfo,
    ModelInfo,
    OrderDone,
    Progress,
    Result,
    RouteInfo,
    Started,
    StatsInfo,
    Tokens,
)
from gateway.tasks import CONCURRENCY, PATIENCE_S, OnProgress, Outcome, submit_many_blocking, with_defaults


class BlockingClient:
    """The same for programs without asyncio, in one thread: `with BlockingClient(endpoint) as client: ...`"""

    def __init__(self, endpoint: str, submit_max_bytes: int = protocol.BODY_MAX_BYTES, *, key: str = "") -> None:
        """`key`: the API key for all that is asked without a key of its own."""
        self.endpoint = endpoint
        self._hello = protocol.Hello(batch=True, key=key)
        self.submit_max_bytes = submit_max_bytes  # the gateway cuts a client that sends more than its own limit
        self.exchange = self._new_exchange()
        self._ids = map(str, itertools.count(1))
        self._socket: zmq.Socket | None = None

    def _new_exchange(self) -> Exchange:
        return Exchange(self.endpoint, time.monotonic(), self.submit_max_bytes, self._hello)

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
            self.turn(TICK_EVERY_S)

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

    def submit_many(self, items: Iterable[dict | str], *, concurrency: int = CONCURRENCY,
                    patience_s: float = PATIENCE_S, on_progress: OnProgress | None = None,
                    **common: object) -> list[Outcome]:
        """As `GatewayClient.submit_many`. Whatever ends it early (Ctrl-C) cancels what is on its way."""
        return submit_many_blocking(self, with_defaults(items, common), concurrency=concurrency,
                                    patience_s=patience_s, on_progress=on_progress)

    def ask_load(self, model: str, keep_alive_s: float | None = None) -> Iterator[Progress | Result]:
        """Load without asking: Progress events, then one Result that holds a ModelInfo. Leaving does not unload."""
        return self._events(protocol.LoadModel(next(self._ids), model, keep_alive_s))

    def load(self, model: str, keep_alive_s: float | None = None) -> ModelInfo:
        return protocol.decode_model(self._result(protocol.LoadModel(next(self._ids), model, keep_alive_s)))

    def unload(self, model: str, key: str = "") -> OrderDone:
        """As soon as it is idle and nobody waits for it. Raises: GatewayError `invalid_request` if it is pinned."""
        return self._order(protocol.Unload(next(self._ids), model, key))

    def evict(self, model: str, key: str = "") -> OrderDone:
        """Now, or not at all. Raises: GatewayError `model_busy`."""
        return self._order(protocol.Evict(next(self._ids), model, key))

    def pin(self, model: str, key: str = "") -> OrderDone:
        return self._order(protocol.Pin(next(self._ids), model, key))

    def unpin(self, model: str, key: str = "") -> OrderDone:
        return self._order(protocol.Unpin(next(self._ids), model, key))

    def ask_pull(self, model: str, source: str = "", key: str = "") -> Iterator[Fetching | Result]:
        """As `GatewayClient.ask_pull`."""
        return self._events(protocol.Pull(next(self._ids), model, source, key))

    def copy(self, model: str, to: str, key: str = "") -> OrderDone:
        return self._order(protocol.Copy(next(self._ids), model, to, key))

    def delete(self, model: str, key: str = "") -> OrderDone:
        return self._order(protocol.Delete(next(self._ids), model, key))

    def _order(self, order: protocol.Order | protocol.Copy | protocol.Delete) -> OrderDone:
        return protocol.decode_order(self._result(order))

    def list_models(self, key: str = "") -> list[ModelInfo]:
        return protocol.decode_models(self._result(protocol.ListModels(next(self._ids), key)))

    def show(self, model: str, key: str = "") -> ModelInfo:
        return protocol.decode_model(self._result(protocol.Show(next(self._ids), model, key)))

    def route(self, **fields: object) -> RouteInfo:
        """Who would answer this (fields of `protocol.Submit` but id), and why. Nobody is asked."""
        return protocol.decode_route(self._result(protocol.Route(next(self._ids), **fields)))

    def whoami(self, key: str = "") -> CallerInfo:
        return protocol.decode_caller(self._result(protocol.WhoAmI(next(self._ids), key)))

    def stats(self) -> StatsInfo:
        return protocol.decode_stats(self._result(protocol.Stats(next(self._ids))))

    def metrics(self) -> MetricsInfo:
        return protocol.decode_metrics(self._result(protocol.Metrics(next(self._ids))))

    # -- many at a time, in the caller's own loop ----------------------------------------------------------------

    def ask(self, **fields: object) -> tuple[str, Inbox]:
        """Submit (fields of `protocol.Submit` but id); what comes lies in the inbox after a `turn`. Whoever stops
        before the end must `leave`. Raises: GatewayError.
        """
        inbox, question = Inbox(), protocol.Submit(next(self._ids), **fields)
        self.exchange.ask(question, inbox, time.monotonic())
        return question.id, inbox

    def leave(self, request_id: str) -> None:
        """Nobody reads this answer any more: it is cancelled unless it has ended."""
        self.exchange.leave(request_id)
        if self._socket is not None:
            pump(self._socket, self.exchange)

    def turn(self, within_s: float) -> None:
        """Wait so long at most until something can be sent or received, and do so. Raises: GatewayError."""
        if self._socket is None:
            raise GatewayError("gateway_unavailable", f"the client of {self.endpoint} is not started; call start()")
        self._socket.poll(within_s * 1000, zmq.POLLIN | (zmq.POLLOUT if self.exchange.outbox else 0))
        pump(self._socket, self.exchange)
        self.exchange.on_tick(time.monotonic())

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
                    self.turn(TICK_EVERY_S)
        finally:
            self.leave(question.id)
