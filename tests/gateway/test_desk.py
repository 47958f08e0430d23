"""Questions that ask for no tokens."""

import msgspec
import pytest

from control import messages
from control.states import Phase
from control.table import FOREVER
from gateway import protocol
from gateway.desk import NS, keep_until_s
from tests.support.gateway_world import BOOT, EPOCH, World


def ask(world: World, kind: str, **fields):
    world.client_says(b"c1", {"type": kind, "id": "q", **fields})
    return world.end_of("q")


def test_hello_is_answered_with_the_epoch():
    world = World()
    world.client_says(b"c1", {"type": "hello"})
    welcome = world.client_frames[-1][1]
    assert isinstance(welcome, protocol.Welcome) and (welcome.epoch, welcome.boot_id) == (EPOCH, BOOT)


def test_list_and_show():
    world = World("a", "b")
    world.worker_up("a")
    world.d.on_control(messages.ModelState(1, 1, "a", 1, Phase.READY, "loaded"), world.now)
    world.submit("r1", model="b")
    models = protocol.decode_models(ask(world, "list").value)
    assert [(m.name, m.state, m.queued, m.context_length) for m in models] == [
        ("a", "ready", 0, 512), ("b", "unknown", 1, 0)]
    world.client_frames.clear()
    assert protocol.decode_model(ask(world, "show", model="a-alias").value).name == "a"
    world.client_frames.clear()
    assert ask(world, "show", model="nope").code == "model_not_found"


def test_stats_add_up():
    world = World(max_running=1, max_queued=1)
    world.worker_up()
    for n in range(3):
        world.submit(f"r{n}", priority="low")
    world.now += 2.0
    stats = protocol.decode_stats(ask(world, "stats").value)
    assert (stats.running, stats.queued, stats.admitted, stats.rejected) == ([0, 0, 1], [0, 0, 1], [0, 0, 2], 1)
    assert stats.oldest_wait_ms == [0.0, 0.0, 2000.0] and stats.max_running == 1


def test_a_load_waits_for_the_gate_and_counts_as_waiting():
    world = World()
    world.client_says(b"c1", {"type": "load", "id": "q", "model": "a"})
    assert not world.ended("q") and world.d.desk.waiting_for_load("a")[0] == 1
    assert world.control_frames == [messages.Want(messages.VERSION, "a")]
    world.worker_up()
    assert protocol.decode_model(world.end_of("q").value).name == "a"
    assert world.d.desk.waiting_for_load("a") == (0, None)


def test_a_load_that_is_there_already_is_answered_at_once():
    world = World()
    world.worker_up()
    assert isinstance(ask(world, "load", model=""), protocol.Result)


def test_a_load_ends_in_an_error_when_it_is_hopeless_or_late():
    world = World(load_deadline_s=60.0)
    world.client_says(b"c1", {"type": "load", "id": "q1", "model": "a"})
    world.pass_time(61.0)
    assert (world.end_of("q1").code, world.end_of("q1").status) == ("model_unavailable", 503)
    world.client_says(b"c1", {"type": "load", "id": "q2", "model": "a"})
    world.set_row("a", Phase.HELD)
    world.pass_time(0.1)
    assert "warden ctl start worker-a" in world.end_of("q2").message


def ask_of_control(world: World) -> messages.Ask:
    (ask,) = [each for each in world.control_frames if isinstance(each, messages.Ask)]
    return ask


def told(world: World, code: str = "", text: str = "a will be loaded") -> None:
    world.d.on_control(messages.Told(messages.VERSION, ask_of_control(world).id, code, text), world.now)
    world.flush()


