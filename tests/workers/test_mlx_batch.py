"""workers/mlx_batch.py with the small model: what rows leave behind, and the first token beside the generator's."""

from concurrent.futures import ThreadPoolExecutor

import mlx.core as mx
import pytest

from tests.support.models import model_path
from workers.answer_row import AnswerRow, learn_speech
from workers.engine import EngineJob
from workers.mlx_batch import MlxBatch, RowKv, tail_of
from workers.mlx_load import open_model
from workers.prompt import Prompt
from workers.protocol import Sampling

PROMPT = [20 + at * 7 % 900 for at in range(40)]
CHUNK_TOKENS = 16


class Bench:
    """The batch lives in one thread, as MLX wants it."""

    def __init__(self):
        self._thread = ThreadPoolExecutor(1)
        self.call(self._open)

    def call(self, function, *arguments):
        return self._thread.submit(function, *arguments).result()

    def _open(self):
        model, tokenizer, _ = open_model(str(model_path("1m")), lambda done: None)
        self.batch = MlxBatch(model, tokenizer.eos_token_ids, 4)
        self.seen = self.batch.warm_up()
        self.speech = learn_speech(tokenizer, knows_tools=False)

    def row(self, max_tokens=30, **sampling) -> AnswerRow:
        job = EngineJob((1, 1), tokens=PROMPT, max_tokens=max_tokens, sampling=Sampling(**sampling))
        prompt = Prompt(PROMPT, 400, False)
        return AnswerRow(job, prompt, len(PROMPT) + max_tokens, self.speech, None, has_markers=False)

    def ids(self, uid: int, count: int) -> list[int]:
        said = []
        while len(said) < count:
            _, responses, _ = self.call(self.batch.advance, CHUNK_TOKENS)
            said += [response.token for response in responses if response.uid == uid]
        return said


    def close(self):
        self.call(self.batch.close)
        del self.batch, self.seen, self.speech
        self.call(mx.clear_streams)
        self._thread.shutdown()


@pytest.fixture(scope="module")
def bench():
    made = Bench()
    yield made
    made.close()


@pytest.mark.parametrize("sampling", [{}, {"temperature": 1.0, "seed": 3, "repeat_penalty": 1.3}])
def test_the_first_token_is_the_generators_and_the_row_goes_on_behind_it(bench, sampling):
    uid = bench.call(bench.batch.insert, bench.row(**sampling))
    whole = bench.ids(uid, 6)
    bench.call(bench.batch.remove, [uid])
    row = bench.row(**sampling)
    first = bench.call(bench.batch.read_first, row, None)
    assert (first.token, first.reason, first.kv.tokens, first.part) == (whole[0], None, PROMPT, None)
    row.take(first.token, None)
    row.given = [*PROMPT, first.token]
    uid = bench.call(bench.batch.insert, row, first.kv)
    assert bench.ids(uid, 5) == whole[1:]
    bench.call(bench.batch.remove, [uid])


def test_a_first_token_that_is_the_last_says_so(bench):
    assert bench.call(bench.batch.read_first, bench.row(max_tokens=1), None).reason == "length"


def test_what_a_row_leaves_holds_what_was_read_and_said_and_is_not_changed_by_whoever_goes_on_with_it(bench):
    uid = bench.call(bench.batch.insert, bench.row())
    said = bench.ids(uid, 4)
    copied = bench.call(bench.batch.copy_out, uid)
    taken = bench.call(bench.batch.take_out, [uid])[uid]
    assert copied.tokens == taken.tokens == [*PROMPT, *said] and copied.trims and copied.bytes == taken.bytes > 0
    offsets = [cache.offset for cache in taken.caches]
    row = bench.row()
    row.given = [*taken.tokens, 25]
    assert bench.call(bench.batch.read_first, row, RowKv(taken.tokens, taken.caches)).kv.tokens == row.given
    assert [cache.offset for cache in taken.caches] == offsets


def test_the_warm_up_shows_what_a_row_takes(bench):
    assert bench.seen.vocabulary >= 1000 and len(bench.seen.layers) == 4 and bench.batch.always_trims


def test_the_tail_of_a_prompt_is_its_last_token_and_those_before_it():
    assert (tail_of([1]), tail_of([1] * 17), tail_of([1] * 20)) == (0, 0, 3)
