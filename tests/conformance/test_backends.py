"""One suite for all backends: what the gateway may count on, whoever answers.

A worker with the echo engine, one with MLX, the relay to a scripted Ollama, to a scripted Victoria, and to a second
stack of ours: each in its real process, between a control and a gateway played by the test. What only the process of
a worker decides, and no engine and no server behind it, is not shown again with MLX and the second stack.
"""

from itertools import count

import pytest

from control import messages
from control.states import Breaker, Phase
from tests.support.backend_process import INCARNATION, BackendProcess
from tests.support.backends import BACKENDS, BATCH_MAX
from workers import protocol as jobs
from workers.job_parts import NONE, REQUIRED, Extras, Tool

pytestmark = pytest.mark.integration

NUMBERS = count(1)
of_each_kind = pytest.mark.usefixtures("no_repeat")


@pytest.fixture(scope="module", params=list(BACKENDS))
def backend(request, tmp_path_factory):
    make, of = BACKENDS[request.param]
    with make(of, tmp_path_factory.mktemp("backend")) as made:
        yield made


@pytest.fixture(scope="module")
def no_repeat(backend):
    if backend.is_repeat:
        pytest.skip("what only the process decides is shown with another backend")


@pytest.fixture(scope="module")
def running(backend, tmp_path_factory):
    """A process for all tests that leave it running."""
    process = BackendProcess(tmp_path_factory.mktemp("running"), backend.slug, backend.settings).ready()
    yield process
    process.end()


@pytest.fixture
def ready(backend, running):
    """The same, and nothing in hand before and after."""
    backend.plain()
    running.wait_row("nothing in hand", lambda row: row.active == 0)
    yield running
    running.wait_row("nothing in hand", lambda row: row.active == 0)


@pytest.fixture
def fresh(backend, tmp_path):
    """One of the test's own, not started yet."""
    backend.plain()
    process = BackendProcess(tmp_path / "fresh", backend.slug, backend.settings)
    yield process
    process.end()


def ask(backend, process, text="hello", **fields):
    """The number of a new job."""
    number = next(NUMBERS)
    process.ask(number, text, remote=backend.remote(number), **{"max_tokens": 20} | fields)
    return number


def ask_long(backend, process, endless=False):
    """A job whose first word is there and whose end is not."""
    text, max_tokens = (backend.endless(), backend.endless_tokens) if endless else (backend.slow(), backend.slow_tokens)
    number = ask(backend, process, text, max_tokens=max_tokens)
    process.wait_text(number)
    return number


@of_each_kind
def test_a_hello_before_any_welcome_and_no_word_in_the_table(fresh):
    fresh.start()
    hello = fresh.wait("a hello", lambda: fresh.of_control(messages.Hello))[0]
    assert (hello.slug, hello.pid, hello.incarnation, hello.phase) == (fresh.slug, fresh.process.pid, 0, 0)
    assert fresh.row() is None and fresh.frames == []


def test_welcomed_it_is_empty_and_takes_nothing_until_it_is_told_to_begin(backend, fresh):
    fresh.start().welcome()
    assert fresh.hello().phase == Phase.EMPTY and fresh.row().phase == Phase.EMPTY
    refused = fresh.wait_over(ask(backend, fresh)).one(jobs.Refuse)
    assert (refused.code, refused.message) == ("not_ready", "empty")
    fresh.load()
    assert fresh.wait_over(ask(backend, fresh)).end


def test_ready_it_says_what_it_can(backend, ready):
    ready.wait("its models", lambda: ready.hello().models == backend.models)
    hello, row = ready.hello(), ready.row()
    assert (hello.slug, hello.incarnation, hello.pid) == (backend.slug, INCARNATION, ready.process.pid)
    assert (hello.phase, hello.batch_max, row.phase, row.batch_max) == (Phase.READY, BATCH_MAX) * 2
    assert row.breaker == Breaker.CLOSED and row.gateway_epoch == ready.epoch
    assert hello.context_length == row.context_length and bool(row.context_length) is not backend.is_relay


