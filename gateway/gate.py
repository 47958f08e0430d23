"""The gate of each model: may a job be sent to its worker right now?

Theory
------
The gate is level-triggered: it is worked out anew from facts at every look and never remembered. It is open only if

1. a worker said hello to *this* gateway epoch (so the jobs of an older gateway are dropped there),
2. that worker is the incarnation that control has welcomed on the row (the table's word, read now),
3. no fence stands on the row (fence id equals the cleared one),
4. the worker calls itself READY,
5. it was heard within HEARD_WITHIN_S and owes no ACCEPT.

An unreadable row is a shut gate: unknown means "no". Shutting costs a wait; a wrong opening would cost an answer.
Between two looks the second key (`gateway.second_key`) may shut it: it has read the row again and seen a fence there,
so this is the next look made early, and the one after it judges anew.
Pure: facts and `now` come in, nothing is touched.
"""

from dataclasses import dataclass

from control.states import PROCESS_ENDED, Phase
from control.table import RowControl, RowWorker
from workers import protocol as jobs

HEARD_WITHIN_S = 3.0
HAS_LEFT = PROCESS_ENDED | {Phase.LEAK_SUSPECTED}
TO_MAKE_ROOM = (Phase.STOPPING, Phase.VERIFY_FREE, Phase.LEAK_SUSPECTED)  # nothing but an eviction leads to these


@dataclass(slots=True)
class WorkerSeen:
    """What one worker process has told this gateway. `heard_at` is monotonic seconds."""

    identity: bytes
    slug: str
    incarnation: int
    pid: int
    phase: int
    batch_max: int
    context_length: int
    load_ms: int
    epoch_known: int
    heard_at: float
    models: list[str] | None = None  # what a relay's server has
    evictions: int = 0  # these two: of its row when it was first heard
    fence: int = 0
    suspect: bool = False  # owes an ACCEPT; cleared by the next frame that proves it reads its jobs

    def is_silent(self, now: float) -> bool:
        return self.suspect or now - self.heard_at > HEARD_WITHIN_S


class Gates:
    """All workers this gateway epoch knows: at most one per model, the one with the highest incarnation.

    `ignores_fences` is for a bench that shows what fences are for.
    """

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.ignores_fences = False
        self.by_slug: dict[str, WorkerSeen] = {}
        self.by_identity: dict[bytes, WorkerSeen] = {}

    def on_hello(self, identity: bytes, hello: jobs.Hello, now: float,
                 row: RowControl | None = None) -> WorkerSeen | None:
        """Take a hello in. Returns the worker it replaces (its jobs are lost), or None.

        A hello of an older incarnation than the one known is ignored: that process is dead or about to be.
        `row` is control's word about it now.
        """
        known = self.by_slug.get(hello.slug)
        if known is not None and hello.incarnation < known.incarnation:
            return None
        replaced = None
        if known is not None and known.identity != identity:
            self.forget(known)
            replaced = known
        worker = WorkerSeen(
            identity,
            hello.slug,
            hello.incarnation,
            hello.pid,
            hello.phase,
            hello.batch_max,
            hello.context_length,
            hello.load_ms,
            hello.epoch_known,
            now,
            hello.models,
        )
        first = known if known is not None and replaced is None else None
        worker.evictions = first.evictions if first else row.evictions if row else 0
        worker.fence = first.fence if first else row.fence_id if row else 0
        self.by_slug[hello.slug] = self.by_identity[identity] = worker
        return replaced

    def forget(self, worker: WorkerSeen) -> None:
        """The process is gone, or replaced."""
        if self.by_slug.get(worker.slug) is worker:
            del self.by_slug[worker.slug]
        self.by_identity.pop(worker.identity, None)

    def has_ended(self, worker: WorkerSeen, row: RowControl, now: float) -> bool:
        """Its process is gone, by control's word. In a table made anew the row may not know of it yet: then silence
        must be added, for a living worker says hello to a new control process within a second or two.
        """
        if row.phase not in HAS_LEFT:
            return False
        return row.incarnation >= worker.incarnation or now - worker.heard_at > 2 * HEARD_WITHIN_S

    def was_evicted(self, worker: WorkerSeen, row: RowControl | None, words: RowWorker | None) -> bool:
        """Did the worker, which is gone, leave to make room? `words` is the last that a worker of its row wrote.

        The control process that saw it go says so. One that came later finds a row that is DOWN; then the worker's own
        word tells whether it left by itself, and a fence put since it came, that it was asked to.
        """
        if row is None:
            return False
        if row.evictions > worker.evictions:
            return True
        if row.incarnation != worker.incarnation or row.phase != Phase.DOWN:
            return row.incarnation == worker.incarnation and row.phase in TO_MAKE_ROOM
        left = words is not None and words.incarnation == worker.incarnation and words.phase == Phase.DRAINING
        return left and row.fence_id > worker.fence

    def why_shut(self, slug: str, row: RowControl | None, now: float) -> str:
        """The first of the numbered reasons that shuts this gate; "" if it is open."""
        worker = self.by_slug.get(slug)
        if worker is None or worker.epoch_known != self.epoch:
            return "no hello"  # 1
        if row is None or row.incarnation != worker.incarnation or row.phase != Phase.ALIVE:
            return "not the welcomed incarnation"  # 2
        if row.fence_id != row.fence_cleared and not self.ignores_fences:
            return "fenced"  # 3
        if worker.phase != Phase.READY:
            return "not ready"  # 4
        if worker.is_silent(now):
            return "silent"  # 5
        return ""

    def places(self, slug: str, row: RowControl | None, now: float) -> int:
        """How many jobs the model may hold now: its batch size, or 0 while the gate is shut."""
        return 0 if self.why_shut(slug, row, now) else self.by_slug[slug].batch_max

    def resume_places(self, slug: str, row: RowControl | None, now: float) -> int:
        """The same for jobs that were paused there: a worker that drains ends what it has, and these are of it."""
        why = self.why_shut(slug, row, now)
        drains = why == "not ready" and self.by_slug[slug].phase == Phase.DRAINING
        open_to_them = not why or drains and not self.by_slug[slug].is_silent(now)
        return self.by_slug[slug].batch_max if open_to_them else 0
