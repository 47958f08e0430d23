"""workers/echo_engine.py beyond the conformance suite: its script. Time moves only when the engine sleeps."""

import signal
import subprocess
import sys

import pytest

from tests.support.engines import Transcript
from workers.echo_engine import LOAD_STEPS, EchoEngine
from workers.engine import EngineJob, LoadPlan
from workers.protocol import ChatMessage


class Hung(Exception):
    """The engine asked to sleep for ever."""


class Clock:
    """Moved by sleeping only. A power of two apart, so that sums are exact."""

    def __init__(self) -> None:
        self.now = 0.0

    def read(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        if seconds > 100:
            raise Hung
        self.now += seconds


def engine_and_clock(**settings) -> tuple[EchoEngine, Clock]:
    clock = Clock()
    return EchoEngine(8, clock=clock.read, sleep=clock.sleep, **settings), clock


def job(prompt: str, number: int = 1, **fields) -> EngineJob:
    return EngineJob(key=(number, 1), prompt=prompt, **fields)


def run(engine: EchoEngine, *jobs: EngineJob) -> Transcript:
    transcript = Transcript()
    for each in jobs:
        engine.add(each)
    while engine.active:
        transcript.take(engine.step())
    return transcript


def test_tokens_are_numbered():
    engine, _ = engine_and_clock(answer_tokens=4)
    answer = run(engine, job("say something"))[1]
    assert answer.ids == [0, 1, 2, 3]
    assert answer.text == "t0 t1 t2 t3"
    assert (answer.end.reason, answer.end.prompt_tokens, answer.end.completion_tokens) == ("stop", 2, 4)


@pytest.mark.parametrize(("prompt", "text"), [
    ("#tokens=2", "t0 t1"),
    ("please #tokens=3 and more", "t0 t1 t2"),
    ("#tokens=0", ""),
    ("#text=héllo 😀  world", "héllo 😀 world"),
])
def test_directives_beat_the_settings(prompt, text):
    engine, _ = engine_and_clock(answer_tokens=4)
    answer = run(engine, job(prompt))[1]
    assert answer.text == text
    assert answer.end.reason == "stop"


def test_directives_stand_in_the_last_message():
    engine, _ = engine_and_clock()
    messages = [ChatMessage("user", "#tokens=9"), ChatMessage("user", "two words #tokens=2")]
    answer = run(engine, EngineJob(key=(1, 1), messages=messages))[1]
    assert answer.text == "t0 t1"
    assert answer.end.prompt_tokens == 4


def test_as_fast_as_asked_needs_no_time():
    engine, clock = engine_and_clock(answer_tokens=1000)
    run(engine, job("x"))
    assert clock.now == 0


def test_a_rate_is_each_jobs_own():
    engine, clock = engine_and_clock(rate_per_s=8)
    engine.add(job("#tokens=100", 1))
    engine.add(job("#tokens=100 #rate=2", 2))
    engine.add(job("#tokens=2 #rate=0", 3))
    transcript = Transcript()
    while clock.now < 4:
        transcript.take(engine.step())
    assert transcript[3].end is not None
    assert len(transcript[1].ids) == 32
    assert len(transcript[2].ids) == 8


def test_times_of_an_answer_are_told():
    engine, _ = engine_and_clock(rate_per_s=4, answer_tokens=5)
    end = run(engine, job("x"))[1].end
    assert (end.prompt_ms, end.decode_ms) == (250, 1000)


def test_loading_takes_its_time_and_tells_progress():
    engine, clock = engine_and_clock(load_s=5.0, context_length=77)
    said = []
    facts = engine.load(lambda progress: said.append((progress, clock.now)))
    assert facts.context_length == 77
    assert said[0] == (0.0, 0.0) and said[-1][0] == 1.0
    assert len(said) == LOAD_STEPS + 1 and said == sorted(said)
    assert clock.now == pytest.approx(5.0)


def test_a_load_can_hang_halfway():
    engine, _ = engine_and_clock(hang_in_load=True)
    said = []
    with pytest.raises(Hung):
        engine.load(said.append)
    assert 0.4 < said[-1] < 0.6


def test_a_step_can_hang_at_a_token():
    engine, _ = engine_and_clock()
    engine.add(job("#tokens=9 #hang_at=3"))
    transcript = Transcript()
    with pytest.raises(Hung):
        while engine.active:
            transcript.take(engine.step())
    assert transcript[1].ids == [0, 1, 2]


def test_a_step_can_find_no_memory():
    engine, _ = engine_and_clock()
    engine.add(job("#tokens=9 #oom_at=2"))
    transcript = Transcript()
    with pytest.raises(RuntimeError, match=r"\[METAL\] .* Insufficient Memory"):
        while engine.active:
            transcript.take(engine.step())
    assert transcript[1].ids == [0, 1]


@pytest.mark.parametrize(("plan", "rows", "context"), [
    (LoadPlan(), 8, 77), (LoadPlan(batch_max=3, context_length=50), 3, 50), (LoadPlan(5, 1, 9, 99), 8, 77)])
def test_a_plan_can_only_make_it_smaller(plan, rows, context):
    engine, _ = engine_and_clock(context_length=77)
    assert engine.load(lambda progress: None, plan).context_length == context
    assert engine.batch_max == rows


CRASHING = """
from workers.echo_engine import EchoEngine
from workers.engine import EngineJob
engine = EchoEngine(8, crash_in_load={in_load})
engine.load(lambda progress: None)
engine.add(EngineJob(key=(1, 1), prompt="#tokens=9 #crash_at=3"))
while engine.active:
    for output in engine.step():
        print(output.ids[0], flush=True)
"""


@pytest.mark.parametrize(("in_load", "said"), [(True, ""), (False, "0\n1\n2\n")])
def test_it_can_crash_like_metal_does(in_load, said):
    done = subprocess.run([sys.executable, "-c", CRASHING.format(in_load=in_load)], capture_output=True, text=True,
                          check=False)
    assert done.returncode == -signal.SIGABRT
    assert done.stdout == said
