"""workers/counting.py: counts come from a thread, one after the other, and each is answered."""

import threading

import pytest
from mlx_lm.utils import load_tokenizer

from control.config import ModelConfig
from tests.support.models import model_path
from workers import counting, protocol
from workers.counting import COUNTED_LEAST_TOKENS, IDS_MAX, KEPT, PENDING_MAX, Counter
from workers.protocol import ChatMessage

WAIT_S = 30
SAID = [ChatMessage("user", "hello there")]


def model(slug="tiny", engine="mlx", path="", **settings):
    return ModelConfig(name=slug, slug=slug, engine=engine, path=path or str(model_path("1m")), **settings)


class Asking:
    """A counter of these models. `ask` waits for its answer."""

    def __init__(self, *models):
        self.models = {each.slug: each for each in models}
        self.woken = threading.Semaphore(0)
        self.counter = Counter(self.models.get, self.woken.release)

    def ask(self, slug="tiny", *, number=1, prompt=None, messages=None, with_ids=False):
        self.counter.ask(protocol.Count(protocol.VERSION, 1, 1, number, slug, messages, prompt, None, with_ids))
        return self.take()

    def take(self):
        assert self.woken.acquire(timeout=WAIT_S)
        [done] = self.counter.take()
        return done


@pytest.fixture(scope="module")
def tiny():
    return Asking(model())


def test_a_prompt_is_counted_as_the_model_reads_it(tiny):
    tokenizer = load_tokenizer(model_path("1m"))
    done = tiny.ask(prompt="The quick brown fox", with_ids=True)
    assert (done.code, done.ids) == ("", tokenizer.encode("The quick brown fox"))
    assert done.tokens == len(done.ids) and done.context_length == 4096
    said = tiny.ask(messages=SAID)
    assert said.tokens == len(tokenizer.apply_chat_template([{"role": "user", "content": "hello there"}],
                                                            add_generation_prompt=True))
    assert said.ids is None


def test_the_context_is_what_the_operator_set():
    assert Asking(model(context_length=300)).ask(prompt="x").context_length == 300


def test_far_more_than_the_context_is_counted_all_the_same(tiny):
    done = tiny.ask(prompt="one two three " * 20_000)
    assert not done.code and done.tokens > done.context_length


def test_many_times_too_long_is_refused_and_not_encoded_whole(tiny):
    done = tiny.ask(prompt="one two three " * COUNTED_LEAST_TOKENS)
    assert done.code == "context_length_exceeded" and f"more than {COUNTED_LEAST_TOKENS} tokens" in done.message
    assert "context holds 4096" in done.message


@pytest.mark.parametrize(("slug", "prompt", "code", "said"), [
    ("tiny", "", "invalid_request", "prompt: it is empty"),
    ("other", "x", "model_not_found", "other is not configured here"),
])
def test_what_cannot_be_counted_says_why(tiny, slug, prompt, code, said):
    done = tiny.ask(slug, prompt=prompt)
    assert done.code == code and done.message.startswith(said)


def test_a_directory_without_a_tokenizer_fails_its_own_counts_alone(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    asking = Asking(model(), model("broken", path=str(tmp_path)), model("gone", path=str(tmp_path / "gone")))
    for slug in ("broken", "gone"):
        done = asking.ask(slug, prompt="x")
        assert done.code == "internal" and done.message.startswith(f"the tokenizer of {slug} cannot be used: ")
    assert not asking.ask(prompt="x").code


def test_more_ids_than_a_frame_holds_are_refused():
    done = Asking(model("words", "echo")).ask("words", prompt="a " * (IDS_MAX + 1), with_ids=True)
    assert done.code == "invalid_request" and f"told up to {IDS_MAX}" in done.message


def test_an_echo_model_has_words_for_tokens():
    done = Asking(model("e", "echo", context_length=50)).ask("e", prompt="one two three", with_ids=True)
    assert (done.tokens, done.context_length, done.ids) == (3, 50, [0, 1, 2])


def test_the_last_tokenizers_are_kept_and_given_back_when_memory_is_short(monkeypatch):
    made = []
    monkeypatch.setattr(counting, "mlx_words", lambda model: made.append(model.slug) or counting.echo_words(model))
    slugs = [f"m{k}" for k in range(KEPT + 1)]
    asking = Asking(*(model(slug, path=f"/{slug}") for slug in slugs))
    for slug in (*slugs[:KEPT], slugs[0], slugs[KEPT], slugs[0]):
        asking.ask(slug, prompt="x")
    assert made == slugs
    asking.ask(slugs[1], prompt="x")
    assert made == [*slugs, slugs[1]]
    asking.counter.trim()
    asking.ask(slugs[1], prompt="x")
    assert made == [*slugs, slugs[1], slugs[1]]


def test_what_nobody_waits_for_any_more_is_not_counted(monkeypatch):
    begun, go_on = threading.Event(), threading.Event()

    def held(model):
        begun.set()
        assert go_on.wait(WAIT_S)
        return counting.echo_words(model)

    monkeypatch.setattr(counting, "mlx_words", held)
    asking = Asking(model(), model("e", "echo"))
    for number in (1, 2, 3):
        asking.counter.ask(protocol.Count(protocol.VERSION, 1, 1, number, "tiny", None, "x"))
    assert begun.wait(WAIT_S)
    asking.counter.forget()
    go_on.set()
    asking.counter.ask(protocol.Count(protocol.VERSION, 1, 1, 4, "e", None, "x"))
    numbers = []
    while 4 not in numbers:
        assert asking.woken.acquire(timeout=WAIT_S)
        numbers += [done.count.number for done in asking.counter.take()]
    assert numbers == [1, 4]


def test_only_so_many_wait_here(monkeypatch):
    go_on = threading.Event()
    monkeypatch.setattr(counting, "mlx_words", lambda model: go_on.wait(WAIT_S) and counting.echo_words(model))
    asking = Asking(model())
    for number in range(PENDING_MAX + 1):
        asking.counter.ask(protocol.Count(protocol.VERSION, 1, 1, number, "tiny", None, "x"))
    refused = asking.take()
    assert (refused.count.number, refused.code) == (PENDING_MAX, "queue_full")
    go_on.set()
    for _ in range(PENDING_MAX):
        assert asking.woken.acquire(timeout=WAIT_S)
    assert len(asking.counter.take()) == PENDING_MAX and not asking.ask(prompt="x").code
