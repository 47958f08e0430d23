"""What only a relay has, in its real process: a server that fails, comes and goes, and the breaker in its row."""

import json
import signal
from itertools import count

import pytest

from control.states import Breaker, Phase
from tests.support.backend_process import BackendProcess
from tests.support.backends import ScriptedBackend
from tests.support.relay_fixtures import kind, ollama, started_script, upstream, victoria
from tests.support.supervisor_home import wait_until
from workers import protocol as jobs
from workers.protocol import FRAME_MAX_BYTES
from workers.relay import PIECE_MAX_CHARS
from workers.relay_ollama_lines import COUNT_MAX

__all__ = ["kind", "ollama", "upstream", "victoria"]
pytestmark = pytest.mark.integration

KEY, SECRET = "warden-key-of-a-test", "a secret wish"
FLOOD = 8000  # more than all queues on the way hold
LOOKS_AT_REST = 25
NUMBERS = count(1)


@pytest.fixture
def start(tmp_path):
    """`start(server, more)` -> the backend and its process, READY; `more` are lines of [relays]."""
    processes = []

    def make(server, more="", is_impatient=False):
        backend = ScriptedBackend(server, more)
        if is_impatient:
            for setting in ("first_byte", "idle"):
                backend.settings = backend.settings.replace(f"relay_{setting}_s = 30", f"relay_{setting}_s = 0.4")
        processes.append(BackendProcess(tmp_path / f"relay{len(processes)}", backend.slug, backend.settings).ready())
        return backend, processes[-1]

    yield make
    for process in processes:
        process.end()


@pytest.fixture(scope="module", params=["ollama", "victoria"])
def running(request, tmp_path_factory):
    """A backend and its process, for all tests that leave it running."""
    with started_script(request.param, tmp_path_factory.mktemp("server")) as server:
        backend = ScriptedBackend(server)
        process = BackendProcess(tmp_path_factory.mktemp("running"), backend.slug, backend.settings).ready()
        yield backend, process
        process.end()


@pytest.fixture
def shared(running):
    """The same, and its server well and known to be."""
    backend, process = running
    backend.plain()
    process.wait_row("a server that is well", lambda row: row.breaker == Breaker.CLOSED and row.active == 0)
    return running


def ask(backend, process, number, text="hello", **fields):
    process.ask(number, text, remote=backend.remote(number), **fields)


def failure(backend, process, number):
    """How a job ends that does not end well: what came of it, its code, its message."""
    ask(backend, process, number, SECRET)
    said = process.wait_over(number)
    assert said.end is None and (said.items or isinstance(said.of_job[0], jobs.Accept))
    failed = said.one(jobs.Fail)
    return said.text, failed.code, failed.message


def wait_breaker(process, state):
    process.wait_row(f"breaker {state.name}", lambda row: row.breaker == state)


NESTED = "[" * 100_000
NO_TEXT = '{"type": "chunk", "content": "\xff", "message": {"content": "\xff"}}'
CASES = [  # what the server does, and: what came before, the code, a word of the message
    ({"mode": "status", "status": 500}, "", "upstream_failed", "answered 500: as scripted"),
    ({"mode": "status", "status": 503}, "", "upstream_failed", "answered 503"),
    ({"mode": "status", "status": 504}, "", "upstream_timeout", "answered 504"),
    ({"mode": "status", "status": 508}, "", "loop_detected", "answered 508"),
    ({"mode": "status", "status": 400}, "", "invalid_request", "answered 400"),
    ({"mode": "redirect"}, "", "upstream_failed", "redirects"),
    ({"mode": "hang"}, "", "upstream_timeout", "relay_first_byte_s"),
    ({"mode": "hang_after_headers"}, "", "upstream_timeout", "relay_first_byte_s"),
    ({"mode": "hang_in_stream", "after": 2}, "one two ", "upstream_timeout", "relay_idle_s"),
    ({"mode": "break_off", "after": 2}, "one two ", "upstream_failed", "broke off"),
    ({"mode": "no_end", "after": 3}, "one two three", "upstream_failed", "broke off"),
    ({"mode": "error_in_stream", "after": 1}, "one ", "upstream_failed", "as scripted"),
    ({"mode": "garbage", "after": 1}, "one ", "upstream_failed", "not"),
    ({"mode": "wrong_api"}, "", "upstream_failed", ""),
    ({"mode": "garbage", "raw_line": NO_TEXT}, "one ", "upstream_failed", "API"),
    ({"mode": "garbage", "raw_line": '{"type": "chunk", "content": ' + NESTED}, "one ", "upstream_failed", "API"),
    ({"mode": "status", "raw_problem": NESTED}, "", "upstream_failed", "answered 500: [["),
    ({"mode": "status", "raw_problem": '{"error": "\\ud800"}'}, "", "upstream_failed", "answered 500: ?"),
]