def test_an_answer_is_accepted_comes_in_order_and_ends(backend, ready):
    said = ready.wait_over(ask(backend, ready))
    if said.of_job:  # else its first step came at once and said as much
        assert isinstance(said.of_job[0], jobs.Accept) and said.one(jobs.Fail) is None
    assert said.text and not said.has_gap()
    assert [item.end for item in said.items[:-1]] == [None] * (len(said.items) - 1)
    assert said.end.reason in ("stop", "length")
    assert (said.end.completion_tokens > 0 and said.end.prompt_tokens > 0) is backend.counts_tokens
    assert said.end.prompt_ms >= 0 and said.end.decode_ms >= 0
    assert bool(any(item.ids for item in said.items)) is not backend.is_relay


def test_the_limit_of_an_answer_is_kept_or_told_to_who_keeps_it(backend, ready):
    if not backend.counts_tokens:
        pytest.skip("Victoria counts no tokens")
    said = ready.wait_over(ask(backend, ready, "#tokens=50", max_tokens=3))
    assert (said.end.reason, said.end.completion_tokens) == ("length", 3)


def test_as_many_as_it_takes_at_once_and_no_more(backend, ready):
    numbers = [ask_long(backend, ready) for _ in range(BATCH_MAX)]
    refused = ready.wait_over(ask(backend, ready)).one(jobs.Refuse)
    assert (refused.code, refused.message) == ("not_ready", "the batch is full")
    ready.wait_row("all in hand", lambda row: row.active == BATCH_MAX)
    backend.release()
    for number in numbers:
        said = ready.wait_over(number)
        assert said.end and not said.has_gap()


@of_each_kind
def test_a_heartbeat_tells_the_jobs_in_hand(backend, ready):
    number = ask_long(backend, ready, endless=True)
    ready.wait("its number in a heartbeat", lambda: any(
        isinstance(frame, jobs.Beat) and frame.jobs == [number] for frame in ready.frames))
    ready.cancel(number)
    ready.wait_over(number)


def test_a_cancel_is_answered_at_once_reaches_the_server_and_nothing_comes_after_it(backend, ready):
    number = ask_long(backend, ready, endless=True)
    ready.cancel(number)
    said = ready.wait_over(number)
    assert said.one(jobs.Fail).code == "cancelled" and said.end is None and not said.has_gap()
    backend.wait_left(ready, number)
    backend.plain()
    ready.wait_over(ask(backend, ready))
    assert len(ready.said(number).items) == len(said.items), "it spoke after its end"


@of_each_kind
def test_the_cancel_of_a_job_in_a_full_batch_leaves_the_others_alone(backend, ready):
    numbers = [ask_long(backend, ready) for _ in range(BATCH_MAX)]
    ready.cancel(numbers[1])
    assert ready.wait_over(numbers[1]).one(jobs.Fail).code == "cancelled"
    backend.release()
    for number in (numbers[0], numbers[2]):
        assert ready.wait_over(number).end and not ready.said(number).has_gap()


def test_the_cancel_of_a_job_that_is_not_there_is_answered_too(ready):
    number = next(NUMBERS)
    ready.cancel(number)
    assert ready.wait_over(number).one(jobs.Fail).code == "cancelled"


def test_the_same_job_again_is_another_attempt(backend, ready):
    number = ask_long(backend, ready, endless=True)
    ready.cancel(number)
    ready.wait_over(number)
    backend.plain()
    ready.ask(number, attempt=2, remote=backend.remote(number), max_tokens=20)
    assert ready.wait_over(number, attempt=2).end and not ready.said(number, 2).has_gap()


@of_each_kind
def test_frames_of_another_epoch_or_incarnation_change_nothing(backend, ready):
    number, others = ask_long(backend, ready), [next(NUMBERS) for _ in range(2)]
    ready.cancel(number, epoch=ready.epoch - 1)
    ready.cancel(number, incarnation=INCARNATION + 1)
    ready.ask(others[0], epoch=ready.epoch - 1, remote=backend.remote(others[0]))
    ready.ask(others[1], incarnation=INCARNATION - 1, remote=backend.remote(others[1]))
    backend.release()
    assert ready.wait_over(number).end
    backend.plain()
    ready.wait_over(ask(backend, ready))
    about = {frame.job for frame in ready.frames if hasattr(frame, "job")}
    assert about.isdisjoint(others)


