"""What must never be, and what must always stay possible. Each predicate says whether a state breaks it. Pure."""

from tests.model.world import DOWN, LOADING, QUITTING, READY, World


def answer_cut_by_quit(w: World) -> bool:
    """(a) A worker obeys Quit while it holds a job or loads, or while a job of the living gateway is on its way to it.

    Jobs of a gateway that died are no matter: their callers know, and ask its successor again.
    """
    if w.worker.cut:
        return True
    return w.worker.phase == QUITTING and w.gateway.up and any(
        message.kind == "Job" and message.sender == w.table.gateway_epoch for message in w.worker_gateway)


def job_sent_to_a_leaver(w: World) -> bool:
    """(b) A job is dispatched to a process that has said Quitting, or has left by Quit."""
    return w.gateway.late


def two_processes(w: World) -> bool:
    """(c) A process of the row is started while another lives."""
    return w.worker.twin


def loaded_twice(w: World) -> bool:
    """(c) One incarnation loads its model twice."""
    return w.worker.loads > 1


def gate_open_behind_a_fence(w: World) -> bool:
    """(d) The gate is open although a gateway has said Fenced to the fence that stands.

    Between the fence word and Fenced it may be: the gateway has not looked yet, and key 2 counts what it sent.
    """
    return w.gateway.gate and w.table.fenced and w.table.answered


def memory_not_set_aside(w: World) -> bool:
    """(e) A process has or loads a model, and control counts nothing for it, so it may give its memory to another."""
    return w.worker.phase in (LOADING, READY, QUITTING) and w.worker.loads > 0 and not w.table.share


INVARIANTS = {each.__name__: each for each in (
    answer_cut_by_quit, job_sent_to_a_leaver, two_processes, loaded_twice, gate_open_behind_a_fence,
    memory_not_set_aside)}


def serves_or_is_down(w: World) -> bool:
    """The good states, one of which must always stay possible: everybody is up, no fence stands, and either the gate
    is open or there is no process. A model that cannot come to either is stuck."""
    t = w.table
    down = t.phase == DOWN and not w.worker.lives
    return w.control.up and w.gateway.up and not t.fenced and (w.gateway.gate or down)
