"""workers/mlx_engine.py beyond the conformance suite: what only a model has. One small model with random weights."""

import json
from pathlib import Path

import mlx.core as mx
import pytest
from tokenizers import Tokenizer

from tests.support.engines import EngineInThread, Transcript, run, steps
from tests.support.models import model_path
from workers.engine import EngineJob, JobRefused
from workers.mlx_engine import MlxEngine
from workers.protocol import ChatMessage, Sampling


def started(path: Path, **settings) -> EngineInThread:
    settings = {"batch_max": 8, "context_length": 0} | settings
    engine = EngineInThread(MlxEngine(str(path), **settings))
    engine.facts = engine.start()
    return engine


@pytest.fixture(scope="module")
def engine():
    engine = started(model_path("1m"))
    yield engine
    engine.close()


def variant(tmp_path: Path, name: str, **changes) -> Path:
    """The small model with one of its JSON files changed; the other files are links."""
    for path in model_path("1m").iterdir():
        (tmp_path / path.name).symlink_to(path)
    content = json.loads((tmp_path / name).read_text()) | changes
    (tmp_path / name).unlink()
    (tmp_path / name).write_text(json.dumps({key: value for key, value in content.items() if value is not None}))
    return tmp_path


def job(number: int = 1, **fields) -> EngineJob:
    fields = {"prompt": "Tell me more", "sampling": Sampling(temperature=1.0, seed=number), "max_tokens": 24} | fields
    if "messages" in fields or "tokens" in fields:
        del fields["prompt"]
    return EngineJob(key=(number, 1), **fields)


def test_an_eos_token_ends_the_answer_and_is_no_part_of_it(engine, tmp_path):
    whole = run(engine, job())[1]
    eos = whole.ids[13]
    end = whole.ids.index(eos)
    other = started(variant(tmp_path, "generation_config.json", eos_token_id=[1, eos]))
    answer = run(other, job())[1]
    other.close()
    assert answer.ids == whole.ids[:end]
    assert answer.text.rstrip("\ufffd") == "".join(whole.pieces[:end])
    assert answer.end.reason == "stop"
    assert answer.end.completion_tokens == end


def test_the_text_is_what_the_tokenizer_decodes_even_cut_inside_a_character(engine):
    tokenizer = Tokenizer.from_file(str(model_path("1m") / "tokenizer.json"))
    whole = run(engine, job())[1]
    assert whole.text == tokenizer.decode(whole.ids)
    cut = next(count for count in range(1, 24) if whole.pieces[count - 1] == "")
    answer = run(engine, job(max_tokens=cut))[1]
    assert answer.ids == whole.ids[:cut]
    assert answer.text == tokenizer.decode(answer.ids) and answer.text.endswith("\ufffd")


def test_greedy_and_penalised_rows_mix_with_seeded_ones(engine):
    samplings = {1: Sampling(), 2: Sampling(temperature=1.0, seed=2), 3: Sampling(repeat_penalty=1.3),
                 4: Sampling(temperature=0.8, top_k=20, top_p=0.9, min_p=0.01, seed=4, frequency_penalty=1.0)}
    alone = {number: run(engine, job(number, sampling=samplings[number]))[number] for number in samplings}
    together = run(engine, *(job(number, sampling=samplings[number]) for number in samplings))
    for number, answer in alone.items():
        assert together[number].ids == answer.ids
    assert len(set(alone[3].ids)) > len(set(alone[1].ids)), "the penalty did nothing"


def test_the_chat_template_is_applied(engine):
    templated = "<|begin|><|start|>user\nhello<|end|>\n<|start|>assistant\n"
    by_messages = run(engine, job(messages=[ChatMessage("user", "hello")]))[1]
    by_prompt = run(engine, job(prompt=templated))[1]
    assert by_messages.ids == by_prompt.ids
    assert by_messages.end.prompt_tokens == by_prompt.end.prompt_tokens


def test_what_the_chat_template_raises_reaches_the_caller(engine):
    with pytest.raises(JobRefused, match="messages: .* unknown role alien") as refused:
        engine.add(job(messages=[ChatMessage("alien", "hello")]))
    assert refused.value.code == "invalid_request"


def test_a_model_without_a_chat_template_is_asked_in_lines(engine, tmp_path):
    plain = started(variant(tmp_path, "tokenizer_config.json", chat_template=None))
    answer = run(plain, job(messages=[ChatMessage("user", "hello")]))[1]
    plain.close()
    assert answer.ids == run(engine, job(prompt="user: hello\nassistant:"))[1].ids


def test_a_long_prompt_is_read_in_chunks_while_streams_go_on(engine):
    prompt = [7] * 1030
    alone = run(engine, job(1, max_tokens=40))[1]
    transcript = Transcript()
    engine.add(job(1, max_tokens=40))
    while (1, 1) not in transcript.answers:
        steps(engine, 1, transcript)
    engine.add(job(2, tokens=prompt, max_tokens=3))
    said = len(transcript[1].ids)
    while (2, 1) not in transcript.answers:
        steps(engine, 1, transcript)
    assert len(transcript[1].ids) - said >= 5, "the stream waited for the prompt"
    run(engine, transcript=transcript)
    assert transcript[1].ids == alone.ids
    assert transcript[2].end.prompt_tokens == len(prompt)


def test_ids_of_the_whole_vocabulary_and_no_more_are_a_prompt(engine):
    vocabulary = engine.facts.vocabulary
    assert len(run(engine, job(tokens=[0, vocabulary - 1], max_tokens=2))[1].ids) == 2
    with pytest.raises(JobRefused, match=f"from 0 to {vocabulary - 1}"):
        engine.add(job(tokens=[0, vocabulary]))


def test_the_context_is_the_models_own_unless_less_is_configured(engine):
    assert engine.facts.context_length == 4096
    small = started(model_path("1m"), context_length=100)
    assert small.facts.context_length == 100
    small.close()


def test_memory_is_told(engine):
    facts = engine.memory()
    assert facts.active_bytes > 4_000_000, "one million parameters of four bytes"
    run(engine, job())
    assert engine.memory().peak_bytes >= facts.peak_bytes >= facts.active_bytes
    assert bool(facts.device_bytes) == mx.metal.is_available()


def test_what_is_kept_for_speed_is_given_back_when_asked(engine):
    run(engine, job())
    assert engine.memory().cache_bytes > 0
    engine.call(engine.engine.trim)
    assert engine.memory().cache_bytes == 0


def test_a_directory_that_is_no_model_is_named(tmp_path):
    missing = EngineInThread(MlxEngine(str(tmp_path / "missing"), batch_max=1, context_length=0))
    with pytest.raises(FileNotFoundError, match="missing"):
        missing.start()
    missing.close()


def test_code_in_a_model_directory_is_not_run(tmp_path):
    path = variant(tmp_path, "config.json", model_file="evil.py")
    (path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    engine = EngineInThread(MlxEngine(str(path), batch_max=1, context_length=0))
    with pytest.raises(ValueError, match="evil.py"):
        engine.start()
    engine.close()
    assert not (tmp_path / "ran").exists()


def test_close_takes_the_threads_streams_down():
    """Without it about every fourth process aborts on its way out."""
    def life() -> None:
        engine = MlxEngine(str(model_path("1m")), batch_max=1, context_length=0)
        engine.prepare()
        engine.load(lambda progress: None)
        engine.close()
        with pytest.raises(RuntimeError, match="Stream"):
            mx.eval(mx.ones(3) + 1)

    EngineInThread(MlxEngine("", batch_max=1, context_length=0)).call(life)
