"""The client library of the gateway: `GatewayClient` for asyncio, `BlockingClient` without it, with the same meaning.

Guarantees: those of `exchange`; one DEALER socket per client object; no task per request or token, since one reader
hands the events of a frame (all that one turn of the gateway had) to the answers they belong to. Any event loop that
has `add_reader` will do, uvloop too. Refused: use of one client object from two threads or two event loops.
"""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterable

import zmq

from gateway import protocol
from gateway.blocking_client import BlockingClient
from gateway.client_socket import CONNECT_WITHIN_S, TICK_EVERY_S, open_socket, pump
from gateway.exchange import Exchange, Question
from gateway.inbox import Answered, GatewayError, Inbox
from gateway.protocol import (
    Accepted,
    CallerInfo,
    CountInfo,
    Done,
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
from gateway.reading import Reading
from gateway.tasks import CONCURRENCY, PATIENCE_S, OnProgress, Outcome, Tally, submit_many, with_defaults

__all__ = ["CONNECT_WITHIN_S", "Answer", "BlockingClient", "GatewayClient", "GatewayError", "Outcome", "Reading",
           "Tally"]


class Answer(Inbox, Reading[Answered]):
    """The events of one request, as an async iterator. Ends after Done or Result; raises GatewayError."""

    def __init__(self, client: "GatewayClient", request_id: str) -> None:
        super().__init__()
        self.id = request_id
        self._client = client
        self.on_news: Callable[[], None] | None = None  # for who reads several answers at once

    def leave(self) -> None:
        """Nobody reads on: the request is cancelled unless it has ended, and whoever waits for an event stops."""
        self.ended = True
        self.events.clear()
        self._client.leave(self.id)
        self.wake()

    def wake(self) -> None:
        Reading.wake(self)
        if self.on_news is not None:
            self.on_news()


class GatewayClient:
    """`async with GatewayClient(endpoint) as client: async for event in client.generate(prompt=...): ...`"""

    def __init__(self, endpoint: str, submit_max_bytes: int = protocol.BODY_MAX_BYTES, *, key: str = "",
                 secret: str = "") -> None:
        """`key`: the API key for all that is asked without a key of its own; `secret` is for our own http alone."""
        self.endpoint = endpoint
        self.submit_max_bytes = submit_max_bytes  # the gateway cuts a client that sends more than its own limit
        self._hello = protocol.Hello(batch=True, key=key, secret=secret)
        self.exchange = self._new_exchange()
        self._ids = map(str, itertools.count(1))
        self._socket: zmq.Socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turn: asyncio.Handle | None = None
        self._tick: asyncio.TimerHandle | None = None
        self._welcomed = asyncio.Event()

    def _new_exchange(self) -> Exchange:
        return Exchange(self.endpoint, time.monotonic(), self.submit_max_bytes, self._hello)

    @property
    def epoch(self) -> int:
        """Of the gateway that answered last; 0 before the first answer."""
        return self.exchange.epoch

    async def start(self, *, wait: bool = True) -> None:
        """Connect. With `wait` the gateway must answer within CONNECT_WITHIN_S.

        Without it, requests that find no gateway end with `gateway_unavailable` after `exchange.ACCEPTED_WITHIN_S`.

        Raises:
            GatewayError: `gateway_unavailable`; the client is closed again.
        """
        self._loop = asyncio.get_running_loop()
        self.exchange, self._welcomed = self._new_exchange(), asyncio.Event()
        self._socket = open_socket(self.endpoint)
        self._loop.add_reader(self._socket.fd, self._on_turn)
        self._schedule()
        if not wait:
            return
        try:
            async with asyncio.timeout(CONNECT_WITHIN_S):
                await self._welcomed.wait()
        except TimeoutError:
            await self.close()
            raise self.exchange.unavailable(CONNECT_WITHIN_S) from None

    async def close(self) -> None:
        """End what is outstanding with an error; the gateway cancels it when it sees that this client is gone."""
        self.exchange.close()
        for handle in (self._turn, self._tick):
            if handle is not None:
                handle.cancel()
        self._turn = self._tick = None
        if self._socket is not None and self._loop is not None:
            self._loop.remove_reader(self._socket.fd)
            self._socket.close()
            self._socket = None

    def give_up(self, code: str, message: str, retry_after_s: float = 0.0) -> None:
        """End all that is outstanding, and whatever is asked from now on, with that error; the gateway cancels it."""
        self.exchange.give_up(code, message, retry_after_s)
        self._schedule()

    async def __aenter__(self) -> "GatewayClient":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # -- questions --------------------------------------------------------------------------------------------

    def ask(self, **fields: object) -> Answer:
        """Submit (fields of `protocol.Submit` but id). Whoever stops reading before the end must `leave()`."""
        return self._ask(protocol.Submit(next(self._ids), **fields))

    async def generate(self, **fields: object) -> AsyncIterator[Accepted | Progress | Started | Tokens | Done]:
        """Fields of `protocol.Submit` but id. Leaving the iterator early cancels. Raises: GatewayError."""
        answer = self.ask(**fields)
        try:
            async for event in answer:
                yield event
        finally:
            answer.leave()

    async def submit_many(self, items: Iterable[dict | str], *, concurrency: int = CONCURRENCY,
                          patience_s: float = PATIENCE_S, on_progress: OnProgress | None = None,
                          **common: object) -> list[Outcome]:
        """Ask all of them, `concurrency` at a time, in class MEDIUM; the outcomes in the order of the items.

        An item is a question, or fields of `protocol.Submit` but id, which beat `common`. What is refused for want of
        room is asked again when the gateway says, for about `patience_s`. `on_progress` hears of every end and pause.
        Nothing is raised for an item: its outcome says what went wrong. Cancelling this cancels what is on its way.
        """
        return await submit_many(self, with_defaults(items, common), concurrency=concurrency, patience_s=patience_s,
                                 on_progress=on_progress)

    def ask_load(self, model: str, keep_alive_s: float | None = None, key: str = "") -> Answer:
        """Load without asking: Progress events, then one Result that holds a ModelInfo. Leaving does not unload."""
        return self._ask(protocol.LoadModel(next(self._ids), model, keep_alive_s, key))

    async def load(self, model: str, keep_alive_s: float | None = None) -> ModelInfo:
        return protocol.decode_model(await self._result(self.ask_load(model, keep_alive_s)))

    def ask_count(self, **fields: object) -> Answer:
        """Fields of `protocol.Tokenize` but id: one Result that holds a CountInfo. The model need not be loaded."""
        return self._ask(protocol.Tokenize(next(self._ids), **fields))

    async def tokenize(self, **fields: object) -> CountInfo:
        """As `ask_count`. Raises: GatewayError."""
        return protocol.decode_count(await self._result(self.ask_count(**fields)))

    def ask_pull(self, model: str, source: str = "", key: str = "") -> Answer:
        """Fetch and configure a model: Fetching events, then one Result that holds a PullDone. Leaving stops it."""
        return self._ask(protocol.Pull(next(self._ids), model, source, key))

    async def copy(self, model: str, to: str, key: str = "") -> OrderDone:
        """A further name for a model, which lasts. Raises: GatewayError."""
        return await self._order(protocol.Copy(next(self._ids), model, to, key))

    async def delete(self, model: str, key: str = "") -> OrderDone:
        """Forget a name that `copy` or a pull made. Raises: GatewayError, also `model_busy`."""
        return await self._order(protocol.Delete(next(self._ids), model, key))

    async def unload(self, model: str, key: str = "") -> OrderDone:
        """As soon as it is idle and nobody waits for it. Raises: GatewayError `invalid_request` if it is pinned."""
        return await self._order(protocol.Unload(next(self._ids), model, key))

    async def evict(self, model: str, key: str = "") -> OrderDone:
        """Now, or not at all. Raises: GatewayError `model_busy`."""
        return await self._order(protocol.Evict(next(self._ids), model, key))

    async def pin(self, model: str, key: str = "") -> OrderDone:
        return await self._order(protocol.Pin(next(self._ids), model, key))

    async def unpin(self, model: str, key: str = "") -> OrderDone:
        return await self._order(protocol.Unpin(next(self._ids), model, key))

    async def _order(self, order: protocol.Order | protocol.Copy | protocol.Delete) -> OrderDone:
        return protocol.decode_order(await self._result(self._ask(order)))

    async def list_models(self, key: str = "") -> list[ModelInfo]:
        return protocol.decode_models(await self._result(self._ask(protocol.ListModels(next(self._ids), key))))

    async def show(self, model: str, key: str = "") -> ModelInfo:
        return protocol.decode_model(await self._result(self._ask(protocol.Show(next(self._ids), model, key))))

    async def route(self, **fields: object) -> RouteInfo:
        """Who would answer this (fields of `protocol.Submit` but id), and why. Nobody is asked."""
        return protocol.decode_route(await self._result(self._ask(protocol.Route(next(self._ids), **fields))))

    async def whoami(self, key: str = "") -> CallerInfo:
        return protocol.decode_caller(await self._result(self._ask(protocol.WhoAmI(next(self._ids), key))))

    async def stats(self) -> StatsInfo:
        return protocol.decode_stats(await self._result(self._ask(protocol.Stats(next(self._ids)))))

    async def metrics(self) -> MetricsInfo:
        """What was measured of all requests since that gateway began."""
        return protocol.decode_metrics(await self._result(self._ask(protocol.Metrics(next(self._ids)))))

    async def _result(self, answer: Answer) -> bytes:
        try:
            async for event in answer:
                if isinstance(event, Result):
                    return event.value
        finally:
            answer.leave()
        raise AssertionError("an answer ends with a result or an error")

    def _ask(self, question: Question) -> Answer:
        if self._socket is None:
            raise GatewayError("gateway_unavailable", f"the client of {self.endpoint} is not started; call start()")
        answer = Answer(self, question.id)
        self.exchange.ask(question, answer, time.monotonic())
        self._schedule()
        return answer

    def leave(self, request_id: str) -> None:
        self.exchange.leave(request_id)
        self._schedule()

    # -- turns ------------------------------------------------------------------------------------------------

    def _schedule(self) -> None:
        if self._turn is None and self._socket is not None and self._loop is not None:
            self._turn = self._loop.call_soon(self._on_turn)

    def _on_turn(self) -> None:
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        if self._socket is None or self._loop is None:
            return
        more = pump(self._socket, self.exchange)
        if self.exchange.epoch:
            self._welcomed.set()
        if more:
            self._schedule()
        if self._tick is None and self.exchange.waits:
            self._tick = self._loop.call_later(TICK_EVERY_S, self._on_tick)

    def _on_tick(self) -> None:
        self._tick = None
        self.exchange.on_tick(time.monotonic())
        self._on_turn()
