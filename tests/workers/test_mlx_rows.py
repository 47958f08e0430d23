"""workers/mlx_rows.py with the small model: whose first token comes at once, and what that changes in the answers."""

import pytest

from control.states import Priority
from tests.support.architectures import make_architecture
from tests.support.engines import EngineInThread, Transcript, run, steps
from tests.support.models import model_path
from workers.engine import EngineJob
from workers.job_parts import Extras
from workers.mlx_engine import MlxEngine
from workers.prefill_pace import PREFILL_CHUNK_MAX_TOKENS
from workers.protocol import Sampling

ROWS, ANSWER_TOKENS = 4, 12


@pytest.fixture(scope="module")
def engine():
    engine = EngineInThread(MlxEngine(str(model_path("1m")), batch_max=ROWS, context_length=0))
    engine.start()
    yield engine
    engine.close()


def job(number: int, priority: int = Priority.MEDIUM, prompt_tokens: int = 20, max_tokens: int = ANSWER_TOKENS,
        **fields) -> EngineJob:
    sampling = fields.pop("sampling", Sampling(temperature=1.0, seed=number))
    return EngineJob((number, 1), tokens=[20 + (number * 31 + at) % 900 for at in range(prompt_tokens)],
                     max_tokens=max_tokens, sampling=sampling, priority=priority, **fields)


def running(engine: EngineInThread, *numbers: int) -> Transcript:
    transcript = Transcript()
    for number in numbers:
        engine.add(job(number, Priority.LOW, max_tokens=60))
    while any((number, 1) not in transcript.answers or len(transcript[number].ids) < 2 for number in numbers):
        steps(engine, 1, transcript)
    return transcript


def clear(engine: EngineInThread, *numbers: int) -> None:
    for number in numbers:
        engine.remove((number, 1))
    assert engine.active == 0


def test_a_high_job_has_its_first_token_in_the_next_step_and_the_others_wait_for_that_alone(engine):
    transcript = running(engine, 1, 2, 3)
    said = [len(transcript[number].ids) for number in (1, 2, 3)]
    engine.add(job(9, Priority.HIGH))
    steps(engine, 1, transcript)
    assert len(transcript[9].ids) == 1 and [len(transcript[number].ids) for number in (1, 2, 3)] == said
    steps(engine, 3, transcript)
    assert [len(transcript[number].ids) for number in (1, 2, 3)] == [count + 3 for count in said]
    assert len(transcript[9].ids) >= 3
    clear(engine, 1, 2, 3, 9)


def test_so_has_a_job_that_is_alone_and_no_other(engine):
    transcript = Transcript()
    engine.add(job(1))
    steps(engine, 1, transcript)
    assert len(transcript[1].ids) == 1
    engine.add(job(2))
    steps(engine, 1, transcript)
    assert (2, 1) not in transcript.answers
    clear(engine, 1, 2)


def test_high_jobs_have_their_first_tokens_one_after_the_other_and_before_lower_ones_that_came_earlier(engine):
    transcript = running(engine, 1)
    engine.add(job(2, Priority.LOW))
    for number in (8, 9):
        engine.add(job(number, Priority.HIGH))
    steps(engine, 1, transcript)
    assert (8, 1) in transcript.answers and (9, 1) not in transcript.answers
    steps(engine, 1, transcript)
    assert (9, 1) in transcript.answers and (2, 1) not in transcript.answers
    clear(engine, 1, 2, 8, 9)


def test_a_prompt_that_does_not_fit_into_a_chunk_is_read_beside_the_others(engine):
    transcript = running(engine, 1)
    engine.add(job(9, Priority.HIGH, prompt_tokens=PREFILL_CHUNK_MAX_TOKENS + 1))
    before = len(transcript[1].ids)
    steps(engine, 2, transcript)
    assert len(transcript[1].ids) == before + 2 and (9, 1) not in transcript.answers
    clear(engine, 1, 9)


KINDS = [
    {"sampling": Sampling()},
    {"sampling": Sampling(temperature=1.0, seed=3, repeat_penalty=1.3, presence_penalty=0.5, top_p=0.9)},
    {"extras": Extras(logprobs=2, logit_bias={300: 5.0})},
    {"extras": Extras(schema={"type": "array", "items": {"type": "integer"}})},
    {"max_tokens": 1},
    {"max_tokens": 40, "extras": Extras(num_ctx=21, shift=True)},
    {"stop": ["e", "a", "o"]},
]


@pytest.mark.parametrize("fields", KINDS)
def test_an_answer_does_not_depend_on_how_its_first_token_came(engine, fields):
    """Once with it, and once beside a row that does not give way."""
    first = run(engine, job(5, Priority.HIGH, **fields))[5]
    transcript = Transcript()
    engine.add(job(1, max_tokens=60))
    while (1, 1) not in transcript.answers:
        steps(engine, 1, transcript)
    second = run(engine, job(5, **fields), transcript=transcript)[5]
    assert (first.ids, first.text, first.end.reason) == (second.ids, second.text, second.end.reason)
    assert [(each.id, [top.id for top in each.top]) for each in first.logprobs] == [
        (each.id, [top.id for top in each.top]) for each in second.logprobs]
    assert [each.logprob for each in first.logprobs] == pytest.approx([each.logprob for each in second.logprobs],
                                                                     abs=1e-3)


@pytest.mark.parametrize("architecture", ["mamba", "recurrent_gemma", "gemma3_text"])
def test_prompts_of_different_lengths_that_are_read_together_are_read_as_alone(architecture, tmp_path):
    """Where layers have a state, padding would be read into it. The last begins with what the first left."""
    engine = EngineInThread(MlxEngine(str(make_architecture(tmp_path / "model", architecture)), batch_max=ROWS,
                                      context_length=0))
    engine.start()
    lengths = {1: 90, 2: 30, 3: 20, 4: 2}
    jobs = [job(number, prompt_tokens=tokens, extras=Extras(logprobs=0)) for number, tokens in lengths.items()]
    alone = {each.key[0]: run(engine, each)[each.key[0]] for each in jobs}
    engine.call(engine.engine.trim)
    together, again = run(engine, *jobs), run(engine, *jobs)
    for number in lengths:
        chances = [each.logprob for each in alone[number].logprobs]
        for answer in (together[number], again[number]):
            assert answer.ids == alone[number].ids, number
            assert [each.logprob for each in answer.logprobs] == pytest.approx(chances, abs=1e-5), number
    assert again[1].end.cached_tokens > 0 == together[1].end.cached_tokens
    engine.close()
