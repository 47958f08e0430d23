"""An answer that is paused for one of class HIGH: what worker, caller and table hear, and that it always ends."""

import pytest

from control.states import Phase
from gateway import protocol
from gateway.fanout import Sent
from gateway.pauses import SAY_AGAIN_S
from gateway.preemption import PAUSED_MAX_S
from gateway.slots import QUIET_S
from tests.support.gateway_world import World
from tests.support.pause_scene import heartbeat, paused, positions, says, token, told
from workers import protocol as jobs


def test_high_goes_at_once_and_low_goes_on_where_it_was():
    world = paused()
    d = world.d
    assert (d.admission.running, d.admission.paused, d.admission.queued_total) == ((1, 0, 0), (0, 0, 1), 0)
    token(world, "high", end=True)
    assert told(world, jobs.Resume) == [(jobs.Resume, "low")] and len(world.jobs_sent()) == 2
    token(world, "low")
    token(world, "low", end=True)
    assert positions(world, "low") == [0, 1, 2, 3] and world.end_of("low").usage.completion_tokens == 4
    assert (d.pauses.preemptions, d.pauses.resumptions, d.pauses.continuations) == (1, 1, 0)
    assert d.admission.running_total == sum(d.admission.paused) == 0 and not d.requests


def test_the_caller_hears_that_and_why_it_stands_still():
    world = paused()
    (news,) = [event for event in world.events("low") if isinstance(event, protocol.Progress)]
    assert news.reason == "paused" and "HIGH" in news.detail and news.position == 1
    for _ in range(3):
        heartbeat(world, 1.0)
    assert len([event for event in world.events("low") if isinstance(event, protocol.Progress)]) == 2


def test_the_journal_tells_each_pause_and_each_end_of_one():
    world = paused()
    world.now += 3.0
    token(world, "high", end=True)
    lines = {event: facts for event, facts in world.notes if event in ("preempted", "resumed")}
    assert lines["preempted"]["tokens"] == 2 and lines["preempted"]["priority"] == "LOW"
    assert lines["resumed"]["paused_s"] == 3.0 and lines["resumed"]["kept"]
    assert lines["preempted"]["request_id"] == lines["resumed"]["request_id"]


def test_where_the_global_limit_binds_another_model_gives_way():
    world = World("a", "b", max_running=2)
    world.worker_up("a", b"w1")
    world.worker_up("b", b"w2")
    for name in ("old", "young"):
        world.submit(name, model="b", priority="low")
    world.submit("high", model="a", priority="high")
    assert told(world, jobs.Pause) == [(jobs.Pause, "young")] and world.sent_to(b"w1") == ["high"]


def test_high_that_waits_for_a_load_pauses_nobody():
    world = World("a", "b", max_running=1)
    world.worker_up("a", b"w1")
    world.submit("low", model="a", priority="low")
    world.submit("high", model="b", priority="high")
    world.turn()
    assert not told(world, jobs.Pause)


def test_switched_off_nobody_is_paused():
    world = World(max_running=1, preemption=False)
    world.worker_up()
    world.submit("low", priority="low")
    world.submit("high", priority="high")
    assert not told(world, jobs.Pause) and world.sent_to(b"w1") == ["low"]


def test_what_was_under_way_when_it_was_paused_reaches_the_caller_and_so_does_its_end():
    world = paused()
    token(world, "low")
    token(world, "low", end=True)
    assert positions(world, "low") == [0, 1, 2, 3] and world.end_of("low").finish_reason == "stop"
    assert not any(world.d.admission.paused) and not world.ended("high")
    token(world, "high", end=True)
    assert not told(world, jobs.Resume)


def test_it_is_paused_at_most_twice_and_never_within_its_last_tokens():
    world = World(max_running=1)
    world.worker_up()
    world.submit("low", priority="low", options={"max_tokens": 20})
    for name in ("h1", "h2", "h3"):
        world.submit(name, priority="high")
        if name != "h3":
            token(world, name, end=True)
        token(world, "low")
    assert told(world, jobs.Pause) == [(jobs.Pause, "low")] * 2 and not world.ended("low")
    world = World(max_running=1)
    world.worker_up()
    world.submit("low", priority="low", options={"max_tokens": 16})
    world.submit("high", priority="high")
    assert not told(world, jobs.Pause)


