"""Admission against a slow model of its rules, whatever comes in whatever order."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from control.states import Priority
from gateway.admission import Admission, Limits, Queued, QueuedDisplacing, QueueFull, Ticket
from gateway.slots import QUIET_S
from tests.support.admission_door import Known

HIGH, MEDIUM, LOW = Priority
MODELS = ("m", "n")
AGING_S, QUEUE_DEADLINE_S = 10.0, 40.0
CLOSED = st.sampled_from([set(), {LOW}, {MEDIUM}, {MEDIUM, LOW}])


class AdmissionMachine(RuleBasedStateMachine):
    """Plain lists and sums, in the words of the rules; only the tags of fairness are left to its own tests."""

    @initialize(max_running=st.integers(1, 4), max_queued=st.sampled_from([0, 2, 5, 10]), reserved=st.integers(0, 3),
                places=st.integers(1, 4), closed=CLOSED)
    def begin(self, max_running: int, max_queued: int, reserved: int, places: int, closed: set[Priority]) -> None:
        self.limits = Limits(max_running, max_queued, min(reserved, max_running - 1), AGING_S, QUEUE_DEADLINE_S)
        self.admission = Admission(self.limits)
        self.now = 100.0
        self.places, self.resume_places = dict.fromkeys(MODELS, places), dict.fromkeys(MODELS, places)
        self.set_classes(closed)
        for target in MODELS:
            self.admission.set_places(target, places)
        self.known: dict[int, Known] = {}
        self.ends: dict[int, str] = {}
        self.submitted = self.entries = 0
        self.high_at, self.quiet = float("-inf"), True

    # -- the model -------------------------------------------------------------------------------------------

    @property
    def queued(self) -> list[Known]:
        return [known for known in self.known.values() if not known.runs and not known.paused]

    @property
    def paused(self) -> list[Known]:
        return [known for known in self.known.values() if known.paused]

    @property
    def in_line(self) -> list[Known]:
        return self.queued + [known for known in self.paused if not known.parked]

    @property
    def running(self) -> list[Known]:
        return [known for known in self.known.values() if known.runs]

    def next_entry(self) -> int:
        self.entries += 1
        return self.entries

    def age(self) -> None:
        due = [known for known in self.in_line if known.kind is LOW and known.ages_at <= self.now]
        for known in sorted(due, key=lambda known: (known.ages_at, known.entered)):
            known.kind, known.entered = MEDIUM, self.next_entry()

    def may_start(self, kind: Priority, ticket: Ticket, resumes: bool = False) -> bool:
        others = [known for known in self.running if known.ticket.priority is not HIGH]
        for_others = self.limits.max_running - self.limits.reserved_high
        kept = ticket.called_back or len(others) > for_others  # the slot for who was called back is asked for, or taken
        places = self.resume_places if resumes else self.places
        return ((resumes or not {kind, ticket.priority} & self.closed)
                and len(self.running) < self.limits.max_running + kept
                and (kind is HIGH or len(others) < for_others + ticket.called_back)
                and sum(known.ticket.target == ticket.target for known in self.running) < places[ticket.target])

    def startable(self) -> list[Known]:
        return [known for known in self.in_line if self.may_start(known.kind, known.ticket, known.paused)
                and not (known.paused and known.spent and self.takes_the_last(known.ticket.target))]

    def takes_the_last(self, target: str) -> bool:
        """Would one more that nobody can pause leave HIGH nothing, while HIGH is about?"""
        firm = [known.ticket.target for known in self.running if known.spent or known.ticket.priority is HIGH]
        places = self.places[target]
        return not self.quiet and (len(firm) + 1 >= self.limits.max_running or bool(
            places and firm.count(target) + 1 >= places))

    def look_for_high(self) -> None:
        if any(known.ticket.priority is HIGH for known in self.queued + self.running):
            self.high_at = self.now
        self.quiet = self.now - self.high_at >= QUIET_S

    def end(self, number: int, how: str) -> None:
        assert number not in self.ends
        self.ends[number] = how
        self.known.pop(number, None)

    def pick(self, among: list[Known], index: int) -> Known | None:
        return among[index % len(among)] if among else None

    # -- what may happen -------------------------------------------------------------------------------------

    @rule(priority=st.sampled_from(Priority), model=st.sampled_from(MODELS), caller=st.sampled_from("abc"),
          patience_s=st.sampled_from([5.0, 15.0, 30.0, 500.0]), called_back=st.sampled_from([False, False, True]))
    def submit(self, priority: Priority, model: str, caller: str, patience_s: float, called_back: bool) -> None:
        self.submitted += 1
        number, before = self.submitted, len(self.queued)
        ticket = Ticket(number, priority, model, caller, self.now, self.now + patience_s, called_back=called_back)
        self.age()
        at_once = self.may_start(priority, ticket) and all(known.kind > priority for known in self.startable())
        below = [known for known in self.queued if known.kind > priority and not known.begun]
        lowest = [known for known in below if known.kind == max(other.kind for other in below)]
        outcome = self.admission.submit(ticket, self.now)
        if before < self.limits.max_queued or at_once:
            assert isinstance(outcome, Queued)
        elif below:
            assert isinstance(outcome, QueuedDisplacing)
            victim = max(lowest, key=lambda known: known.arrival)
            assert outcome.victim is victim.ticket
            self.end(victim.ticket.id, "displaced")
        else:
            assert isinstance(outcome, QueueFull)
            assert 1.0 <= outcome.retry_after_s <= 120.0
            self.end(number, "refused")
            return
        self.known[number] = Known(ticket, number, self.now + min(patience_s, QUEUE_DEADLINE_S),
                                   self.now + AGING_S, priority, self.next_entry())
        assert len(self.queued) <= max(before, self.limits.max_queued) + at_once
        assert 0 <= outcome.position < len(self.in_line)

    @rule(times=st.integers(1, 4))
    def take(self, times: int) -> None:
        for _ in range(times):
            self.take_one()

    def take_one(self) -> None:
        self.age()
        self.look_for_high()
        startable = self.startable()
        ticket = self.admission.next(self.now)
        if ticket is None:
            assert not startable
            return
        taken = self.known[ticket.id]
        assert taken in startable
        assert taken.kind == min(known.kind for known in startable)
        rivals = [known for known in startable if known.kind is taken.kind]
        back = [known for known in rivals if known.came_back or known.paused]
        if back:
            assert taken.arrival == min(known.arrival for known in back)
        else:
            assert taken.entered == min(known.entered for known in rivals if known.ticket.caller == ticket.caller)
        taken.runs, taken.came_back, taken.paused = True, False, False

    @rule(index=st.integers(0, 9))
    def finish(self, index: int) -> None:
        if known := self.pick(self.running + self.paused, index):
            self.admission.finish(known.ticket.id)
            self.end(known.ticket.id, "finished")

    @rule(index=st.integers(0, 9), last=st.booleans())
    def pause(self, index: int, last: bool) -> None:
        self.age()
        if known := self.pick([known for known in self.running if known.ticket.priority is not HIGH], index):
            self.admission.pause(known.ticket.id, self.now, last=last)
            known.spent |= last
            known.runs, known.paused, known.parked, known.entered = False, True, False, self.next_entry()
            if known.ticket.priority is LOW and known.ages_at <= self.now:
                known.kind = MEDIUM

    @rule(index=st.integers(0, 9))
    def park(self, index: int) -> None:
        if known := self.pick(self.paused, index):
            self.admission.park(known.ticket.id)
            known.parked = True

    @rule(index=st.integers(0, 9), begun=st.booleans())
    def come_back(self, index: int, begun: bool) -> None:
        self.age()
        if known := self.pick(self.running + self.paused, index):
            known.begun = known.ticket.begun = begun
            self.admission.requeue(known.ticket, self.now)
            known.runs = known.paused = False
            known.came_back, known.entered = True, self.next_entry()
            if known.ticket.priority is LOW and known.ages_at <= self.now:
                known.kind = MEDIUM

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        number = data.draw(st.integers(1, self.submitted + 1))
        known = self.known.get(number)
        answer = self.admission.cancel(number)
        state = known and ("running" if known.runs else "paused" if known.paused else "queued")
        assert answer == state
        if answer == "queued":
            self.end(number, "cancelled")
        elif answer == "paused":
            known.parked = True

    @rule(seconds=st.sampled_from([0.5, 5.0, 12.0]))
    def wait_and_expire(self, seconds: float) -> None:
        self.now += seconds
        self.expire()

    def expire(self) -> None:
        self.age()
        expected = {known.ticket.id for known in self.queued if known.deadline <= self.now}
        expired = self.admission.expire(self.now)
        assert {ticket.id for ticket in expired} == expected
        for ticket in expired:
            self.end(ticket.id, "expired")

    @rule(model=st.sampled_from(MODELS), places=st.sampled_from([0, 1, 2, 4]), to_resume=st.sampled_from([None, 0, 2]))
    def set_places(self, model: str, places: int, to_resume: int | None) -> None:
        self.places[model], self.resume_places[model] = places, places if to_resume is None else to_resume
        self.admission.set_places(model, places, to_resume)

    @rule(classes=CLOSED)
    def set_closed(self, classes: set[Priority]) -> None:
        self.set_classes(classes)

    def set_classes(self, classes: set[Priority]) -> None:
        self.closed = classes
        self.admission.set_closed(sum(1 << kind for kind in classes))

    @rule(seconds=st.sampled_from([6.0, 3600.0]))
    def sleep_and_wake(self, seconds: float) -> None:
        self.now += seconds
        self.admission.extend_deadlines(seconds)
        for known in self.known.values():
            known.deadline += seconds
            known.ages_at += seconds

    # -- what always holds -----------------------------------------------------------------------------------

    @invariant()
    def limits_hold(self) -> None:
        admission = self.admission
        back = [known.ticket.priority for known in self.running if known.ticket.called_back]
        for_others = self.limits.max_running - self.limits.reserved_high
        assert admission.running_total <= self.limits.max_running + bool(back)
        assert sum(admission.running[1:]) <= for_others + any(priority is not HIGH for priority in back)

    @invariant()
    def counters_add_up(self) -> None:
        admission = self.admission
        for shown, among in ((admission.running, self.running), (admission.paused, self.paused),
                             (admission.queued, self.queued)):
            assert shown == tuple(sum(known.ticket.priority is kind for known in among) for kind in Priority)
        assert admission.queued_total == len(self.queued)
        inside = admission.running_total + sum(admission.paused) + admission.queued_total
        assert self.submitted == len(self.ends) + inside
        for target in MODELS:
            mine = [known.ticket for known in self.queued if known.ticket.target == target]
            by_class = [[ticket.arrived for ticket in mine if ticket.priority is kind] for kind in Priority]
            assert admission.waiting(target) == tuple(map(len, by_class))
            assert admission.waiting_since(target) == tuple(min(each, default=None) for each in by_class)
            assert admission.running_on(target) == sum(known.ticket.target == target for known in self.running)
            assert admission.paused_on(target) == sum(known.ticket.target == target for known in self.paused)

    @invariant()
    def the_next_moment_is_known(self) -> None:
        moments = [known.deadline for known in self.queued]
        moments += [known.ages_at for known in self.in_line if known.kind is LOW]
        assert self.admission.next_deadline() == min(moments, default=None)

    @invariant()
    def positions_are_places_in_the_queue(self) -> None:
        assert all(0 <= self.admission.position(known.ticket.id) < len(self.in_line) for known in self.in_line)

    @invariant()
    def the_high_one_that_only_lacks_room_is_found(self) -> None:
        """Of all that wait for an open target, whichever of them may be helped."""
        waiting = [known for known in self.queued if known.kind is HIGH and self.places[known.ticket.target]]
        for target in MODELS:
            mine = [known.ticket for known in waiting if known.ticket.target == target]
            blocked = self.admission.first_blocked(lambda each, _back, target=target: each == target)
            assert blocked in mine if mine else blocked is None

    def teardown(self) -> None:
        """Whatever is left ends too, so that each ticket has ended in exactly one way."""
        for known in self.running + self.paused:
            self.admission.finish(known.ticket.id)
            self.end(known.ticket.id, "finished")
        self.now += 1_000_000.0
        self.expire()
        assert sorted(self.ends) == list(range(1, self.submitted + 1))
        assert self.admission.running_total == self.admission.queued_total == 0


TestAdmission = AdmissionMachine.TestCase
