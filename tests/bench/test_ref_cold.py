"""The reference of a cold start: one real load, and no step more than the first token takes."""

from bench.program import own_folder
from bench.ref_cold import measure_bare, say_first
from tests.support.models import model_path


class StepGenerator:
    """Its first token comes with the third step."""

    def __init__(self):
        self.steps = 0

    def insert(self, prompts, max_tokens):
        assert (prompts, max_tokens) == ([[1, 2, 3]], [1])

    def next(self):
        self.steps += 1
        return [], ["token"] * (self.steps == 3)


def test_it_stops_at_the_first_token():
    generator = StepGenerator()
    say_first(generator, [1, 2, 3])
    assert generator.steps == 3


def test_a_real_model_is_loaded_and_speaks():
    with own_folder() as folder:
        began = measure_bare(str(model_path("1m")), "hello", folder)
    assert 0 < began.load_s < began.first_s and began.prompt_tokens > 1
