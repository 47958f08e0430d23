"""workers/embedding.py: vectors of the small model with random weights, alone, in groups and in chunks."""

import math
from array import array
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import mlx.core as mx
import pytest
from mlx_lm import load

from tests.support.models import model_path
from workers.embedding import ENCODED_CHARS, Embedder
from workers.engine import EngineJob, JobRefused
from workers.job_parts import Extras
from workers.prefill_pace import PREFILL_CHUNK_FIRST_TOKENS

CONTEXT, VOCABULARY, WIDTH = 512, 1024, 128
LONG = "The quick brown fox jumps over the lazy dog. " * 20
TEXTS = ["hello", "The quick brown fox", "one two three four five six", LONG]
STEPS_MAX = 500
NEAR = 1e-5


@pytest.fixture(scope="module")
def thread():
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.fixture(scope="module")
def loaded(thread):
    return thread.submit(load, str(model_path("1m"))).result()


class Bench:
    """An embedder in the one thread of these tests. `made`: of its steps, what they said."""

    def __init__(self, thread, loaded, pooling="last", **settings):
        self._thread = thread
        settings = {"context_length": CONTEXT, "vocabulary": VOCABULARY} | settings
        model = settings.pop("model", loaded[0])
        self.embedder = Embedder(model, settings.pop("tokenizer", loaded[1]), pooling, **settings)
        self.made = []

    def add(self, *inputs, number=1, **extras):
        job = EngineJob((number, 1), inputs=list(inputs), extras=Extras(**extras))
        self._thread.submit(self.embedder.add, job).result()

    def step(self):
        outputs = self._thread.submit(self.embedder.step).result()
        self.made += outputs
        return outputs

    def run(self):
        for _ in range(STEPS_MAX):
            if not self.embedder.active:
                return self
            self.step()
        raise AssertionError("it does not end")

    def vectors(self, number=1):
        mine = [output for output in self.made if output.key == (number, 1)]
        sizes = [len(output.more.vectors) for output in mine]
        assert [output.position for output in mine] == [sum(sizes[:k]) for k in range(len(mine))]
        assert [output.end is not None for output in mine] == [False] * (len(mine) - 1) + [True]
        return [array("f", vector).tolist() for output in mine for vector in output.more.vectors]


@pytest.fixture
def bench(thread, loaded):
    return lambda *pooling, **settings: Bench(thread, loaded, *pooling, **settings)


def pooled_by_hand(thread, loaded, text, pooling):
    """The same without chunks and groups."""
    def work():
        model, tokenizer = loaded
        states = model.model(mx.array([tokenizer.encode(text, add_special_tokens=True)]))[0].astype(mx.float32)
        vector = {"last": states[-1], "cls": states[0], "mean": states.mean(axis=0)}[pooling]
        return (vector / mx.linalg.norm(vector)).tolist()

    return thread.submit(work).result()


def far(one, other):
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("pooling", ["last", "mean", "cls"])
def test_a_vector_is_the_pooled_hidden_states_of_length_one_however_long_the_text(bench, thread, loaded, pooling):
    found = bench(pooling)
    found.add(*TEXTS)
    vectors = found.run().vectors()
    assert len(vectors) == len(TEXTS)
    for text, vector in zip(TEXTS, vectors, strict=True):
        assert len(vector) == WIDTH and math.isclose(math.hypot(*vector), 1.0, abs_tol=NEAR)
        assert far(vector, pooled_by_hand(thread, loaded, text, pooling)) < NEAR


def test_the_end_counts_all_tokens(bench, loaded):
    found = bench()
    found.add("hello", [5, 6, 7])
    found.run()
    end = found.made[-1].end
    assert end.prompt_tokens == len(loaded[1].encode("hello", add_special_tokens=True)) + len([5, 6, 7])
    assert (end.reason, end.completion_tokens) == ("stop", 0)


def test_short_inputs_are_read_together_and_a_long_one_in_several_steps(bench):
    found = bench()
    found.add("a", "b", "c", LONG)
    while not found.made:
        found.step()
    assert len(found.made[0].more.vectors) == len("abc")
    steps = 0
    while found.embedder.active:
        steps += 1
        found.step()
        assert found.embedder.reserved_tokens or not found.embedder.active
    assert steps > 1 and len(found.made) == len(["the group", "the long one"])


