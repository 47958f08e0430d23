"""Any order of loads, failures, deaths and recoveries over all backends: who is answered, how often, and by whom."""

from collections import Counter, defaultdict

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from control.config import RELAYS
from control.routing import Kind
from control.states import Breaker, Phase
from gateway import protocol
from gateway.hops import LEAVES_MLX
from gateway.preemption import PAUSES_MAX
from gateway.worker_side import ATTEMPTS_MAX
from tests.support.gateway_world import World
from workers import protocol as jobs

LIMITS = {"mlx": 2, "ollama": 2, "victoria": 1}
MAX_QUEUED, CHAIN_MAX = 3, 4
END = jobs.End("stop", 1, 1, 0.0, 0.0)
CODES = [*LEAVES_MLX, "upstream_failed", "upstream_timeout", "invalid_request", "internal"]


class AnyOrder(RuleBasedStateMachine):
    """A model of MLX, the agents' one, Ollama that has both, Victoria; each may be up, down, dead or silent."""

    def __init__(self):
        super().__init__()
        self.world = World("a", "b", relays=["ollama", "victoria"], max_running=LIMITS["mlx"], max_queued=MAX_QUEUED,
                           ollama_max_running=LIMITS["ollama"], victoria_max_running=LIMITS["victoria"])
        self.asked = 0
        self.incarnation = 0
        self.alive: dict[str, tuple[bytes, int]] = {}  # by slug
        self.of: dict[bytes, str] = {}  # the slug of each that ever was
        self.spoke: dict[int, set[bytes]] = defaultdict(set)  # of whom a caller has got a piece, by job
        self.void: set[tuple[int, int]] = set()  # attempts that were refused before they began
        for slug in ("a", "b", *RELAYS.values()):
            self.comes(slug)

    @rule(slug=st.sampled_from(["a", "b", *RELAYS.values()]))
    def comes(self, slug):
        self.incarnation += 1
        names = {slug: name for name, slug in RELAYS.items()}
        if slug in names:
            identity = self.world.relay_up(names[slug], ["a", "b-alias"], self.incarnation)
        else:
            identity = b"w%d" % self.incarnation
            self.world.worker_up(slug, identity, self.incarnation, batch=2)
        self.alive[slug], self.of[identity] = (identity, self.incarnation), slug

    @rule(slug=st.sampled_from(["a", "b", *RELAYS.values()]), hopeless=st.booleans())
    def dies(self, slug, hopeless):
        if slug in self.alive:
            _, incarnation = self.alive.pop(slug)
            relay = slug in RELAYS.values()
            phase = Phase.DOWN if relay else Phase.QUARANTINED if hopeless else Phase.BACKOFF
            self.world.set_row(slug, phase, incarnation)
            self.world.turn()

    @rule(kind=st.sampled_from([kind.value for kind in Kind]), victoria=st.booleans(), simple=st.booleans(),
          priority=st.sampled_from(protocol.PRIORITIES), model=st.sampled_from(["", "a", "b"]),
          hop=st.sampled_from([0, 0, 1]))
    def submit(self, kind, victoria, simple, priority, model, hop):
        self.asked += 1
        self.world.submit(f"r{self.asked}", kind=kind, victoria=victoria, demanding=not simple, priority=priority,
                          model=model, hop=hop, deadline_s=60)

    @rule(pick=st.integers(1, 60))
    def cancel(self, pick):
        self.world.client_says(b"c1", {"type": "cancel", "id": f"r{pick}"})

    @rule(pick=st.integers(0, 99), code=st.sampled_from(CODES), what=st.sampled_from(
        ["accept", "piece", "end", "fail", "not_ready", "cancelled", "note"]))
    def a_backend_speaks(self, pick, what, code):
        """About a job that it was sent at some time, current or not."""
        sent = [(who, job) for who, job in self.world.worker_frames if isinstance(job, jobs.Job)
                and self.alive.get(self.of[who], (b"",))[0] == who]
        if not sent:
            return
        who, job = sent[-1 - pick % min(len(sent), 8)]
        request = self.world.d.requests.get(job.job)
        live = request is not None and request.worker == who and request.attempt == job.attempt
        if live and what == "not_ready" and (request.accepted or request.next_position):
            return  # nobody refuses what it has begun
        position = request.next_position if request else 0
        ids = [] if job.remote else [7]
        frame = {
            "accept": (jobs.Accept, job.job, job.attempt),
            "piece": (jobs.Step, 1, [jobs.Item(job.job, job.attempt, position, ids, "x", None)]),
            "end": (jobs.Step, 1, [jobs.Item(job.job, job.attempt, position, ids, "x", END)]),
            "fail": (jobs.Fail, job.job, job.attempt, code, "as scripted"),
            "not_ready": (jobs.Refuse, job.job, job.attempt, "not_ready", ""),
            "cancelled": (jobs.Fail, job.job, job.attempt, "cancelled", ""),
            "note": (jobs.Note, job.job, job.attempt, "step", "looks it up"),
        }[what]
        if live and what in ("piece", "end"):
            self.spoke[job.job].add(who)
        if live and what == "not_ready":
            self.void.add((job.job, len(self.jobs_of(job.job)) - 1))
        self.world.worker_says(who, *frame, incarnation=job.incarnation)

    @rule(name=st.sampled_from(sorted(RELAYS)), breaker=st.sampled_from(Breaker))
    def a_breaker_moves(self, name, breaker):
        self.world.set_breaker(name, breaker)
        self.world.turn()

    @rule(kinds=st.sets(st.sampled_from(Kind)), closed=st.sampled_from([0, 0, 0b100, 0b110]))
    def control_says(self, kinds, closed):
        self.world.overload(*kinds)
        self.world.control_words["overload"] = closed
        self.world.turn()

    @rule(seconds=st.sampled_from([0.05, 1.1, 6.0, 31.0]))
    def time_passes(self, seconds):
        for slug, (identity, incarnation) in self.alive.items():
            in_hand = [r.ticket.id for r in self.world.d.requests.values() if r.worker == identity]
            self.world.worker_says(identity, jobs.Beat, slug, Phase.READY, in_hand, 1, incarnation=incarnation)
        self.world.pass_time(seconds)

    def jobs_of(self, number: int) -> list[tuple[str, int]]:
        """Where it was sent, in order, and in which attempt."""
        return [(self.of[who], job.attempt) for who, job in self.world.worker_frames
                if isinstance(job, jobs.Job) and job.job == number]

    @invariant()
    def no_backend_is_asked_too_often(self):
        """A relay once, but for what it refused before it began; a worker as often as a death allows."""
        for number in {job.job for job in self.world.jobs_sent()}:
            sent = [slug for n, (slug, _) in enumerate(self.jobs_of(number)) if (number, n) not in self.void]
            for slug, times in Counter(sent).items():
                assert times <= (1 if slug in RELAYS.values() else 2 * ATTEMPTS_MAX + PAUSES_MAX), (number, sent)
            assert len([slug for n, slug in enumerate(sent) if n == 0 or sent[n - 1] != slug]) <= CHAIN_MAX

    @invariant()
    def after_the_first_piece_nobody_else_answers(self):
        for number, spoke in self.spoke.items():
            slugs = {self.of[who] for who in spoke}
            assert len(slugs) == 1, "two backends spoke"
            assert self.jobs_of(number)[-1][0] in slugs, "it was given to another after a piece"

    @invariant()
    def limits_hold(self):
        d = self.world.d
        pools = {"mlx": d.admission.mlx} | {name: d.admission.relays[slug] for name, slug in RELAYS.items()}
        for name, pool in pools.items():
            held = [r for r in d.requests.values() if r.worker and d.admission.of(r.ticket.target) is pool]
            running = [r for r in held if r.ticket.id not in pool.slots.paused.by_id]
            assert len(running) == pool.running_total <= LIMITS[name] + any(r.ticket.called_back for r in running)
            back = sum(r.pauses > 0 and not r.worker for r in d.requests.values())
            assert pool.queued_total <= MAX_QUEUED + LIMITS[name] + 1 + back  # what came back is never refused
        ours = d.admission.running_total + sum(d.admission.paused) + d.admission.queued_total
        assert len(d.requests) == ours + sum(d.admission.relayed)
        assert len(d.admission._pools) == len(d.requests) == len(d.by_id)
        assert all(r.step.target == r.ticket.target for r in d.requests.values())

    @invariant()
    def nobody_hears_two_ends(self):
        for n in range(1, self.asked + 1):
            events = self.world.events(f"r{n}")
            ends = [event for event in events if isinstance(event, protocol.TERMINAL)]
            assert len(ends) <= 1 and (not ends or events[-1] is ends[0]), f"r{n}"

    def teardown(self):
        """Let everything settle: every request has ended once, and the counts add up, of each backend too."""
        self.world.control_words.clear()
        for slug in list(self.alive):
            self.dies(slug, False)
        self.world.pass_time(400)
        self.limits_hold()
        c = self.world.d.counters
        assert not self.world.d.requests and all(self.world.ended(f"r{n}") for n in range(1, self.asked + 1))
        assert sum(c.admitted) == c.finished + c.failed + c.cancelled + c.displaced + c.expired
        assert all(row.dispatched == row.finished for row in c.rows.values())


AnyOrder.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
test_any_order = AnyOrder.TestCase
