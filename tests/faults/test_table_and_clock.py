"""FAULTS rows 25-28: the table damaged under a running stack, torn readings, a pid used twice, a clock that jumps.

What each part of the product does about it is tested beside it (tests/control/test_table_hostile.py, test_stall.py,
tests/integration/test_table_lost.py, test_table_two_processes.py, tests/gateway); here is what users see.
"""

import pytest

from control.states import Phase
from control.supervisord import Facts, ProcessFact, ProcessState
from control.table import RowControl, RowGateway, RowName
from control.table_layout import LAYOUTS
from gateway.protocol import Done
from tests.support.control_world import World as ControlWorld
from tests.support.gateway_world import World as GatewayWorld
from tests.support.live_stack import LiveStack
from tests.support.stack_fixtures import echo_settings, shared_stack
from tests.support.supervisor_home import wait_until
from tests.support.transcripts import Caller, Transcript, calling
from workers import protocol as jobs

HOUR_S = 3600.0


stack = shared_stack(echo_settings("a", "b"))


# -- row 25: the table is damaged ----------------------------------------------------------------------------


def flip(stack: LiveStack, place: int) -> None:
    """One byte of the table, in the file itself."""
    with stack.paths.table.open("r+b") as file:
        file.seek(place)
        [byte] = file.read(1)
        file.seek(place)
        file.write(bytes([byte ^ 0x55]))


@pytest.mark.integration
@pytest.mark.parametrize("kind", [RowControl, RowGateway, RowName])
def test_row_25_a_damaged_record_costs_no_answer_and_mends_itself(stack, kind):
    stack.load("a", "b")
    starts, row = stack.starts_of("a"), stack.row("a")
    busy = Transcript(stack, "b", "#tokens=60 #rate=40").wait_tokens()
    for slug in ("a", "b"):  # one idles, the other answers
        flip(stack, LAYOUTS[kind].at(stack.row(slug).index) + 10)
    Transcript(stack, "a", "#tokens=30").check_whole(30)
    busy.check_whole(60)
    Transcript(stack, "b", "#tokens=30").check_whole(30)
    wait_until("both rows to be whole", lambda: all(
        (seen := stack.row(slug)) and seen.control and seen.gateway for slug in ("a", "b")))
    assert stack.starts_of("a") == starts and stack.row("a").control.pid == row.control.pid


@pytest.mark.integration
@pytest.mark.parametrize("place", [0, 8], ids=["no magic number", "another version"])
def test_row_25_a_table_that_nobody_could_open_any_more_is_made_anew(stack, place):
    stack.load("a")
    answer = Transcript(stack, "a", "#tokens=100 #rate=40").wait_tokens()
    starts, boot = stack.starts_of("a"), stack.boot_id()
    flip(stack, place)
    wait_until("another table", lambda: stack.boot_id() not in (0, boot))
    answer.check_whole(100)
    stack.wait_ready()
    Transcript(stack, "a", "#tokens=30").check_whole(30)
    assert stack.starts_of("a") == starts, "its worker served on"


# -- row 26: counters read in mid-write ----------------------------------------------------------------------


@pytest.mark.integration
def test_row_26_whoever_looks_while_the_stack_works_sees_whole_records_that_only_grow(stack):
    stack.load("a")
    gateway = worker = (0, 0)
    with calling(*(Caller(stack, ("a",), 30) for _ in range(3))) as callers:
        while callers[0].answered("a") < 30:
            row = stack.row("a")
            assert row.control is not None and row.gateway is not None and row.worker is not None
            assert row.gateway.finished <= row.gateway.dispatched and row.worker.finished <= row.worker.accepted
            seen = (row.gateway.dispatched, row.gateway.finished), (row.worker.accepted, row.worker.tokens_out)
            assert all(now >= before for now, before in zip(seen[0] + seen[1], gateway + worker, strict=True))
            gateway, worker = seen


# -- row 27: a pid is used twice -----------------------------------------------------------------------------


def test_row_27_a_process_that_got_the_pid_of_a_dead_worker_is_no_worker_and_is_never_signalled():
    world = ControlWorld("a", stall_limit_s=60.0)
    world.gateway_up()
    world.resident("a")
    pid = world.r.rows["a"].pid
    world.beating.clear()  # silent from now on: a stall, as far as its heartbeat goes
    lists = ProcessFact("worker-a", ProcessState.RUNNING, pid + 1, 1, 0, 0)
    for _ in range(200):
        world.now += 1
        world.r.on_tick(world.now)
        world.r.processes.on_supervisord(Facts({"worker-a": lists}, int(world.now * 1e9)), world.now)
    assert [order for order in world.orders if order[0] == "signal"] == [], "supervisord means another process by it"

    reborn = ControlWorld("a")
    reborn.gateway_up()
    reborn.resident("a")
    start_time_us = reborn.r.rows["a"].start_time_us
    reborn.is_alive = lambda pid, start: start != start_time_us  # the pid lives, and is somebody else's
    reborn.tick()
    assert not reborn.r.rows["a"].has_process
    reborn.tick(5)
    reborn.want("a", medium=1)
    assert reborn.starts("a") == 2, "the model can be had again"
    assert [order for order in reborn.orders if order[0] == "signal"] == []


# -- row 28: the clock jumps, the machine sleeps -------------------------------------------------------------


def test_row_28_an_hour_asleep_ends_no_request():
    """The monotonic clock may have gone on meanwhile; of the wall clock no decision takes notice."""
    world = GatewayWorld("a", "b", queue_deadline_s=300.0)
    world.worker_up("a")
    world.submit("runs", model="a")
    world.submit("waits", model="b")
    [job] = world.jobs_sent(b"w1")
    world.answer(b"w1", job, tokens=2, end=False)
    world.now += HOUR_S
    world.d.admission.extend_deadlines(HOUR_S)  # as the loop does after a gap
    world.worker_says(b"w1", jobs.Beat, "a", Phase.READY, [job.job], 1)
    world.turn()
    assert not world.ended("waits"), "it has waited no minute longer than it was awake"
    world.answer(b"w1", job, tokens=2, start=2)
    assert isinstance(world.end_of("runs"), Done)
    world.pass_time(299)
    assert not world.ended("waits")
    world.pass_time(2)
    assert world.end_of("waits").code == "queue_deadline", "and then it times out, once"


def test_row_28_after_an_hour_asleep_control_judges_nobody_by_old_heartbeats():
    world = ControlWorld("a", stall_limit_s=60.0)
    world.gateway_up()
    world.resident("a")
    world.beating.clear()
    world.now += HOUR_S
    world.read_memory()
    world.r.on_tick(world.now)
    world.beating.add("a")
    world.tick(30)
    assert world.orders == [("start", "a")] and world.phase("a") is Phase.READY
