"""Any order of events, and each request still has exactly one terminal event, and every count adds up."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from control import messages
from control.states import Phase, Priority
from gateway import protocol
from gateway.fanout import Sent
from gateway.preemption import PAUSES_MAX, choose_paused
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
        ["accept", "token", "token", "end", "not_ready", "too_long", "cancelled", "gap", "paused", "short"]))
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
            "paused": (jobs.Paused, job.job, job.attempt, bool(pick % 2)),
            "short": (jobs.Short, job.job, job.attempt),
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
        d, held = self.world.d, self.world.d.admission.unfinished_on(slug)
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

    @rule(seconds=st.sampled_from([0.05, 1.1, 4.0, 31.0]), forgets=st.booleans(),
          phase=st.sampled_from([Phase.READY, Phase.READY, Phase.DRAINING]))
    def time_passes(self, seconds, forgets, phase):
        for slug, (identity, incarnation) in self.alive.items():
            held = [] if forgets else [r.ticket.id for r in self.world.d.requests.values() if r.worker == identity]
            self.world.worker_says(identity, jobs.Beat, slug, phase, held, 1, incarnation=incarnation)
        self.world.pass_time(seconds)

    @rule(slug=st.sampled_from(SLUGS), lower=st.lists(st.sampled_from(["medium", "low"]), min_size=1, max_size=3),
          tokens=st.booleans())
    def high_meets_lower_ones(self, slug, lower, tokens):
        """At a model that answers them; what they have said so far is more than nothing."""
        if slug not in self.alive:
            self.worker_comes(slug)
        self.put_fence(slug, clears=True)
        self.world.turn()
        for priority in lower:
            self.submit(b"c4", slug, priority)
            if tokens:
                self.worker_speaks(slug, len(self.world.jobs_sent(self.alive[slug][0])) - 1, "token")
        self.submit(b"c4", slug, "high")

    @rule(slug=st.sampled_from(SLUGS), pick=st.integers(0, 9), wanted=st.booleans())
    def a_pause_is_dropped(self, slug, pick, wanted):
        """In time, or because control wants the memory; the worker confirms."""
        paused = list(self.world.d.admission.mlx.slots.paused.by_id)
        if not paused:
            return
        request = self.world.d.requests[paused[pick % len(paused)]]
        if wanted:
            self.control_evicts(request.ticket.target, fences=True)
        else:
            self.time_passes(31.0, forgets=False, phase=Phase.READY)
        if request.worker and request.pause is not None and request.pause.stage == "dropping":
            identity, incarnation = self.alive[request.ticket.target]
            self.world.worker_says(identity, jobs.Fail, request.ticket.id, request.attempt, "cancelled", "",
                                   incarnation=incarnation)
            assert not request.worker or request.attempt > 1

    @invariant()
    def limits_hold(self):
        admission = self.world.d.admission
        assert admission.running_total <= MAX_RUNNING
        requests = self.world.d.requests.values()
        back = sum(request.pauses > 0 and not request.worker for request in requests)
        assert admission.queued_total <= MAX_QUEUED + MAX_RUNNING + back  # what came back is never refused
        assert all(admission.running_on(slug) <= BATCH for slug in SLUGS)
        assert len(requests) == admission.running_total + sum(admission.paused) + admission.queued_total

    @invariant()
    def high_never_waits_for_what_could_be_paused(self):
        """Nobody of HIGH waits for an open model while somebody may be paused so that it goes."""
        d = self.world.d
        slots, runs = d.admission.mlx.slots, d.pauses._runs(self.world.now)
        for request in d.requests.values():
            slug = request.ticket.target
            if not request.worker and request.ticket.priority is Priority.HIGH and slots.is_open(slug):
                missing = slots.places_missing(slug), slots.slots_missing(called_back=request.ticket.called_back)
                assert any(missing) and not choose_paused(slug, runs, *missing)

    @invariant()
    def pauses_and_admission_agree(self):
        d = self.world.d
        paused = {r.ticket.id for r in d.requests.values() if r.pause is not None and r.pause.stage != "resuming"}
        assert paused == d.admission.mlx.slots.paused.by_id.keys()
        assert all(r.worker and r.pauses <= PAUSES_MAX for r in d.requests.values() if r.pause is not None)

    @invariant()
    def an_answer_that_goes_on_elsewhere_is_told_what_was_said(self):
        """Each job of a request says what its caller had when it was sent, and the caller gets no token twice."""
        for request_id in self.asked_by:
            said = [e for e in self.world.events(request_id) if isinstance(e, protocol.Tokens)]
            assert [e.position for e in said] == list(range(len(said)))
        for job in self.world.jobs_sent():
            request = self.world.d.requests.get(job.job)
            if request is not None and request.worker and request.attempt == job.attempt:
                assert job.emitted == request.emitted.tolist()[:len(job.emitted)]

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
