"""FAULTS rows 25-28: the table damaged under a running stack, torn readings, a pid used twice, a clock that jumps.

What each part of the product does about it is tested beside it (tests/control/test_table_hostile.py, test_stall.py,
tests/integration/test_table_lost.py, test_table_two_processes.py, tests/gateway); here is what users see.
"""

import pytest

from control.states import Phase
from control.supervisord import ProcessState
from control.table import RowControl, RowGateway, RowName
from control.table_layout import LAYOUTS, LAYOUT_VERSION
from gateway.protocol import Done
from tests.support.control_world import World as ControlWorld
from tests.support.gateway_world import World as GatewayWorld
from tests.support.live_stack import LiveStack
from tests.support.supervisor_home import wait_until
from tests.support.transcripts import Caller, Transcript, calling

SETTINGS = """
[control]
prewarm = 0
[limits]
max_running = 8
[models.a]
engine = "echo"
[models.b]
engine = "echo"
"""
HOUR_S = 3600.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    shared = LiveStack(tmp_path_factory.mktemp("table"), SETTINGS).up()
    yield shared
    shared.end()


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