def test_every_failure_of_the_server_is_told_by_code_and_harms_nothing_else(upstream, start):
    backend, process = start(upstream, is_impatient=True)
    for number, (behaviour, before, code, word) in enumerate(CASES, 1):
        upstream.be(**behaviour)
        text, told, message = failure(backend, process, 2 * number)
        assert (text, told) == (before, code) and word in message, behaviour
        upstream.be()
        wait_breaker(process, Breaker.CLOSED)  # five failures in a row open it, and a probe closes it
        ask(backend, process, 2 * number + 1)
        process.wait_over(2 * number + 1)
    assert SECRET not in process.output()


def test_odd_numbers_and_odd_lists_of_models_end_no_relay(ollama, start):
    backend, process = start(ollama)
    for number, tokens in enumerate((2**63, 2**64 - 1, 10**23), 1):
        facts = ", ".join(f'"{name}": {tokens}' for name in ("eval_count", "prompt_eval_count", "eval_duration"))
        ollama.be(mode="garbage", raw_line=f'{{"done": true, {facts}}}')
        ask(backend, process, number)
        assert process.wait_over(number).end.completion_tokens == COUNT_MAX
    for sign in ('{"models": [{"name": "\xff"}]}', '{"models": [{"name": "a", "x": ' + NESTED):
        ollama.be(raw_sign=sign)
        wait_breaker(process, Breaker.OPEN)
        ollama.be()
        wait_breaker(process, Breaker.CLOSED)
    ask(backend, process, 4)
    assert process.wait_over(4).end and process.process.poll() is None


def test_steps_come_as_notes_beside_the_answer(victoria, start):
    victoria.be(steps=["step: looking", "progress: 50 %"])
    backend, process = start(victoria)
    ask(backend, process, 1, "find it")
    said = process.wait_over(1)
    assert said.notes == [("start", "find it"), ("step", "looking"), ("progress", "50 %")]
    assert said.text == "one two three" and not said.has_gap()


def test_a_server_that_is_not_there_is_known_and_its_coming_noticed(upstream, start):
    upstream.down()
    backend, process = start(upstream)
    assert process.hello().phase == Phase.READY
    wait_breaker(process, Breaker.OPEN)
    text, code, message = failure(backend, process, 1)
    assert (text, code, message) == ("", "upstream_failed", f"{upstream.kind}: connection refused")
    upstream.up()
    wait_breaker(process, Breaker.CLOSED)
    process.wait("its models", lambda: process.hello().models == backend.models)
    ask(backend, process, 2)
    assert process.wait_over(2).end


def test_a_server_killed_in_mid_stream_ends_the_answer_in_an_error_and_opens_the_breaker(upstream, start):
    backend, process = start(upstream)
    wait_breaker(process, Breaker.CLOSED)
    ask(backend, process, 1, backend.slow())
    process.wait_text(1)
    upstream.down()
    said = process.wait_over(1)
    assert said.end is None and said.text == "one " and said.one(jobs.Fail).code == "upstream_failed"
    wait_breaker(process, Breaker.OPEN)
    upstream.be()
    upstream.up()
    wait_breaker(process, Breaker.CLOSED)
    ask(backend, process, 2)
    assert process.wait_over(2).end
    changes = [json.loads(line) for line in process.output().splitlines() if "server_changed" in line]
    assert [change["breaker"] for change in changes] == ["closed", "open", "closed"]