def test_what_may_not_be_paused_again_lets_fresh_work_have_the_last_slot_while_high_is_about():
    """Else HIGH would wait for it after all."""
    world = World(max_running=1)
    world.worker_up()
    world.submit("low", priority="low")
    token(world, "low")
    for name in ("h1", "h2"):
        world.submit(name, priority="high")
        token(world, name, end=True)
    world.submit("fresh", priority="low")
    assert world.sent_to(b"w1")[-1] == "fresh" and len(told(world, jobs.Resume)) == 1
    world.submit("h3", priority="high")
    assert world.sent_to(b"w1")[-1] == "h3"
    token(world, "h3", end=True)
    assert told(world, jobs.Resume)[-1] == (jobs.Resume, "fresh")
    token(world, "fresh", end=True)
    assert world.d.admission.running_total == 0
    heartbeat(world, QUIET_S + 1)
    assert told(world, jobs.Resume)[-1] == (jobs.Resume, "low"), "HIGH is not about any more"


@pytest.mark.parametrize("how", ["by its caller", "its client is lost"])
def test_cancelled_while_it_is_paused_it_ends_when_the_worker_confirms(how):
    world = World(max_running=1)
    world.worker_up()
    world.submit("low", priority="low", client=b"c2")
    token(world, "low")
    world.submit("high", priority="high")
    if how == "by its caller":
        world.client_says(b"c2", {"type": "cancel", "id": "low"})
    else:
        world.deaf_clients[b"c2"] = Sent.GONE
        token(world, "low")
    assert told(world, jobs.Cancel) == [(jobs.Cancel, "low")]
    heartbeat(world, SAY_AGAIN_S)
    assert told(world, jobs.Cancel) == [(jobs.Cancel, "low")] * 2, "the first may be lost"
    token(world, "high", end=True)
    assert not told(world, jobs.Resume) and sum(world.d.admission.paused) == 1, "not until it is confirmed"
    says(world, "low", jobs.Fail, "cancelled", "")
    assert not world.d.requests and world.d.counters.cancelled == 1 and not any(world.d.admission.paused)


@pytest.mark.parametrize(("tokens", "code"), [(0, ""), (1, "worker_crashed")])
def test_its_worker_dies_while_it_is_paused(tokens, code):
    world = World(max_running=1)
    world.worker_up()
    world.submit("low", priority="low")
    for _ in range(tokens):
        token(world, "low")
    world.submit("high", priority="high")
    world.set_row("a", Phase.BACKOFF)
    world.turn()
    assert not any(world.d.admission.paused)
    if code:
        assert world.end_of("low").code == code
    else:
        world.worker_up("a", b"w2", incarnation=2)
        token(world, "high", end=True, identity=b"w2")
        assert world.sent_to(b"w2") == ["high", "low"]


def test_a_worker_that_drains_gets_back_what_was_paused_there():
    world = paused()
    for _ in range(int(PAUSED_MAX_S) + 2):
        heartbeat(world, 1.0, phase=Phase.DRAINING)
    assert not told(world, jobs.Cancel) and not told(world, jobs.Resume)
    world.submit("another", priority="high")
    token(world, "high", end=True)
    assert told(world, jobs.Resume) == [(jobs.Resume, "low")] and world.sent_to(b"w1") == ["low", "high"]
    token(world, "low", end=True)
    assert positions(world, "low") == [0, 1, 2] and world.ended("low")


def test_it_goes_on_while_its_class_begins_nothing():
    world = paused()
    world.control_words["overload"] = 0b110
    world.turn()
    world.submit("waits", priority="low")
    token(world, "high", end=True)
    assert told(world, jobs.Resume) == [(jobs.Resume, "low")]


