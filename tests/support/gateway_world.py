"""A dispatcher with nothing real around it: a clock moved by hand, and lists of what it said to whom."""

from collections.abc import Callable, Sequence

import msgspec

from control.config import RELAYS, Config, EchoConfig, ModelConfig
from control.routing import Kind
from control.states import Breaker, Phase
from control.table import ControlWords, RowControl, RowWorker
from gateway import protocol
from gateway.dispatcher import Dispatcher
from gateway.fanout import HOLD_S, Fanout, Sent
from workers import protocol as jobs

BOOT, EPOCH = 77, 1000
SECRET = "the secret of this start"
URLS = {"ollama": "http://127.0.0.1:1", "victoria": "http://127.0.0.1:2"}  # nobody calls them


def make_model(slug: str, *, batch_size: int = 8, **settings) -> ModelConfig:
    given = {"name": slug, "slug": slug, "aliases": (f"{slug}-alias",), "echo": EchoConfig(), "engine": "echo",
             **settings}
    return ModelConfig(path="", batch_size=batch_size, **given)


def make_config(*slugs: str | ModelConfig, batch_size: int = 8, relays: Sequence[str] = (), **settings) -> Config:
    """Models of these slugs, or as they are given; `relays` names the backends that are configured besides."""
    models = tuple(slug if isinstance(slug, ModelConfig) else make_model(slug, batch_size=batch_size)
                   for slug in slugs or ("a",))
    return Config(source="test", models=models, **{f"{name}_url": URLS[name] for name in relays}, **settings)


