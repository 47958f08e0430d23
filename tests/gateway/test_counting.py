"""gateway/counting.py: which worker counts, who hears the number, and what becomes of requests that are too long."""

import pytest

from control.states import Phase
from gateway import protocol
from gateway.counting import (
    ANSWER_WITHIN_S,
    ASKED_MAX,
    CONTEXT_UNKNOWN_TOKENS,
    WAIT_S,
    Seat,
    choose_worker,
    may_be_too_long,
)
from gateway.waiting import PROGRESS_EVERY_S
from tests.support.counting_scene import A_MOMENT_S, CONTEXT, Scene
from tests.support.gateway_world import World, make_model
from workers import protocol as jobs


def mlx(slug, phase, work=0):
    return Seat(slug, "mlx", phase, work)


@pytest.mark.parametrize(("seats", "chosen"), [
    ([], None),
    ([mlx("a", Phase.LOADING), mlx("b", Phase.EMPTY), mlx("c", Phase.READY)], "a"),
    ([mlx("a", Phase.READY, 9), mlx("b", Phase.EMPTY)], "a"),
    ([mlx("b", Phase.READY), mlx("c", Phase.EMPTY)], "c"),
    ([mlx("b", Phase.READY, 2), mlx("c", Phase.READY, 1)], "c"),
    ([mlx("a", Phase.DRAINING), mlx("b", Phase.READY)], "b"),
    ([Seat("b", "echo", Phase.READY, 0), mlx("c", Phase.READY, 5)], "c"),
    ([Seat("b", "echo", Phase.EMPTY, 0)], None),
])
def test_its_own_process_counts_else_an_empty_one_else_the_least_busy_of_its_engine(seats, chosen):
    assert choose_worker("a", "mlx", seats) == chosen


@pytest.mark.parametrize(("chars", "context", "num_ctx", "may"), [
    (99, 100, 0, False), (100, 100, 0, True), (50, 100, 40, True), (50, 100, 200, False),
    (CONTEXT_UNKNOWN_TOKENS - 1, 0, 0, False), (CONTEXT_UNKNOWN_TOKENS, 0, 0, True), (40, 0, 40, True),
])
def test_only_what_has_more_characters_than_the_context_tokens_may_be_too_long(chars, context, num_ctx, may):
    assert may_be_too_long(chars, context, num_ctx) is may


@pytest.fixture
def scene():
    return Scene()


def test_a_model_that_is_not_loaded_is_counted_for_by_a_process_that_is_there(scene):
    scene.empty("b", b"wb")
    scene.tokenize(messages=[{"role": "user", "content": "hi", "images": ["aGk="]}], prompt=None, think=True,
                   tools=[{"name": "f"}], with_ids=True)
    [(who, count)] = scene.counts()
    assert (who, count.slug, count.with_ids) == (b"wb", "a", True)
    assert count.messages == [jobs.ChatMessage("user", "hi")]
    assert count.extras == jobs.Extras(tools=[jobs.Tool("f")], think=True)
    scene.counted(3, ids=[1, 2, 3])
    assert scene.info() == protocol.CountInfo("a", 3, CONTEXT, [1, 2, 3])
    assert not scene.wants()


def test_an_alias_and_a_wrong_name_are_told_as_ever(scene):
    scene.empty("a", b"wa")
    scene.tokenize("q1", model="a-alias")
    scene.counted()
    assert scene.info("q1").model == "a"
    scene.tokenize("q2", model="zzz")
    assert scene.end_of("q2").code == "model_not_found"


def test_a_model_that_is_not_for_this_caller_is_not_counted_for():
    world = World(make_model("r", audience="agents"), "b")
    world.client_says(b"c1", {"type": "tokenize", "id": "q", "model": "r", "prompt": "x"})
    assert world.end_of("q").code == "model_reserved"


@pytest.mark.parametrize("fields", [{"prompt": None}, {"messages": [{"role": "user", "content": "x"}]}])
def test_one_kind_of_prompt_is_counted(scene, fields):
    scene.tokenize(**fields)
    assert scene.end_of("q").code == "invalid_request"


def test_what_the_worker_refuses_reaches_the_caller(scene):
    scene.empty("a", b"wa")
    scene.tokenize("q1")
    scene.counted(0, 0, "invalid_request", "messages: no")
    assert (scene.end_of("q1").code, scene.end_of("q1").message) == ("invalid_request", "messages: no")
    scene.tokenize("q2")
    scene.counted(0, 0, "of tomorrow", "new")
    assert scene.end_of("q2").code == "internal"


