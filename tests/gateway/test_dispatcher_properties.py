"""Any order of events, and each request still has exactly one terminal event, and every count adds up."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from control import messages
from control.states import Phase
from gateway import protocol
from gateway.fanout import Sent
from tests.support.gateway_world import World
from workers import protocol as jobs

SLUGS = ("a", "b")
MAX_RUNNING, MAX_QUEUED, BATCH = 3, 4, 2
END = jobs.End("stop", 1, 1, 0.0, 0.0)


class AnyOrder(RuleBasedStateMachine):
    """Two models, a few clients, workers that answer, stay silent, refuse and die, and a clock."""

    clients = Bundle("clients")

    def __init__(self):
        super().__init__()
        self.world = World(*SLUGS, max_running=MAX_RUNNING, max_queued=MAX_QUEUED)
        self.asked_by: dict[str, bytes] = {}
        self.ever_gone: set[bytes] = set()
        self.incarnation = 0
        self.alive: dict[str, tuple[bytes, int]] = {}
        self.fence = 0

    @rule(target=clients, name=st.sampled_from([b"c1", b"c2", b"c3"]))
    def a_client(self, name):
        self.world.deaf_clients.pop(name, None)
        return name

    @rule(client=clients, slug=st.sampled_from(SLUGS), priority=st.sampled_from(protocol.PRIORITIES))
    def submit(self, client, slug, priority):
        request_id = f"r{len(self.asked_by)}"
        self.asked_by[request_id] = client
        self.world.submit(request_id, client=client, model=slug, priority=priority, deadline_s=30)

    @rule(client=clients, pick=st.integers(0, 50))
    def cancel(self, client, pick):
        if self.asked_by:
            self.world.client_says(client, {"type": "cancel", "id": list(self.asked_by)[pick % len(self.asked_by)]})

    @rule(client=consumes(clients))
    def vanish(self, client):
        self.ever_gone.add(client)
        self.world.deaf_clients[client] = Sent.GONE
        self.world.turn()

    @rule(slug=st.sampled_from(SLUGS))
    def worker_comes(self, slug):
        self.incarnation += 1
        identity = b"w%d" % self.incarnation
        self.alive[slug] = (identity, self.incarnation)
        self.world.worker_up(slug, identity, self.incarnation, batch=BATCH)

    @rule(slug=st.sampled_from(SLUGS))
    def worker_dies(self, slug):
        if slug in self.alive:
            _, incarnation = self.alive.pop(slug)
            self.world.set_row(slug, Phase.BACKOFF, incarnation)
            self.world.turn()

    @rule(slug=st.sampled_from(SLUGS), pick=st.integers(0, 50), what=st.sampled_from(
        ["accept", "token", "end", "not_ready", "too_long", "cancelled", "gap"]))
    def worker_speaks(self, slug, pick, what):
        """About a job it was sent at some time, current or not."""
        if slug not in self.alive:
            return
        identity, incarnation = self.alive[slug]
        sent = self.world.jobs_sent(identity)
        if not sent:
            return
        job = sent[pick % len(sent)]
        request = self.world.d.requests.get(job.job)
        position = request.next_position if request else 0
        frame = {
            "accept": (jobs.Accept, job.job, job.attempt),
            "token": (jobs.Step, 1, [jobs.Item(job.job, job.attempt, position, [1], "x", None)]),
            "end": (jobs.Step, 1, [jobs.Item(job.job, job.attempt, position, [1], "x", END)]),
            "gap": (jobs.Step, 1, [jobs.Item(job.job, job.attempt, position + 1, [1], "x", None)]),
            "not_ready": (jobs.Refuse, job.job, job.attempt, "not_ready", ""),
            "too_long": (jobs.Fail, job.job, job.attempt, "context_length_exceeded", "600 > 512"),
            "cancelled": (jobs.Fail, job.job, job.attempt, "cancelled", ""),
        }[what]
        self.world.worker_says(identity, *frame, incarnation=incarnation)

    def put_fence(self, slug, *, clears=False):
        """The word alone; the gateway has not heard of it, and may not have looked."""
        self.fence += not clears
        self.world.set_row(slug, Phase.ALIVE, self.alive[slug][1], self.fence, self.fence if clears else 0)

    @rule(slug=st.sampled_from(SLUGS), clears=st.booleans())
    def control_writes_a_fence_or_clears_it(self, slug, clears):
        if slug in self.alive:
            self.put_fence(slug, clears=clears)

    @rule(slug=st.sampled_from(SLUGS), fences=st.booleans())
    def control_evicts(self, slug, fences):
        """Fence, and if the gateway says Fenced the worker leaves, whatever is asked meanwhile."""
        if slug not in self.alive:
            return
        if fences:
            self.put_fence(slug)
        row = self.world.rows[slug]
        stands = row.fence_id != row.fence_cleared
        identity, incarnation = self.alive[slug]
        d, held = self.world.d, self.world.d.admission.running_on(slug)
        d.on_control(messages.Fence(messages.VERSION, 1, slug, incarnation, row.fence_id), self.world.now)
        answer = next(m for m in reversed(self.world.control_frames) if isinstance(
            m, messages.Fenced | messages.GateBusy))
        if isinstance(answer, messages.GateBusy):
            assert answer.unfinished == held * stands and (held or not stands)
            return
        before = len(self.world.jobs_sent(identity))
        self.submit(b"c1", slug, "high")
        assert len(self.world.jobs_sent(identity)) == before
        del self.alive[slug]
        self.world.set_row(slug, Phase.DOWN, incarnation, evictions=1)
        self.world.turn()

    @rule(bits=st.sampled_from([0, 0b100, 0b110]))
    def memory_is_short(self, bits):
        self.world.control_words["overload"] = bits
        self.world.turn()

    @rule(seconds=st.sampled_from([0.05, 1.1, 4.0, 31.0]))
    def time_passes(self, seconds):
        for slug, (identity, incarnation) in self.alive.items():
            self.world.worker_says(identity, jobs.Beat, slug, Phase.READY, [], 1, incarnation=incarnation)
        self.world.pass_time(seconds)

    @invariant()
    def limits_hold(self):
        admission = self.world.d.admission
        assert admission.running_total <= MAX_RUNNING
        assert admission.queued_total <= MAX_QUEUED + MAX_RUNNING  # what came back is never refused
        assert all(admission.running_on(slug) <= BATCH for slug in SLUGS)
        assert len(self.world.d.requests) == admission.running_total + admission.queued_total

    @invariant()
    def no_eviction_costs_a_job(self):
        assert self.world.d.counters.lost_to_eviction == 0

    @invariant()
    def nobody_hears_two_ends(self):
        for request_id in self.asked_by:
            ends = [e for e in self.world.events(request_id) if isinstance(e, protocol.TERMINAL)]
            assert len(ends) <= 1
            if ends:
                assert self.world.events(request_id)[-1] is ends[0], "nothing follows the end"

    def teardown(self):
        """Let everything settle: every request that could be told has ended, and the counts add up."""
        self.world.control_words.clear()
        for slug in list(self.alive):
            self.worker_dies(slug)
        self.world.pass_time(400)
        d, c = self.world.d, self.world.d.counters
        assert not d.requests and not d.by_id and d.admission.running_total == d.admission.queued_total == 0
        assert sum(c.admitted) == c.finished + c.failed + c.cancelled + c.displaced + c.expired
        told = {e.id for _, e in self.world.client_frames if isinstance(e, protocol.TERMINAL)}
        assert {r for r, client in self.asked_by.items() if client not in self.ever_gone} <= told


AnyOrder.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
test_any_order = AnyOrder.TestCase
