"""Which Accepts need not be said: those whose first Step leaves before their time is up."""

from hypothesis import given
from hypothesis import strategies as st

from workers import protocol as jobs
from workers.held_accepts import HOLD_S, HeldAccepts

ABOUT = (jobs.VERSION, 1000, 7)


def accept(job: int, attempt: int = 1) -> jobs.Accept:
    return jobs.Accept(*ABOUT, job, attempt)


def step(*job_numbers: int, attempt: int = 1) -> jobs.Step:
    return jobs.Step(*ABOUT, 1, [jobs.Item(job, attempt, 0, [5], "x") for job in job_numbers])


def test_a_step_that_leaves_first_is_the_word_for_its_jobs_alone():
    held = HeldAccepts()
    assert not held and not list(held.say(accept(1), 10.0)) and not list(held.say(accept(2), 10.0)) and held
    assert list(held.say(step(1), 10.0)) == [step(1)]
    assert held.due(10.0) == [] and held.due(10.0 + HOLD_S) == [accept(2)] and not held


def test_another_attempt_of_the_same_job_is_another_job():
    held = HeldAccepts()
    held.say(accept(1, attempt=2), 10.0)
    held.say(step(1, attempt=1), 10.0)
    assert held.due(11.0) == [accept(1, attempt=2)]


def test_the_time_runs_from_the_first_that_is_held():
    held = HeldAccepts()
    held.say(accept(1), 10.0)
    held.say(accept(2), 10.0 + HOLD_S / 2)
    assert held.due(10.0 + HOLD_S) == [accept(1), accept(2)]
    held.say(accept(3), 20.0)
    assert held.due(20.0) == [] and held.due(20.0 + HOLD_S) == [accept(3)]


def test_whatever_else_is_said_lets_the_accepts_go_first():
    held = HeldAccepts()
    held.say(accept(1), 10.0)
    failed = jobs.Fail(*ABOUT, 1, 1, "cancelled", "")
    assert list(held.say(failed, 10.0)) == [accept(1), failed] and not held


Said = st.one_of(st.tuples(st.just("accept"), st.integers(1, 5)), st.tuples(st.just("step"), st.integers(1, 5)),
                 st.tuples(st.just("fail"), st.integers(1, 5)), st.tuples(st.just("time"), st.just(0)))


@given(st.lists(Said, max_size=40))
def test_nothing_is_told_of_a_job_that_was_not_accepted_or_begun(said):
    """Every Accept is said, or a Step of its job is; nothing but a Step ever comes before it."""
    held, now, sent, taken = HeldAccepts(), 10.0, [], set()
    for what, job in said:
        if what == "time":
            now += HOLD_S
            sent += held.due(now)
        elif what == "accept" and job not in taken:
            taken.add(job)
            sent += held.say(accept(job), now)
        elif job in taken:
            sent += held.say(step(job) if what == "step" else jobs.Fail(*ABOUT, job, 1, "cancelled", ""), now)
    sent += held.release()
    firsts = {}
    for message in sent:
        for job in [item.job for item in message.items] if isinstance(message, jobs.Step) else [message.job]:
            firsts.setdefault(job, type(message))
    assert firsts.keys() == taken and set(firsts.values()) <= {jobs.Accept, jobs.Step}
    assert sum(isinstance(message, jobs.Accept) for message in sent) <= len(taken)