def test_a_load_of_a_quarantined_model_is_put_to_control_and_then_waited_for_like_any():
    world = World()
    world.set_row("a", Phase.QUARANTINED)
    world.client_says(b"c1", {"type": "load", "id": "q", "model": "a-alias", "keep_alive_s": 60})
    world.pass_time(1.0)
    assert (ask_of_control(world).verb, ask_of_control(world).model) == ("load", "a") and not world.ended("q")
    world.set_row("a", Phase.DOWN)
    told(world)
    world.pass_time(30.0)
    assert not world.ended("q") and world.d.desk.waiting_for_load("a")[0] == 1
    world.worker_up()
    assert protocol.decode_model(world.end_of("q").value).name == "a"
    assert world.d.counters.rows["a"].keep_alive == 60_001


@pytest.mark.parametrize(("told_code", "code"), [("model_unavailable", "model_unavailable"), ("made_up", "internal")])
def test_a_quarantine_that_control_does_not_end_is_said_in_its_words(told_code, code):
    world = World()
    world.set_row("a", Phase.QUARANTINED)
    world.client_says(b"c1", {"type": "load", "id": "q", "model": "a"})
    told(world, told_code, "an operator stopped it")
    assert (world.end_of("q").code, world.end_of("q").message) == (code, "an operator stopped it")
    assert world.d.desk.waiting_for_load("a") == (0, None)


def test_a_model_that_is_quarantined_again_and_a_control_that_is_away_end_the_load():
    world = World()
    world.set_row("a", Phase.QUARANTINED)
    world.client_says(b"c1", {"type": "load", "id": "q", "model": "a"})
    told(world)
    world.reasons["a"] = "4 crashes in 5 min"
    world.pass_time(0.1)
    assert "quarantined: 4 crashes" in world.end_of("q").message
    world.control_is_away = True
    world.client_says(b"c1", {"type": "load", "id": "q2", "model": "a"})
    assert world.end_of("q2").code == "gateway_unavailable"


def test_a_yes_of_control_is_still_bound_by_how_many_may_wait(monkeypatch):
    monkeypatch.setattr("gateway.desk.LOAD_WAITERS_MAX", 0)
    world = World()
    world.set_row("a", Phase.QUARANTINED)
    world.client_says(b"c1", {"type": "load", "id": "q", "model": "a"})
    told(world)
    assert world.end_of("q").code == "queue_full"


def test_a_result_is_plain_messagepack():
    world = World()
    world.client_says(b"c1", {"type": "list", "id": "q"})
    assert msgspec.msgpack.decode(world.end_of("q").value)[0]["name"] == "a"


def test_who_waits_for_a_load_hears_how_it_goes():
    world = World()
    world.client_says(b"c1", {"type": "load", "id": "q", "model": "a"})
    world.d.on_control(messages.ModelState(1, 1, "a", 1, Phase.EMPTY, "waits for room: b goes"), world.now)
    world.pass_time(1.5)
    assert not world.events("q")
    world.pass_time(0.6)
    world.pass_time(0.6)
    (progress,) = world.events("q")
    assert (progress.position, progress.reason, progress.detail) == (0, "memory", "waits for room: b goes")
    assert 1 <= progress.estimate_s <= 120
    world.pass_time(1.5)
    assert len(world.events("q")) == 2


def test_what_is_known_of_memory_and_how_long_a_model_stays():
    world = World()
    info = protocol.decode_model(ask(world, "show", model="a").value)
    assert (info.share_bytes, info.pinned, info.keep_until_s, info.load_progress) == (0, False, None, 0.0)
    world.client_frames.clear()
    world.worker_up()
    world.set_row("a", Phase.ALIVE, share_bytes=700, pinned=1, keep_until_ns=int((world.now + 60) * 1e9))
    world.reasons["a"] = "2 wait for it"
    info = protocol.decode_model(ask(world, "show", model="a").value)
    assert (info.share_bytes, info.pinned, info.load_progress, info.reason) == (700, True, 1.0, "2 wait for it")
    assert info.keep_until_s == pytest.approx(60)


@pytest.mark.parametrize(("word", "seconds"), [(0, None), (FOREVER, -1.0), (90 * NS, 0.0), (130 * NS, 30.0)])
def test_until_when(word, seconds):
    assert keep_until_s(word, 100.0) == seconds
