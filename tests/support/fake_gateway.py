"""A gateway of the client's protocol with a script: a real ROUTER on an ipc endpoint, in a thread, and no models.

`on` says what a message of a type is answered with; the default accepts a submit, sends three tokens and is done.
Everything that was received stands in `received`, and `wait_for` waits for it. `kill` closes the socket as a SIGKILL
would, `revive` binds it again under a newer epoch.
"""

import threading
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

import msgspec
import zmq

from gateway import protocol
from gateway.http.heard import Heard

WAIT_S = 5.0
WORDS = ("one ", "two ", "three")
TIMINGS = protocol.Timings(queue_ms=1.5, load_ms=2.0, prompt_ms=3.0, decode_ms=4.0, total_ms=10.5)
Message = TypeVar("Message", bound=msgspec.Struct)
Script = Callable[[msgspec.Struct], Iterable[msgspec.Struct]]


def model_info(name: str = "tiny", **facts: object) -> protocol.ModelInfo:
    given = {"aliases": [], "engine": "echo", "path": "", "state": "ready", "reason": "", "context_length": 2048,
             "batch_max": 8, "active": 0, "queued": 0, "memory_bytes": 1_000_000, "load_ms": 20, "pid": 4711,
             "share_bytes": 2_000_000, "pinned": False, "keep_until_s": 300.0, "load_progress": 1.0}
    return protocol.ModelInfo(name, **(given | facts))


def accepted(request_id: str, epoch: int, position: int = 0, model: str = "tiny") -> protocol.Accepted:
    return protocol.Accepted(request_id, epoch, model, "medium", position)


def said(text: str) -> protocol.Tokens:
    """For a face: which request and where in it does not matter to it."""
    return tokens("1", 0, text)


def heard(text: str) -> Heard:
    found = Heard()
    found.add(said(text))
    return found


def tokens(request_id: str, position: int, *words: str) -> protocol.Tokens:
    return protocol.Tokens(request_id, position, list(range(position, position + len(words))), "".join(words))


def done(request_id: str, completion: int = 3, reason: str = "stop", **facts: object) -> protocol.Done:
    return protocol.Done(request_id, reason, "tiny", protocol.Usage(5, completion), TIMINGS, "medium", **facts)


def error(request_id: str, code: str, message: str = "as scripted", retry_after_s: float = 0.0) -> protocol.Error:
    return protocol.Error(request_id, code, message, protocol.ERRORS[code].status, retry_after_s)