def test_five_failures_open_the_breaker_and_a_sign_of_life_closes_it(shared):
    backend, process = shared
    upstream = backend.server
    upstream.be(mode="status", status=500, problem=SECRET, probe="hang")
    for _ in range(5):
        failure(backend, process, next(NUMBERS))
    wait_breaker(process, Breaker.OPEN)
    asked = len(upstream.asked())
    message = failure(backend, process, next(NUMBERS))[2]
    assert len(upstream.asked()) == asked and SECRET not in message, "words for one caller reached another"
    assert SECRET not in process.output()
    upstream.down()  # it also ends the sign of life that hangs
    upstream.be()
    upstream.up()
    wait_breaker(process, Breaker.CLOSED)


def test_a_killed_relay_leaves_nothing_running_at_the_server(upstream, start):
    backend, process = start(upstream)
    ask(backend, process, 1, backend.endless())
    process.wait_text(1)
    process.process.send_signal(signal.SIGKILL)
    upstream.wait_ended(backend.asked(1), "caller left")


def test_told_to_go_while_the_server_hangs_it_goes_when_the_limit_is_over(upstream, start):
    upstream.be(mode="hang_in_stream")
    backend, process = start(upstream, is_impatient=True)
    ask(backend, process, 1)
    process.wait_text(1)
    process.term()
    assert process.exit_code() == 0
    said = process.wait_over(1)
    assert said.one(jobs.Fail).code == "upstream_timeout" and said.end is None


def test_the_key_is_sent_and_stands_in_no_log(upstream, start, tmp_path):
    (tmp_path / "key").write_text(KEY + "\n")
    backend, process = start(upstream, f'{upstream.kind}_key_file = "{tmp_path}/key"')
    ask(backend, process, 1)
    assert process.wait_over(1).end
    assert backend.asked(1)["headers"]["authorization"] == f"Bearer {KEY}"
    upstream.be(mode="status", status=401)
    assert KEY not in failure(backend, process, 2)[2]
    (tmp_path / "key").unlink()
    wait_breaker(process, Breaker.OPEN)
    (tmp_path / "key").write_text("another")
    wait_breaker(process, Breaker.CLOSED)
    assert KEY not in process.output() and process.process.poll() is None


def test_the_server_is_told_what_this_request_is(shared):
    (backend, process), number = shared, next(NUMBERS)
    process.ask(number, remote=jobs.Remote("a-model", 1, f"req-{number}", "session-5", 7))
    process.wait_over(number)
    request = backend.asked(number)
    assert request["headers"]["x-warden-hop"] == "1"
    if backend.server.kind == "victoria":
        assert (request["body"]["session_id"], request["body"]["max_steps"]) == ("session-5", 7)
    else:
        assert request["body"]["model"] == "a-model"


def steps_at_rest(process, before):
    """How many parts came, once none comes any more; the gateway's side is not read meanwhile."""
    seen = []

    def look():
        seen.append(process.row().steps)
        return len(seen) > LOOKS_AT_REST and len(set(seen[-LOOKS_AT_REST:])) == 1 and seen[-1] > before + 1

    wait_until("a relay that goes no further", look)
    return seen[-1]


def test_a_gateway_that_does_not_read_makes_the_server_wait_and_loses_nothing(shared):
    (backend, process), number = shared, next(NUMBERS)
    words = [f"{word} " for word in range(FLOOD)]
    backend.server.be(words=words)
    before = process.row().steps
    ask(backend, process, number)
    process.wait_text(number)
    assert steps_at_rest(process, before) - before < FLOOD
    said = process.wait_over(number)
    assert said.end and not said.has_gap() and said.text == "".join(words)


def test_a_line_of_nearly_a_mebibyte_comes_in_frames_that_fit(shared):
    (backend, process), number = shared, next(NUMBERS)
    backend.server.be(mode="long_line", line_bytes=900_000, after=0)
    ask(backend, process, number)
    said = process.wait_over(number)
    assert said.end and len(said.text) == 900_000 + len("one two three") and not said.has_gap()
    assert max(len(item.text) for item in said.items) <= PIECE_MAX_CHARS < FRAME_MAX_BYTES / 4
