"""A worker's runtime with everything around it faked: what it says and does is recorded, time is moved by hand."""

from control import messages
from control.states import Breaker
from workers import protocol as jobs
from workers.engine import MemoryFacts, ModelFacts, Output
from workers.engine_thread import Loaded, Outputs
from workers.row_words import row_words
from workers.runtime import Runtime
from workers.third_key import ThirdKey

BOOT, GATEWAY = 77, 1000
PLAN = (9_000, 1_000, 2, 512, 300)


class FakeEngineThread:
    steps, progress_at, load_progress, memory, held = 0, 100.0, 0.0, MemoryFacts(1, 2, 3, device_bytes=4), 0
    models, breaker = None, Breaker.CLOSED

    def __init__(self):
        self.did, self.jobs = [], []

    def load(self, plan):
        self.did.append(plan)

    def trim(self):
        self.did.append("trim")

    def add(self, job):
        self.did.append(("add", job.key))
        self.jobs.append(job)

    def remove(self, key):
        self.did.append(("remove", key))

    def pause(self, key):
        self.did.append(("pause", key))

    def resume(self, key):
        self.did.append(("resume", key))


class World:
    def __init__(self, key_off=False):
        self.now = 100.0
        self.control, self.gateway, self.notes, self.met, self.counts = [], [], [], [], []
        self.unsent_dropped = 0
        self.engine = FakeEngineThread()
        self.r = Runtime("a", 42, 420, 4, self.engine, self, ThirdKey(key_off))
        self.r.boot_id = BOOT

    def to_control(self, message):
        self.control.append(message)

    def to_gateway(self, message):
        self.gateway.append(message)

    def ask_count(self, count):
        self.counts.append(count)

    def drop_unsent(self):
        self.unsent_dropped += 1

    def meet_gateway(self, incarnation):
        self.met.append(incarnation)

    def write_row(self, now):
        self.control.append(row_words(self.r, now, 0)["phase"])

    def note(self, event, **facts):
        self.notes.append(event)

    def welcome(self, incarnation=7, boot=BOOT, epoch=5):
        self.r.on_control(messages.Welcome(1, boot, epoch, 0, incarnation), self.now)

    def load(self, epoch=5):
        self.r.on_control(messages.Load(1, 7, 3, epoch, *PLAN), self.now)

    def quit(self, fence, epoch=5, incarnation=7):
        """What it answers."""
        before = len(self.control)
        self.r.on_control(messages.Quit(1, incarnation, fence, epoch, "memory"), self.now)
        return self.control[before:]

    def tick(self, seconds, epoch=5, gateway=GATEWAY, level=0):
        self.now += seconds
        self.r.on_tick(self.now, epoch, gateway, level)

    def ready(self):
        self.welcome()
        self.load()
        self.r.on_engine(Loaded(ModelFacts(512, 100), 25), self.now)
        self.r.on_gateway(jobs.Welcome(1, BOOT, GATEWAY), self.now)
        return self

    def job(self, number, attempt=1, epoch=GATEWAY, incarnation=7):
        self.r.on_gateway(jobs.Job(1, epoch, incarnation, number, attempt, None, "x", None, jobs.Sampling(), 5, []),
                          self.now)

    def output(self, number, position, end=None):
        self.r.on_engine(Outputs([Output((GATEWAY, number, 1), position, [position], "t", end)]), self.now)

    def last(self, kind):
        return [m for m in self.gateway + self.control if isinstance(m, kind)][-1]

    def count(self, kind):
        return sum(isinstance(m, kind) for m in self.gateway + self.control)


END = jobs.End("length", 1, 1, 0.0, 0.0)
