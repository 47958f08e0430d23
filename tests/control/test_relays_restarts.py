"""A relay outlives control: the next control process finds it alive, dead, or in a table made anew."""

from control import messages
from control.states import Phase
from tests.support.control_world import EPOCH, FLOOR, GATEWAY, World
from tests.support.relay_world import OLLAMA, has_words, reports, row_of, to_ready, world_of_a_relay


def test_a_new_control_process_leaves_a_living_relay_as_it_is():
    world = world_of_a_relay()
    to_ready(world)
    has_words(world, Phase.READY)
    before = row_of(world)
    world.control_restarts()
    row = row_of(world)
    assert row is not before and row.effective is Phase.READY and row.incarnation == before.incarnation
    assert row.words()["phase"] == Phase.ALIVE and row.words()["pid"] == before.pid, "before its hello"
    world.gateway_up()
    told = world.said_to(GATEWAY, messages.ModelState)[-1]
    assert (told.slug, told.phase, told.incarnation) == (OLLAMA, Phase.READY, before.incarnation)
    relay = world.hello(OLLAMA, row.incarnation, Phase.READY, row.pid)
    assert row.incarnation == before.incarnation and row.effective is Phase.READY
    reports(world, Phase.READY)
    world.tick(5)
    assert not world.said_to(relay, messages.Load)[1:], "it was told once, by the control process before this one"


def test_a_relay_that_died_with_control_is_down():
    world = world_of_a_relay()
    to_ready(world)
    world.dead.add(row_of(world).pid)
    before = row_of(world).incarnation
    world.control_restarts()
    assert row_of(world).effective is Phase.DOWN
    to_ready(world)
    assert row_of(world).incarnation > before, "incarnations grow across control processes"


def test_one_that_said_nothing_yet_in_the_table_is_told_to_begin():
    world = world_of_a_relay()
    world.hello(OLLAMA)
    world.control_restarts()
    row = row_of(world)
    assert row.effective is Phase.EMPTY
    relay = world.hello(OLLAMA, row.incarnation, Phase.EMPTY, row.pid)
    reports(world, Phase.EMPTY)
    assert len(world.said_to(relay, messages.Load)) == 1


def test_in_a_table_made_anew_it_keeps_its_incarnation():
    world = world_of_a_relay()
    world.hello(OLLAMA, FLOOR + 50, Phase.READY)
    assert row_of(world).incarnation == FLOOR + 50 and row_of(world).effective is Phase.READY
    world.want("a", medium=1)
    world.hello("a")
    assert world.r.rows["a"].incarnation > FLOOR + 50, "and nobody gets a smaller one after that"


def test_the_row_of_a_relay_that_is_configured_no_more_is_left_alone():
    world = world_of_a_relay()
    to_ready(world)
    world.config = World("a").config
    left = world.snapshot()
    world.r = world.make_reconciler(EPOCH + 1)
    world.r.relays.adopt(left.rows[-1])
    assert world.r.relays.rows == {}
