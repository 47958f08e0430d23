"""FAULTS rows 11, 12 and 37: memory is critical while all models work, while one idles, and does not come back."""

import pytest

from control import messages
from control.header import header_words, warning
from control.states import Phase
from tests.support.control_world import GIB, World
from tests.support.stack_fixtures import echo_settings, shared_stack
from tests.support.supervisor_home import wait_until
from tests.support.transcripts import Transcript

ALL = ("a", "b", "c")


shared = shared_stack(echo_settings(*ALL, memory="grace_s = 0\nmin_residency_s = 0\n"))


@pytest.fixture
def stack(shared):
    shared.calm()
    shared.load(*ALL)
    return shared


@pytest.mark.integration
def test_row_11_everything_used_up_while_all_models_work_stops_none_of_them(stack):
    before = stack.control_words()
    starts = {slug: stack.starts_of(slug) for slug in ALL}
    answers = [Transcript(stack, slug, "#tokens=150 #rate=40") for slug in ALL]
    for answer in answers:
        answer.wait_tokens()
    stack.press(1.0)
    wait_until("the refusal of new work", lambda: stack.control_words().overload)
    for priority in ("medium", "low"):
        refused = Transcript(stack, "a", "#tokens=30", priority=priority).check_error("memory_pressure")
        assert refused.status == 503 and refused.retry_after_s >= 1
    Transcript(stack, "c", "#tokens=30", priority="high").check_whole(30)
    words = stack.control_words()
    assert not any(answer.ended for answer in answers), "all of them were busy until now"
    assert (words.evictions, words.forced_kills) == (before.evictions, before.forced_kills)
    for answer in answers:
        answer.check_whole(150)
    assert {slug: stack.starts_of(slug) for slug in ALL} == starts
    assert stack.gateway_words().lost_to_eviction == 0 == stack.gateway_words().retried


@pytest.mark.integration
def test_row_12_only_the_idle_model_goes_and_its_memory_is_measured(stack):
    gone = len(stack.journal("evicted"))
    answers = [Transcript(stack, slug, "#tokens=200 #rate=40") for slug in ("a", "c")]
    for answer in answers:
        answer.wait_tokens()
    stack.press(0.96)
    stack.wait_phase("b", Phase.DOWN)
    assert not any(answer.ended for answer in answers)
    [evicted] = stack.wait_journal("evicted", gone + 1)[gone:]
    assert evicted["model"] == "b" and evicted["footprint_bytes"] > 0 and evicted["verify_ms"] >= 0
    assert stack.row("b").control.share_bytes == 0, "its share is free again"
    for answer in answers:
        answer.check_whole(200)


@pytest.mark.integration
def test_row_12_at_the_warning_level_the_least_recently_used_goes_first(stack):
    for slug in ("c", "a", "b"):
        Transcript(stack, slug, "#tokens=30").check_whole(30)
    gone = len(stack.journal("evict"))
    stack.press(0.9)
    stack.wait_phase("a", Phase.DOWN)
    stack.wait_phase("c", Phase.DOWN)
    went = [line["model"] for line in stack.wait_journal("evict", gone + 2)[gone:]]
    assert went == ["c", "a"], "b is the most useful"
    Transcript(stack, "b", "#tokens=30").check_whole(30)


def test_row_37_memory_that_stays_wired_after_a_stop_costs_big_loads_and_no_answers():
    """Measured by stand-in readings: the process of `a` is gone, and its 12 GiB are not back."""
    world = World("a", "b", "big", total_gb=32)
    world.sizes_gb |= {"a": 12, "big": 20}
    for row in world.r.rows.values():
        world.r.books.work_out_need(row)
    world.gateway_up()
    for slug in ("a", "b"):
        world.resident(slug)
    world.set_words("a", footprint_bytes=12 * GIB)
    world.available_gb = 14.0
    world.read_memory()
    row = world.r.rows["a"]
    world.r.keys.begin(row, "a test wants its room", world.now)
    world.gateway_says(messages.Fenced, "a")
    world.worker_says(messages.Quitting, "a")
    world.die("a")
    assert row.phase is Phase.VERIFY_FREE, "its process is gone, its memory is not back yet"
    world.tick(20)
    assert world.phase("b") is Phase.READY and world.orders.count(("signal", "b", "TERM")) == 0
    assert "12.0 GiB of a did not come back" in warning(world.r, world.now)
    assert "a reboot frees it" in warning(world.r, world.now)
    assert header_words(world.r)["leaked_bytes"] == 12 * GIB

    world.want("big", medium=1)
    world.hello("big")
    world.settle("big")
    world.beating.add("big")
    world.tick(5)
    assert "big" not in world.loads_sent(), "nothing that needs this memory is loaded"
    world.available_gb = 26.0  # found back after all
    world.tick(2)
    assert warning(world.r, world.now) == "" and "big" in world.loads_sent()
