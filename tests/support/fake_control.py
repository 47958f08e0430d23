"""A control that only answers questions: a real ROUTER on `control.ipc`, in a thread, with a script."""

import threading
from collections.abc import Callable

import zmq

from control import messages
from control.home import Home
from control.sockets import open_router

WAIT_S = 5.0


class FakeControl:
    """`answer` gives what is said to each Ask. What was asked stands in `asked`."""

    def __init__(self, home: Home, answer: Callable[[messages.Ask], list[messages.Told]] | None = None) -> None:
        self.answer = answer or (lambda ask: [told(ask, text=f"{ask.model}: {ask.verb} done")])
        self.asked: list[tuple[str, str]] = []
        self._context = zmq.Context()
        self._router = open_router(self._context, home.endpoint("control"), messages.FRAME_MAX_BYTES)
        self._stop, self._stop_push = self._context.socket(zmq.PAIR), self._context.socket(zmq.PAIR)
        self._stop.bind("inproc://stop")
        self._stop_push.connect("inproc://stop")
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> "FakeControl":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_push.send(b"")
        self._thread.join(WAIT_S)
        for socket in (self._router, self._stop, self._stop_push):
            socket.close()
        self._context.term()

    def _serve(self) -> None:
        poller = zmq.Poller()
        poller.register(self._router, zmq.POLLIN)
        poller.register(self._stop, zmq.POLLIN)
        while self._stop not in (polled := dict(poller.poll())):
            if self._router in polled:
                identity, frame = self._router.recv_multipart()
                ask = messages.decode_from_peer(frame)
                self.asked.append((ask.verb, ask.model))
                for answer in self.answer(ask):
                    self._router.send_multipart((identity, messages.encode(answer)))


def told(ask: messages.Ask, code: str = "", text: str = "as scripted") -> messages.Told:
    return messages.Told(messages.VERSION, ask.id, code, text)
