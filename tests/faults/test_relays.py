"""FAULTS rows 33-35: Ollama down, slow, broken or silent; Victoria calls us back; a person asks a reserved model."""

from collections.abc import Iterator

import pytest

from control.states import Breaker
from tests.support.http_answers import HttpAnswer
from tests.support.relay_scene import ALONE, ANSWER, ENDLESS, THEN_MLX, WORDS, Scene, check, scene, shared
from tests.support.supervisor_home import wait_until
from workers.breaker import FAILURES_MAX
from workers.relay import LINE_MAX_BYTES

__all__ = ["scene", "shared"]
pytestmark = pytest.mark.integration


# -- row 33: Ollama is down, slow, broken, or hangs -----------------------------------------------------------

BEFORE = {
    "500": ({"mode": "status", "status": 500}, 502),
    "503": ({"mode": "status", "status": 503}, 502),
    "its model is gone": ({"mode": "status", "status": 404}, 404),
    "silent": ({"mode": "hang"}, 504),
    "silent after its headers": ({"mode": "hang_after_headers"}, 504),
    "breaks off": ({"mode": "break_off", "after": 0}, 502),
    "ends without an end": ({"mode": "no_end", "after": 0}, 502),
    "says an error": ({"mode": "error_in_stream", "after": 0}, 502),
    "is another program": ({"mode": "wrong_api"}, 502),
    "redirects": ({"mode": "redirect"}, 502),
}
MIDST = {
    "breaks off": ({"mode": "break_off"}, "upstream_failed"),
    "silent": ({"mode": "hang_in_stream"}, "upstream_timeout"),
    "ends without an end": ({"mode": "no_end"}, "upstream_failed"),
    "says an error": ({"mode": "error_in_stream"}, "upstream_failed"),
    "says what is no JSON": ({"mode": "garbage"}, "upstream_failed"),
    "a line without end": ({"mode": "long_line", "line_bytes": 2 * LINE_MAX_BYTES}, "upstream_failed"),
}


@pytest.mark.parametrize("how", BEFORE)
def test_row_33_before_the_first_byte_the_next_of_the_chain_answers(scene, how):
    behaviour, status = BEFORE[how]
    scene.ollama.be(**behaviour)
    handed_on, alone = scene.ask(THEN_MLX), scene.ask(ALONE)
    check(handed_on.wait_end(), "ollama>mlx", "failed", ANSWER)
    assert alone.wait_end().status == status and "ollama" in alone.error and not alone.text
    assert len(scene.ollama.asked()) == 2, "each was sent there once"


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
@pytest.mark.parametrize("how", MIDST)
def test_row_33_in_the_midst_the_error_is_said_and_nobody_else_answers(scene, how, path):
    behaviour, code = MIDST[how]
    scene.ollama.be(**behaviour)
    answer = scene.ask(THEN_MLX, path).wait_end()
    assert (answer.status, answer.route, answer.text) == (200, "ollama", "one "), answer.error
    assert answer.error and not answer.ended_well and (answer.code == code or path == "/api/chat")
    assert len(scene.ollama.asked()) == 1


def test_row_33_a_slow_one_is_waited_for(scene):
    scene.ollama.be(first_pause_s=0.3, pause_s=0.3)
    check(scene.ask(THEN_MLX).wait_end(), "ollama", "", WORDS)


def test_row_33_one_that_is_down_is_not_asked_and_its_return_is_noticed(scene):
    scene.door.shut()
    first = scene.ask(THEN_MLX).wait_end()
    check(first, "ollama>mlx", first.reason, ANSWER)
    assert first.reason in ("failed", "down"), "asked before its loss was noticed, or after"
    scene.wait_breaker(closed=False)
    check(scene.ask(THEN_MLX).wait_end(), "ollama>mlx", "down", ANSWER)
    refused = scene.ask(ALONE).wait_end()
    assert refused.status == 502 and "does not answer" in refused.error
    assert not scene.ollama.asked()
    scene.door.lead_to(scene.ollama.port)
    scene.wait_breaker(closed=True)
    check(scene.ask(THEN_MLX).wait_end(), "ollama", "", WORDS)


