"""Models come and go while control runs: rows, supervisord's programs, and that nothing alive loses its row."""

from control import messages
from control.library import Fetched, Library
from control.process_watch import PROGRAM
from control.states import Phase
from control.supervisord import Facts, Fault, ProcessFact, ProcessState, SupervisordFault
from tests.support.control_world import GATEWAY, NS, World, world_with

ASKER = b"gateway"
PULLED = Library(models=(Fetched("org/tiny", "/models/tiny"),), aliases={"mine": "org/tiny"})
SLUG = "org-tiny"


def reread(world: World, library: Library | str = PULLED) -> messages.Told:
    world.library = library
    world.r.on_frame(ASKER, messages.Ask(messages.VERSION, 1, "reread", ""), world.now)
    return world.said_to(ASKER, messages.Told)[-1]


def process(slug: str, state: ProcessState, pid: int = 0) -> dict[str, ProcessFact]:
    name = PROGRAM + slug
    return {name: ProcessFact(name, state, pid, 1, 0, 0)}


def see(world: World, processes: dict[str, ProcessFact]) -> None:
    world.r.processes.on_supervisord(Facts(processes, int(world.now * NS)), world.now)


def test_a_pulled_model_gets_a_row_and_a_program_and_is_loaded_when_it_is_wanted():
    world = World("a")
    world.gateway_up()
    assert reread(world).code == ""
    assert world.r.rows[SLUG].index == 1 and world.programs == ["a", SLUG]
    assert world.orders == [("add", SLUG)]
    assert world.said_to(GATEWAY, messages.ModelState)[-1].slug == SLUG
    world.want(SLUG, medium=1)
    assert world.orders[-1] == ("start", SLUG)
    assert world.r.config.find("mine").slug == SLUG


def test_reading_it_again_changes_nothing():
    world = world_with("a")
    reread(world)
    row, orders = world.r.rows[SLUG], list(world.orders)
    assert reread(world).code == ""
    assert world.r.rows[SLUG] is row and world.orders == orders


def test_a_deleted_model_loses_its_row_and_its_program():
    world = World("a")
    reread(world)
    assert reread(world, Library()).code == ""
    assert list(world.r.rows) == ["a"] and world.programs == ["a"]
    assert world.orders[-1] == ("remove", SLUG)
    world.tick()
    assert reread(world).code == ""


def test_a_deleted_model_that_has_a_process_keeps_its_row_until_that_is_gone():
    world = world_with("a")
    reread(world)
    world.resident(SLUG)
    told = reread(world, Library())
    assert told.code == "model_busy" and SLUG in world.r.rows and world.programs == ["a", SLUG]
    assert SLUG in world.fences_said()
    world.gateway_says(messages.Fenced, SLUG)
    world.worker_says(messages.Quitting, SLUG)
    assert reread(world, Library()).code == "model_busy"
    world.die(SLUG)
    world.tick(20)
    assert reread(world, Library()).code == "" and SLUG not in world.r.rows


def test_a_model_that_loads_is_not_deleted_and_not_asked_to_leave():
    world = world_with("a")
    reread(world)
    world.want(SLUG, medium=1)
    world.hello(SLUG)
    told = reread(world, Library())
    assert told.code == "model_busy" and SLUG not in world.fences_said()
    assert world.r.rows[SLUG].phase is Phase.ALIVE


def test_a_library_that_cannot_be_read_changes_nothing():
    world = World("a")
    reread(world)
    told = reread(world, "library.json: is broken; mend it")
    assert (told.code, told.text) == ("internal", "library.json: is broken; mend it") and SLUG in world.r.rows


def test_programs_that_cannot_be_written_change_nothing():
    world = World("a")
    world.programs_refused = "supervisor.conf: cannot be written"
    assert reread(world).text == "supervisor.conf: cannot be written"
    assert SLUG not in world.r.rows and not world.orders


def test_a_full_table_is_said():
    world = World("a")
    world.rows_max = 1
    told = reread(world)
    assert told.code == "internal" and "the table is full" in told.text
    world.rows_max = 2
    assert reread(world, Library()).code == "" and list(world.r.rows) == ["a"]


def test_a_program_that_supervisord_does_not_know_is_told_again_but_not_at_once():
    world = World("a")
    world.supervisord_silent = True
    reread(world)
    see(world, {})
    assert world.orders.count(("add", SLUG)) == 1
    world.tick(1.5)
    see(world, {})
    see(world, {})
    assert world.orders.count(("add", SLUG)) == 2
    world.tick(1.5)
    see(world, process(SLUG, ProcessState.STOPPED))
    assert world.orders.count(("add", SLUG)) == 2


def test_a_program_of_no_model_goes_once_it_has_no_process():
    world = World("a")
    see(world, process("old", ProcessState.RUNNING, 77))
    assert not world.orders
    see(world, process("old", ProcessState.EXITED))
    assert world.orders == [("remove", "old")]


def test_a_start_that_came_before_its_program_is_no_crash():
    world = World("a")
    reread(world)
    for _ in range(4):
        world.want(SLUG, medium=1)
        world.order_done(SLUG, SupervisordFault(Fault.BAD_NAME, "BAD_NAME"))
        assert world.phase(SLUG) is Phase.BACKOFF
        world.tick(2)
    assert not world.r.rows[SLUG].crashes