class World:
    """The dispatcher's surroundings. `now` moves by `pass_time` only."""

    def __init__(self, *slugs: str | ModelConfig, **settings) -> None:
        self.now = 100.0
        self.supervisord_at = 0.0
        self.control_words: dict[str, int] = {}  # what control says of itself beside being alive
        self.control_is_away = False
        self.reasons: dict[str, str] = {}
        self.rows: dict[str, RowControl] = {}
        self.worker_words: dict[str, RowWorker] = {}
        self.worker_frames: list[tuple[bytes, object]] = []
        self.asked: dict[int, str] = {}  # the request of each job that was sent, also after its end
        self.control_frames: list[object] = []
        self.client_frames: list[tuple[bytes, object]] = []
        self.deaf_clients: dict[bytes, Sent] = {}
        self.taps: dict[bytes, Callable[[bytes], None]] = {}  # clients that take their frames themselves
        self.deaf_workers: set[bytes] = set()
        self.notes: list[tuple[str, dict]] = []
        self.fanout = Fanout(self._send)
        self.d = Dispatcher(make_config(*slugs, **settings), EPOCH, self.fanout, self, lambda: 5, SECRET)
        self.d.boot_id = BOOT

    # -- effects

    def _send(self, identity: bytes, frame: bytes) -> Sent:
        if identity in self.deaf_clients:
            return self.deaf_clients[identity]
        if identity in self.taps:
            self.taps[identity](frame)
            return Sent.OK
        self.client_frames.append((identity, protocol.decode_event(frame)))
        return Sent.OK

    def to_worker(self, identity, message) -> bool:
        if identity in self.deaf_workers:
            return False
        self.worker_frames.append((identity, message))
        if isinstance(message, jobs.Job):
            self.asked[message.job] = self.d.requests[message.job].id
        return True

    def to_control(self, message) -> bool:
        if not self.control_is_away:
            self.control_frames.append(message)
        return not self.control_is_away

    def read_row(self, slug):
        return self.rows.get(slug)

    def read_worker(self, slug):
        return self.worker_words.get(slug)

    def read_control(self):
        return ControlWords(**dict.fromkeys(ControlWords._fields, 0) | {
            "heartbeat_ns": int(self.now * 1e9), "supervisord_at_ns": int(self.supervisord_at * 1e9),
            **self.control_words})

    control_of_turn = read_control

    def read_reason(self, slug):
        return self.reasons.get(slug, "")

    def note(self, event, **facts) -> None:
        self.notes.append((event, facts))

    # -- what happens to it

    def turn(self) -> None:
        """One turn of the loop, as `gateway/loop.py` does it."""
        self.d.start_turn(self.now)
        self.d.on_tick(self.now)
        self.flush()

    def flush(self) -> None:
        """And what waits for company is not waited for."""
        self.d.pump(self.now)
        for moment in (self.now, self.now + HOLD_S):
            for identity, how in self.fanout.flush(moment):
                self.d.on_client_lost(identity, how, self.now)

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.turn()

    def set_row(self, slug: str, phase: Phase, incarnation: int = 1, fence: int = 0, cleared: int = 0,
                **more: int) -> None:
        words = dict.fromkeys(RowControl._fields, 0) | {
            "phase": phase, "incarnation": incarnation, "fence_id": fence, "fence_cleared": cleared, **more}
        self.rows[slug] = RowControl(**words)

    def hello(self, slug: str, identity: bytes, *, incarnation=1, phase=Phase.READY, known=EPOCH, batch=8,
              models: list[str] | None = None) -> None:
        self.d.worker_side.on_frame(identity, jobs.encode(jobs.Hello(
            jobs.VERSION, BOOT, known, slug, incarnation, 4242, phase, batch, 512, 10, models)), self.now)

    def worker_up(self, slug: str = "a", identity: bytes = b"w1", incarnation: int = 1, batch: int = 8) -> None:
        """A loaded worker whose gate is open after this."""
        self.set_row(slug, Phase.ALIVE, incarnation)
        self.hello(slug, identity, incarnation=incarnation, batch=batch)
        self.turn()

    def relay_up(self, backend: str, models: Sequence[str] | None = (), incarnation: int = 1) -> bytes:
        """A relay that is ready, whose server has these models. Returns its identity."""
        slug, identity = RELAYS[backend], f"{backend}.{incarnation}".encode()
        self.set_row(slug, Phase.ALIVE, incarnation)
        self.set_breaker(backend, Breaker.CLOSED)
        self.hello(slug, identity, incarnation=incarnation, batch=getattr(self.d.config, f"{backend}_max_running") + 1,
                   models=None if models is None else list(models))
        self.turn()
        return identity

    def set_breaker(self, backend: str, breaker: Breaker) -> None:
        words = dict.fromkeys(RowWorker._fields, 0) | {"breaker": breaker}
        self.worker_words[RELAYS[backend]] = RowWorker(**words)

    def overload(self, *kinds: Kind) -> None:
        """Control says so of these kinds of work, and of no others."""
        self.control_words["spill"] = sum(kind.bit for kind in kinds)

    def worker_says(self, identity: bytes, kind: type, *fields, epoch: int = EPOCH, incarnation: int = 1) -> None:
        self.d.worker_side.on_frame(identity, jobs.encode(kind(jobs.VERSION, epoch, incarnation, *fields)), self.now)
        self.flush()

    def relay_says(self, identity: bytes, job: jobs.Job, *texts: str, end: bool = True) -> None:
        """It accepts the job and sends these pieces of an answer, and its end."""
        self.worker_says(identity, jobs.Accept, job.job, job.attempt, incarnation=job.incarnation)
        for k, text in enumerate(texts):
            last = jobs.End("stop", 3, len(texts), 1.0, 2.0) if end and k == len(texts) - 1 else None
            self.worker_says(identity, jobs.Step, k, [jobs.Item(job.job, job.attempt, k, [], text, last)],
                             incarnation=job.incarnation)

    def fails(self, identity: bytes, job: jobs.Job, code: str, message: str = "as scripted") -> None:
        self.worker_says(identity, jobs.Fail, job.job, job.attempt, code, message, incarnation=job.incarnation)

    def answer(self, identity: bytes, job: jobs.Job, tokens: int = 1, *, end: bool = True, start: int = 0) -> None:
        """The worker accepts the job, gives `tokens` tokens and, if `end`, ends it."""
        self.worker_says(identity, jobs.Accept, job.job, job.attempt, incarnation=job.incarnation)
        for k in range(start, start + tokens):
            last = jobs.End("length", 3, k + 1, 1.0, 2.0) if end and k == start + tokens - 1 else None
            self.worker_says(identity, jobs.Step, k, [jobs.Item(job.job, job.attempt, k, [k], f"t{k} ", last)],
                             incarnation=job.incarnation)

    def client_says(self, client: bytes, message: object) -> None:
        self.d.on_client(client, protocol.encode(message), self.now)
        self.flush()

    def http(self, client: bytes = b"http", **fields) -> bytes:
        """Our own http says hello."""
        self.client_says(client, {"type": "hello", "secret": SECRET} | fields)
        return client

    def ask(self, question: str, request_id: str, *, client: bytes = b"c1", **fields) -> object:
        """Its answer, decoded as plain MessagePack, or the error."""
        self.client_says(client, {"type": question, "id": request_id, **fields})
        end = self.end_of(request_id)
        return msgspec.msgpack.decode(end.value) if isinstance(end, protocol.Result) else end

    def submit(self, request_id: str, *, client: bytes = b"c1", **fields) -> None:
        fields = {"prompt": "hello"} | fields
        self.client_says(client, {"type": "submit", "id": request_id, **fields})

    # -- what came of it

    def jobs_sent(self, identity: bytes | None = None) -> list[jobs.Job]:
        return [m for who, m in self.worker_frames if isinstance(m, jobs.Job) and identity in (None, who)]

    def sent_to(self, *identities: bytes) -> list[str]:
        """The requests that these were given, in order."""
        return [self.asked[job.job] for who, job in self.worker_frames
                if isinstance(job, jobs.Job) and who in identities]

    def cancels_sent(self) -> list[jobs.Cancel]:
        return [m for _, m in self.worker_frames if isinstance(m, jobs.Cancel)]

    def events(self, request_id: str) -> list[object]:
        return [e for _, e in self.client_frames if getattr(e, "id", None) == request_id]

    def end_of(self, request_id: str) -> object:
        """Its one terminal event; fails if there is none, or more."""
        ends = [e for e in self.events(request_id) if isinstance(e, protocol.TERMINAL)]
        assert len(ends) == 1, f"{request_id}: {len(ends)} terminal events: {ends}"
        return ends[0]

    def ended(self, request_id: str) -> bool:
        return any(isinstance(e, protocol.TERMINAL) for e in self.events(request_id))
