"""The bare generator gets new work as soon as an answer ends, and its tokens are counted as our worker counts them."""

from types import SimpleNamespace

from bench.ref_batch import encode, generate


class StepGenerator:
    """One token per step for each prompt, `max_tokens` times, or fewer by `stops` {first id: step}."""

    def __init__(self, stops=None):
        self.stops = stops or {}
        self.running = {}
        self.sizes = []
        self.inserted = []

    def insert(self, prompts, max_tokens):
        for prompt, most in zip(prompts, max_tokens, strict=True):
            self.inserted.append((len(self.sizes), prompt))
            self.running[len(self.inserted)] = [prompt[0], most, 0]

    def next(self):
        self.sizes.append(len(self.running))
        responses = []
        for uid, job in list(self.running.items()):
            first, most, given = job
            reason = "stop" if self.stops.get(first) == given else "length" if given + 1 == most else None
            job[2] += 1
            responses.append(SimpleNamespace(uid=uid, finish_reason=reason))
            if reason:
                del self.running[uid]
        return [], responses


def test_never_more_than_streams_and_refilled_at_once():
    generator = StepGenerator()
    assert generate(generator, [[n] for n in range(5)], [2, 4, 2, 2, 2], streams=2) == 12
    assert generator.sizes == [2] * 6
    assert generator.inserted == [(0, [0]), (0, [1]), (2, [2]), (4, [3]), (4, [4])]


def test_a_token_that_ends_an_answer_is_not_counted():
    generator = StepGenerator(stops={7: 3})
    assert generate(generator, [[7], [8]], [10, 2], streams=2) == 3 + 2


def test_more_streams_than_prompts():
    assert generate(StepGenerator(), [[1]], [3], streams=8) == 3
    assert generate(StepGenerator(), [], [], streams=8) == 0


def test_a_prompt_is_the_message_of_a_user():
    class Tokenizer:
        def apply_chat_template(self, messages, *, add_generation_prompt):
            assert add_generation_prompt
            return [messages]

    assert encode(Tokenizer(), "hello") == [[{"role": "user", "content": "hello"}]]
