"""Disturbing jobs of an engine in tests: pausing them, going on behind what was told; and what they said in the end."""

from collections import defaultdict
from dataclasses import dataclass, field
from random import Random

from msgspec.structs import replace

from tests.support.engines import STEPS_MAX, EngineInThread
from workers.engine import EngineJob, JobKey, Output

Said = dict[JobKey, list[Output]]
TIMES = {"prompt_ms": 0.0, "decode_ms": 0.0, "cached_tokens": 0}


@dataclass
class Essence:
    """All that outputs say together, whatever the pieces. `chances`: natural logarithms, compared apart."""

    ids: list[int] = field(default_factory=list)
    text: str = ""
    thinking: str = ""
    calls: list[tuple[int, str, str]] = field(default_factory=list)
    told: list[tuple[int, bytes, list[int]]] = field(default_factory=list)
    end: object = None
    chances: list[float] = field(default_factory=list, compare=False)


def essence(outputs: list[Output], position: int = 0) -> Essence:
    """The outputs begin at that position."""
    made = Essence()
    for output in outputs:
        assert made.end is None and output.failed is None, output
        assert output.position == position + len(made.ids), "a gap between positions"
        made.ids += output.ids
        made.text += output.text
        made.end = output.end and replace(output.end, **TIMES)
        if output.more is not None:
            made.thinking += output.more.thinking
            made.calls += [(call.index, call.name, call.arguments) for call in output.more.calls]
            made.told += [(each.id, each.piece, [top.id for top in each.top]) for each in output.more.logprobs]
            made.chances += [number for each in output.more.logprobs
                             for number in (each.logprob, *(top.logprob for top in each.top))]
    return made


def take(engine: EngineInThread, said: Said) -> None:
    for output in engine.step():
        said[output.key].append(output)


def run_all(engine: EngineInThread, *jobs: EngineJob) -> Said:
    said: Said = defaultdict(list)
    for job in jobs:
        engine.add(job)
    for _ in range(STEPS_MAX):
        if not engine.active:
            return said
        take(engine, said)
    raise AssertionError("it does not end")


def has_ended(said: Said, key: JobKey) -> bool:
    return bool(said[key]) and said[key][-1].end is not None


def run_pausing_always(engine: EngineInThread, job: EngineJob) -> tuple[list[Output], int]:
    """The job is paused whenever it has said something, and before it began. Also how often."""
    said: Said = defaultdict(list)
    engine.add(job)
    pauses = before = 0
    told = engine.pause(job.key)
    for _ in range(STEPS_MAX):
        if told:
            assert told == [(job.key, told[0][1])] and (engine.active, engine.paused) == (0, 1)
            pauses += 1
            engine.resume(job.key)
        before = len(said[job.key])
        while not has_ended(said, job.key) and len(said[job.key]) == before:
            take(engine, said)
        if has_ended(said, job.key):
            return said[job.key], pauses
        told = engine.pause(job.key)
        if not told:  # its cache cannot be cut back: it leaves after its next token
            take(engine, said)
            told = engine.take_paused()
            assert bool(told) != has_ended(said, job.key)
            if not told:
                return said[job.key], pauses
    raise AssertionError("it does not end")


def run_pausing_at_random(engine: EngineInThread, jobs: list[EngineJob], random: Random) -> Said:
    """At most half of them are in the batch; who is paused and who goes on is drawn between two steps."""
    said: Said = defaultdict(list)
    for job in jobs:
        engine.add(job)
    away: set[JobKey] = set()
    for _ in range(STEPS_MAX):
        for job in jobs:
            key = job.key
            if has_ended(said, key) or random.random() < 0.6:
                continue
            if key in away:
                engine.resume(key)
            else:
                engine.pause(key)
            away ^= {key}
        if engine.active:
            take(engine, said)
        if all(has_ended(said, job.key) for job in jobs):
            return said
    raise AssertionError("it does not end")


def continuations(engine: EngineInThread, job: EngineJob, whole: list[Output], batch: int) -> list[list[Output]]:
    """What comes behind each beginning of the answer's ids, from none to all of them."""
    ids = [token for output in whole for token in output.ids]
    jobs = [replace(job, key=(*job.key[:-1], 100 + count), emitted=ids[:count]) for count in range(len(ids) + 1)]
    said: Said = defaultdict(list)
    for first in range(0, len(jobs), batch):
        said |= run_all(engine, *jobs[first : first + batch])
    return [said[each.key] for each in jobs]
