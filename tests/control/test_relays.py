"""The row of a relay: it comes to READY, ends and returns, and has no part in memory and evictions."""

import pytest

from control import messages
from control.config import NO_MODEL
from control.relays import ENDED, FAILING, GIVEN_UP, NOT_RUNNING, STOPPED, STOPPING, why_not_running
from control.states import Phase
from control.supervisord import Facts, ProcessFact, ProcessState
from tests.support.control_world import BOOT, EPOCH, FLOOR, GATEWAY, World, fenced, world_with
from tests.support.relay_world import OLLAMA, URL, fact, has_words, reports, row_of, to_ready, world_of_a_relay

S = ProcessState


def test_why_its_server_does_not_answer_is_the_reason_of_the_row_until_it_does():
    world = world_of_a_relay()
    to_ready(world)
    reports(world, Phase.READY, error="ollama at http://x: connection refused")
    assert row_of(world).reason == "ollama at http://x: connection refused" and row_of(world).effective is Phase.READY
    reports(world, Phase.READY)
    assert row_of(world).reason == "ready"


# -- its way

def test_a_relay_is_welcomed_then_told_to_begin_and_is_ready():
    world = world_of_a_relay()
    assert row_of(world).effective is Phase.DOWN and row_of(world).reason == NOT_RUNNING
    relay = world.hello(OLLAMA)
    [welcome] = world.said_to(relay, messages.Welcome)
    assert (welcome.row, welcome.incarnation, welcome.control_epoch) == (1, FLOOR + 1, EPOCH), "after the models' rows"
    assert not world.said_to(relay, messages.Load), "not before it obeys this control process"
    reports(world, Phase.EMPTY)
    [load] = world.said_to(relay, messages.Load)
    assert load.incarnation == FLOOR + 1 and (load.share_bytes, load.batch_max) == (0, 0), "it gets no memory"
    reports(world, Phase.READY)
    assert row_of(world).effective is Phase.READY and row_of(world).reason == "ready"
    told = [m.phase for m in world.said_to(GATEWAY, messages.ModelState) if m.slug == OLLAMA]
    assert told[-2:] == [Phase.EMPTY, Phase.READY]


def test_the_table_has_the_row_before_anybody_is_told():
    world = world_of_a_relay()
    world.log.clear()
    world.hello(OLLAMA)
    assert world.log[:3] == ["write", "ModelState", "Welcome"]


def test_welcome_and_load_are_said_again_until_they_are_heard_and_not_all_the_time():
    world = world_of_a_relay()
    relay = world.hello(OLLAMA)
    world.tick(0.5)
    assert len(world.said_to(relay, messages.Welcome)) == 1
    world.tick(3)
    assert len(world.said_to(relay, messages.Welcome)) > 1 and not world.said_to(relay, messages.Load)
    reports(world, Phase.EMPTY)
    world.tick(3)
    assert len(world.said_to(relay, messages.Load)) > 1
    reports(world, Phase.READY)
    orders = len(world.said_to(relay, messages.Load)), len(world.said_to(relay, messages.Welcome))
    world.tick(10)
    assert (len(world.said_to(relay, messages.Load)), len(world.said_to(relay, messages.Welcome))) == orders


def test_what_a_process_says_that_is_gone_or_of_another_table_does_not_count():
    world = world_of_a_relay()
    world.dead.add(4000)
    world.hello(OLLAMA, pid=4000)
    world.r.on_frame(b"x", messages.Hello(1, BOOT + 1, OLLAMA, 4001, 40010, 0, 0), world.now)
    assert row_of(world).phase is Phase.DOWN
    to_ready(world)
    old = messages.Report(1, OLLAMA, row_of(world).incarnation - 1, Phase.DRAINING, 0, "", EPOCH)
    world.r.on_frame(row_of(world).peer, old, world.now)
    assert row_of(world).effective is Phase.READY


def test_a_relay_that_is_not_configured_is_refused():
    world = World()
    identity = world.hello("relay-victoria")
    assert [m.reason for m in world.said_to(identity, messages.Refused)] == [
        "no model with the slug 'relay-victoria' is configured"]
    assert world.r.relays.rows == {}


# -- its end and its return

def test_a_relay_that_dies_is_down_and_the_next_process_is_a_new_incarnation():
    world = world_of_a_relay()
    to_ready(world)
    before = row_of(world).incarnation
    world.dead.add(row_of(world).pid)
    world.tick()
    assert row_of(world).effective is Phase.DOWN and world.written[OLLAMA]["phase"] == Phase.DOWN
    assert not world.orders, "supervisord starts it; control orders nothing"
    to_ready(world)
    assert row_of(world).effective is Phase.READY and row_of(world).incarnation > before and row_of(world).starts == 2


def test_the_next_process_may_say_hello_before_the_end_of_the_last_was_seen():
    world = world_of_a_relay()
    to_ready(world)
    before = row_of(world).incarnation
    world.dead.add(row_of(world).pid)
    to_ready(world)
    assert row_of(world).effective is Phase.READY and row_of(world).incarnation > before
    assert [note for note, _ in world.notes].count("relay_ended") == 1


def test_a_relay_crashes_as_often_as_it_likes_and_is_never_quarantined():
    world = world_of_a_relay()
    for _ in range(10):
        to_ready(world)
        world.dead.add(row_of(world).pid)
        world.tick()
    to_ready(world)
    assert row_of(world).effective is Phase.READY and not row_of(world).crashes


def test_a_relay_is_never_signalled_for_a_stall():
    world = world_of_a_relay(stall_limit_s=1.0)
    to_ready(world)
    has_words(world, Phase.READY)  # and its heartbeat stands still
    world.tick(120)
    assert not world.orders and row_of(world).effective is Phase.READY


