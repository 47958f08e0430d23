"""The thread that talks to supervisord for control's loop: orders in order, facts, and never a wait for its owner."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from control import supervisord
from control.home import Home
from control.supervisord import (
    Facts,
    Fault,
    OrderDone,
    ProcessFact,
    ProcessState,
    SupervisordFault,
    SupervisordGone,
    SupervisordThread,
)

WAIT_S = 5.0
HOME = Home(Path("/nowhere"))
FACT = ProcessFact("worker-a", ProcessState.RUNNING, 7, 1, 0, 0)


class ScriptedSupervisord:
    """Records what it is asked. `gate` closed: every call hangs. `refuse` is raised by the next order."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.refuse: Exception | None = None
        self.gone = False
        self.lists = 0

    def processes(self) -> dict[str, ProcessFact]:
        self._enter()
        if self.gone:
            raise SupervisordGone("nobody answers")
        self.lists += 1
        return {FACT.name: FACT._replace(pid=self.lists)}

    def start(self, name: str) -> None:
        self._order("start", name)

    def stop(self, name: str) -> None:
        self._order("stop", name)

    def signal(self, name: str, signal_name: str) -> None:
        self._order("signal", name, signal_name)

    def _order(self, *words: str) -> None:
        self._enter()
        self.asked.append(words)
        refuse, self.refuse = self.refuse, None
        if refuse:
            raise refuse

    def _enter(self) -> None:
        self.entered.release()
        assert self.gate.wait(WAIT_S)


class Owner:
    """The loop that owns the thread: waits for its bell and takes."""

    def __init__(self, script: ScriptedSupervisord) -> None:
        self.bell = threading.Semaphore(0)
        self.got: list[Facts | OrderDone] = []
        self.thread = SupervisordThread(HOME, self.bell.release, script)

    def take_until(self, enough: Callable[[list[Facts | OrderDone]], bool]) -> list[Facts | OrderDone]:
        while not enough(self.got):
            assert self.bell.acquire(timeout=WAIT_S), f"only {self.got} came"
            self.got += self.thread.take()
        return self.got

    def orders_done(self, count: int) -> list[OrderDone]:
        def done() -> list[OrderDone]:
            return [value for value in self.got if isinstance(value, OrderDone)]

        self.take_until(lambda _: len(done()) >= count)
        return done()


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ScriptedSupervisord:
    monkeypatch.setattr(supervisord, "FACTS_EVERY_S", 0.01)
    return ScriptedSupervisord()


@pytest.fixture
def owner(script: ScriptedSupervisord) -> Iterator[Owner]:
    owner = Owner(script)
    yield owner
    script.gate.set()
    owner.thread.close()


def test_facts_come_by_themselves_and_again(owner: Owner) -> None:
    got = owner.take_until(lambda values: len(values) >= 3)
    assert all(isinstance(value, Facts) for value in got)
    order = [(value.read_at_ns, value.processes["worker-a"].pid) for value in got]
    assert order == sorted(order)


def test_orders_are_carried_out_in_order_and_answered(owner: Owner, script: ScriptedSupervisord) -> None:
    owner.thread.order("start", "worker-a")
    owner.thread.order("signal", "worker-a", "TERM")
    owner.thread.order("stop", "worker-a")
    assert [(done.verb, done.name, done.error) for done in owner.orders_done(3)] == [
        ("start", "worker-a", None), ("signal", "worker-a", None), ("stop", "worker-a", None)]
    assert script.asked == [("start", "worker-a"), ("signal", "worker-a", "TERM"), ("stop", "worker-a")]


def test_facts_that_are_newer_than_an_order_follow_it(owner: Owner, script: ScriptedSupervisord) -> None:
    owner.take_until(lambda values: bool(values))
    owner.thread.order("start", "worker-a")
    owner.orders_done(1)
    got = owner.take_until(lambda values: isinstance(values[-1], Facts))
    assert [type(value) for value in got[-2:]] == [OrderDone, Facts]


@pytest.mark.parametrize("error", [SupervisordFault(Fault.ALREADY_STARTED, "x"), SupervisordGone("y")])
def test_a_refused_order_comes_back_with_its_error(
        owner: Owner, script: ScriptedSupervisord, error: SupervisordFault | SupervisordGone) -> None:
    script.refuse = error
    owner.thread.order("start", "worker-a")
    owner.thread.order("start", "worker-b")
    assert [done.error for done in owner.orders_done(2)] == [error, None]


def test_a_supervisord_that_hangs_never_makes_its_owner_wait(owner: Owner, script: ScriptedSupervisord) -> None:
    owner.take_until(lambda values: bool(values))
    script.gate.clear()
    owner.thread.order("start", "worker-a")
    for _ in range(supervisord.ORDERS_MAX + 2):
        owner.thread.order("start", "worker-b")
    done = owner.orders_done(1)
    assert isinstance(done[0].error, SupervisordGone), "more orders than fit fail at once"
    assert script.asked == []
    script.gate.set()
    assert owner.orders_done(supervisord.ORDERS_MAX)[-1].error is None


def test_without_an_answer_there_are_no_facts_and_trouble_says_why(owner: Owner, script: ScriptedSupervisord) -> None:
    owner.take_until(lambda values: bool(values))
    script.gone = True
    owner.thread.order("start", "worker-a")
    owner.orders_done(1)
    for _ in range(6):  # four more lists that fail, whatever was under way before
        assert script.entered.acquire(timeout=WAIT_S)
    assert owner.thread.trouble == "nobody answers"
    owner.thread.take()
    assert owner.thread.take() == []
    script.gone = False
    owner.take_until(lambda values: isinstance(values[-1], Facts))
    assert owner.thread.trouble == ""


def test_of_facts_nobody_took_only_the_newest_is_kept(owner: Owner) -> None:
    for _ in range(5):
        assert owner.bell.acquire(timeout=WAIT_S)
    values = owner.thread.take()
    assert len(values) == 1
    assert values[0].processes["worker-a"].pid >= 5


def test_close_ends_the_thread_and_drops_orders_not_begun(script: ScriptedSupervisord) -> None:
    owner = Owner(script)
    owner.take_until(lambda values: bool(values))
    owner.thread.close()
    owner.thread.order("start", "worker-a")
    assert script.asked == []
    assert not [thread for thread in threading.enumerate() if thread.name == "supervisord"]
