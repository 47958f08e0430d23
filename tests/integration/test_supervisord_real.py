"""supervisord itself, with the rendered configuration and stand-ins for our programs: what it does to a worker.

What DESIGN 1 relies on: an order starts a worker exactly once however it ends, an operator's stop can be told from an
end of its own, nobody without the password gets in, and two homes do not know of each other.
"""

import os
import signal
import stat

import pytest

from control.supervisord import Facts, Fault, OrderDone, ProcessState, Supervisord, SupervisordFault, SupervisordThread
from tests.support.supervisor_home import PASSWORD, Playground, wait_until

pytestmark = pytest.mark.integration
S = ProcessState
SETTINGS = "[server]\nhttp_processes = 2\n[control]\ndrain_deadline_s = 2"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory):
    """One supervisord for the tests that leave it as it was; a model for each of them."""
    names = ("quits", "crashes", "aborts", "never", "held", "deaf", "thread", "signalled")
    playground = Playground(tmp_path_factory.mktemp("shared"), names, SETTINGS)
    playground.plan(worker_quits="exit 0", worker_crashes="exit 3", worker_aborts="abort", worker_deaf="deaf")
    playground.run_supervisord()
    yield playground
    playground.end()


def test_a_worker_that_ends_is_started_exactly_once_per_order(shared: Playground) -> None:
    statuses = {"worker-quits": 0, "worker-crashes": 3, "worker-aborts": -1}
    for orders in (1, 2):
        for name in statuses:
            shared.supervisord.start(name)
        wait_until("their starts", lambda n=orders: all(shared.starts(name) == n for name in statuses))
        for name, status in statuses.items():
            fact = shared.wait_for(name, S.EXITED)
            assert (fact.exit_status, fact.pid) == (status, 0)
            assert fact.stop_s >= fact.start_s > 0
    # control is restarted by supervisord meanwhile, so it has had turns enough to start these again
    started = shared.starts("control")
    os.kill(shared.wait_for("control", S.RUNNING).pid, signal.SIGKILL)
    wait_until("another control", lambda: shared.starts("control") > started)
    assert {name: shared.starts(name) for name in statuses} == dict.fromkeys(statuses, 2)


def test_a_worker_that_was_never_started_has_no_start_time(shared: Playground) -> None:
    fact = shared.fact("worker-never")
    assert (fact.state, fact.start_s, fact.pid) == (S.STOPPED, 0, 0)


def test_the_others_start_by_themselves_and_both_http_processes_share_one_socket(shared: Playground) -> None:
    pids = {shared.wait_for(name, S.RUNNING).pid for name in ("control", "gateway", "http:http-0", "http:http-1")}
    assert len(pids) == 4


def test_an_operators_stop_and_start_with_supervisorctl(shared: Playground) -> None:
    assert shared.ctl("start", "worker-held").returncode == 0
    assert shared.wait_for("worker-held", S.RUNNING).pid > 0
    answer = shared.ctl("status", "worker-held")
    assert "RUNNING" in answer.stdout
    assert shared.ctl("stop", "worker-held").returncode == 0
    fact = shared.fact("worker-held")
    assert fact.state is S.STOPPED
    assert fact.start_s > 0
    assert shared.ctl("start", "worker-held").returncode == 0
    wait_until("its second start", lambda: shared.starts("worker-held") == 2)


def test_a_signal_ends_a_worker_without_holding_it(shared: Playground) -> None:
    shared.supervisord.start("worker-signalled")
    wait_until("its first line", lambda: (shared.home.logs / "worker-signalled.log").read_text())
    shared.supervisord.signal("worker-signalled", "TERM")
    assert shared.wait_for("worker-signalled", S.EXITED).exit_status == 0


def test_what_overstays_its_drain_deadline_after_a_stop_is_killed(shared: Playground) -> None:
    shared.supervisord.start("worker-deaf")
    wait_until("its first line", lambda: (shared.home.logs / "worker-deaf.log").read_text())
    shared.supervisord.stop("worker-deaf")
    assert shared.fact("worker-deaf").state is S.STOPPING
    assert shared.wait_for("worker-deaf", S.STOPPED).start_s > 0


def test_refusals_are_typed(shared: Playground) -> None:
    with pytest.raises(SupervisordFault) as unknown:
        shared.supervisord.start("worker-nobody")
    assert unknown.value.code == Fault.BAD_NAME
    shared.wait_for("control", S.RUNNING)
    with pytest.raises(SupervisordFault) as twice:
        shared.supervisord.start("control")
    assert twice.value.code == Fault.ALREADY_STARTED
    with pytest.raises(SupervisordFault) as not_running:
        shared.supervisord.stop("worker-never")
    assert not_running.value.code == Fault.NOT_RUNNING


def test_the_thread_carries_out_orders_and_brings_facts(shared: Playground) -> None:
    values: list[Facts | OrderDone] = []
    thread = SupervisordThread(shared.home, lambda: None)
    try:
        thread.order("start", "worker-thread")
        thread.order("start", "worker-nobody")

        def running() -> bool:
            values.extend(thread.take())
            facts = [value for value in values if isinstance(value, Facts)]
            return bool(facts) and facts[-1].processes["worker-thread"].state is S.RUNNING

        wait_until("facts that show the worker", running)
    finally:
        thread.close()
    done = [value for value in values if isinstance(value, OrderDone)]
    assert [(order.name, order.error is None) for order in done] == [("worker-thread", True), ("worker-nobody", False)]
    wait_until("its start", lambda: shared.starts("worker-thread") == 1)


def test_the_socket_wants_the_password_and_only_we_may_read_it(shared: Playground, tmp_path) -> None:
    assert stat.S_IMODE(shared.home.supervisor_socket.stat().st_mode) == 0o700
    wrong = tmp_path / "wrong.conf"
    wrong.write_text(shared.home.supervisor_conf.read_text().replace(PASSWORD, "guessed"))

    class WrongPassword:
        supervisor_conf = wrong
        supervisor_socket = shared.home.supervisor_socket

    with pytest.raises(SupervisordFault) as refused:
        Supervisord(WrongPassword()).pid()
    assert refused.value.code == Fault.UNAUTHORIZED
    before = shared.starts("worker-never")
    with pytest.raises(SupervisordFault):
        Supervisord(WrongPassword()).start("worker-never")
    assert shared.starts("worker-never") == before


def test_a_model_added_later_becomes_known_and_nothing_else_changes(tmp_path) -> None:
    playground = Playground(tmp_path / "first", ("a",))
    try:
        playground.run_supervisord()
        before = playground.wait_for("gateway", S.RUNNING).pid
        text = playground.home.supervisor_conf.read_text()
        at = text.index("[program:worker-a]")
        playground.home.supervisor_conf.write_text(text + text[at:].replace("worker-a", "worker-b"))
        playground.supervisord.reload_config()
        playground.supervisord.add_group("worker-b")
        assert playground.fact("worker-b").state is S.STOPPED
        assert playground.fact("gateway").pid == before
    finally:
        playground.end()


def test_two_homes_side_by_side_even_with_blanks_in_their_paths(tmp_path) -> None:
    one, two = Playground(tmp_path / "one home"), Playground(tmp_path / "other home")
    try:
        one.run_supervisord()
        two.run_supervisord()
        assert one.supervisord.pid() != two.supervisord.pid()
        one.supervisord.start("worker-a")
        wait_until("the start in one home", lambda: one.starts("worker-a") == 1)
        assert two.fact("worker-a").start_s == 0
        one.end()
        assert two.wait_for("gateway", S.RUNNING).pid
    finally:
        one.end()
        two.end()
