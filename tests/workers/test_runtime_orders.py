"""What a worker answers to control's orders: Welcome, Load, Quit; and to memory pressure."""

import pytest

from control import messages
from control.states import Phase
from tests.support.worker_world import BOOT, END, World
from workers import protocol as jobs
from workers.engine import LoadPlan
from workers.row_words import row_words
from workers.runtime import TRIM_EVERY_S


def test_quit_is_refused_while_anything_is_in_hand():
    world = World()
    world.welcome()
    world.load()
    assert world.quit(9) == [messages.Busy(messages.VERSION, "a", 7, 9, "loading")] and world.r.exit_code is None
    world = World().ready()
    world.job(1)
    assert [type(each) for each in world.quit(9)] == [messages.Busy] and world.r.exit_code is None
    world.output(1, 0, END)
    world.engine.held = 1  # cancelled, and its step still runs
    assert [type(each) for each in world.quit(10)] == [messages.Busy] and world.r.exit_code is None
    world.engine.held = 0
    assert world.quit(11) == [messages.Quitting(messages.VERSION, "a", 7, 11)] and world.r.exit_code == 0


def test_a_refused_fence_stays_refused_also_when_the_hands_are_empty():
    world = World().ready()
    world.job(1)
    world.quit(9)
    world.output(1, 0, END)
    for fence in (9, 8):
        assert [type(each) for each in world.quit(fence)] == [messages.Busy]
    assert world.r.exit_code is None
    assert [type(each) for each in world.quit(10)] == [messages.Quitting]


def test_quitting_is_said_again():
    world = World().ready()
    assert world.quit(9) == world.quit(9) == [messages.Quitting(messages.VERSION, "a", 7, 9)]


@pytest.mark.parametrize("epoch", [4, 6])
def test_orders_of_any_control_but_the_newest_that_welcomed_it_are_void(epoch):
    world = World()
    world.welcome(epoch=5)
    world.load(epoch=epoch)
    assert not world.engine.did and world.r.phase is Phase.EMPTY
    assert not world.quit(9, epoch=epoch) and world.r.exit_code is None
    assert world.notes[-2:] == ["void_load", "void_quit"]


def test_from_the_report_to_a_newer_control_on_no_older_quit_is_obeyed():
    world = World().ready()
    world.control.clear()
    world.welcome(epoch=6)
    phase, report = world.control
    assert (phase, report.phase, report.control_epoch) == (Phase.READY, Phase.READY, 6)
    assert not world.quit(9, epoch=5) and world.r.exit_code is None
    world.welcome(epoch=5)  # on its way since before
    assert world.count(messages.Report) == 1 and not world.quit(9, epoch=5)
    assert [type(each) for each in world.quit(9, epoch=6)] == [messages.Quitting]


def test_every_welcome_is_answered_and_every_report_names_the_newest_control():
    world = World()
    for _ in range(3):
        world.welcome(epoch=5)
    assert [m.control_epoch for m in world.control if isinstance(m, messages.Report)] == [5, 5, 5] and world.met == [7]
    world.welcome(epoch=6)
    world.load(epoch=6)
    assert world.last(messages.Report).control_epoch == 6


def test_in_a_table_made_anew_no_quit_is_obeyed_before_the_welcome():
    world = World().ready()
    world.r.boot_id, world.r.control_epoch = BOOT + 1, 0  # as the loop does it
    assert not world.quit(9) and not world.quit(9, epoch=0) and world.r.exit_code is None
    world.welcome(boot=BOOT + 1, epoch=2)
    assert world.last(messages.Report).control_epoch == 2
    assert [type(each) for each in world.quit(9, epoch=2)] == [messages.Quitting]


def test_with_its_key_switched_off_it_leaves_its_jobs_behind():
    world = World(key_off=True).ready()
    world.job(1)
    assert [type(each) for each in world.quit(9)] == [messages.Quitting] and world.r.exit_code == 0


def test_a_plan_is_handed_on_and_its_rows_are_told_before_the_load_is_over():
    world = World()
    world.welcome()
    assert (world.last(jobs.Hello).batch_max, row_words(world.r, world.now, 0)["share_bytes"]) == (4, 0)
    world.load()
    assert world.engine.did == [LoadPlan(9_000, 1_000, 2, 512, 300)]
    words = row_words(world.r, world.now, 0)
    assert (words["batch_max"], words["share_bytes"], words["device_bytes"]) == (2, 9_000, 4)
    assert world.last(jobs.Hello).batch_max == 2


@pytest.mark.parametrize(("planned", "told"), [(0, 4), (9, 4), (3, 3)])
def test_a_plan_never_asks_for_more_rows_than_configured(planned, told):
    world = World()
    world.welcome()
    world.r.on_control(messages.Load(1, 7, 3, 5, batch_max=planned), world.now)
    assert world.r.batch_max == told


def test_memory_kept_for_speed_is_given_back_at_each_rise_of_pressure_and_then_from_time_to_time():
    world = World().ready()
    world.engine.did.clear()
    for level, trims in ((0, 0), (1, 1), (1, 1), (2, 2), (1, 2), (2, 3), (0, 3), (1, 4)):
        world.tick(0.1, level=level)
        assert len(world.engine.did) == trims, level
    world.tick(TRIM_EVERY_S - 0.1, level=1)
    assert len(world.engine.did) == 4
    world.tick(0.2, level=1)
    assert world.engine.did == ["trim"] * 5
    world.tick(2 * TRIM_EVERY_S)
    assert len(world.engine.did) == 5


def test_once_it_leaves_it_answers_no_welcome():
    """A Report would tell the new control that no older Quit can be obeyed, and one just was."""
    world = World().ready()
    world.quit(9)
    world.control.clear()
    world.welcome(epoch=6)
    assert not world.control and world.r.control_epoch == 5