def test_without_a_process_the_model_is_wanted_and_its_first_hello_is_asked(scene):
    scene.tokenize()
    assert scene.wants() == [] and scene.d.desk.waiting_for_load("a") == (1, scene.now)
    scene.pass_time(A_MOMENT_S)
    assert set(scene.wants()) == {"a"}
    scene.empty("a", b"wa")
    assert [who for who, _ in scene.counts()] == [b"wa"]
    assert scene.d.desk.waiting_for_load("a") == (0, None)
    scene.counted()
    assert scene.info().tokens == 7


def test_whoever_waits_hears_of_it_and_not_for_ever(scene):
    scene.tokenize()
    scene.pass_time(PROGRESS_EVERY_S)
    assert [type(event) for event in scene.events("q")] == [protocol.Progress]
    scene.pass_time(WAIT_S)
    end = scene.end_of("q")
    assert end.code == "model_unavailable" and end.retry_after_s > 0
    scene.pass_time(A_MOMENT_S)
    assert scene.d.desk.waiting_for_load("a") == (0, None)


def test_a_model_that_cannot_be_had_is_not_waited_for(scene):
    scene.set_row("a", Phase.HELD)
    scene.tokenize()
    assert scene.end_of("q").code == "model_unavailable" and "is held" in scene.end_of("q").message


def test_a_lost_worker_is_replaced_once(scene):
    for slug, identity in (("a", b"wa"), ("b", b"wb")):
        scene.empty(slug, identity)
    scene.tokenize()
    scene.set_row("a", Phase.DOWN)
    scene.turn()
    assert [who for who, _ in scene.counts()] == [b"wa", b"wb"]
    scene.set_row("b", Phase.DOWN)
    scene.turn()
    assert scene.end_of("q").code == "worker_crashed"


def test_a_worker_that_does_not_answer_or_know_the_model_is_passed_over(scene):
    for slug, identity in (("a", b"wa"), ("b", b"wb")):
        scene.empty(slug, identity)
    scene.tokenize("q1")
    scene.counted(0, 0, "model_not_found", "a is not configured here")
    assert scene.counts()[-1][0] == b"wb"
    scene.counted(5)
    assert scene.info("q1").tokens == 5
    scene.tokenize("q2")
    scene.now += ANSWER_WITHIN_S + A_MOMENT_S
    for slug, identity in (("a", b"wa"), ("b", b"wb")):
        scene.hello(slug, identity, phase=Phase.EMPTY)
    scene.turn()
    assert scene.counts()[-1][0] == b"wb" and not scene.ended("q2")


def test_a_late_count_changes_nothing(scene):
    scene.empty("a", b"wa")
    scene.tokenize()
    scene.counted()
    scene.counted()
    assert scene.info().tokens == 7 and scene.d.counters.dropped_frames == 1


def test_who_left_is_forgotten_and_so_many_are_counted_at_once(scene):
    for number in range(ASKED_MAX):
        scene.tokenize(f"q{number}", client=b"c9")
    scene.tokenize("one more")
    assert scene.end_of("one more").code == "queue_full"
    scene.d.on_client_lost(b"c9", None, scene.now)
    assert scene.d.desk.waiting_for_load("a")[0] == 0


def test_who_leaves_frees_the_place(scene):
    scene.empty("a", b"wa")
    for number in range(ASKED_MAX):
        scene.tokenize(f"q{number}", client=b"c9")
    scene.client_says(b"c9", protocol.Cancel("q0"))
    scene.client_says(b"c8", protocol.Cancel("q1"))  # of somebody else
    scene.tokenize("one more")
    scene.tokenize("too many")
    assert not scene.ended("one more") and scene.end_of("too many").code == "queue_full"
    identity, count = scene.counts()[0]
    scene.worker_says(identity, jobs.Counted, count.number, 7, 600, "", "", None)
    assert not scene.ended("q0")


def test_counts_are_held_against_the_rate_of_their_caller():
    scene = Scene(rate_limit_max=2)
    scene.empty("a", b"wa")
    for number in range(3):
        scene.tokenize(f"q{number}")
    assert len(scene.counts()) == 2
    end = scene.end_of("q2")
    assert end.code == "rate_limited" and end.retry_after_s > 0
