"""A relay or its server is killed in the midst of an answer: what the caller hears, and who answers next."""

import pytest

from tests.support.http_answers import HttpAnswer
from tests.support.relay_scene import ALONE, ANSWER, THEN_MLX, WORDS, Scene, check, scene, shared
from tests.support.supervisor_home import wait_until

__all__ = ["scene", "shared"]
pytestmark = pytest.mark.integration

DIALECTS = ("/api/chat", "/api/generate", "/v1/chat/completions")


def begin(scene: Scene, path: str) -> HttpAnswer:
    """An answer of Ollama's that has said its first word and goes on when it is released."""
    scene.ollama.be(mode="hold")
    more = {"prompt": "#tokens=3"} if path == "/api/generate" else {}
    return scene.ask(THEN_MLX, path, **more).wait_text()


def check_cut(answer: HttpAnswer, word: str = "one ") -> None:
    """An error of the dialect is the last that came, and nobody else has spoken."""
    told = (answer.wait_end().status, answer.text, answer.error)
    assert answer.status == 200 and answer.text == word and answer.error and not answer.ended_well, told
    assert "error" in answer.objects[-1] or answer.objects[-1]["type"] == "error", told


@pytest.mark.parametrize("path", DIALECTS)
def test_a_relay_that_is_killed_in_the_midst(scene, path):
    answer = begin(scene, path)
    before = scene.stack.kill("relay-ollama")
    check_cut(answer)
    assert "died" in str(answer.error)
    check(scene.ask(THEN_MLX).wait_end(), "ollama>mlx", "down", ANSWER)
    assert scene.ask(ALONE).wait_end().status in (502, 200), "until supervisord has started it again"
    scene.ollama.be()
    wait_until("another relay", lambda: scene.stack.pid_of("relay-ollama") not in (0, before))
    wait_until("its answers", lambda: scene.ask(THEN_MLX).wait_end().backend == "ollama")


@pytest.mark.parametrize("path", DIALECTS)
def test_a_server_that_is_killed_in_the_midst(scene, path):
    answer = begin(scene, path)
    scene.ollama.down()
    try:
        check_cut(answer)
        assert answer.code in ("upstream_failed", "") and "ollama" in str(answer.error)
        scene.wait_breaker(closed=False)
        check(scene.ask(THEN_MLX).wait_end(), "ollama>mlx", "down", ANSWER)
        assert scene.ask(ALONE).wait_end().status == 502
    finally:
        scene.ollama.be()
        scene.ollama.up()
    scene.wait_breaker(closed=True)
    check(scene.ask(THEN_MLX).wait_end(), "ollama", "", WORDS)


def test_victoria_is_killed_in_the_midst(scene):
    scene.victoria.be(mode="hold", steps=("step: reading", "progress: half"))
    answer = HttpAnswer(scene.stack.url, "/chat/stream", {"content": "#tokens=3"}).wait_text()
    scene.victoria.down()
    try:
        check_cut(answer)
        assert answer.code == "upstream_failed"
        wait_until("her loss", lambda: not scene.stack.get("/health")[1]["backends"]["victoria"]["healthy"])
        check(HttpAnswer(scene.stack.url, "/chat/stream", {"content": "#tokens=3"}).wait_end(), "victoria>mlx", "down",
              ANSWER)
    finally:
        scene.victoria.be()
        scene.victoria.up()
    wait_until("her return", lambda: scene.stack.get("/health")[1]["backends"]["victoria"]["healthy"])
    check(HttpAnswer(scene.stack.url, "/chat/stream", {"content": "#tokens=3"}).wait_end(), "victoria", "", WORDS)


def test_what_was_sent_to_a_relay_is_not_sent_again_when_the_gateway_dies(scene):
    """An agent's work may have had effects: an error is better than doing it twice."""
    answer = begin(scene, "/api/chat")
    asked = scene.ollama.wait_asked()
    killed = scene.stack.kill("gateway")
    check_cut(answer)
    wait_until("another gateway", lambda: scene.stack.pid_of("gateway") not in (0, killed))
    scene.ollama.wait_ended(asked, "caller left")
    scene.ollama.be()
    scene.stack.wait_ready()
    wait_until("its answers", lambda: scene.ask(THEN_MLX).wait_end().backend == "ollama")
    assert all(each["n"] >= asked["n"] for each in scene.ollama.asked())
    marked = [each for each in scene.ollama.asked() if each["headers"].get("x-request-id") == asked["headers"].get(
        "x-request-id")]
    assert len(marked) == 1
