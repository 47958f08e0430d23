"""The chat endpoints with a whole stack: Victoria answers, else MLX; without her MLX or a clear error; never Ollama."""

import pytest

from tests.support.http_answers import HttpAnswer
from tests.support.relay_scene import ANSWER, WORDS, Scene, check, scene, shared
from tests.support.supervisor_home import wait_until

__all__ = ["scene", "shared"]
pytestmark = pytest.mark.integration

BOTH = pytest.mark.parametrize("path", ["/chat/stream", "/chat/send"])


@pytest.fixture(scope="module")
def held(shared: Scene) -> None:
    """The model `broken` is held by an operator."""
    shared.stack.load("broken")
    shared.stack.warden("ctl", "stop", "worker-broken")


def chat(scene: Scene, path: str = "/chat/stream", **body: object) -> HttpAnswer:
    return HttpAnswer(scene.stack.url, path, {"content": "#tokens=3", **body})


def kinds(answer: HttpAnswer) -> list[str]:
    return [each["type"] for each in answer.objects]


@BOTH
def test_victoria_answers_with_all_she_is_told(scene, path):
    history = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    answer = chat(scene, path, session_id="s-1", chat_history=history, max_steps=7).wait_end()
    check(answer, "victoria", "", WORDS)
    [asked] = scene.victoria.asked()
    assert asked["body"] == {"goal": "#tokens=3", "session_id": "s-1", "chat_history": history, "max_steps": 7}
    assert asked["headers"]["x-warden-hop"] == "1" and asked["headers"]["x-correlation-id"]
    assert answer.headers["x-warden-model"] == "victoria" and answer.objects[-1]["session_id"] == "s-1"


def test_her_steps_are_shown_and_are_no_part_of_the_answer(scene):
    scene.victoria.be(steps=("step: reading", "progress: half"))
    answer = chat(scene).wait_end()
    check(answer, "victoria", "", WORDS)
    assert kinds(answer) == ["start", "step", "progress", "chunk", "chunk", "chunk", "end"]
    assert [each["content"] for each in answer.objects[1:3]] == ["reading", "half"]
    assert answer.objects[0]["backend"] == answer.objects[-1]["backend"] == "victoria"


@BOTH
def test_when_she_fails_mlx_answers(scene, path):
    scene.victoria.be(mode="status")
    answer = chat(scene, path).wait_end()
    check(answer, "victoria>mlx", "failed", ANSWER)
    assert answer.objects[-1]["backend"] == "mlx" and not scene.ollama.asked()


def test_when_she_fails_after_her_steps_the_caller_hears_of_it(scene):
    """The headers are gone by then; the events say who answers."""
    scene.victoria.be(mode="error_in_stream", after=0, steps=("step: reading",))
    answer = chat(scene).wait_end()
    assert (answer.status, answer.text, answer.error) == (200, ANSWER, None) and answer.ended_well
    assert kinds(answer)[:3] == ["start", "step", "progress"] and answer.objects[2]["backend"] == "mlx"
    assert (answer.objects[-1]["route"], answer.objects[-1]["reason"]) == ("victoria>mlx", "failed")


@BOTH
def test_without_her_mlx_answers_and_she_is_not_asked(scene, path):
    check(chat(scene, path, use_victoria=False).wait_end(), "mlx", "", ANSWER)
    assert not scene.victoria.asked()


@BOTH
def test_without_her_an_mlx_that_cannot_is_a_clear_error(scene, held, path):
    """Ollama would have answered, and is not asked."""
    answer = chat(scene, path, use_victoria=False, model="broken").wait_end()
    assert answer.status == 503 and "held" in str(answer.error) and "warden ctl start" in str(answer.error)
    assert not scene.ollama.asked() and not scene.victoria.asked()
    check(chat(scene, path, model="broken").wait_end(), "victoria", "", WORDS)


def test_with_both_gone_the_error_says_so(scene, held):
    scene.victoria.be(mode="status", status=503, problem="out for lunch")
    answer = chat(scene, "/chat/send", model="broken").wait_end()
    assert answer.status == 502 and "out for lunch" in str(answer.error)


@pytest.mark.parametrize("body, field", [
    ({"content": ""}, "content"), ({"content": "  "}, "content"), ({"content": 1}, "content"),
    ({"use_victoria": "yes"}, "use_victoria"), ({"model": "nobody"}, "nobody"), ({"max_steps": -1}, "max_steps"),
    ({"chat_history": [{"role": "robot", "content": "hi"}]}, "chat_history"),
])
def test_a_wrong_field_is_refused_by_its_name(scene, body, field):
    answer = chat(scene, **body).wait_end()
    assert answer.status in (400, 404) and field in str(answer.error)
    assert not scene.victoria.asked()


def test_a_mode_chooses_a_model_where_none_is_named(scene, held):
    answer = chat(scene, use_victoria=False, mode="quick").wait_end()
    assert answer.status == 503 and "broken is held" in str(answer.error)


def test_status_and_models_tell_who_is_there(scene):
    status = scene.stack.get("/status")[1]
    assert (status["status"], status["backend"]) == ("ok", "victoria")
    assert status["backends"]["mlx"]["healthy"] and status["backends"]["victoria"]["healthy"]
    scene.victoria.be(probe="status")
    wait_until("her loss", lambda: scene.stack.get("/status")[1]["backend"] == "mlx")
    models = {each["name"]: each for each in scene.stack.get("/models")[1]["models"]}
    assert not models["victoria"]["available"] and models["open"]["available"] and "small" not in models
    scene.victoria.be()
    wait_until("her return", lambda: scene.stack.get("/status")[1]["backend"] == "victoria")


def test_who_leaves_ends_her_work(scene):
    scene.victoria.be(mode="hold")
    answer = chat(scene).wait_text()
    asked = scene.victoria.wait_asked()
    answer.leave()
    scene.victoria.wait_ended(asked, "caller left")