def test_row_33_the_fifth_failure_opens_the_breaker_and_a_probe_closes_it(scene):
    scene.ollama.be(mode="status", probe="hang")
    scene.ollama.wait_stuck()  # no probe says anything meanwhile
    for number in range(FAILURES_MAX):
        assert scene.breaker() is Breaker.CLOSED, f"after {number} failures"
        assert scene.ask(ALONE).wait_end().status == 502
    scene.wait_breaker(closed=False)
    check(scene.ask(THEN_MLX).wait_end(), "ollama>mlx", "down", ANSWER)
    assert len(scene.ollama.asked()) == FAILURES_MAX, "an open breaker asks nothing but signs of life"
    scene.ollama.be()
    scene.door.shut()  # the probe that hangs ends
    scene.door.lead_to(scene.ollama.port)
    scene.wait_breaker(closed=True)
    check(scene.ask(THEN_MLX).wait_end(), "ollama", "", WORDS)


def test_row_33_a_caller_who_leaves_ends_the_work_there(scene):
    scene.ollama.be(mode="hold")
    answer = scene.ask(ALONE).wait_text()
    asked = scene.ollama.wait_asked()
    answer.leave()
    scene.ollama.wait_ended(asked, "caller left")
    wait_until("its place to be free", lambda: scene.stack.gateway_words().relay_running == 0)


# -- row 34: Victoria calls us back ---------------------------------------------------------------------------


def chat_with_victoria(scene: Scene, content: str = "#tokens=3") -> HttpAnswer:
    return HttpAnswer(scene.stack.url, "/chat/stream", {"content": content})


def calls_back(scene: Scene, path: str, body: dict) -> None:
    scene.victoria.be(call_back=scene.stack.url + path, call_back_body=body)


@pytest.fixture
def full(scene: Scene) -> Iterator[None]:
    """All five slots are taken, and somebody waits."""
    load = [HttpAnswer(scene.stack.url, "/chat/send", {"content": ENDLESS, "use_victoria": False}) for _ in range(6)]
    wait_until("a full MLX", lambda: scene.stack.gateway_words().queued_high == 1)
    yield
    for answer in load:
        answer.leave()


def test_row_34_the_inner_call_is_served_once_though_all_slots_are_taken(scene, full):
    calls_back(scene, "/chat/send", {"content": "#tokens=3", "use_victoria": False})
    admitted = scene.stack.gateway_words().admitted_high
    check(chat_with_victoria(scene).wait_end(), "victoria", "", WORDS)
    [inner] = scene.victoria.lines("called back")
    assert inner["status"] == 200 and ANSWER in inner["body"]
    words = scene.stack.gateway_words()
    assert words.admitted_high == admitted + 2, "the chat, and the call back once"
    assert (words.running_high, words.queued_high) == (5, 1), "who waited before still waits"


def test_row_34_at_hop_1_victoria_is_in_no_chain(scene):
    calls_back(scene, "/chat/send", {"content": "#tokens=3", "use_victoria": True})
    check(chat_with_victoria(scene).wait_end(), "victoria", "", WORDS)
    [inner] = scene.victoria.lines("called back")
    assert inner["status"] == 200 and '"backend":"mlx"' in inner["body"] and len(scene.victoria.asked()) == 1