def test_another_gateway_makes_it_drop_everything_before_it_says_hello(backend, ready):
    before, number = ready.epoch, ask_long(backend, ready, endless=True)
    ready.another_gateway()
    backend.wait_left(ready, number)
    known_at = ready.frames.index(ready.hello())
    assert all(frame.epoch != before for frame in ready.frames[known_at:] if hasattr(frame, "epoch"))
    assert ready.said(number, epoch=before).end is None
    backend.plain()
    assert ready.wait_over(ask(backend, ready)).end


def test_what_it_cannot_do_is_refused_with_a_code_and_the_others_go_on(backend, ready):
    number = ask_long(backend, ready)
    fields, code = backend.refused
    backend.refuse()
    failed = ready.wait_over(ask(backend, ready, **fields)).one(jobs.Fail)
    assert failed.code == code and failed.message
    backend.plain()
    assert not ready.said(number).one(jobs.Fail)
    ready.cancel(number)
    ready.wait_over(number)
    assert ready.wait_over(ask(backend, ready)).end, "one wrong request is no reason to do nothing more"
    assert ready.row().breaker == Breaker.CLOSED


@pytest.mark.parametrize(("field", "extras"), [
    ("tools", Extras(tools=[Tool("weather")])), ("tool_choice", Extras(tools=[Tool("weather")], tool_choice=REQUIRED)),
    ("tools", Extras(tools=[Tool("weather")], tool_choice=NONE)), ("schema", Extras(schema={"type": "object"})),
    ("think", Extras(think=False)), ("logprobs", Extras(logprobs=1)), ("logit_bias", Extras(logit_bias={5: 1.0})),
    ("num_ctx", Extras(num_ctx=2048, num_keep=4, truncate=True)),
])
def test_what_is_asked_besides_words_is_given_or_refused_by_name(backend, ready, field, extras):
    said = ready.wait_over(ask(backend, ready, extras=extras))
    failed = said.one(jobs.Fail)
    if failed is None:
        assert said.end and not said.has_gap()
    else:
        names = (f"{field}: ", "tools: ", "format: ")  # the last as another mlx-warden names a schema
        assert failed.code == "not_offered" and any(name in failed.message for name in names), failed
        assert not said.items
    assert ready.row().breaker == Breaker.CLOSED


@pytest.mark.parametrize("text", ["héllo wörld", "日本語", "😀👩‍👩‍👧‍👦", "e\u0301", "\x00\u200b", "שלום", "#"])
def test_any_unicode_is_asked(backend, ready, text):
    assert ready.wait_over(ask(backend, ready, text)).end


def test_told_to_go_it_finishes_what_it_has_and_takes_nothing_new(backend, fresh):
    number = ask_long(backend, fresh.ready())
    fresh.term()
    fresh.wait("DRAINING", lambda: fresh.hello().phase == Phase.DRAINING)
    refused = fresh.wait_over(ask(backend, fresh)).one(jobs.Refuse)
    assert (refused.code, refused.message) == ("not_ready", "draining")
    backend.release()
    assert fresh.exit_code() == 0
    said = fresh.wait_over(number)
    assert said.end and not said.has_gap()


@of_each_kind
def test_told_to_go_with_nothing_in_hand_it_goes(fresh):
    fresh.ready().term()
    assert fresh.exit_code() == 0
    assert fresh.row().phase == Phase.DRAINING


def test_it_quits_empty_handed_only(backend, fresh):
    number = ask_long(backend, fresh.ready(), endless=True)
    fresh.quit(8)
    fresh.wait("its refusal", lambda: fresh.of_control(messages.Busy))
    fresh.cancel(number)
    fresh.wait_over(number)
    while not fresh.of_control(messages.Quitting):  # what gives the job up may take a moment
        refused = len(fresh.of_control(messages.Busy))
        fresh.quit(8 + refused)
        fresh.wait("an answer", lambda: len(fresh.of_control(messages.Busy)) > refused  # noqa: B023
                   or fresh.of_control(messages.Quitting))
    assert fresh.exit_code() == 0


def test_nothing_that_was_asked_stands_in_its_journal(backend, ready):
    ready.wait_over(ask(backend, ready, "a secret wish"))
    fields, _ = backend.refused
    backend.refuse()
    ready.wait_over(ask(backend, ready, **{"text": "a secret wish"} | fields))
    assert "a secret wish" not in ready.output()