@pytest.mark.parametrize(("facts", "reason"), [
    (fact(S.STOPPED), STOPPED), (fact(S.STOPPED, start_s=0), NOT_RUNNING), (fact(S.FATAL), GIVEN_UP),
    (fact(S.EXITED, status=2), GIVEN_UP),
    (fact(S.BACKOFF, status=2), FAILING), (fact(S.EXITED, status=-1), NOT_RUNNING), (fact(S.BACKOFF), FAILING),
    (fact(S.STARTING), NOT_RUNNING), (fact(S.RUNNING, pid=7), NOT_RUNNING), (fact(S.STOPPING, pid=7), STOPPING)])
def test_why_it_does_not_run_is_what_supervisord_says(facts: ProcessFact, reason: str):
    assert why_not_running(facts) == reason


def test_the_reason_names_the_order_that_helps_and_a_running_relay_keeps_its_own():
    world = world_of_a_relay()
    world.r.processes.on_supervisord(Facts({OLLAMA: fact(S.STOPPED)}, int(world.now * 1e9)), world.now)
    assert row_of(world).reason == "an operator stopped it; `warden ctl start relay-ollama` brings it back"
    told = world.said_to(GATEWAY, messages.ModelState)[-1]
    assert (told.slug, told.reason) == (OLLAMA, row_of(world).reason)
    to_ready(world)
    world.r.processes.on_supervisord(Facts({OLLAMA: fact(S.STOPPED)}, int(world.now * 1e9)), world.now)
    assert row_of(world).reason == "ready", "the list is older than its hello"


def listed(world: World, facts: ProcessFact) -> None:
    world.r.processes.on_supervisord(Facts({OLLAMA: facts}, int(world.now * 1e9)), world.now)


def test_an_end_says_no_more_than_is_known_until_the_list_tells_why():
    world = world_of_a_relay()
    to_ready(world)
    listed(world, fact(S.RUNNING, pid=row_of(world).pid))
    world.dead.add(row_of(world).pid)
    world.tick()
    assert row_of(world).reason == ENDED
    listed(world, fact(S.RUNNING, pid=row_of(world).last_pid))
    assert row_of(world).reason == ENDED, "an old list"
    listed(world, fact(S.EXITED, status=-1))
    assert row_of(world).reason == NOT_RUNNING
    listed(world, fact(S.STOPPED))
    assert row_of(world).reason == STOPPED.format(slug=OLLAMA)


def test_the_end_of_a_process_that_was_told_to_stop_says_so_at_once():
    world = world_of_a_relay()
    to_ready(world)
    listed(world, fact(S.STOPPING, pid=row_of(world).pid))
    assert row_of(world).reason == "ready", "it lives"
    world.dead.add(row_of(world).pid)
    world.tick()
    assert row_of(world).reason == STOPPED.format(slug=OLLAMA)
    to_ready(world)
    world.dead.add(row_of(world).pid)
    world.tick()
    assert row_of(world).reason == ENDED, "the next one was told nothing"


def test_while_it_is_started_again_the_reason_of_its_end_stands():
    world = world_of_a_relay()
    for facts in (fact(S.BACKOFF, status=2), fact(S.STARTING, pid=7), fact(S.RUNNING, pid=7)):
        world.r.processes.on_supervisord(Facts({OLLAMA: facts}, int(world.now * 1e9)), world.now)
        assert row_of(world).reason == FAILING.format(slug=OLLAMA)
    to_ready(world)
    assert row_of(world).reason == "ready"


# -- no part in memory and evictions

def test_a_relay_counts_for_no_memory_and_is_no_victim():
    alone = world_with("a", "b", total_gb=32)
    world = world_with("a", "b", total_gb=32, ollama_url=URL, victoria_url="http://127.0.0.1:8010")
    to_ready(world)
    assert world.r.books.reserved_bytes == alone.r.books.reserved_bytes
    assert {OLLAMA, "relay-victoria"}.isdisjoint(world.r.rows), "who chooses victims sees the models' rows only"
    world.press(0.99)
    world.tick(5)
    assert set(world.fences_said()) <= {"a", "b"} and world.fences_said()
    assert row_of(world).effective is Phase.READY and not row_of(world).is_fenced
    assert row_of(world).words()["share_bytes"] == 0


def test_orders_for_models_are_not_for_relays():
    world = world_of_a_relay()
    relay = to_ready(world)
    for number, verb in enumerate(("load", "unload", "evict", "pin", "unpin")):
        world.r.on_frame(b"ctl", messages.Ask(1, number, verb, OLLAMA), world.now)
    answers = world.said_to(b"ctl", messages.Told)
    assert {(told.code, told.text) for told in answers} == {("model_not_found", NO_MODEL.format(slug=OLLAMA))}
    assert len(answers) == 5 and "`warden ctl stop relay-ollama`" in answers[0].text
    assert not world.said_to(relay, messages.Quit) and row_of(world).effective is Phase.READY


def test_an_eviction_beside_it_goes_on_as_ever():
    world = world_with("a", ollama_url=URL)
    to_ready(world)
    row = fenced(world)
    world.gateway_says(messages.Fenced, "a")
    assert world.said_to(row.peer, messages.Quit) and not world.said_to(row_of(world).peer, messages.Quit)


def test_both_relays_have_rows_of_their_own():
    world = World("a", ollama_url=URL, victoria_url="http://127.0.0.1:8010")
    assert {slug: row.index for slug, row in world.r.relays.rows.items()} == {OLLAMA: 1, "relay-victoria": 2}
