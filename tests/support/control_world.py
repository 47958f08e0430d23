"""A reconciler with nothing real around it: a clock moved by hand, and lists of what it ordered and said."""

from control import messages
from control.adoption import adopt
from control.budget import ModelFacts, Profile
from control.library import Library
from control.pressure import Reading
from control.process_watch import PROGRAM
from control.reconciler import Reconciler
from control.rows import RowState
from control.states import Phase
from control.supervisord import Facts, OrderDone, ProcessFact, ProcessState
from control.table import ControlWords, GatewayWords, Row, RowControl, RowGateway, RowWorker, Snapshot
from tests.support.gateway_world import make_config

BOOT, EPOCH, FLOOR = 77, 500, 1000
NS = 1_000_000_000
GIB = 1024**3
GATEWAY = b"gw"


class World:
    def __init__(self, *slugs: str, prewarm: int = 0, preload: tuple[str, ...] = (), total_gb: float = 32.0,
                 **settings) -> None:
        self.now = 100.0
        self.used, self.total_gb, self.available_gb = 0.2, total_gb, total_gb * 0.9
        self.sizes_gb: dict[str, float] = {}  # of a model's weights
        self.kv_bytes: dict[str, int] = {}  # of one token
        self.facts_refused: dict[str, str] = {}
        self.profiles: dict[str, Profile] = {}
        self.gateway_words: dict[str, dict[str, int]] = {}  # beside what `waits` and `last_used` say
        self.all_words: dict[str, int] = {}  # what the gateway says of all models together
        self.gateway_silent = False
        self.beating: set[str] = set()  # workers whose heartbeat goes on by itself
        self.orders: list[tuple[str, ...]] = []
        self.said: list[tuple[bytes, object]] = []
        self.written: dict[str, dict[str, int]] = {}
        self.log: list[str] = []  # writes and messages in the order in which they happened
        self.notes: list[tuple[str, dict]] = []
        self.waits: dict[str, tuple[int, int, int]] = {}
        self.last_used: dict[str, float] = {}
        self.words: dict[str, RowWorker] = {}
        self.dead: set[int] = set()
        self.deaf: set[bytes] = set()
        self.supervisord_silent = False
        self.library: Library | str = Library()
        self.programs: list[str] = []
        self.programs_refused = ""
        self.rows_max = 66
        self.pids = iter(range(5000, 6000))
        self.config = make_config(*slugs, prewarm=prewarm, **settings)
        self.slugs = [*(m.slug for m in self.config.models), *self.config.relays.values()]
        self.r = self.make_reconciler()
        for slug in preload:
            self.r.rows[slug].wanted_by = "preload"
        self.r.processes.read_at = self.now  # supervisord was asked once, and nothing ran
        self.read_memory()

    def make_reconciler(self, epoch: int = EPOCH) -> Reconciler:
        return Reconciler(self.config, self, epoch, BOOT, {slug: n for n, slug in enumerate(self.slugs)}, FLOOR)

    def control_restarts(self) -> None:
        """Another control process takes over the table as this one leaves it behind."""
        left = self.snapshot()
        self.r = self.make_reconciler(self.r.epoch + 1)
        adopt(self.r, left, self.now)
        self.r.processes.read_at = self.now
        self.read_memory()

    # -- effects

    def to_peer(self, identity, message) -> bool:
        if identity in self.deaf:
            return False
        self.said.append((identity, message))
        self.log.append(type(message).__name__)
        return True

    def order(self, verb, name, *args) -> None:
        self.orders.append((verb, name.removeprefix(PROGRAM), *args))

    def write_row(self, row) -> None:
        self.written[row.slug] = row.words()
        self.log.append("write")

    def read_gateway_words(self):
        return None if self.gateway_silent else GatewayWords(**dict.fromkeys(GatewayWords._fields, 0) | self.all_words)

    def read_gateway(self, index):
        slug = self.slugs[index]
        if self.gateway_silent:
            return None
        high, medium, low = self.waits.get(slug, (0, 0, 0))
        words = dict.fromkeys(RowGateway._fields, 0) | {
            "waiting_high": high, "waiting_medium": medium, "waiting_low": low,
            "incarnation": self.r.rows[slug].incarnation,
            "last_dispatch_ns": int(self.last_used.get(slug, 0) * NS)} | self.gateway_words.get(slug, {})
        return RowGateway(**words)

    def read_facts(self, slug):
        return self.facts_refused.get(slug) or ModelFacts(
            int(self.sizes_gb.get(slug, 0) * GIB), self.kv_bytes.get(slug, 0), 4096, 0, "echo")

    def read_profile(self, slug):
        return self.profiles.get(slug)

    def read_library(self):
        return self.library

    def write_programs(self, config) -> str:
        self.programs = [model.slug for model in config.models]
        return self.programs_refused

    def add_row(self, row) -> bool:
        if len(self.slugs) >= self.rows_max:
            return False
        row.index = len(self.slugs)
        self.slugs.append(row.slug)
        return True

    def drop_row(self, row) -> None:
        self.written.pop(row.slug, None)
        self.slugs[row.index] = ""

    def take_models(self, config) -> None:
        self.config = config

    def save_profile(self, slug, profile) -> None:
        self.profiles[slug] = profile

    def read_worker(self, index):
        return self.words.get(self.slugs[index])

    def is_alive(self, pid, start_time_us) -> bool:
        return pid not in self.dead

    def note(self, event, **facts) -> None:
        self.notes.append((event, facts))

    # -- what happens to it

    def tick(self, seconds: float = 0.1) -> None:
        """Time passes, a second at a time; supervisord lists its processes meanwhile, unless it is silent."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + 1.0)
            self.read_memory()
            for slug in self.beating & self.words.keys():
                self.words[slug] = self.words[slug]._replace(heartbeat_ns=int(self.now * NS))
            self.r.on_tick(self.now)
            if not self.supervisord_silent:
                self.supervisord_lists()

    def read_memory(self) -> None:
        total, available = int(self.total_gb * GIB), int(self.available_gb * GIB)
        self.r.books.on_reading(Reading(self.used, "test", self.now, total, available, total, 0))

    def press(self, used: float) -> None:
        """Memory is used so far, from now on."""
        self.used = used
        self.tick()

    def gateway_up(self) -> None:
        self.r.on_frame(GATEWAY, messages.GatewayHello(1, BOOT, 7), self.now)

    def resident(self, slug: str, *, pid: int | None = None) -> bytes:
        """A loaded, idle worker that obeys this control process, and whose words are fresh."""
        self.want(slug, medium=1)
        self.order_done(slug)
        identity = self.load(slug)
        self.settle(slug)
        self.beating.add(slug)
        return identity

    def settle(self, slug: str) -> None:
        """Its worker says that it obeys this control process, and beats."""
        row = self.r.rows[slug]
        self.r.on_frame(row.peer, messages.Report(1, slug, row.incarnation, row.worker_phase, row.load_id, "",
                                                  self.r.epoch), self.now)
        self.set_words(slug)

    def gateway_says(self, kind: type, slug: str, *rest: int, fence: int | None = None) -> None:
        row = self.r.rows[slug]
        self.r.on_frame(GATEWAY, kind(1, 7, slug, row.incarnation, fence or row.fence_id, *rest), self.now)

    def worker_says(self, kind: type, slug: str, *rest: str, fence: int | None = None) -> None:
        row = self.r.rows[slug]
        self.r.on_frame(row.peer, kind(1, slug, row.incarnation, fence or row.fence_id, *rest), self.now)

    def said_to(self, identity: bytes, kind: type) -> list:
        return [message for who, message in self.said if who == identity and isinstance(message, kind)]

    def fences_said(self) -> list[str]:
        return [message.slug for message in self.said_to(GATEWAY, messages.Fence)]

    def supervisord_lists(self) -> None:
        """The processes that run, and no news about others."""
        running = {PROGRAM + row.slug: ProcessFact(PROGRAM + row.slug, ProcessState.RUNNING, row.pid, 1, 0, 0)
                   for row in self.r.rows.values() if row.pid and row.pid not in self.dead}
        self.r.processes.on_supervisord(Facts(running, int(self.now * NS)), self.now)

    def want(self, slug: str, high: int = 0, medium: int = 0, low: int = 0) -> None:
        self.waits[slug] = (high, medium, low)
        self.r.on_frame(b"gw", messages.Want(1, slug), self.now)

    def hello(self, slug: str, incarnation: int = 0, phase: int = 0, pid: int | None = None) -> bytes:
        """A worker process says hello; returns its identity."""
        pid = pid or next(self.pids)
        identity = f"{slug}.{pid}".encode()
        self.r.on_frame(identity, messages.Hello(1, BOOT, slug, pid, pid * 10, incarnation, phase), self.now)
        return identity

    def report(self, slug: str, phase: Phase, error: str = "", incarnation: int | None = None) -> None:
        row = self.r.rows[slug]
        self.r.on_frame(row.peer, messages.Report(1, slug, incarnation or row.incarnation, phase, row.load_id, error),
                        self.now)

    def load(self, slug: str) -> bytes:
        """From an order to READY. Somebody must want it."""
        identity = self.hello(slug)
        self.report(slug, Phase.LOADING)
        self.report(slug, Phase.READY)
        self.waits.pop(slug, None)
        return identity

    def set_words(self, slug: str, **words) -> None:
        row = self.r.rows[slug]
        values = dict.fromkeys(RowWorker._fields, 0) | {
            "incarnation": row.incarnation, "phase": row.worker_phase, "heartbeat_ns": int(self.now * NS),
            "progress_ns": int(self.now * NS)} | words
        self.words[slug] = RowWorker(**values)

    def die(self, slug: str) -> None:
        self.dead.add(self.r.rows[slug].pid)
        self.beating.discard(slug)
        self.tick()

    def facts(self, slug: str, state: ProcessState, *, pid=0, start=0, stop=0, status=0, age: float = 0.0) -> None:
        fact = ProcessFact(f"{PROGRAM}{slug}", state, pid, start, stop, status)
        self.r.processes.on_supervisord(Facts({f"{PROGRAM}{slug}": fact}, int((self.now - age) * NS)), self.now)

    def order_done(self, slug: str, error: Exception | None = None) -> None:
        self.r.processes.on_supervisord(OrderDone("start", PROGRAM + slug, error), self.now)

    # -- what came of it

    def starts(self, slug: str) -> int:
        return self.orders.count(("start", slug))

    def loads_sent(self) -> list[str]:
        return [who.decode().partition(".")[0] for who, m in self.said if isinstance(m, messages.Load)]

    def phase(self, slug: str) -> Phase:
        return self.r.rows[slug].effective

    def control_words(self, **words: int) -> ControlWords:
        return ControlWords(**dict.fromkeys(ControlWords._fields, 0) | words)

    def snapshot(self) -> Snapshot:
        """The table as this reconciler leaves it behind."""
        rows = []
        for slug, words in self.written.items():
            control = RowControl(**dict.fromkeys(RowControl._fields, 0) | words)
            rows.append(Row(self.slugs.index(slug), slug, control, None, self.words.get(slug)))
        return Snapshot(BOOT, None, None, tuple(rows))


def world_with(*loaded: str, **settings) -> World:
    world = World(*(loaded or ("a",)), **settings)
    world.gateway_up()
    for slug in loaded or ("a",):
        world.resident(slug)
    return world


def fenced(world: World, slug: str = "a", *, closing: bool = False) -> RowState:
    row = world.r.rows[slug]
    assert world.r.keys.why_not(row) == ""
    world.r.keys.begin(row, "a test wants its room", world.now, closing=closing)
    return row


def evict(world: World, slug: str = "a") -> RowState:
    """All three keys, up to the moment at which its process is about to end."""
    row = fenced(world, slug)
    world.gateway_says(messages.Fenced, slug)
    world.worker_says(messages.Quitting, slug)
    return row