def test_jobs_take_turns(bench):
    found = bench()
    words = " ".join(["word"] * (PREFILL_CHUNK_FIRST_TOKENS // 2))
    found.add(*[words] * 40, number=1)
    found.add("short", number=2)
    found.run()
    order = [output.key[0] for output in found.made]
    assert order.index(2) <= 2 and order[-1] == 1
    assert len(found.vectors(1)) == 40 and len(found.vectors(2)) == 1


def test_texts_become_tokens_over_several_steps(bench):
    found = bench()
    found.add(*[LONG] * (3 * ENCODED_CHARS // len(LONG)))
    assert not found.step() and not found.step()
    found.embedder.remove((1, 1))
    assert not found.embedder.active


def test_removing_a_job_in_the_middle_of_a_long_input_leaves_the_others(bench, thread, loaded):
    found = bench("mean")
    found.add(LONG, number=1)
    while not found.embedder.reserved_tokens:
        found.step()
    found.add("hello", number=2)
    found.embedder.remove((1, 1))
    found.embedder.remove((9, 9))
    assert not found.embedder.reserved_tokens
    [vector] = found.run().vectors(2)
    assert far(vector, pooled_by_hand(thread, loaded, "hello", "mean")) < NEAR


@pytest.mark.parametrize(("given", "code", "said"), [
    (["fine", LONG * 4], "context_length_exceeded", f"inputs[1]: it has .* tokens; the context holds {CONTEXT}"),
    (["fine", LONG * 400], "context_length_exceeded", "inputs[1]: it has at least "),
    ([[1, VOCABULARY]], "invalid_request", f"inputs[0]: ids must be from 0 to {VOCABULARY - 1}"),
])
def test_an_input_that_cannot_be_embedded_ends_its_job_by_its_number(bench, given, code, said):
    found = bench()
    found.add("another job", number=2)
    found.add(*given, number=1)
    found.run()
    [failed] = [output.failed for output in found.made if output.key == (1, 1)]
    assert failed[0] == code
    start, _, rest = said.partition(".*")
    assert failed[1].startswith(start) and rest in failed[1]
    assert len(found.vectors(2)) == 1


def test_a_text_that_is_too_long_is_cut_if_that_was_asked(bench):
    found = bench()
    found.add(LONG * 4, truncate=True)
    found.add("The quick brown fox jumps over", number=2, truncate=True, num_ctx=3)
    found.run()
    assert sorted(output.end.prompt_tokens for output in found.made if output.end) == [3, CONTEXT]


@pytest.mark.parametrize("inputs", [[], ["fine", []], [[]]])
def test_nothing_to_embed_is_refused_at_once(bench, inputs):
    with pytest.raises(JobRefused) as refused:
        bench().add(*inputs)
    assert refused.value.code == "invalid_request"
    assert refused.value.message.startswith(f"inputs[{len(inputs) - 1}]: " if inputs else "inputs: ")


def test_a_model_that_gives_none_says_why(bench):
    with pytest.raises(JobRefused, match="inputs: this model gives no embeddings; set it") as refused:
        bench("", why="set it").add("hello")
    assert refused.value.code == "not_offered"


class Flat:
    """A model whose inner part hands back no hidden states."""

    def model(self, ids, cache=None):
        return ids


@pytest.mark.parametrize("model", [Flat(), object()])
def test_an_architecture_without_hidden_states_is_refused(bench, model):
    with pytest.raises(JobRefused, match="shows no hidden states") as refused:
        bench(model=model).add("hello")
    assert refused.value.code == "not_offered"


class Full:
    """Room for nothing, until there is."""

    has = False

    def has_place(self, tokens):
        return self.has

    def free_bytes(self, held_bytes):
        return None


def test_a_long_input_waits_for_room_and_short_ones_do_not(bench):
    room = Full()
    found = bench(room=room)
    found.add("short", LONG)
    while not found.embedder.waits_for_room:
        found.step()
    assert len(found.made) == 1 and not found.step() and not found.embedder.reserved_tokens
    room.has = True
    assert not found.embedder.waits_for_room
    assert len(found.run().vectors()) == 2


def test_vectors_do_not_depend_on_who_is_beside(bench):
    alone = []
    for text in TEXTS:
        found = bench("mean")
        found.add(text)
        alone += found.run().vectors()
    together = bench("mean")
    together.add(*TEXTS)
    for one, other in zip(alone, together.run().vectors(), strict=True):
        assert far(one, other) < NEAR
    assert all(far(one, other) > NEAR for one, other in pairwise(alone))
