"""gateway/counting.py: requests that are too long for a model that is not loaded end before it is."""

import pytest

from control.states import Phase
from gateway import protocol
from gateway.counting import HOLD_S
from tests.support.counting_scene import CONTEXT, LONG, Scene


@pytest.fixture
def scene():
    return Scene()


def held(scene, slug="a"):
    """The requests of which control does not hear yet."""
    return [request.id for request in scene.d.counting.held(slug)]


def test_what_is_too_long_ends_before_control_hears_of_it(scene):
    scene.empty("b", b"wb")
    scene.submit("s", model="a", prompt=LONG)
    assert held(scene) == ["s"] and not scene.wants()
    scene.counted(CONTEXT)
    end = scene.end_of("s")
    assert end.code == "context_length_exceeded"
    assert f"{CONTEXT} tokens; the context holds {CONTEXT}" in end.message
    assert not scene.wants() and not any(scene.d.admission.queued)


def test_what_is_too_long_for_any_context_ends_in_the_words_of_who_stopped_counting(scene):
    scene.empty("b", b"wb")
    scene.submit("s", model="a", prompt=LONG)
    scene.counted(0, 0, "context_length_exceeded", "the prompt has more than 9 tokens")
    end = scene.end_of("s")
    assert (end.code, end.message) == ("context_length_exceeded", "the prompt has more than 9 tokens")
    assert not scene.wants() and not any(scene.d.admission.queued)


def test_what_fits_is_waited_for_as_soon_as_that_is_known(scene):
    scene.empty("b", b"wb")
    scene.submit("s", model="a", prompt=LONG)
    scene.counted(CONTEXT - 1)
    assert scene.wants() == ["a"] and not held(scene)
    scene.worker_up("a", b"wa")
    scene.answer(b"wa", scene.jobs_sent()[-1])
    assert isinstance(scene.end_of("s"), protocol.Done)


def test_a_count_that_takes_long_does_not_hold_the_load(scene):
    scene.empty("b", b"wb")
    scene.submit("s", model="a", prompt=LONG)
    scene.pass_time(HOLD_S)
    assert scene.wants() == ["a"] and not held(scene)
    scene.counted(CONTEXT)
    assert scene.end_of("s").code == "context_length_exceeded"


def test_without_a_process_the_load_is_wanted_at_once_and_the_count_follows(scene):
    scene.submit("s", model="a", prompt=LONG)
    assert scene.wants() == ["a"]
    scene.empty("a", b"wa")
    scene.counted(CONTEXT)
    assert scene.end_of("s").code == "context_length_exceeded"


def test_num_ctx_counts_too(scene):
    scene.empty("b", b"wb")
    scene.submit("s", model="a", prompt="x" * 50, options={"num_ctx": 20})
    scene.counted(20)
    assert "the context holds 20" in scene.end_of("s").message


def test_ids_need_no_worker(scene):
    scene.empty("b", b"wb")
    scene.submit("s", model="a", prompt=None, tokens=[1] * CONTEXT)
    assert scene.end_of("s").code == "context_length_exceeded" and not scene.counts()


@pytest.mark.parametrize("fields", [
    {"prompt": "short"}, {"prompt": LONG, "truncate": True}, {"prompt": None, "tokens": [1, 2]},
])
def test_what_cannot_be_too_long_is_not_counted(scene, fields):
    scene.empty("b", b"wb")
    scene.submit("s", model="a", **fields)
    assert not scene.counts() and scene.wants() == ["a"]


def test_a_loaded_model_judges_itself(scene):
    scene.worker_up("a", b"wa")
    scene.submit("s", model="a", prompt=LONG)
    assert not scene.counts() and scene.sent_to(b"wa") == ["s"]


def test_a_request_that_cannot_be_counted_goes_on(scene):
    scene.empty("b", b"wb")
    scene.submit("s", model="a", prompt=LONG)
    scene.counted(0, 0, "internal", "no tokenizer")
    assert not scene.ended("s") and scene.wants() == ["a"]


def test_a_request_that_its_caller_gave_up_is_not_counted_for(scene):
    scene.empty("b", b"wb")
    scene.submit("s", model="a", prompt=LONG)
    scene.client_says(b"c1", {"type": "cancel", "id": "s"})
    assert scene.end_of("s").finish_reason == "cancelled"
    scene.counted(CONTEXT)
    scene.turn()
    assert not held(scene) and not scene.wants()


def test_the_context_that_a_worker_told_is_remembered(scene):
    scene.empty("b", b"wb")
    scene.tokenize(model="b")
    scene.counted(3, 20)
    scene.set_row("b", Phase.DOWN)
    scene.turn()
    scene.empty("a", b"wa")
    scene.submit("s", model="b", prompt="x" * 30)
    assert scene.counts()[-1][1].slug == "b"
    scene.counted(5, 20)
    assert not scene.ended("s")
