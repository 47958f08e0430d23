"""What a worker process does, step by step: it answers control, takes jobs and ends them, loads, leaves when told.

Pure.
"""

from collections.abc import Iterator

from tests.model.rules import Rules
from tests.model.world import BORN, EMPTY, LEFT, LOADING, QUITTING, READY, Message, World, arriving

Steps = Iterator[tuple[str, World]]


def worker_steps(w: World, rules: Rules) -> Steps:
    worker = w.worker
    if not worker.lives:
        return
    name = f"process {worker.incarnation}"
    if worker.phase == LOADING:
        ready = w._replace(worker=worker._replace(phase=READY))
        yield f"{name} has loaded its model", _hello(ready) if worker.gateway else ready
    elif worker.phase == QUITTING:
        left = worker._replace(phase=LEFT, obeys=0, refused=0, gateway=0, hand=0, loads=0)
        yield f"{name} exits", w._replace(worker=left, worker_control=(), worker_gateway=())
        if rules.leavers_stay_silent:
            return
    if worker.hand:
        ended = Message("Ended", worker.incarnation, worker.gateway)
        yield f"{name} finishes a job", w._replace(
            worker=worker._replace(hand=worker.hand - 1), gateway_worker=(*w.gateway_worker, ended))
    for message, rest in arriving(w.worker_control):
        yield _hears_control(w._replace(worker_control=rest), message, rules)
    for message, rest in arriving(w.worker_gateway):
        yield _hears_the_gateway(w._replace(worker_gateway=rest), message)


def _hears_control(w: World, message: Message, rules: Rules) -> tuple[str, World]:
    worker = w.worker
    name = f"process {worker.incarnation} hears {message.kind}"
    stale = message.sender < worker.obeys
    if message.kind == "Welcome":
        if stale and rules.welcomes_only_raise_the_epoch:
            return f"{name} of control {message.sender}, which is over", w
        obeys, phase = message.sender, EMPTY if worker.phase == BORN else worker.phase
        w = w._replace(worker=worker._replace(phase=phase, obeys=obeys))
        return (f"{name} of control {obeys} and reports: it obeys {obeys}, is {phase}",
                _tell(w, Message("Report", worker.incarnation, obeys, phase)))
    if message.kind == "Load":
        if worker.phase != EMPTY or (stale and rules.old_loads_are_void):
            return f"{name} of control {message.sender}, which changes nothing", w
        return f"{name} and loads", w._replace(worker=worker._replace(phase=LOADING, loads=worker.loads + 1))
    if worker.phase == QUITTING or (message.sender != worker.obeys and rules.worker_obeys_the_newest):
        return f"{name} {message.number} of control {message.sender}, which is void", w
    return _hears_quit(w, message, rules)


def _hears_quit(w: World, message: Message, rules: Rules) -> tuple[str, World]:
    """Key 3. `cut` notes for the invariants that it left although it should not."""
    worker, fence = w.worker, message.number
    name = f"process {worker.incarnation} hears Quit {fence} of control {message.sender}"
    working = worker.hand > 0 or worker.phase == LOADING
    if (working and rules.worker_checks_its_hands) or fence <= worker.refused:
        why = f"{worker.hand} jobs in hand" if worker.hand else "loading" if working else "that fence was refused"
        refused = max(worker.refused, fence) if rules.worker_remembers_refusals else 0
        says = Message("Busy", worker.incarnation, fence)
        return f"{name} and says Busy ({why})", _tell(w._replace(worker=worker._replace(refused=refused)), says)
    leaves = w._replace(worker=worker._replace(phase=QUITTING, cut=working))
    return f"{name} and says Quitting", _tell(leaves, Message("Quitting", worker.incarnation, fence))


def _hears_the_gateway(w: World, message: Message) -> tuple[str, World]:
    worker, epoch = w.worker, message.sender
    name = f"process {worker.incarnation} hears {message.kind} of gateway {epoch}"
    if message.kind == "Welcome" and epoch > worker.gateway:
        w = w._replace(worker=worker._replace(gateway=epoch, hand=0))
        orphans = f" and drops {worker.hand} orphans" if worker.hand else ""
        return name + orphans, _hello(w) if worker.phase == READY else w
    if message.kind == "Job" and epoch == worker.gateway and worker.phase == READY:
        return f"process {worker.incarnation} takes the job", w._replace(worker=worker._replace(hand=worker.hand + 1))
    return f"{name}, which changes nothing", w


def _hello(w: World) -> World:
    hello = Message("Hello", w.worker.incarnation, w.worker.gateway)
    return w._replace(gateway_worker=(*w.gateway_worker, hello))


def _tell(w: World, message: Message) -> World:
    """What is said while control is down may still reach the next control process."""
    return w._replace(control_worker=(*w.control_worker, message))