class FakeGateway:
    def __init__(self, endpoint: str, epoch: int = 1) -> None:
        self.endpoint = endpoint
        self.epoch = epoch
        self.received: list[msgspec.Struct] = []
        self.reset()
        self._news = threading.Condition()
        self._senders: dict[str, bytes] = {}  # request id -> client
        self._batch: dict[bytes, bool] = {}
        self._say: list[tuple[str, tuple[msgspec.Struct, ...]]] = []
        self._context = zmq.Context()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "FakeGateway":
        self.revive(self.epoch)
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._context.term()

    def reset(self) -> None:
        """The default script, and nothing received."""
        self.models = [model_info()]
        self.batches = True  # False: a frame for each event, as for a client that did not ask for arrays
        self.received.clear()
        self.on: dict[type, Script] = {
            protocol.Hello: lambda _: [protocol.Welcome(1, self.epoch, 7, "0.0")],
            protocol.Submit: self.answer,
            protocol.ListModels: lambda m: [self._result(m.id, self.models)],
            protocol.Show: self._show,
            protocol.LoadModel: self._show,
            **dict.fromkeys(protocol.Order.__args__, self._take_order),
            protocol.Cancel: lambda _: [],
        }

    # -- what a test may do -----------------------------------------------------------------------------------

    def kill(self) -> None:
        if self._thread is not None:
            self._wake(b"stop")
            self._thread.join(WAIT_S)
            self._thread = None
            self._waker.close()

    def revive(self, epoch: int) -> None:
        self.epoch = epoch
        self._batch.clear()
        self._waker = self._context.socket(zmq.PAIR)
        self._waker.bind(f"inproc://waker-{epoch}")
        ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(epoch, ready), daemon=True)
        self._thread.start()
        assert ready.wait(WAIT_S), "the fake gateway did not start"

    def say(self, request_id: str, *events: msgspec.Struct) -> None:
        """Send events of that request now."""
        with self._news:
            self._say.append((request_id, events))
        self._wake(b"say")

    def wait_for(self, kind: type[Message], count: int = 1) -> Message:
        """The `count`-th message of that type, as soon as it is there."""
        with self._news:
            found = self._news.wait_for(lambda: len(self.all(kind)) >= count, WAIT_S)
            assert found, f"{count} {kind.__name__} expected, received {self.received}"
            return self.all(kind)[count - 1]

    def wait_for_cancel(self, request_id: str) -> None:
        """Of this very request: the cancel of an earlier test's caller may come late, after a reset."""
        with self._news:
            found = self._news.wait_for(lambda: self.is_cancelled(request_id), WAIT_S)
            assert found, f"no cancel of {request_id}, received {self.received}"

    def is_cancelled(self, request_id: str) -> bool:
        return request_id in [cancel.id for cancel in self.all(protocol.Cancel)]

    def all(self, kind: type[Message]) -> list[Message]:
        return [message for message in self.received if isinstance(message, kind)]

    # -- scripts ----------------------------------------------------------------------------------------------

    def answer(self, submit: protocol.Submit) -> list[msgspec.Struct]:
        return [accepted(submit.id, self.epoch), *(tokens(submit.id, n, word) for n, word in enumerate(WORDS)),
                done(submit.id)]

    def hold(self, submit: protocol.Submit) -> list[msgspec.Struct]:
        """Accept, then nothing until the test says more."""
        return [accepted(submit.id, self.epoch)]

    def _show(self, question: protocol.Show | protocol.LoadModel) -> list[msgspec.Struct]:
        for model in self.models:
            if question.model in ("", model.name, f"{model.name}:latest"):
                return [self._result(question.id, model)]
        return [error(question.id, "model_not_found", f'model "{question.model}" not found')]

    def _take_order(self, order: protocol.Order) -> list[msgspec.Struct]:
        if all(order.model not in (model.name, f"{model.name}:latest") for model in self.models):
            return [error(order.id, "model_not_found", f'model "{order.model}" not found')]
        verb = type(order).__struct_config__.tag
        return [self._result(order.id, protocol.OrderDone(order.model, f"{verb} of {order.model}"))]

    def _result(self, request_id: str, value: object) -> protocol.Result:
        return protocol.Result(request_id, msgspec.Raw(protocol.encode(value)))

    # -- the thread -------------------------------------------------------------------------------------------

    def _wake(self, word: bytes) -> None:
        self._waker.send(word)

    def _serve(self, epoch: int, ready: threading.Event) -> None:
        router = self._context.socket(zmq.ROUTER)
        router.linger, router.router_mandatory = 0, 1
        waker = self._context.socket(zmq.PAIR)
        waker.connect(f"inproc://waker-{epoch}")
        bind(router, self.endpoint)
        ready.set()
        poller = zmq.Poller()
        poller.register(router, zmq.POLLIN)
        poller.register(waker, zmq.POLLIN)
        while True:
            polled = dict(poller.poll())
            if waker in polled and waker.recv() == b"stop":
                break
            with self._news:
                sayings, self._say = self._say, []
            for request_id, events in sayings:
                self._send(router, self._senders[request_id], list(events))
            if router in polled:
                self._receive(router)
        router.close()
        waker.close()

    def _receive(self, router: zmq.Socket) -> None:
        client, frame = router.recv_multipart()
        message = protocol.decode_from_client(frame)
        if isinstance(message, protocol.Hello):
            self._batch[client] = message.batch
        else:
            self._senders[message.id] = client
        events = list(self.on[type(message)](message))
        with self._news:
            self.received.append(message)
            self._news.notify_all()
        self._send(router, client, events)

    def _send(self, router: zmq.Socket, client: bytes, events: list[msgspec.Struct]) -> None:
        batch = self.batches and self._batch.get(client, False)
        for frame in [protocol.encode(events)] if batch and events else map(protocol.encode, events):
            try:
                router.send_multipart((client, frame), zmq.NOBLOCK)
            except zmq.ZMQError:
                return  # that client is gone


def bind(router: zmq.Socket, endpoint: str) -> None:
    """Bind; the endpoint of a socket just closed may be in use for a moment longer."""
    give_up_at = time.monotonic() + WAIT_S
    while True:
        try:
            router.bind(endpoint)
        except zmq.ZMQError:
            if time.monotonic() > give_up_at:
                raise
        else:
            return