def test_what_a_broken_connection_may_have_lost_is_said_again_until_it_was_heard():
    world = World(max_running=1)
    world.worker_up()
    world.submit("low", priority="low")
    token(world, "low")
    world.submit("high", priority="high")
    token(world, "high")
    heartbeat(world, SAY_AGAIN_S)
    heartbeat(world, SAY_AGAIN_S)
    assert told(world, jobs.Pause) == [(jobs.Pause, "low")] * 3
    says(world, "low", jobs.Paused, False)
    heartbeat(world, SAY_AGAIN_S)
    assert len(told(world, jobs.Pause)) == 3
    token(world, "high", end=True)
    heartbeat(world, SAY_AGAIN_S)
    assert told(world, jobs.Resume) == [(jobs.Resume, "low")] * 2
    token(world, "low")
    heartbeat(world, SAY_AGAIN_S)
    assert len(told(world, jobs.Resume)) == 2


def test_a_worker_that_does_not_read_is_asked_for_no_pause_and_resumed_when_it_reads():
    world = World(max_running=1)
    world.worker_up()
    world.submit("low", priority="low")
    token(world, "low")
    world.deaf_workers.add(b"w1")
    world.submit("high", priority="high")
    assert not told(world, jobs.Pause) and world.d.admission.running == (0, 0, 1)
    world.deaf_workers.clear()
    world.turn()
    assert told(world, jobs.Pause) == [(jobs.Pause, "low")]
    world.deaf_workers.add(b"w1")
    token(world, "high", end=True)
    assert not told(world, jobs.Resume) and sum(world.d.admission.paused) == 1
    world.deaf_workers.clear()
    world.turn()
    assert told(world, jobs.Resume) == [(jobs.Resume, "low")]


def test_high_that_is_short_of_memory_gets_it_from_a_lower_one_and_nothing_lower_begins_before_it():
    world = World("a", "b", max_running=3)
    world.worker_up("a", b"w1")
    for name in ("low", "medium"):
        world.submit(name, priority=name)
        token(world, name)
    world.submit("high", priority="high")
    says(world, "high", jobs.Accept)
    assert not told(world, jobs.Pause)
    says(world, "high", jobs.Short)
    assert told(world, jobs.Pause) == [(jobs.Pause, "low")]
    world.submit("more", priority="low")
    world.turn()
    assert not told(world, jobs.Resume) and "more" not in world.sent_to(b"w1"), "a slot is free, but no memory"
    says(world, "high", jobs.Short)
    assert told(world, jobs.Pause)[-1] == (jobs.Pause, "medium")
    token(world, "high")
    assert told(world, jobs.Resume) == [(jobs.Resume, "medium"), (jobs.Resume, "low")]


def test_who_was_short_and_is_gone_holds_nobody_up():
    world = World(max_running=2)
    world.worker_up()
    world.submit("low", priority="low")
    token(world, "low")
    world.submit("high", priority="high")
    says(world, "high", jobs.Accept)
    says(world, "high", jobs.Short)
    world.client_says(b"c1", {"type": "cancel", "id": "high"})
    says(world, "high", jobs.Fail, "cancelled", "")
    world.turn()
    assert told(world, jobs.Resume) == [(jobs.Resume, "low")]


@pytest.mark.parametrize("why", ["switched off", "cancelled"])
def test_short_said_of_one_for_which_nobody_should_give_way_pauses_nobody(why):
    world = World(max_running=2, preemption=why != "switched off")
    world.worker_up()
    world.submit("low", priority="low")
    world.submit("high", priority="high")
    if why == "cancelled":
        world.client_says(b"c1", {"type": "cancel", "id": "high"})
    says(world, "high", jobs.Short)
    assert not told(world, jobs.Pause) and not world.d.admission.mlx.slots.held


def test_short_said_of_a_lower_one_pauses_nobody():
    world = World(max_running=2)
    world.worker_up()
    for name in ("low", "medium"):
        world.submit(name, priority=name)
    says(world, "medium", jobs.Short)
    assert not told(world, jobs.Pause)


def test_one_that_was_paused_before_it_was_accepted_comes_back_if_its_worker_never_accepts():
    world = World(max_running=1)
    world.worker_up()
    world.submit("low", priority="low")
    world.submit("high", priority="high")
    says(world, "high", jobs.Accept)
    for _ in range(7):
        heartbeat(world, 1.0)
    assert not any(world.d.admission.paused) and world.d.admission.queued == (0, 0, 1)