def test_row_34_two_calls_back_do_not_both_get_the_slot_that_is_kept(scene, full):
    """The second waits for the first, and both are served."""
    calls_back(scene, "/chat/send", {"content": "#tokens=30 #rate=60", "use_victoria": False})
    for answer in [chat_with_victoria(scene) for _ in range(2)]:
        check(answer.wait_end(), "victoria", "", WORDS)
    assert [line["status"] for line in scene.victoria.lines("called back")] == [200, 200]


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions", "/chat/send", "/chat/stream"])
def test_row_34_a_second_hop_is_508(shared, path):
    body = {"content": "hello", "messages": [{"role": "user", "content": "hello"}]}
    answer = HttpAnswer(shared.stack.url, path, body, X_Warden_Hop="2").wait_end()
    assert answer.status == 508 and "circle" in str(answer.error)
    assert answer.headers["x-should-retry"] == "false"


def test_row_34_a_stack_that_is_its_own_ollama_finds_the_circle(scene):
    """0 -> 1 -> 2: the third refuses, and that is what the caller hears."""
    scene.door.lead_to(int(scene.stack.env["WARDEN_PORT"]))
    wait_until("another Ollama", lambda: scene.breaker() is Breaker.CLOSED)
    answer = scene.ask(ALONE).wait_end()
    assert answer.status == 508 and "circle" in answer.error, answer.error
    check(scene.ask(THEN_MLX).wait_end(), "ollama>mlx", "failed", ANSWER)


# -- row 35: a reserved model asked by a person ---------------------------------------------------------------

DIALECTS = {
    "/api/chat": {"messages": [{"role": "user", "content": "hi"}]},
    "/api/generate": {"prompt": "hi"},
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "hi"}]},
    "/chat/send": {"content": "hi", "use_victoria": False},
    "/chat/stream": {"content": "hi"},
}
WAYS = {"direct": {"model": "small"}, "with a tag": {"model": "small:latest"}, "alias": {"model": "tiny:1b"},
        "category": {}}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("path", DIALECTS)
@pytest.mark.parametrize("chain", ["task", "batch", "chat", "agent"])
def test_row_35_a_reserved_model_is_403_for_a_person(shared, path, way, chain):
    headers = {"X_Warden_Category": "routing"} if way == "category" else {}
    answer = HttpAnswer(shared.stack.url, path, DIALECTS[path] | WAYS[way], X_Warden_Kind=chain, **headers).wait_end()
    assert answer.status == 403 and "reserved for agents" in str(answer.error)
    assert path != "/v1/chat/completions" or answer.code == "model_reserved"


def test_row_35_the_agents_own_models_are_no_fallback_for_a_person(scene):
    answer = scene.ask("agent").wait_end()
    assert answer.status == 403 and "reserved for agents" in answer.error


def test_row_35_it_is_not_loaded_shown_or_listed_for_a_person(scene):
    for path, body in {"/api/generate": {"model": "small"}, "/api/show": {"model": "small"}}.items():
        assert HttpAnswer(scene.stack.url, path, body).wait_end().status == 403, path
    for path in ("/api/tags", "/v1/models", "/models"):
        listed = str(scene.stack.get(path)[1])
        assert "open" in listed and "small" not in listed, path
    assert scene.stack.get("/v1/models/small")[0] == 403
    assert scene.stack.row("small").control.starts == 0


def test_row_35_an_agent_is_answered_by_it(scene):
    key = scene.stack.warden("key", "create", "--name", "robot", "--audience", "agent").stdout.strip()

    def ask(chain: str, **body: str) -> HttpAnswer:
        return HttpAnswer(scene.stack.url, "/api/chat", DIALECTS["/api/chat"] | body, X_Warden_Kind=chain,
                          Authorization=f"Bearer {key}")

    wait_until("the key", lambda: ask("agent").wait_end().status == 200)
    assert ask("task").wait_end().headers["x-warden-model"] == "small", "a plain call of an agent is between agents"
    for way in WAYS.values():
        answer = ask(THEN_MLX, **(way or {"category": "routing"})).wait_end()
        assert (answer.status, answer.backend, answer.headers["x-warden-model"]) == (200, "mlx", "small"), answer.error
    assert "small" in str(scene.stack.get("/api/tags", Authorization=f"Bearer {key}"))
